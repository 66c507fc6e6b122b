"""Outlines kept to the room that the raw ones have.

A place has room if a point of the raw ring is so near that no other border will be there: nearer
than the share of that point's clearance which the ring may take. A squared outline may take the
place of the raw one if all of it has room, and so have all pixels between the two: so it can
neither overlap a neighbour nor take one in, whatever becomes of that. Edges that lack room are
shifted to where they have it, as far as that leaves the angles as they are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geounet.vector.compiling import compiled

SPACING = 0.25
"""In pixels, between the points of an outline that are compared with the raw one."""

ROUNDS = 8
"""Of shifting edges, each of which may take others along."""

SLACK = 0.05
"""In pixels, that edges are shifted further than they need."""

NEAR = 256
"""Points of a ring, before and after the last one found, among which the next one is looked for."""


class Outline(NamedTuple):
    """Rings: points (N, 2), in rows and columns or metres, and where each begins."""

    points: NDArray[np.float64]
    offsets: NDArray[np.int64]  # (R + 1)


class Raw(NamedTuple):
    """Rings along the edges of pixels, and how much room they have."""

    outline: Outline
    rooms: NDArray[np.float64]  # (N): how far from each point no other border will be, in pixels
    most: float  # the same for points in between
    holes: NDArray[np.float64]  # (R): area of what is not of the region inside, in pixels


class _Ring(NamedTuple):
    """One ring of Raw."""

    points: NDArray[np.float64]  # (N, 2)
    rooms: NDArray[np.float64]  # (N)
    most: float


@compiled
def keep_to_room(raw: Raw, rings: Outline, usable: NDArray[np.bool_]) -> None:
    """Shift edges of rings with right angles to where there is room; take out those without (R)."""
    for index in np.flatnonzero(usable):
        begin, end = raw.outline.offsets[index], raw.outline.offsets[index + 1]
        ring = _Ring(raw.outline.points[begin:end], raw.rooms[begin:end], raw.most)
        corners = rings.points[rings.offsets[index] : rings.offsets[index + 1]]
        usable[index] = _pull_in(ring, corners) and _has_room_between(ring, corners)


@compiled
def _pull_in(ring: _Ring, corners: NDArray[np.float64]) -> bool:
    """Shift edges until all have room; whether that could be done."""
    axes = np.empty((2, 2))
    for edge in range(2):
        axes[edge] = corners[edge + 1] - corners[edge]
        axes[edge] /= np.hypot(axes[edge, 0], axes[edge, 1])
    shifts = np.empty((2, len(corners)))
    for _ in range(ROUNDS):
        shifts[:] = 0
        if not _find_shifts(ring, corners, axes, shifts):
            return True
        for edge in range(len(corners)):
            back, forth = shifts[0, edge], shifts[1, edge]
            if back < 0 < forth:
                return False
            corners[edge] += (back + forth) * axes[1 - (edge & 1)]
            corners[(edge + 1) % len(corners)] += (back + forth) * axes[1 - (edge & 1)]
    return False


@compiled
def _find_shifts(
    ring: _Ring,
    corners: NDArray[np.float64],
    axes: NDArray[np.float64],
    shifts: NDArray[np.float64],
) -> bool:
    """Write how far each edge is to go back and forth, across itself; whether any is.

    A place that has to go along its edge rather than across shifts the next edge instead.
    """
    inverse = np.linalg.inv(axes.T)
    row, col = corners[0]
    is_found, hint = False, _find_point(ring, row, col, 0, len(ring.points))
    for edge in range(len(corners)):
        one, other = corners[edge], corners[(edge + 1) % len(corners)]
        steps = max(1, int(np.ceil(np.hypot(other[0] - one[0], other[1] - one[1]) / SPACING)))
        for step in range(steps):
            row = one[0] + (other[0] - one[0]) * step / steps
            col = one[1] + (other[1] - one[1]) * step / steps
            hint = _find_point(ring, row, col, hint, NEAR)
            y, x, lack = _find_lack(ring, hint, row, col)
            if lack <= 0:
                continue
            is_found = True
            share = (lack + SLACK) / np.hypot(y - row, x - col)
            down, right = (y - row) * share, (x - col) * share
            across, target = 1 - (edge & 1), edge
            shift = inverse[across, 0] * down + inverse[across, 1] * right
            along = inverse[1 - across, 0] * down + inverse[1 - across, 1] * right
            if abs(along) > abs(shift):
                shift, target = along, (edge + (1 if 2 * step >= steps else -1)) % len(corners)
            shifts[0, target] = min(shifts[0, target], shift)
            shifts[1, target] = max(shifts[1, target], shift)
    return is_found


@compiled
def _has_room_between(ring: _Ring, corners: NDArray[np.float64]) -> bool:
    """Whether all pixels that are within one of two rings only have room."""
    both = np.concatenate((ring.points, corners))
    left, width = int(both[:, 1].min()) - 1, int(both[:, 1].max() - both[:, 1].min()) + 4
    crossed, hints = np.zeros(width, np.bool_), np.zeros(width, np.int64)
    for row in range(int(both[:, 0].min()), int(both[:, 0].max()) + 1):
        _mark_crossings(ring.points, row + 0.5, left + 0.5, crossed)
        _mark_crossings(corners, row + 0.5, left + 0.5, crossed)
        is_between = False
        for col in range(width):
            is_between ^= crossed[col]
            crossed[col] = False
            if is_between:
                y, x = row + 0.5, left + col + 0.5
                hints[col] = _find_point(ring, y, x, hints[col], len(ring.points))
                if _find_lack(ring, hints[col], y, x)[2] > 0:
                    return False
    return True


@compiled
def _mark_crossings(
    points: NDArray[np.float64], row: float, left: float, crossed: NDArray[np.bool_]
) -> None:
    """Toggle the places on a row, counted from the left one, before which a ring crosses it."""
    for index in range(len(points)):
        one, other = points[index - 1], points[index]
        if (one[0] <= row) != (other[0] <= row):
            col = one[1] + (row - one[0]) * (other[1] - one[1]) / (other[0] - one[0])
            place = int(np.ceil(col - left))
            crossed[place] = not crossed[place]


@compiled
def _find_point(ring: _Ring, row: float, col: float, hint: int, reach: int) -> int:
    """The first point of the ring near which a place has room, or that near which it lacks least.

    From `hint` on in both directions, so many points far.
    """
    count = len(ring.points)
    best, least = hint, np.inf
    for step in range(min(count, 2 * reach)):
        index = (hint + (step + 1) // 2 * (1 if step & 1 else -1)) % count
        lack = _find_lack(ring, index, row, col)[2]
        if lack < least:
            best, least = index, lack
        if lack <= 0:
            break
    return best


@compiled
def _find_lack(ring: _Ring, index: int, row: float, col: float) -> tuple[float, float, float]:
    """By how much a place is too far from a point of the ring, or what follows up to the next.

    Row and column of the point, and the distance in pixels.
    """
    one, other = ring.points[index], ring.points[(index + 1) % len(ring.points)]
    margin = SPACING / 2
    y, x = one
    lack = np.hypot(row - y, col - x) - (ring.rooms[index] - margin)
    axis = 0 if one[1] == other[1] else 1
    low, high = min(one[axis], other[axis]) + 1, max(one[axis], other[axis]) - 1
    if low <= high:
        near = min(max(row if axis == 0 else col, low), high)
        near_y, near_x = (near, one[1]) if axis == 0 else (one[0], near)
        by_stretch = np.hypot(row - near_y, col - near_x) - (ring.most - margin)
        if by_stretch < lack:
            return near_y, near_x, by_stretch
    return y, x, lack
