"""Time and memory of evaluating large masks with many objects, by family of metrics.

python tests/benchmarks/evaluation.py --sides 10000 20000 --objects 500000 --folder big
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import rasterio
from measuring import peak_bytes
from numpy.typing import NDArray
from polygonize import PER_BLOB, TILE, TRANSFORM, make_blobs
from rasterio.windows import Window
from tables import format_table

from geounet import evaluate
from geounet.evaluation import EvaluateOptions

CLASSES = "background,house,shed,barn"
FAMILIES = ("pixel", "boundary", "object", "topology", "all")
HEADER = ["masks", "objects", "metrics", "seconds", "CPU seconds", "peak memory"]


def make_pair(objects: float, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A tile of labels with so many objects, and a mask: shifted, with holes, breaks and specks."""
    rng = np.random.default_rng(seed)
    labels = make_blobs(objects / PER_BLOB, seed)
    mask = np.roll(labels, (1, 2), axis=(0, 1))
    missing = rng.random((TILE // 5, TILE // 5)) < 0.02
    mask[missing.repeat(5, axis=0).repeat(5, axis=1)] = 0
    specks = rng.random(mask.shape) < 1e-4
    mask[specks] = 1
    return labels, mask


def write_pair(folder: Path, side: int, objects: float) -> tuple[Path, Path]:
    """Tiled GeoTIFFs of labels and mask with so many objects per 20,000 x 20,000 pixels."""
    paths = (folder / f"labels-{side}.tif", folder / f"mask-{side}.tif")
    profile = {
        "driver": "GTiff", "width": side, "height": side, "count": 1, "dtype": "uint8",
        "crs": "EPSG:32633", "transform": TRANSFORM, "tiled": True, "blockxsize": 512,
        "blockysize": 512, "compress": "deflate", "zlevel": 1,
    }  # fmt: skip
    with rasterio.open(paths[0], "w", **profile) as labels, \
            rasterio.open(paths[1], "w", **profile) as mask:  # fmt: skip
        for number, row in enumerate(range(0, side, TILE)):
            pair = make_pair(objects * TILE**2 / 20_000**2, number)
            for target, tile in zip((labels, mask), pair, strict=True):
                target.write(np.tile(tile, side // TILE), 1, window=Window(0, row, side, TILE))
    return paths


def run_files(labels: str, mask: str, metrics: str) -> None:
    """Evaluate a pair, alone in this process, and print what it took."""
    started = time.monotonic()
    evaluation = evaluate(mask, labels, EvaluateOptions(classes=CLASSES, metrics=(metrics,)))
    counts = evaluation.results.details.get("object", {}).get("objects", {})
    objects = sum(each["labels"] for each in counts.values())
    print(objects, time.monotonic() - started, time.process_time(), peak_bytes())


def measure_side(folder: Path, side: int, wanted: float, families: list[str]) -> list[list[str]]:
    """A row of the table for each family."""
    labels, mask = write_pair(folder, side, wanted)
    rows = []
    for metrics in families:
        command = [sys.executable, __file__, "--pair", str(labels), str(mask), metrics]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        rows.append([
            f"{side} x {side}", said[0] if metrics in ("object", "all") else "", metrics,
            f"{float(said[1]):.0f}", f"{float(said[2]):.0f}", f"{int(said[3]) / 1e6:.0f} MB",
        ])  # fmt: skip
        print(format_table([HEADER, *rows]), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[5_000, 10_000])
    parser.add_argument("--objects", type=float, default=500_000, help="per 20,000 x 20,000 pixels")
    parser.add_argument("--metrics", nargs="+", default=list(FAMILIES))
    parser.add_argument("--folder", type=Path, default=Path(), help="for labels and masks")
    parser.add_argument("--pair", nargs=3, help="just evaluate: labels, mask, metrics")
    options = parser.parse_args()
    if options.pair:
        run_files(*options.pair)
        return
    rows = [HEADER]
    for side in options.sides:
        rows += measure_side(options.folder, side, options.objects, options.metrics)
    print(format_table(rows))


if __name__ == "__main__":
    main()
