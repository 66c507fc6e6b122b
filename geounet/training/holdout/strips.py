"""Strips at the ends of what is labelled: what is held out where there are too few blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geounet.classes import NODATA
from geounet.raster import Window
from geounet.training.data.room import span
from geounet.training.holdout.block import MAX_BLOCK, Block
from geounet.training.holdout.census import FindLabels
from geounet.training.holdout.footprints import Area


def choose_strips(
    areas: Sequence[Area],
    fraction: float,
    find_labels: FindLabels,
    rng: np.random.Generator,
) -> list[Block]:
    """A strip at one end of what is useful in each area, across its longer side."""
    chosen = []
    for scene, area in enumerate(areas):
        rows, cols = np.zeros(area.window.height, np.int64), np.zeros(area.window.width, np.int64)
        for window in area.window.blocks(MAX_BLOCK, MAX_BLOCK):
            useful = find_labels(Block(scene, window)) != NODATA
            across, down = window.relative_to(area.window).slices()
            rows[across] += useful.sum(axis=1)
            cols[down] += useful.sum(axis=0)
        if ends := _cut_ends(area.window, rows, cols, fraction):
            chosen.append(Block(scene, ends[rng.permutation(len(ends))[0]]))
    return chosen


def _cut_ends(
    window: Window, rows: NDArray[np.int64], cols: NDArray[np.int64], fraction: float
) -> list[Window]:
    """The strips with about the fraction of a window's useful pixels, given for rows and columns.

    Both the strip and what is left have some; none where there is just one such pixel.
    """
    (used_rows,), (used_cols,) = rows.nonzero(), cols.nonzero()
    if used_rows.size * used_cols.size == 0:
        return []
    row, last_row = (window.row_off + int(used_rows[i]) for i in (0, -1))
    col, last_col = (window.col_off + int(used_cols[i]) for i in (0, -1))
    if max(last_row - row, last_col - col) < 1:
        return []
    if last_row - row >= last_col - col:
        counts = rows[used_rows[0] : used_rows[-1] + 1]
        first, last = _depth(counts, fraction), _depth(counts[::-1], fraction)
        return [
            span(row, col, row + first - 1, last_col),
            span(last_row - last + 1, col, last_row, last_col),
        ]
    counts = cols[used_cols[0] : used_cols[-1] + 1]
    first, last = _depth(counts, fraction), _depth(counts[::-1], fraction)
    return [
        span(row, col, last_row, col + first - 1),
        span(row, last_col - last + 1, last_row, last_col),
    ]


def _depth(counts: NDArray[np.int64], fraction: float) -> int:
    """How many of the first lines, not all, have about the fraction of the sum."""
    covered = np.cumsum([0, *counts])
    depth = round(float(np.interp(fraction * covered[-1], covered, np.arange(covered.size))))
    return min(max(1, depth), counts.size - 1)
