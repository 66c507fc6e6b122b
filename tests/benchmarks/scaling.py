"""Predict on many workers: throughput of 1 and 2, cost of a part, messages, time to assemble.

    python tests/benchmarks/scaling.py

Every worker computes with one thread and is kept on a core of its own. A scene is mapped by one
process, by a cluster of one worker and by a cluster of two. A strip of it is mapped in many small
parts by a small network, several times, by one process and by one worker: the difference of the
shortest times, by the number of parts, is what a part costs on a cluster. The clock runs from the
first part's beginning to the last part's end; what is paid once (starting workers, loading torch)
is paid before, with a corner of the scene.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import rasterio
from inputs import write_landscapes, write_model
from measuring import describe_machine
from rasterio.windows import Window
from tables import format_table

LARGE_TILE, LARGE_PIXELS = 512, 2**19
SMALL_TILE, SMALL_PIXELS = 128, 1
"""Side of the tiles, and pixels of a part at least: one row of tiles."""

SMALL_WIDTH, PASSES = 4, 6
"""Of the network of the small parts, and how often they are computed."""

CORNER, STRIP = (1024, 1024), (4096, 256)
"""Rows and columns."""


@dataclass(frozen=True)
class Run:
    """What mapping a scene took.

    Attributes:
        seconds: from the first part's beginning to the last part's end, the shortest of a few.
        parts: their number.
        pixels: of the scene.
        assemble_s: seconds to make the COG of them.
        messages: that the scheduler received and sent in the whole run; 0 without one.
    """

    seconds: float
    parts: int
    pixels: int
    assemble_s: float
    messages: float


def run_here(task: dict[str, Any]) -> dict[str, Any]:
    """Map a corner, then a scene; this is the program of a process of its own."""
    from geounet.inference import PredictOptions, predict
    from geounet.inference.planning import parts

    parts.PART_PIXELS = task["part_pixels"]
    marks: list[float] = []

    def note(progress: Any) -> None:
        if progress.stage == "predict":
            marks.append(time.perf_counter())

    options = PredictOptions(tile=task["tile"], engine=task["engine"], cluster=task["address"])
    folder, model = Path(task["folder"]), task["model"]
    predict(task["corner"], model, folder / "corner-mask.tif", options)
    before, seconds = count_messages(task["address"]), []
    for number in range(task["passes"]):
        marks.clear()
        summary = predict(task["scene"], model, folder / f"mask-{number}.tif", options, note)
        seconds.append(marks[-1] - marks[0])
    return {
        "seconds": min(seconds),
        "parts": -(-summary.height // summary.tile_shape[0]),
        "pixels": summary.height * summary.width,
        "assemble_s": summary.stage_s["assemble"],
        "messages": (count_messages(task["address"]) - before) / task["passes"],
    }


def count_messages(address: str | None) -> int:
    """Messages over the scheduler's connections so far."""
    if address is None:
        return 0
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        return int(client.run_on_scheduler(read_counter))


def read_counter() -> int:
    """In the scheduler: messages so far."""
    from distributed.comm import tcp

    return int(tcp.counted)  # type: ignore[attr-defined]


PRELOAD = """
from distributed.comm import tcp
from geounet.inference.planning import parts

parts.PART_PIXELS = {part_pixels}
if not hasattr(tcp, "counted"):  # Dask runs this twice
    tcp.read, tcp.write, tcp.counted = tcp.TCP.read, tcp.TCP.write, 0

async def count_read(self, *args, **kwargs):
    result = await tcp.read(self, *args, **kwargs)
    tcp.counted += 1
    return result

async def count_write(self, *args, **kwargs):
    tcp.counted += 1
    return await tcp.write(self, *args, **kwargs)

tcp.TCP.read, tcp.TCP.write = count_read, count_write
"""
"""What scheduler and workers run first: parts as in the task, and a count of messages."""


@contextmanager
def start_cluster(task: dict[str, Any], workers: int, cores: list[int]) -> Iterator[str]:
    """A scheduler, and workers each on a core of its own; gives the address."""
    from distributed import Client

    folder = Path(task["folder"])
    file, preload = folder / "scheduler.json", folder / "preload.py"
    preload.write_text(PRELOAD.format(**task), encoding="utf-8")
    common = ["--no-dashboard", "--scheduler-file", file, "--preload", preload]
    each = ["--no-nanny", "--nthreads", 1, "--memory-limit", 0, "--local-directory", folder]
    with ExitStack() as stack:

        def start(*command: object) -> int:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *map(str, [*command, *common])],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            stack.callback(process.wait)
            stack.callback(process.terminate)
            return process.pid

        start("scheduler", "--host", "127.0.0.1", "--port", 0)
        for core in cores[:workers]:
            os.sched_setaffinity(start("worker", *each), {core})
        with Client(scheduler_file=str(file), set_as_default=False, timeout=60) as client:
            client.wait_for_workers(workers, timeout=60)
            address = str(client.scheduler.address)
        yield address


