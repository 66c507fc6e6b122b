"""What each part of training brings: the same scene, labels and seed, one option changed at a time.

    python tests/benchmarks/ablation.py scene.tif buildings.geojson \
        --train W,S,E,N --test W,S,E,N --folder ablation --epochs 8

Each row is `geounet train` in the first rectangle, `geounet predict` in the second, and what the
mask is worth there: IoU of the last class, F1 of its objects at IoU 0.5 as they are polygonized.
Rows that the folder holds are not computed again, so that one can add some, or share them out:
`--rows "--augment none" "--optimiser adamw"`. Minutes are those of training, validation included.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import rasterio
import shapely
from objects import compare_objects, read_objects
from tables import format_table

from geounet import polygonize
from geounet.vector import PolygonizeOptions

DEFAULT = "(defaults)"

ROWS = (
    DEFAULT,
    "--augment none",
    "--augment light",
    "--elastic 10",
    "--augment strong",
    "--border-weight 10",
    "--loss ce",
    "--optimiser adamw --lr 0.003",
    "--architecture unet",
    "--architecture lightunet",
    "--architecture fcn8s",
    "--architecture smp:Unet:resnet34",
)

COLUMNS = {
    "iou": "IoU",
    "f1": "F1 of objects",
    "chips": "chips",
    "minutes": "minutes",
    "mpx_per_s": "Mpx/s predicting",
}


def main() -> None:
    """Compute the rows that are missing; print all that there are."""
    arguments = parse_arguments()
    for row in arguments.rows:
        place = find_place(arguments, row)
        if not (place / "result.json").exists():
            result = measure_row(arguments, row, place)
            (place / "result.json").write_text(json.dumps(result))
            print(row, json.dumps(result), file=sys.stderr)
    places = {row: find_place(arguments, row) / "result.json" for row in arguments.rows}
    results = {row: json.loads(place.read_text()) for row, place in places.items()}
    body = [[row, *(format_value(found[key]) for key in COLUMNS)] for row, found in results.items()]
    print(format_table([["geounet train", *COLUMNS.values()], *body]))


def measure_row(arguments: argparse.Namespace, row: str, place: Path) -> dict[str, Any]:
    """Train, predict and evaluate."""
    scene, labels, mask = arguments.scene, arguments.labels, str(place / "mask.tif")
    options = [] if row == DEFAULT else shlex.split(row)
    limits = ["--max-time", arguments.max_time] if arguments.max_time else []
    limits += ["--epochs", arguments.epochs] if arguments.epochs else []
    area = ["--bbox", arguments.train, "--seed", str(arguments.seed), "--overwrite"]
    trained = run(["train", scene, "-l", labels, "-o", str(place), *area, *limits, *options])
    model = str(place / "model.safetensors")
    (predicted,) = run(
        ["predict", scene, "-m", model, "-o", mask, "--bbox", arguments.test, "--overwrite"]
    )["masks"]
    found = run(["evaluate", mask, "-l", labels, "--bbox", arguments.test])
    pixels = sum(predicted["class_pixels"].values())
    return {
        "iou": found["metrics"]["classes"][-1]["iou"],
        "f1": measure_objects(mask, arguments),
        "chips": trained["chips"],
        "minutes": trained["training_s"] / 60,
        "mpx_per_s": pixels / predicted["stage_s"]["network"] / 1e6,
        "validation_iou": trained["metrics"]["classes"][-1]["iou"],
    }


def measure_objects(mask: str, arguments: argparse.Namespace) -> float:
    """F1 of the polygons at IoU 0.5."""
    box = shapely.box(*map(float, arguments.test.split(",")))
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "polygons.gpkg"
        polygonize(mask, output, PolygonizeOptions())
        with rasterio.open(mask) as source:
            crs = source.crs
        found = read_objects(output, crs, box, layer="polygons")
    true = read_objects(arguments.labels, crs, box)
    return compare_objects(found, true, least_iou=0.5).f1


def run(arguments: list[str]) -> dict[str, Any]:
    """What a geounet command says."""
    command = [sys.executable, "-m", "geounet", *arguments, "--json", "--quiet"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def find_place(arguments: argparse.Namespace, row: str) -> Path:
    """The folder of a row."""
    name = "".join(c if c.isalnum() else "_" for c in row).strip("_")
    place = Path(arguments.folder) / f"{name}-{arguments.seed}"
    place.mkdir(parents=True, exist_ok=True)
    return place


def format_value(value: float) -> str:
    """Digits enough to tell rows apart."""
    return str(value) if isinstance(value, int) else f"{value:.3f}" if value < 1 else f"{value:.1f}"


def parse_arguments() -> argparse.Namespace:
    """What to measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene")
    parser.add_argument("labels", help="polygons of one class")
    parser.add_argument("--train", required=True, help="W,S,E,N in the scene's CRS")
    parser.add_argument("--test", required=True, help="W,S,E,N in the scene's CRS")
    parser.add_argument("--folder", required=True, help="of the run folders and results")
    parser.add_argument("--epochs", help="of each row")
    parser.add_argument("--max-time", help="of each row, in minutes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", nargs="+", default=ROWS, metavar="OPTIONS")
    return parser.parse_args()


if __name__ == "__main__":
    main()
