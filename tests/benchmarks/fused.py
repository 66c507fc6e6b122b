"""Predict with polygons beside predict without."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import pyogrio
from measuring import Task, measure_apart
from tables import format_table


def measure_polygons(
    engines: Sequence[str], model: Path, scene: Path, repeats: int, folder: Path
) -> str:
    """Seconds with and without `polygons`, in turns; the ratio is the median of the rounds'."""
    rows = [["", "polygons", "seconds without", "with", "ratio"]]
    polygons, output = folder / "polygons.gpkg", str(folder / "mask.tif")
    for engine in engines:
        seconds = []
        for number in range(1, repeats + 1):
            both = [
                measure_apart(Task(engine, str(model), str(scene), output, options)).seconds
                for options in ({}, {"polygons": str(polygons)})
            ]
            print(f"round {number}: {engine} {both[0]:.2f} s, {both[1]:.2f} s", file=sys.stderr)
            seconds.append(both)
        without, fused = zip(*seconds, strict=True)
        ratio = median(b / a for a, b in seconds)
        found = pyogrio.read_info(polygons, layer="polygons")["features"]
        times = [f"{median(without):.2f}", f"{median(fused):.2f}"]
        rows.append([engine, f"{found}", *times, f"{ratio:.3f}"])
    return format_table(rows)
