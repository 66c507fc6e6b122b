"""From labels to polygons with the Python API, on two landscapes drawn for the purpose.

Run it with a folder to work in:  python examples/from_python.py work
"""

from __future__ import annotations

from pathlib import Path

import typer

import geounet
from geounet.cli.landscape import make_landscape, write_landscape
from geounet.inference import PredictOptions
from geounet.progress import Progress
from geounet.training import TrainOptions


def main(folder: Path, side: int = 512, epochs: int = 4) -> None:
    """Train on a village, map a town, and say how good the map is."""
    village, town = (
        write_landscape(folder, name, make_landscape(seed, side, side))
        for seed, name in enumerate(("village", "town"))
    )
    trained = geounet.train(
        [village.image], [village.labels], folder / "run", TrainOptions(width=16, epochs=epochs)
    )
    mapped = geounet.predict(
        town.image,
        trained.model,
        folder / "mask.tif",
        PredictOptions(confidence=folder / "confidence.tif"),
        progress=show,
    )
    made = geounet.polygonize(mapped.output, folder / "map.gpkg")
    metrics = geounet.evaluate(mapped.output, town.labels).metrics
    print(f"{made.polygons} polygons")
    for item in metrics.classes:
        print(f"{item.name:<12} IoU {item.iou or 0:.3f}")


def show(progress: Progress) -> None:
    """Any callable will do; the library itself never prints."""
    if progress.total:
        print(f"{progress.stage}: {progress.done} of {progress.total} {progress.unit}")


if __name__ == "__main__":
    typer.run(main)