def measure(task: dict[str, Any], workers: int) -> Run:
    """One run, in new processes; `workers=0`: in one process, on one core."""
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        task = {**task, "folder": folder, "address": None}
        if workers:
            task["address"] = stack.enter_context(start_cluster(task, workers, cores))
        command = [sys.executable, __file__, "--task", json.dumps(task)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        if not workers:
            os.sched_setaffinity(process.pid, {cores[0]})
        said, _ = process.communicate()
        if process.returncode:
            raise RuntimeError(f"{workers} workers: exit {process.returncode}")
    run = Run(**json.loads(said.splitlines()[-1]))
    print(f"{workers} workers: {run}", file=sys.stderr, flush=True)
    return run


def tabulate(runs: dict[int, list[Run]]) -> str:
    """Throughput by number of workers, in Markdown."""
    names = {0: "one process", 1: "cluster, 1 worker", 2: "cluster, 2 workers"}
    seconds = {workers: median(run.seconds for run in some) for workers, some in runs.items()}
    rows = [["", "Mpx/s", "x 1 worker", "s", "to assemble, s"]]
    for workers, some in runs.items():
        speed = some[0].pixels / seconds[workers] / 1e6
        assemble = median(run.assemble_s for run in some)
        ratio = seconds[1] / seconds[workers]
        figures = (f"{speed:.3f}", f"{ratio:.2f}", f"{seconds[workers]:.1f}", f"{assemble:.2f}")
        rows.append([names[workers], *figures])
    return format_table(rows)


def describe_parts(alone: list[Run], clustered: list[Run]) -> str:
    """What a part costs on a cluster: the same parts by one process and by one worker."""
    parts = alone[0].parts
    gaps = [1e3 * (b.seconds - a.seconds) / parts for a, b in zip(alone, clustered, strict=True)]
    each = 1e3 * median(run.seconds for run in alone) / parts
    messages = median(run.messages for run in clustered) / parts
    return (
        f"a part costs {median(gaps):.1f} ms more on a cluster "
        f"({', '.join(f'{gap:.1f}' for gap in gaps)}; {parts} parts of {each:.0f} ms), "
        f"and {messages:.1f} messages of the scheduler, those of the run included"
    )


def crop(scene: Path, output: Path, shape: tuple[int, int]) -> Path:
    """The upper left of a scene, as a file of its own."""
    with rasterio.open(scene) as source:
        height, width = min(shape[0], source.height), min(shape[1], source.width)
        pixels = source.read(window=Window(0, 0, width, height))
        profile = {**source.profile, "height": height, "width": width}
    with rasterio.open(output, "w", **profile) as target:
        target.write(pixels)
    return output


def compare(options: argparse.Namespace, folder: Path) -> None:
    scene = options.scene or folder / f"scene-{options.size}.tif"
    model = options.model or folder / f"width-16-{options.size}.safetensors"
    if not scene.exists():
        write_landscapes(scene, folder / f"labels-{options.size}.tif", options.size)
    if not model.exists():
        write_model(model, width=16, scene=scene)
    write_model(folder / "small.safetensors", width=SMALL_WIDTH, scene=scene)
    base = {"engine": options.engine, "corner": str(crop(scene, folder / "corner.tif", CORNER))}
    large = {"scene": str(scene.absolute()), "tile": LARGE_TILE, "part_pixels": LARGE_PIXELS}
    large |= {"model": str(model.absolute()), "passes": 1}
    strip = str(crop(scene, folder / "strip.tif", STRIP))
    small = {"scene": strip, "tile": SMALL_TILE, "part_pixels": SMALL_PIXELS}
    small |= {"model": str(folder / "small.safetensors"), "passes": PASSES}
    runs: dict[int, list[Run]] = {0: [], 1: [], 2: []}
    parts: dict[int, list[Run]] = {0: [], 1: []}
    for _ in range(options.repeats):
        for workers, some in runs.items() if "throughput" in options.measure else ():
            some.append(measure(base | large, workers))
        for workers, some in parts.items() if "parts" in options.measure else ():
            some.append(measure(base | small, workers))
    if runs[0]:
        print(tabulate(runs), end="\n\n")
    if parts[0]:
        print(describe_parts(*parts.values()), end="\n\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--scene", type=Path, help="a scene; drawn unless given")
    add("--model", type=Path, help="its model")
    add("--size", type=int, default=4096, help="side of a drawn scene in pixels")
    add("--engine", default="torch", choices=["torch", "openvino"])
    add("--measure", nargs="+", choices=["throughput", "parts"], default=["throughput", "parts"])
    add("--repeats", type=int, default=1)
    add("--task", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    if options.task:
        print(json.dumps(run_here(options.task)))
        return
    with tempfile.TemporaryDirectory() as folder:
        compare(options, Path(folder))
    print("; ".join(f"{key} {value}" for key, value in describe_machine().items()))


if __name__ == "__main__":
    main()
