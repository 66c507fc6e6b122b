"""Where the errors are: a small picture of every scene, and the windows with most of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geounet.classes import ClassInfo
from geounet.evaluation.jobs import Job
from geounet.evaluation.measures.family import Piece
from geounet.evaluation.measures.outcomes import ERRORS, UNCOUNTED, make_table
from geounet.raster import Window
from geounet.vector import compiled

MOST_SCENES = 12
"""That are shown: those with the largest share of errors."""

MOST_WINDOWS = 12
"""That are shown: those with most wrong pixels."""

OVERVIEW_PX = 800
"""Longer side of a scene's picture."""

CELL_PX = 32
"""Windows begin at multiples of it, counted from the first pixel of the area."""

WINDOW_CELLS = 8
"""Side of a window in cells."""

MOST_CELLS = 1 << 22
"""Of a scene: beyond, cells are larger."""

ONLY_MASK, ONLY_OTHER = len(ERRORS), len(ERRORS) + 1
"""Layers of an overview after those of the errors, with a mask to compare with."""


@dataclass(frozen=True)
class Overview:
    """A scene, reduced.

    Attributes:
        job: the scene.
        shares: uint8 (layers, H, W), how much of each cell is of a kind of `ERRORS`, then, with a
            mask to compare with, where only the mask is right, and only the other; 255 is all.
        counted: bool (H, W), whether any pixel of the cell counts.
        wrong: pixels.
        pixels: that count.
    """

    job: Job
    shares: NDArray[np.uint8]
    counted: NDArray[np.bool_]
    wrong: int
    pixels: int

    @property
    def share(self) -> float:
        """Of the pixels that are wrong."""
        return self.wrong / max(1, self.pixels)


@dataclass(frozen=True)
class WrongWindow:
    """A window with many errors.

    Attributes:
        job: the scene.
        window: on the mask's grid.
        wrong: pixels.
    """

    job: Job
    window: Window
    wrong: int


class Survey:
    """Finds what a report shows of the scenes, while they are counted.

    Attributes:
        overviews: of the scenes with the largest share of errors, these first.
        windows: those with most wrong pixels of all scenes, these first; none overlap.
    """

    def __init__(self, classes: Sequence[ClassInfo]) -> None:
        self.overviews: list[Overview] = []
        self.windows: list[WrongWindow] = []
        self._table = make_table(classes)
        self._scene: _Scene | None = None

    def start(self, job: Job) -> None:
        """A scene begins."""
        self._scene = _Scene(job)

    def add(self, piece: Piece, other: NDArray[np.uint8] | None) -> None:
        """Take in a piece."""
        if self._scene is None:
            raise ValueError("no scene has begun")
        self._scene.add(piece, other, self._table)

    def finish(self) -> None:
        """The scene is over: see whether it is among those to show."""
        if self._scene is None:
            raise ValueError("no scene has begun")
        overview, windows = self._scene.finish()
        self._scene = None
        ranked = sorted([*self.overviews, overview], key=lambda item: -item.share)
        self.overviews = ranked[:MOST_SCENES]
        every = sorted([*self.windows, *windows], key=lambda item: -item.wrong)
        self.windows = every[:MOST_WINDOWS]


