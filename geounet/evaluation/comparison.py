"""Compare masks with labels, window by window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from shapely.geometry.base import BaseGeometry

from geounet.classes import NODATA, ClassInfo
from geounet.errors import InputError
from geounet.evaluation.confusion import ConfusionMatrix
from geounet.evaluation.metrics import Metrics
from geounet.evaluation.options import EvaluateOptions
from geounet.evaluation.shared_classes import compare_names, find_legend, tell_nameless
from geounet.progress import Progress, ProgressCallback, ignore_progress
from geounet.raster import Grid, Window, open_scene
from geounet.vector import (
    LabelOptions,
    Legend,
    by_number,
    match_labels,
    open_labels,
    rasterize_inside,
    read_aoi,
)

BLOCK = 1024
"""Rows and columns compared at a time: multiples of every usual storage block."""


@dataclass(frozen=True)
class SceneEvaluation:
    """One mask against its labels.

    Attributes:
        mask: the file.
        labels: the file.
        confusion: the counts.
        notes: what was done to bring the two together.
    """

    mask: str
    labels: str
    confusion: ConfusionMatrix
    notes: tuple[str, ...]

    @property
    def metrics(self) -> Metrics:
        """Of this mask alone."""
        return self.confusion.metrics()

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "mask": self.mask,
            "labels": self.labels,
            **_describe(self.confusion),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Evaluation:
    """Masks against their labels, each and together.

    Attributes:
        scenes: one by one.
        confusion: the counts of all.
        notes: what was done to bring masks and labels together, and what was left out.
    """

    scenes: tuple[SceneEvaluation, ...]
    confusion: ConfusionMatrix
    notes: tuple[str, ...]

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """The classes compared, sorted by value."""
        return self.confusion.classes

    @property
    def metrics(self) -> Metrics:
        """Over the pixels of all masks, as if they were one."""
        return self.confusion.metrics()

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: undefined metrics are None, which becomes null."""
        return {
            "classes": [asdict(item) for item in self.classes],
            **_describe(self.confusion),
            "scenes": [scene.to_dict() for scene in self.scenes],
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class _Job:
    """A mask, its labels, and where they are to be compared."""

    mask: str | Path
    labels: str | Path
    grid: Grid
    area: Window
    aoi: BaseGeometry | None


def evaluate(
    masks: str | Path | Sequence[str | Path],
    labels: str | Path | Sequence[str | Path],
    options: EvaluateOptions = EvaluateOptions(),  # noqa: B008  frozen
    progress: ProgressCallback = ignore_progress,
) -> Evaluation:
    """Compare masks with labels.

    A pixel counts if it has a label and the mask has data there. Labelled pixels without data in
    the mask are counted apart (`confusion.unpredicted`) and enter no metric. Labels on another grid
    are warped (nearest) onto the mask's, which `notes` say.

    Args:
        masks: class rasters, 255 or nodata where there is no data.
        labels: rasters or vectors: one per mask in the same order, one folder matched by name, or
            one file for all.
        options: classes, area, how to understand the labels.
        progress: called after every window.

    Raises:
        UsageError: the declared classes cannot be meant.
        InputError: a file cannot be used, a value is of no class, or the area has no pixel.
    """
    pairs = match_labels(_as_list(masks), _as_list(labels))
    jobs, notes = _plan(pairs, options)
    legend = find_legend(
        [(job.mask, job.labels) for job in jobs], [job.grid for job in jobs], options
    )
    total, done = sum(job.area.area for job in jobs), 0

    def advance(pixels: int) -> None:
        nonlocal done
        done += pixels
        progress(Progress("evaluate", done, total, "px"))

    by_value = options.classes is None and legend.options.threshold is None
    is_guess = by_value and not legend.options.mapping
    scenes = [_evaluate_scene(job, legend, advance, is_guess=is_guess) for job in jobs]
    notes = [*notes, *legend.notes]
    return Evaluation(tuple(scenes), _pool(scenes, legend.classes), _collect_notes(notes, scenes))


def _plan(
    pairs: Sequence[tuple[str | Path, str | Path]], options: EvaluateOptions
) -> tuple[list[_Job], list[str]]:
    """The masks that have pixels in the area, and a note for each that has none."""
    jobs, outside = [], []
    for mask, labels in pairs:
        grid = _open_mask(mask)
        try:
            jobs.append(_limit(mask, labels, grid, options))
        except InputError as error:  # other masks may lie there
            outside.append(error)
    if not jobs:
        raise outside[0]
    return jobs, [f"left out: {error}" for error in outside]


def _open_mask(mask: str | Path) -> Grid:
    with open_scene(mask, allow_palette=True) as scene:
        if scene.count != 1:
            raise InputError(
                f"{mask} has {scene.count} bands; a mask has one, with the number of the class"
            )
        return scene.grid


def _limit(mask: str | Path, labels: str | Path, grid: Grid, options: EvaluateOptions) -> _Job:
    """The job, cut to the bbox and the AOI's bounds."""
    aoi = None if options.aoi is None else read_aoi(options.aoi, grid)
    area = grid.extent
    for bounds in (options.bbox, None if aoi is None else aoi.bounds):
        if bounds is not None:
            area = area.intersect(grid.window_of(bounds))
    if not area.area:
        raise InputError(f"{options.aoi} and --bbox have no pixel of {mask} in common")
    return _Job(mask, labels, grid, area, aoi)


def _evaluate_scene(
    job: _Job, legend: Legend, advance: Callable[[int], None], *, is_guess: bool
) -> SceneEvaluation:
    """Compare one mask with its labels; `advance` hears the pixels of every window.

    `is_guess`: nothing but the mask says which value of the labels is which class.
    """
    classes = legend.classes
    matrix = ConfusionMatrix(classes)
    # a mask's palette is for the eye: its numbers are the classes
    as_mask = by_number(classes, LabelOptions(ignore=NODATA)).options
    with (
        open_labels(job.mask, job.grid, classes, as_mask) as mask,
        open_labels(job.labels, job.grid, classes, legend.options, scene=job.mask) as labels,
    ):
        for block in job.area.aligned(BLOCK).blocks(BLOCK, BLOCK):
            window = block.intersect(job.area)
            expected = labels.read(window)
            if job.aoi is not None:
                inside = rasterize_inside(job.aoi, job.grid, window)
                expected = np.where(inside, expected, np.uint8(NODATA))
            matrix.add(expected, mask.read(window))
            advance(window.area)
        nameless = tell_nameless(job.labels, matrix) if is_guess else None
        notes = _list_notes(job, matrix, (labels.note, nameless))
    return SceneEvaluation(str(job.mask), str(job.labels), matrix, notes)


def _list_notes(
    job: _Job, matrix: ConfusionMatrix, about: tuple[str | None, ...]
) -> tuple[str, ...]:
    """What a reader of the numbers has to know; `about` is what there is to say of the labels."""
    about_labels = (*about, compare_names(job.labels, matrix.classes))
    notes = [f"{job.labels}: {note}" for note in about_labels if note is not None]
    if unpredicted := int(matrix.unpredicted.sum()):
        notes.append(f"{job.mask}: no data in {unpredicted} labelled pixels, which do not count")
    if not matrix.counts.any():
        notes.append(f"{job.mask}: no pixel has both a label and a class")
    return tuple(notes)


def _pool(scenes: Sequence[SceneEvaluation], classes: tuple[ClassInfo, ...]) -> ConfusionMatrix:
    pooled = ConfusionMatrix(classes)
    for scene in scenes:
        pooled.merge(scene.confusion)
    return pooled


def _collect_notes(notes: Sequence[str], scenes: Sequence[SceneEvaluation]) -> tuple[str, ...]:
    """Each once: one label file may serve many masks."""
    return tuple(dict.fromkeys([*notes, *(note for scene in scenes for note in scene.notes)]))


def _describe(confusion: ConfusionMatrix) -> dict[str, Any]:
    return {
        "metrics": confusion.metrics().to_dict(),
        "confusion": confusion.counts.tolist(),
        "unpredicted": confusion.unpredicted.tolist(),
    }


def _as_list(paths: str | Path | Sequence[str | Path]) -> list[str | Path]:
    return [paths] if isinstance(paths, str | Path) else list(paths)
