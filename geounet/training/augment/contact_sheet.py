"""A few chips as they were read, and as training will see them: `--show-augmentation`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geounet.classes import NODATA
from geounet.errors import UsageError
from geounet.progress import ProgressCallback, ignore_progress
from geounet.raster import measure_stretch, stretch
from geounet.training.augment.augmentation import Pixels, augment
from geounet.training.data.chips import Chip, make_lookup, read_chip
from geounet.training.data.sources import SourceReader
from geounet.training.keeping.run_folder import RunFolder
from geounet.training.keeping.settings import make_spec
from geounet.training.learning.network import build_training_network, find_training_geometry
from geounet.training.learning.normalisation import Normaliser
from geounet.training.learning.seeds import seed_step, seeded
from geounet.training.options import TrainOptions
from geounet.training.reporting.figures import Version, draw_versions
from geounet.training.task import Task, find_inputs, plan_chips, prepare_task

CHIPS = 3
VERSIONS = 7

CPU = torch.device("cpu")

Pictured = tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.uint8]]
"""Image (B, H, W), valid (H, W) and channel indices (H, W)."""


def show_augmentation(
    images: Sequence[str | Path],
    labels: Sequence[str | Path],
    output: str | Path,
    options: TrainOptions | None = None,
    progress: ProgressCallback = ignore_progress,
) -> None:
    """Draw the first chips of a training, each with some of its versions; nothing is trained.

    Args:
        images: as for `train`.
        labels: as for `train`.
        output: a PNG.
        options: as for `train`.
        progress: called while it runs.

    Raises:
        UsageError: options or an output that cannot be meant.
        InputError: images or labels cannot be used.
        ResourceError: the picture cannot be written.
    """
    options, output = options or TrainOptions(), Path(output)
    _check_output(output, overwrite=options.overwrite)
    inputs = find_inputs(images, labels, options)
    with seeded(options.seed, CPU):
        network = build_training_network(inputs, options)
        task = prepare_task(inputs, find_training_geometry(network, options), options, progress)
        rows = list(_draw_chips(task, options))
    RunFolder(output.parent).write_figure(output.name, draw_versions(rows, inputs.classes))


def _check_output(path: Path, *, overwrite: bool) -> None:
    if path.suffix.lower() != ".png":
        raise UsageError(f"--show-augmentation {path}: it is written as PNG; name it so")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists; give another name, or replace it with --overwrite")


def _draw_chips(task: Task, options: TrainOptions) -> Iterator[list[Version]]:
    """The versions of each chip, first that which was read."""
    plan, inputs = plan_chips(task, options), task.inputs
    normalise = Normaliser(make_spec(task, options).bands, CPU)
    values = [item.value for item in inputs.classes]
    with SourceReader(inputs.sources, inputs.reading) as reader:
        for number in range(CHIPS):
            chip = read_chip(reader, plan, (1, number), make_lookup(values))
            pixels = _prepare(chip, normalise)
            varied = augment(
                options.augmentation, options.chip, pixels, seed_step(options.seed, 1, number)
            )
            yield _render([_cut(pixels, 0, options.chip), *_split(varied, options.chip)], values)


def _prepare(chip: Chip, normalise: Normaliser) -> Pixels:
    """The chip as many times as there will be versions."""
    image, valid, labels = (np.stack([x] * VERSIONS) for x in (chip.image, chip.valid, chip.labels))
    return Pixels(normalise(image, valid), torch.from_numpy(valid), torch.from_numpy(labels))


def _split(pixels: Pixels, side: int) -> list[Pictured]:
    return [_cut(pixels, i, side) for i in range(VERSIONS)]


def _cut(pixels: Pixels, index: int, side: int) -> Pictured:
    """The central pixels of one chip."""
    image, valid, labels = (
        _crop(x[index], side).numpy() for x in (pixels.image, pixels.valid, pixels.labels)
    )
    return image, valid, labels


def _crop(array: Tensor, side: int) -> Tensor:
    first = (array.shape[-1] - side) // 2
    return array[..., first : first + side, first : first + side]


def _render(chips: Sequence[Pictured], values: Sequence[int]) -> list[Version]:
    """Chips in the shades of the first, so that other tones show; labels as class values."""
    limits = measure_stretch(*chips[0][:2])
    named = np.full(256, NODATA, np.uint8)
    named[: len(values)] = values
    return [
        Version(stretch(image, valid, limits), valid, named[labels])
        for image, valid, labels in chips
    ]
