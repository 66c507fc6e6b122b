"""Speed, memory and agreement of predict, beside how others do it and beside its bare engine.

python tests/benchmarks/predict.py                      # width 16, 4096 x 4096, three rounds
python tests/benchmarks/predict.py --width 64 --size 2048 --repeats 1     # the paper's width
python tests/benchmarks/predict.py --memory             # peaks of small, large and sparse scenes
python tests/benchmarks/predict.py --max-memory 1e9     # whether that is kept
python tests/benchmarks/predict.py --polygons           # what polygons cost that are made meanwhile

Every measurement is a process of its own, and each round measures every contender once, so that a
machine that slows down does so for all. The clock runs from the call to the finished file: reading,
normalising, compiling the engine, network, writing. Imports and loading the model do not count. The
bare network's clock runs while it computes, nothing else. The file cache holds the scene for all.
Speeds are medians over the rounds, with the slowest and the fastest in brackets; ratios are medians
of the ratios within a round. Memory is the largest over the rounds.

All have the same weights. MONAI and the loop run the network as one trains it: padded, BatchNorm,
float32, on the GPU if there is one. geounet runs it unpadded, with BatchNorm folded. "Labels equal"
is the share of the pixels whose class is that of geounet's torch engine in float32, whose labels
are those of the untiled scene. Random weights are often undecided; `--model FILE --scene FILE`
takes a trained one:

python tests/benchmarks/predict.py --folder bench --contenders    # makes scene, labels, model only
geounet train bench/scene-4096.tif -l bench/labels-4096.tif -o bench/run \
    --architecture unet --width 16 --classes land,building,water,trees
python tests/benchmarks/predict.py --model bench/run/model.safetensors --scene bench/scene-4096.tif

MONAI is no dependency of geounet: `pip install --no-deps monai`. Without it its row is left out.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

import numpy as np
import rasterio
from contenders import CONTENDERS
from fused import measure_polygons
from inputs import CLASSES, write_landscapes, write_model
from measuring import Measurement, Task, describe_machine, measure_apart, use_cores
from memory import measure_limits, measure_sides
from tables import format_table

TITLES = {
    "openvino": "geounet, OpenVINO",
    "torch": "geounet, torch alone",
    "loop": "plain loop, 256 tiles, overlap 64",
    "monai": "MONAI SlidingWindowInferer",
    "bare-openvino": "(bare network, OpenVINO)",
    "bare-torch": "(bare network, torch)",
}
NEEDS = {"openvino": "openvino", "bare-openvino": "openvino", "monai": "monai"}

Rounds = list[dict[str, Measurement]]


def choose_contenders(names: Sequence[str]) -> list[str]:
    """Those whose packages are here."""
    chosen = []
    for name in names:
        package = NEEDS.get(name)
        if package and importlib.util.find_spec(package) is None:
            say(f"{name} is left out: {package} is not installed")
        else:
            chosen.append(name)
    return chosen


def measure_rounds(base: Task, names: Sequence[str], folder: Path, repeats: int) -> Rounds:
    """Each contender once per round."""
    rounds: Rounds = []
    for number in range(1, repeats + 1):
        rounds.append({})
        for name in names:
            one = measure_apart(Task(name, base.model, base.scene, str(folder / f"{name}.tif")))
            rounds[-1][name] = one
            say(f"round {number}: {name} {one.seconds:.2f} s, {one.speed:.3f} Mpx/s")
    return rounds


def compare_labels(base: Task, names: Sequence[str], folder: Path) -> dict[str, float]:
    """Share of the reference's data pixels on which each mask has the same class."""
    reference = folder / "reference.tif"
    measure_apart(Task("torch", base.model, base.scene, str(reference), {"precision": "float32"}))
    expected = _read_mask(reference)
    is_data = expected != 255
    masks = {name: folder / f"{name}.tif" for name in names if not name.startswith("bare")}
    return {
        name: float((_read_mask(path) == expected)[is_data].mean()) for name, path in masks.items()
    }


def _read_mask(path: Path) -> np.ndarray:
    with rasterio.open(path) as source:
        return source.read(1)


def tabulate(rounds: Rounds, equal: dict[str, float]) -> str:
    """The table for README, in Markdown."""
    rows = [["", "Mpx/s", "peak memory", "labels equal", "x loop", "x MONAI", "of bare network"]]
    for name in rounds[0]:
        is_bare = name.startswith("bare")
        speeds = [one[name].speed for one in rounds]
        peak = max(one[name].peak_bytes for one in rounds)
        share = ratio(rounds, name, f"bare-{name}")
        rows.append(
            [
                TITLES[name],
                f"{median(speeds):.2f} ({min(speeds):.2f}-{max(speeds):.2f})",
                "" if is_bare else f"{peak / 1e9:.2f} GB",
                f"{100 * equal[name]:.3f} %" if name in equal else "",
                _times(ratio(rounds, name, "loop")),
                _times(ratio(rounds, name, "monai")),
                "" if share is None else f"{100 * share:.0f} %",
            ]
        )
    return format_table(rows)


