"""Masks with their labels, window by window."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from geounet.classes import NODATA, ClassInfo
from geounet.errors import InputError
from geounet.evaluation.jobs import Job
from geounet.evaluation.measures.family import Piece
from geounet.raster import Scene, Window, open_scene
from geounet.vector import LabelOptions, Labels, is_vectors, open_labels, rasterize_inside
from geounet.wording import counted

BLOCK = 1024
"""Rows and columns compared at a time: multiples of every usual storage block."""

T = TypeVar("T", np.uint8, np.int32)

TOLERANCE = 1e-3
"""By so much float probabilities may be below 0 or above 1: they were rounded."""


@dataclass(frozen=True)
class Legends:
    """What labels and masks hold for the classes.

    Attributes:
        classes: sorted by value.
        labels: how labels are to be understood; with `separate_px` the features of vectors are
            objects, else what is connected.
        mask: likewise masks, and
        other: those to compare with.
    """

    classes: tuple[ClassInfo, ...]
    labels: LabelOptions
    mask: LabelOptions
    other: LabelOptions


@dataclass(frozen=True)
class Reading:
    """What was read of a window, and of a halo around it.

    Attributes:
        window: H x W pixels of the mask's grid.
        labels: uint8 (H + 2h, W + 2h), positions in the classes; 255: no label, or not inside.
        mask: likewise; 255: no data, or not inside.
        other: as mask, of the mask to compare with; None if there is none.
        scores: (K, H, W), and whether they are data, bool (H, W); None if there are none.
        note: what was done to the labels, and
        other_note: to the other mask, to bring them onto the mask's grid; None if nothing.
        instances: as in `Piece`.
    """

    window: Window
    labels: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    other: NDArray[np.uint8] | None
    scores: tuple[NDArray[Any], NDArray[np.bool_]] | None
    note: str | None
    other_note: str | None
    instances: NDArray[np.int32] | None = None

    def find_counted(self) -> NDArray[np.bool_]:
        """Where there are a label and data in every mask, bool (H + 2h, W + 2h)."""
        counted: NDArray[np.bool_] = (self.labels != NODATA) & (self.mask != NODATA)
        if self.other is not None:
            counted &= self.other != NODATA
        return counted

    def cut(self, mask: NDArray[np.uint8], counted: NDArray[np.bool_], halo: int) -> Piece:
        """The piece of a mask with a smaller halo."""
        spare = (counted.shape[0] - self.window.height) // 2 - halo
        inner = (slice(spare, len(counted) - spare), slice(spare, counted.shape[1] - spare))
        no_data, where = np.uint8(NODATA), counted[inner]
        scores, scored = self.scores or (None, None)
        return Piece(
            window=self.window,
            labels=np.where(where, self.labels[inner], no_data),
            mask=np.where(where, mask[inner], no_data),
            scores=scores,
            scored=scored,
            instances=None if self.instances is None else self.instances[inner],
        )


def read_pieces(job: Job, how: Legends, halo: int) -> Iterator[Reading]:
    """The area in windows that partition it, row by row.

    Opens its own handles: it may run in a thread.
    """
    classes = how.classes
    positions = np.full(256, NODATA, np.uint8)
    positions[[item.value for item in classes]] = np.arange(len(classes))
    has_instances = how.labels.separate_px is not None and is_vectors(job.labels)
    with ExitStack() as stack:
        mask = stack.enter_context(open_labels(job.mask, job.grid, classes, how.mask))
        labels = stack.enter_context(
            open_labels(job.labels, job.grid, classes, how.labels, scene=job.name)
        )
        other = scores = None
        if job.other is not None:
            opened = open_labels(job.other, job.grid, classes, how.other, scene=job.name)
            other = stack.enter_context(opened)
        if job.scores is not None:
            scores = stack.enter_context(_open_scores(job, classes))
        for cell in job.area.aligned(BLOCK).blocks(BLOCK, BLOCK):
            window = cell.intersect(job.area)
            yield Reading(
                window,
                _read(job, window, halo, _look_up(_inside(job, labels), positions)),
                _read(job, window, halo, _look_up(mask.read, positions)),
                None
                if other is None
                else _read(job, window, halo, _look_up(other.read, positions)),
                None if scores is None else _read_scores(scores, window),
                labels.note,
                None if other is None else other.note,
                _read(job, window, halo, labels.read_instances, 0) if has_instances else None,
            )


def _read(
    job: Job, window: Window, halo: int, read: Callable[[Window], NDArray[T]], fill: int = NODATA
) -> NDArray[T]:
    """What is read of a window and a halo; `fill` outside of the area."""
    around = window.pad(halo)
    inside = around.intersect(job.area)
    if inside == around:
        return read(inside)
    found = read(inside)
    values = np.full(around.shape, fill, found.dtype)
    values[inside.relative_to(around).slices()] = found
    return values


def _look_up(
    read: Callable[[Window], NDArray[np.uint8]], positions: NDArray[np.uint8]
) -> Callable[[Window], NDArray[np.uint8]]:
    return lambda window: positions[read(window)]


def _inside(job: Job, labels: Labels) -> Callable[[Window], NDArray[np.uint8]]:
    """Labels, 255 outside of the AOI."""
    aoi = job.aoi
    if aoi is None:
        return labels.read
    return lambda window: np.where(
        rasterize_inside(aoi, job.grid, window), labels.read(window), np.uint8(NODATA)
    )


def _read_scores(scores: Scene, window: Window) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """Scores (K, H, W), and whether they are data, once they are known to be probabilities."""
    values: NDArray[Any]
    values, valid = scores.read(window)
    values = np.where(valid, values, values.dtype.type(0))
    low, high = values.min(), values.max()
    most = 254 if values.dtype == np.uint8 else 1 + TOLERANCE
    if low < -TOLERANCE or high > most:
        raise InputError(
            f"{scores.path} holds {low if low < 0 else high:g}, which is no probability; scores "
            "are 0 to 1, or with 8 bits 0 to 254, in 1/254, as predict writes them"
        )
    return values, valid


def _open_scores(job: Job, classes: tuple[ClassInfo, ...]) -> Scene:
    """The probabilities of a job, once they are known to be those of the mask's classes."""
    path, count = str(job.scores), len(classes)
    with open_scene(path) as scene:
        # of four bands of 8 bits GDAL takes the last for alpha
        bands = range(1, count + 1) if scene.count in (count - 1, count) else None
    scores = open_scene(path, bands)
    try:
        names, wanted = scores.band_names, [item.name for item in classes]
        if scores.dtype != np.uint8 and scores.dtype.kind != "f":
            raise InputError(
                f"{path} holds {scores.dtype}; scores are uint8 in 1/254, float16 or float32, as "
                "predict writes them"
            )
        if scores.count != count:
            raise InputError(
                f"{path} has {counted(scores.count, 'band')}; scores have one for each of the "
                f"{count} classes"
            )
        if all(names) and sorted(map(str, names)) == sorted(wanted) and list(names) != wanted:
            raise InputError(
                f"{path} has its bands in the order {', '.join(map(str, names))}; the classes are "
                f"{', '.join(wanted)}; put its bands into that order"
            )
        if not scores.grid.matches(job.grid):
            raise InputError(
                f"{path} does not have the pixels of {job.name}; give the scores that predict "
                "wrote with it"
            )
    except InputError:
        scores.close()
        raise
    return scores
