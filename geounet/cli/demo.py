"""`geounet demo`: the whole way on a landscape of its own, in about two minutes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from geounet.cli.bars import progress_bars
from geounet.cli.parameters import files, outputs
from geounet.errors import ResourceError, UsageError
from geounet.wording import counted

if TYPE_CHECKING:
    from geounet.cli.landscape import LandscapeFiles
    from geounet.progress import ProgressCallback

SIDE = 1024
"""Pixels along each side of the two scenes."""

WIDTH, EPOCHS = 32, 6
"""A small network and a short training: a minute on two cores."""


def demo(
    folder: files.DemoFolder = Path("geounet-demo"),
    overwrite: outputs.Overwrite = False,
    quiet: outputs.Quiet = False,
) -> None:
    """Make a landscape, learn it, map another one, and show how well that went.

    Two scenes are drawn: one to train on, one to map. Then come the commands that you would run on
    your own data, each shown with what it made.
    """
    started = time.monotonic()
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; give a folder to work in")
    if folder.exists() and any(folder.iterdir()) and not overwrite:
        raise UsageError(f"{folder} is not empty; choose another folder, or use --overwrite")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(f"{folder} cannot be made: {error.strerror}") from error
    with progress_bars(quiet=quiet) as progress:
        for line in _run(folder, progress):
            if not quiet:
                typer.echo(line, err=True)
    if not quiet:
        typer.echo(
            f"\nAll of it took {time.monotonic() - started:.0f} s. Look at "
            f"{folder / 'preview.png'}, then open in QGIS:\n"
            f"  {folder / 'town.tif'}, {folder / 'mask.tif'}, {folder / 'map.gpkg'}\n"
            "Next, on your own data: geounet train --help",
            err=True,
        )


def _run(folder: Path, progress: ProgressCallback) -> Iterator[str]:
    """Do it all; yields what to say."""
    from geounet.cli.evaluation_text import describe as describe_evaluation
    from geounet.cli.prediction_text import describe as describe_prediction
    from geounet.cli.train import describe as describe_training
    from geounet.evaluation import EvaluateOptions, evaluate
    from geounet.inference import PredictOptions, predict
    from geounet.training import TrainOptions, train
    from geounet.vector import PolygonizeOptions, polygonize

    village, town = _draw(folder, "village", seed=1), _draw(folder, "town", seed=2)
    yield f"drew {village.image} and {town.image}, with labels"
    run, mask, sure, polygons = (
        folder / name for name in ("run", "mask.tif", "confidence.tif", "map.gpkg")
    )
    model = run / "model.safetensors"

    yield f"\n$ geounet train {village.image} -l {village.labels} -o {run} {_options()}"
    options = TrainOptions(width=WIDTH, epochs=EPOCHS, overwrite=True)
    yield describe_training(train([village.image], [village.labels], run, options, progress))

    yield f"\n$ geounet predict {town.image} -m {model} -o {mask} --confidence {sure}"
    predict_options = PredictOptions(confidence=sure, overwrite=True)
    yield describe_prediction(predict(town.image, model, mask, predict_options, progress))

    yield f"\n$ geounet polygonize {mask} {polygons} --confidence {sure}"
    made = polygonize(mask, polygons, PolygonizeOptions(confidence=sure, overwrite=True), progress)
    yield counted(made.polygons, "polygon")

    yield f"\n$ geounet evaluate {mask} -l {town.labels}"
    yield describe_evaluation(evaluate(mask, town.labels, EvaluateOptions(), progress))
    _draw_preview(folder / "preview.png", town, mask)


def _options() -> str:
    return f"--width {WIDTH} --epochs {EPOCHS}"


def _draw(folder: Path, name: str, seed: int) -> LandscapeFiles:
    from geounet.cli.landscape import make_landscape, write_landscape

    return write_landscape(folder, name, make_landscape(seed, SIDE, SIDE))


def _draw_preview(path: Path, town: LandscapeFiles, mask: Path) -> None:
    """Scene, labels and mask side by side."""
    import numpy as np
    from matplotlib.image import imsave

    from geounet.raster import colour_mask, open_scene, read_classes, read_preview

    rgb, _ = read_preview(town.image, bands=(1, 2, 3))
    classes = read_classes(mask) or ()
    pictures = [rgb]
    for file in (town.labels, mask):
        with open_scene(file, allow_palette=True) as scene:
            values, _ = scene.read(scene.grid.extent)
        pictures.append(colour_mask(values[0].astype(np.uint8), classes))
    gap = np.full((rgb.shape[0], 16, 3), 255, np.uint8)
    imsave(path, np.concatenate([pictures[0], gap, pictures[1], gap, pictures[2]], axis=1))
