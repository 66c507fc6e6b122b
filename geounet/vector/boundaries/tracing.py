"""Rings along the edges of pixels: valid, in one order, in coordinates."""

from __future__ import annotations

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from geounet.vector.boundaries.archive import Rings
from geounet.vector.boundaries.front import ROW
from geounet.vector.compiling import compiled


def cut_rings(rings: Rings) -> Rings:
    """Rings that come by no point twice, made of rings as `take_rings` returns them.

    Each starts at its uppermost corner, of these the leftmost. As seen with row 0 at the top,
    shells are counter-clockwise, holes clockwise.
    """
    rows, cols = rings.points.T
    marked = np.flatnonzero((rows | cols) < 0)
    keys = rows[marked].astype(np.int64) << 32 | cols[marked].view(np.uint32)
    order = np.argsort(keys)  # two are equal at most: corners of pixels opposite each other
    equal = np.flatnonzero(keys[order[1:]] == keys[order[:-1]])
    pairs = np.sort(marked[np.column_stack([order[equal], order[equal + 1]])], axis=1)
    ring = np.searchsorted(rings.offsets, pairs, side="right")
    pairs = pairs[ring[:, 0] == ring[:, 1]]
    pairs = pairs[np.argsort(pairs[:, 1])]
    count = len(rings.regions) + len(pairs)
    cut = Rings(
        points=np.empty_like(rings.points),
        offsets=np.zeros(count + 1, np.int64),
        regions=np.empty(count, np.int64),
    )
    path = np.empty(int(np.diff(rings.offsets).max(initial=0)), np.int64)
    _cut(rings, pairs, path, cut)
    return cut


def place_rings(
    rings: Rings, order: NDArray[np.intp], transform: Affine
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Coordinates (N + R, 2) of the rings in this order, each closed; and their offsets (R + 1).

    Shells are counter-clockwise in the coordinates of the transform, south up or not.
    """
    offsets = np.zeros(order.size + 1, np.int64)
    np.cumsum(np.diff(rings.offsets)[order] + 1, out=offsets[1:])
    coordinates = np.empty((int(offsets[-1]), 2), np.float64)
    mirrored = transform.determinant > 0  # rows go north: what was counter-clockwise is clockwise
    _place(rings, order, np.array(transform[:6], np.float64), mirrored, coordinates)
    return coordinates, offsets


@compiled
def _cut(rings: Rings, pairs: NDArray[np.int64], path: NDArray[np.int64], cut: Rings) -> None:
    """Follow each ring; where it comes back to a point, what lies between is a ring by itself."""
    count = pair = 0
    for ring in range(rings.regions.size):
        length = 0
        for index in range(rings.offsets[ring], rings.offsets[ring + 1]):
            if pair < len(pairs) and pairs[pair, 1] == index:
                back = length - 1
                while path[back] != pairs[pair, 0]:
                    back -= 1
                count = _copy_path(rings, path[back:length], ring, cut, count)
                length = back + 1
                pair += 1
            else:
                path[length] = index
                length += 1
        count = _copy_path(rings, path[:length], ring, cut, count)


@compiled
def _copy_path(rings: Rings, path: NDArray[np.int64], ring: int, cut: Rings, count: int) -> int:
    """Add a ring from its uppermost corner on, of these the leftmost; marks are taken off.

    Rows keep their clearance.
    """
    first = 0
    first_row = first_col = np.iinfo(np.int64).max
    for step in range(path.size):
        row, col = rings.points[path[step], 0], rings.points[path[step], 1]
        row, col = max(row, ~row) & ROW, max(col, ~col)
        if row < first_row or (row == first_row and col < first_col):
            first, first_row, first_col = step, row, col
    end = cut.offsets[count]
    for step in range(first, first + path.size):
        index = path[step] if step < path.size else path[step - path.size]
        row, col = rings.points[index, 0], rings.points[index, 1]
        cut.points[end, 0] = max(row, ~row)
        cut.points[end, 1] = max(col, ~col)
        end += 1
    cut.offsets[count + 1] = end
    cut.regions[count] = rings.regions[ring]
    return count + 1


@compiled
def _place(
    rings: Rings,
    order: NDArray[np.int64],
    affine: NDArray[np.float64],
    mirrored: bool,
    coordinates: NDArray[np.float64],
) -> None:
    a, b, c, d, e, f = affine
    filled = 0
    for ring in order:
        begin, end = rings.offsets[ring], rings.offsets[ring + 1]
        for step in range(end - begin + 1):
            index = end - step if mirrored else begin + step
            row, col = rings.points[begin if index == end else index]
            coordinates[filled, 0] = a * col + b * row + c
            coordinates[filled, 1] = d * col + e * row + f
            filled += 1