def ratio(rounds: Rounds, name: str, other: str) -> float | None:
    """How many times as fast as the other; None without it."""
    if other not in rounds[0]:
        return None
    return median(one[name].speed / one[other].speed for one in rounds)


def _times(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def describe_details(rounds: Rounds) -> Iterator[str]:
    """What the last round's contenders say, and the share of the bare network once it runs.

    That is without what is the same for a scene of any size: preparing, compiling.
    """
    for name, one in rounds[-1].items():
        yield f"{name}: {one.seconds:.2f} s; {json.dumps(one.details)}"
        bare = rounds[-1].get(f"bare-{name}")
        compiling = bare and bare.details["compile_s"]
        if bare and compiling is not None:
            ours = one.seconds - bare.details["prepare_s"] - compiling
            share = (bare.seconds - compiling) / ours
            yield f"{name}: {100 * share:.0f} % of the bare network but for preparing and compiling"


def describe_run(options: argparse.Namespace, scene: Path) -> str:
    machine = describe_machine()
    with rasterio.open(scene) as source:
        shape = f"{source.height} x {source.width} x {source.count} {source.dtypes[0]}"
    drawn = f"U-Net of width {options.width}, {len(CLASSES)} classes, random weights"
    network = options.model.name if options.model else drawn
    has = f"{machine.pop('instructions')} (not {machine.pop('without')})"
    parts = [f"{machine.pop('processor')}, {machine.pop('cores')} cores", has]
    parts += [f"{key} {value}" for key, value in machine.items()]
    return f"{shape} GeoTIFF -> mask; {network}; {options.repeats} rounds. {'; '.join(parts)}."


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def compare(options: argparse.Namespace, folder: Path) -> None:
    scene, model = prepare_inputs(options, folder)
    names = choose_contenders(options.contenders)
    if not names:
        return
    base = Task("", str(model), str(scene), "")
    rounds = measure_rounds(base, names, folder, options.repeats)
    equal = compare_labels(base, names, folder)
    print(describe_run(options, scene), end="\n\n")
    print(tabulate(rounds, equal))
    if not options.markdown:
        print("", *describe_details(rounds), sep="\n")
    if options.json:
        content = {
            "machine": describe_machine(),
            "scene": str(scene),
            "model": str(model),
            "labels_equal": equal,
            "rounds": [{name: asdict(one) for name, one in each.items()} for each in rounds],
        }
        options.json.write_text(json.dumps(content, indent=1), encoding="utf-8")


def prepare_inputs(options: argparse.Namespace, folder: Path) -> tuple[Path, Path]:
    """Scene and model; what is in the folder from an earlier run is used again."""
    scene = options.scene or folder / f"scene-{options.size}.tif"
    if not scene.exists():
        say(f"drawing {scene}")
        write_landscapes(scene, folder / f"labels-{options.size}.tif", options.size)
    model = options.model or folder / f"width-{options.width}-{options.size}.safetensors"
    if not model.exists():
        write_model(model, width=options.width, scene=scene)
    return scene, model


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--size", type=int, default=4096, help="side of the drawn scene in pixels, 256 at least")
    add("--width", type=int, default=16, help="channels of the U-Net's first level; 64: the paper")
    add("--model", type=Path, help="a trained geounet model; with --scene")
    add("--scene", type=Path, help="its scene")
    add("--repeats", type=int, default=3, help="rounds")
    add("--contenders", nargs="*", choices=[*CONTENDERS], default=[*CONTENDERS])
    add("--folder", type=Path, help="keep scene, models and masks here")
    add("--cores", type=int, help="use so many cores only")
    add("--json", type=Path, help="write all measurements here")
    add("--markdown", action="store_true", help="print no more than README takes")
    add("--memory", action="store_true", help="peak memory by size of the scene, instead")
    add("--sides", type=int, nargs=3, default=[10_000, 30_000, 100_000], help="small large sparse")
    add("--polygons", action="store_true", help="with polygons beside without, instead")
    add("--max-memory", type=float, nargs="+", help="bytes to keep to: peak memory, instead")
    add("--widths", type=int, nargs="+", default=[16, 32], help="networks of --max-memory")
    options = parser.parse_args()
    if options.model is not None and options.scene is None:
        parser.error("--model needs --scene")
    return options


def main() -> None:
    options = parse()
    if options.cores:
        use_cores(options.cores)
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        engines = choose_contenders([n for n in ("openvino", "torch") if n in options.contenders])
        if options.memory:
            print(measure_sides(engines, options.sides, folder))
        if options.max_memory:
            limits = [int(limit) for limit in options.max_memory]
            print(measure_limits(engines, options.widths, limits, options.size, folder))
        if options.polygons:
            scene, model = prepare_inputs(options, folder)
            print(measure_polygons(engines, model, scene, options.repeats, folder))
        elif not options.memory and not options.max_memory:
            compare(options, folder)


if __name__ == "__main__":
    main()