class _Scene:
    """What is counted of a scene: memory does not depend on its size."""

    def __init__(self, job: Job) -> None:
        area = job.area
        self._job = job
        self._factor = max(1, -(-max(area.shape) // OVERVIEW_PX))
        self._cell = CELL_PX
        while -(-area.height // self._cell) * -(-area.width // self._cell) > MOST_CELLS:
            self._cell *= 2
        layers = len(ERRORS) + (2 if job.other else 0)
        self._layers = np.zeros((layers, *_divide(area, self._factor)), np.uint32)
        self._counted = np.zeros(_divide(area, self._factor), np.uint32)
        self._wrong = np.zeros(_divide(area, self._cell), np.int64)

    def add(self, piece: Piece, other: NDArray[np.uint8] | None, table: NDArray[np.uint8]) -> None:
        """Count a piece."""
        place = piece.window.relative_to(self._job.area)
        nothing = np.zeros((0, 0), np.uint8)
        _count(
            (piece.labels, piece.mask, nothing if other is None else other),
            table,
            (place.row_off, place.col_off),
            (self._factor, self._cell),
            (self._layers, self._counted, self._wrong),
        )

    def finish(self) -> tuple[Overview, list[WrongWindow]]:
        """What has come of it."""
        is_counted = self._counted > 0
        shares = np.ceil(255 * self._layers / np.maximum(self._counted, 1)).astype(np.uint8)
        wrong, pixels = int(self._wrong.sum()), int(self._counted.sum(dtype=np.int64))
        overview = Overview(self._job, shares, is_counted, wrong, pixels)
        area, cell = self._job.area, self._cell
        windows = [
            WrongWindow(
                self._job,
                Window(
                    row_off=area.row_off + row * cell,
                    col_off=area.col_off + col * cell,
                    height=WINDOW_CELLS * cell,
                    width=WINDOW_CELLS * cell,
                ).intersect(area),
                number,
            )
            for row, col, number in find_worst(self._wrong, WINDOW_CELLS, MOST_WINDOWS)
        ]
        return overview, windows


def find_worst(counts: NDArray[np.int64], side: int, most: int) -> list[tuple[int, int, int]]:
    """Row, column and sum of squares of `side` cells with the largest sums, that do not overlap.

    One after the other, each the largest that is left; of equal ones the first, row by row. None is
    empty. Where there are fewer rows or columns than `side`, squares have all of them.

    Args:
        counts: (H, W).
        side: of the squares in cells.
        most: how many to find.
    """
    sums = _sum_squares(counts, side)
    found: list[tuple[int, int, int]] = []
    while len(found) < most and (largest := sums.max()) > 0:
        row, col = (int(i) for i in np.unravel_index(sums.argmax(), sums.shape))
        found.append((row, col, int(largest)))
        near = (slice(max(0, i - side + 1), i + side) for i in (row, col))
        sums[tuple(near)] = 0
    return found


def _sum_squares(counts: NDArray[np.int64], side: int) -> NDArray[np.int64]:
    """Sums of all squares that lie inside, by their first cell."""
    total = np.pad(counts.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    height, width = (min(side, size) for size in counts.shape)
    sums: NDArray[np.int64] = (
        total[height:, width:] - total[:-height, width:] - total[height:, :-width]
    ) + total[:-height, :-width]
    return sums


def _divide(area: Window, factor: int) -> tuple[int, int]:
    return -(-area.height // factor), -(-area.width // factor)


@compiled
def _count(
    pixels: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]],
    table: NDArray[np.uint8],
    place: tuple[int, int],
    sides: tuple[int, int],
    sums: tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.int64]],
) -> None:
    """Add labels, mask and other mask (H, W) at (row, col) of the area to the sums of cells."""
    labels, mask, other = pixels
    layers, counted, wrong = sums
    factor, cell = sides
    cols = (place[1] + np.arange(labels.shape[1])) // factor  # divisions take long
    for i in range(labels.shape[0]):
        row = (place[0] + i) // factor
        for j in range(labels.shape[1]):
            outcome = table[labels[i, j], mask[i, j]]
            if outcome == UNCOUNTED:
                continue
            counted[row, cols[j]] += 1
            if outcome > 0:
                layers[outcome - 1, row, cols[j]] += 1
                wrong[(place[0] + i) // cell, (place[1] + j) // cell] += 1
            if other.size > 0:
                if outcome == 0 and other[i, j] != labels[i, j]:
                    layers[ONLY_MASK, row, cols[j]] += 1
                elif outcome > 0 and other[i, j] == labels[i, j]:
                    layers[ONLY_OTHER, row, cols[j]] += 1
