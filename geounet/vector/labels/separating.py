"""Gaps between instances that touch: the same pixels whatever the window."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from geounet.classes import NODATA
from geounet.raster import Grid, Window
from geounet.vector.compiling import compiled
from geounet.vector.labels.burning import Burner

ALONE = -1
"""Kind of instances that need no gap: what is outside, and what has no label."""


class InstanceBurner:
    """Polygons with class values and a gap between those of one class, ready to be burnt.

    An instance is a feature: all of its polygons. Where instances overlap, a pixel is of the one
    with the highest class value, of these of the last.
    """

    def __init__(
        self,
        geometries: NDArray[np.object_],
        values: NDArray[np.uint8],
        features: NDArray[np.int64],
        grid: Grid,
        gap_px: int,
    ) -> None:
        """Take polygons (N,) in the grid's CRS, and of each the class value and the feature."""
        # any 64 bits can number a feature, and the value has its place above the number
        numbers = np.unique(features, return_inverse=True)[1]
        keys = values.astype(np.int64) << 48 | numbers
        known, ids = np.unique(keys, return_inverse=True)
        order = np.argsort(ids, kind="stable")
        self._burner: Burner[np.int32] = Burner(
            geometries[order], (ids[order] + 1).astype(np.int32), grid
        )
        self._values = np.concatenate([[0], known >> 48]).astype(np.uint8)  # by id, from 1
        self._grid = grid
        self._gap_px = gap_px

    def burn(self, window: Window, fill: int = 0) -> NDArray[np.uint8]:
        """Values (H, W) of the polygons that hold each pixel's centre; `fill` elsewhere.

        Of the class `fill`, and of the value 255, no instances are separated. The window lies in
        the grid, beyond which there are no instances. `burn(w) == burn(whole)[w.slices()]`.
        """
        return self._values_with(fill)[self.burn_instances(window, fill)]

    def burn_instances(
        self, window: Window, fill: int = 0, amorphous: Collection[int] = ()
    ) -> NDArray[np.int32]:
        """Which instance has each pixel, int32 (H, W) from 1; 0 where none has, and in gaps.

        The same instance has the same number in all windows; those of amorphous values have 0.
        """
        around = window.pad((self._gap_px + 1) // 2).intersect(self._grid.extent)
        burnt, values = self._burner.burn(around), self._values_with(fill)
        inner = window.relative_to(around).slices()
        ids = burnt[inner]
        if self._gap_px:
            kinds = np.where((values == fill) | (values == NODATA), ALONE, values.astype(np.int16))
            ids = np.where(find_gaps(burnt, kinds, self._gap_px)[inner], np.int32(0), ids)
        if amorphous:
            is_amorphous = np.zeros(256, bool)
            is_amorphous[list(amorphous)] = True
            ids = np.where(is_amorphous[values[ids]], np.int32(0), ids)
        return ids

    def _values_with(self, fill: int) -> NDArray[np.uint8]:
        """Class values by the number of the instance; of 0, `fill`."""
        values = self._values.copy()
        values[0] = fill
        return values


def find_gaps(ids: NDArray[np.int32], kinds: NDArray[np.int16], gap_px: int) -> NDArray[np.bool_]:
    """Where instances (H, W) give way, so that touching ones are `gap_px` pixels apart.

    A pixel of one instance gives way if a pixel of another instance of its kind lies within
    r + 1/2 pixels, from centre to centre. r is `gap_px / 2`; of an odd gap, it is rounded down for
    the instance with the lower id, up for the other. With gap_px = 1, then, the instance with the
    higher id loses the pixels that touch the other, at an edge or a corner.

    Args:
        ids: which instance each pixel is of, from 0.
        kinds: of each instance; negative: it needs no gap.
        gap_px: width of the gaps, 0 or more.
    """
    gaps = np.zeros(ids.shape, np.bool_)
    if gap_px > 0:
        _mark_gaps(ids, kinds, gap_px // 2, (gap_px + 1) // 2, gaps)
    return gaps


@compiled
def _mark_gaps(
    ids: NDArray[np.int32], kinds: NDArray[np.int16], low: int, high: int, gaps: NDArray[np.bool_]
) -> None:
    """Mark what gives way to each pixel on the edge of an instance: to the others nothing does.

    `low` and `high` are the reaches into instances of lower and of higher ids.
    """
    height, width = ids.shape
    for row in range(height):
        for col in range(width):
            own = ids[row, col]
            if kinds[own] < 0 or _is_inner(ids, row, col):
                continue
            for y in range(max(row - high, 0), min(row + high + 1, height)):
                for x in range(max(col - high, 0), min(col + high + 1, width)):
                    other = ids[y, x]
                    if other != own and kinds[other] == kinds[own]:
                        reach = high if other > own else low
                        if (y - row) ** 2 + (x - col) ** 2 <= reach * (reach + 1):
                            gaps[y, x] = True


@compiled
def _is_inner(ids: NDArray[np.int32], row: int, col: int) -> bool:
    """Whether the pixels at all four sides are of the same instance; not at the edge."""
    own = ids[row, col]
    height, width = ids.shape
    if row == 0 or col == 0 or row == height - 1 or col == width - 1:
        return False
    return bool(
        ids[row - 1, col] == own
        and ids[row + 1, col] == own
        and ids[row, col - 1] == own
        and ids[row, col + 1] == own
    )
