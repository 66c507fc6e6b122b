"""A last look at the held-out pixels: what is taken for what, where the model is good or bad."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geounet.classes import NODATA
from geounet.evaluation import ConfusionMatrix
from geounet.inference import Engine, Runtime, make_engine, predict_window
from geounet.models import load_model
from geounet.training.data.sources import SourceReader
from geounet.training.holdout.block import Block
from geounet.training.learning.validation import TILE
from geounet.training.reporting.figures import Example
from geounet.training.task import Task

SIDE = 256
"""Of the windows that are compared."""

SHOWN = 3
"""Best, and worst."""

LABELLED = 0.5
"""Share of a window's pixels that must be labelled for it to be shown, as far as there are some."""


@dataclass(frozen=True)
class View:
    """A held-out window.

    Attributes:
        block: where it is.
        score: mean IoU of its labelled pixels.
        labelled: share of its pixels.
        classes: how many its labels show.
    """

    block: Block
    score: float
    labelled: float
    classes: int


@dataclass(frozen=True)
class Review:
    """What the finished model makes of the held-out pixels.

    Attributes:
        matrix: over all of them.
        best: windows with the highest mean IoU, the best first; not among the worst.
        worst: those with the lowest, the worst first.
        pictures: of the best, then of the worst.
    """

    matrix: ConfusionMatrix
    best: tuple[View, ...]
    worst: tuple[View, ...]
    pictures: tuple[Example, ...]


def review_model(model_path: Path, task: Task, runtime: Runtime) -> Review:
    """Map the held-out blocks once more with the saved model, and compare window by window."""
    model = load_model(model_path)
    engine = make_engine(model.network, model.spec, runtime)
    matrix = ConfusionMatrix(model.spec.classes)
    with SourceReader(task.inputs.validation_sources, task.inputs.validation_reading) as reader:
        views = list(_compare(engine, reader, task.split.validation, matrix))
        best, worst = choose_views(views)
        pictures = tuple(_picture(engine, reader, view.block) for view in (*best, *worst))
    return Review(matrix, best, worst, pictures)


def choose_views(views: Sequence[View]) -> tuple[tuple[View, ...], tuple[View, ...]]:
    """The best and the worst windows: well labelled, with two classes, as far as there are such."""
    telling = [v for v in views if v.labelled >= LABELLED and v.classes > 1]
    chosen = telling or [v for v in views if v.labelled] or views
    ranked = sorted(chosen, key=lambda view: view.score)
    worst = ranked[: min(SHOWN, -(-len(ranked) // 2))]
    best = ranked[len(worst) :][-SHOWN:]
    return tuple(reversed(best)), tuple(worst)


def _compare(
    engine: Engine, reader: SourceReader, blocks: Sequence[Block], matrix: ConfusionMatrix
) -> Iterator[View]:
    for block in blocks:
        labels = reader.read(block.scene, block.window).labels
        mask = predict_window(engine, reader.open(block.scene)[0], block.window, TILE)
        for window in block.window.blocks(SIDE, SIDE):
            cut = window.relative_to(block.window).slices()
            part = ConfusionMatrix(matrix.classes)
            part.add(labels[cut], mask[cut])
            matrix.merge(part)
            yield View(
                Block(block.scene, window),
                score=part.metrics().mean_iou or 0.0,
                labelled=float((labels[cut] != NODATA).mean()),
                classes=int(np.count_nonzero(part.counts.sum(axis=1))),
            )


def _picture(engine: Engine, reader: SourceReader, block: Block) -> Example:
    sample = reader.read(block.scene, block.window)
    mask = predict_window(engine, reader.open(block.scene)[0], block.window)
    return Example(sample.image, sample.valid, sample.labels, mask)
