"""How much room the borders of a mask have: where others are, and how far away.

A border runs along edges of pixels, from point to point of the lattice of their corners. An *arc*
is a border between two *junctions*, points where three or four edges of it meet, or a closed
border without any. Two polygons see the same arc, perhaps at different times; to give it the same
new course, without a crossing with another arc, each needs to know how far it may go. So the
*clearance* of each point of a border is found here, from the pixels near it and nothing else: the
distance to the next point of a border that is not connected to it within the reach, in pixels.

If all arcs move by less than half of their clearance, no two can meet: an arc P within half the
distance to Q of where it was, and Q within half the distance to P, are apart.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geounet.classes import NODATA
from geounet.vector.compiling import compiled

STEPS = 4
"""Clearances are whole numbers of 1/4 pixel, rounded down."""

FREE = 127
"""Clearance of points with none other within the reach, and of points of no border."""

JUNCTION = 0
"""Clearance of junctions."""

SHARED = 1 << 7
"""Added where a border has polygons on both sides."""

LARGEST_REACH = 31

RIGHT, DOWN, LEFT, UP = 0, 1, 2, 3
ROW_STEP, COL_STEP = (0, 1, 0, -1), (1, 0, -1, 0)


class Rows(NamedTuple):
    """Rows of a mask, and what is known of their pixels and of the points above them."""

    values: NDArray[np.uint8]  # (H, W)
    weights: NDArray[np.int32]  # (H, W), or (0, 0)
    scores: NDArray[np.int32]  # (bands, H, W), or (0, 0, 0)
    clearances: NDArray[np.uint8]  # (H, W + 1), or (H, 0)


class Lookahead:
    """Holds rows back until the clearances of the points above them are known."""

    def __init__(self, width: int, wanted: NDArray[np.bool_], reach: int) -> None:
        """Begin above row 0.

        Args:
            width: columns of the mask.
            wanted: by class value, whether it becomes polygons; all else is outside.
            reach: how far to look, in pixels.
        """
        self._context = reach + 3
        self._reach = reach
        self._outside = np.where(wanted, np.arange(NODATA + 1), NODATA).astype(np.uint8)
        self._rows = np.full((self._context, width), NODATA, np.uint8)
        self._weights = np.empty((0, 0), np.int32)
        self._scores = np.empty((0, 0, 0), np.int32)

    def add(
        self,
        values: NDArray[np.uint8],
        weights: NDArray[np.int32],
        scores: NDArray[np.int32],
    ) -> Rows:
        """Take in rows, with what belongs to them, as in `sweep`; let go of those that can."""
        self._rows = np.concatenate([self._rows, self._outside[values]])
        self._weights = _append(self._weights, weights, 0)
        self._scores = _append(self._scores, scores, 1)
        ready = len(self._rows) - 2 * self._context
        return self._release(ready if ready >= self._context else 0)

    def finish(self) -> Rows:
        """Let go of all rows, and of one of no data below."""
        width = self._rows.shape[1]
        outside = np.full((self._context + 1, width), NODATA, np.uint8)
        below = np.zeros((1, width), np.int32)
        bands = np.zeros((len(self._scores), 1, width), np.int32)
        weights = below if self._weights.size else np.empty((0, 0), np.int32)
        self._rows = np.concatenate([self._rows, outside])
        self._weights = _append(self._weights, weights, 0)
        self._scores = _append(self._scores, bands, 1)
        return self._release(len(self._rows) - 2 * self._context)

    def _release(self, ready: int) -> Rows:
        """The first held row has the context above it in `_rows`; each needs as much below."""
        held = self._rows[self._context : self._context + ready]
        released = Rows(
            held,
            self._weights[:ready],
            self._scores[:, :ready],
            find_clearances(self._rows, self._reach, ready),
        )
        self._rows = self._rows[ready:].copy()
        self._weights, self._scores = self._weights[ready:], self._scores[:, ready:]
        return released


def find_clearances(rows: NDArray[np.uint8], reach: int, count: int) -> NDArray[np.uint8]:
    """Clearances (count, W + 1) of the points above `count` rows, the first of which is reach + 3.

    Rows, uint8 (H, W), reach at least as far beyond the last; pixels beside them are NODATA.
    """
    if count == 0:
        return np.empty((0, rows.shape[1] + 1), np.uint8)
    margin = reach + 3
    pixels = np.pad(rows, ((0, 0), (margin, margin)), constant_values=NODATA)
    edges, shared = _find_edges(pixels)
    total = (edges != 0).astype(np.int32).cumsum(axis=0, dtype=np.int32).cumsum(axis=1)
    raw = np.full(edges.shape, FREE, np.uint8)
    _measure(edges, total.astype(np.int32), _sort_offsets(reach), (reach, count), raw)
    lines, cols = slice(margin, margin + count), slice(margin, margin + rows.shape[1] + 1)
    clearances = _erode(edges, raw, (margin, count))
    found: NDArray[np.uint8] = clearances[lines, cols] | shared[lines, cols]
    return found


def _append(held: NDArray[np.int32], added: NDArray[np.int32], axis: int) -> NDArray[np.int32]:
    return np.concatenate([held, added], axis=axis) if held.size else added


def _find_edges(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """For each point (H + 1, W + 1) the directions in which a border leaves it, as bits; SHARED."""
    height, width = pixels.shape
    edges = np.zeros((height + 1, width + 1), np.uint8)
    shared = np.zeros_like(edges)
    upper, lower = pixels[:-1], pixels[1:]  # on both sides of edges along rows
    left, right = pixels[:, :-1], pixels[:, 1:]
    along, down = (upper != lower).view(np.uint8), (left != right).view(np.uint8)
    edges[1:-1, :-1] |= along << RIGHT
    edges[1:-1, 1:] |= along << LEFT
    edges[:-1, 1:-1] |= down << DOWN
    edges[1:, 1:-1] |= down << UP
    along &= ((upper != NODATA) & (lower != NODATA)).view(np.uint8)
    down &= ((left != NODATA) & (right != NODATA)).view(np.uint8)
    for points, bits in (
        (shared[1:-1, :-1], along),
        (shared[1:-1, 1:], along),
        (shared[:-1, 1:-1], down),
        (shared[1:, 1:-1], down),
    ):
        points |= bits << 7
    return edges, shared


def _sort_offsets(reach: int) -> NDArray[np.int32]:
    """Row and column offsets and clearance (N, 3) of all points within reach, nearest first."""
    steps = range(-reach, reach + 1)
    squares = sorted(
        (row**2 + col**2, row, col)
        for row in steps
        for col in steps
        if 0 < row**2 + col**2 <= reach**2
    )
    table = [(row, col, math.isqrt(STEPS**2 * square)) for square, row, col in squares]
    return np.array(table, np.int32).reshape(-1, 3)


@compiled
def _measure(
    edges: NDArray[np.uint8],
    total: NDArray[np.int32],
    offsets: NDArray[np.int32],
    extent: tuple[int, int],
    raw: NDArray[np.uint8],
) -> None:
    """Write the clearances of the points of the lines asked for, and of one more on each side.

    What is connected to a point is found by following its border both ways, until it leaves the
    square of the reach or comes to a junction.
    """
    reach, count = extent
    margin, size = reach + 3, 2 * reach + 1
    seen = np.zeros((size, size), np.int64)
    stamp = 0
    for row in range(margin - 1, margin + count + 1):
        for col in range(margin - 1, edges.shape[1] - margin + 1):
            bits = edges[row, col]
            if bits == 0:
                continue
            if _count_bits(bits) > 2:
                raw[row, col] = JUNCTION
                continue
            stamp += 1
            top, left = row - reach, col - reach
            seen[reach, reach] = stamp
            found = 1
            for direction in range(4):
                if bits >> direction & 1:
                    found += _follow(edges, (row, col, direction), (top, left), seen, stamp)
            inside = (
                total[row + reach, col + reach]
                - total[top - 1, col + reach]
                - total[row + reach, left - 1]
                + total[top - 1, left - 1]
            )
            if inside == found:
                continue
            for index in range(len(offsets)):
                r, c = offsets[index, 0], offsets[index, 1]
                if edges[row + r, col + c] != 0 and seen[reach + r, reach + c] != stamp:
                    raw[row, col] = offsets[index, 2]
                    break


@compiled
def _follow(
    edges: NDArray[np.uint8],
    start: tuple[int, int, int],
    corner: tuple[int, int],
    seen: NDArray[np.int64],
    stamp: int,
) -> int:
    """Stamp the points that a border comes by; how many are new."""
    row, col, direction = start
    top, left = corner
    size = len(seen)
    found = 0
    while True:
        row += ROW_STEP[direction]
        col += COL_STEP[direction]
        r, c = row - top, col - left
        if r < 0 or c < 0 or r >= size or c >= size or seen[r, c] == stamp:
            return found
        bits = edges[row, col]
        if _count_bits(bits) > 2:
            return found
        seen[r, c] = stamp
        found += 1
        onward = bits & ~(1 << (direction ^ 2))
        direction = 0
        while not onward >> direction & 1:
            direction += 1


@compiled
def _erode(
    edges: NDArray[np.uint8], raw: NDArray[np.uint8], extent: tuple[int, int]
) -> NDArray[np.uint8]:
    """Give each point the least clearance of itself and its neighbours along the border.

    So what holds at points holds along the edges between them, too. Junctions, next to which
    clearance shrinks evenly, do not count.
    """
    margin, count = extent
    eroded = raw.copy()
    for row in range(margin, margin + count):
        for col in range(1, edges.shape[1] - 1):
            bits = edges[row, col]
            if bits == 0 or raw[row, col] == JUNCTION:
                continue
            for direction in range(4):
                if bits >> direction & 1:
                    beside = raw[row + ROW_STEP[direction], col + COL_STEP[direction]]
                    if beside != JUNCTION:
                        eroded[row, col] = min(eroded[row, col], beside)
    return eroded


@compiled
def _count_bits(bits: int) -> int:
    return (bits & 1) + (bits >> 1 & 1) + (bits >> 2 & 1) + (bits >> 3 & 1)
