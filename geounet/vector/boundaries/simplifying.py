"""Borders with fewer vertices, the same for the polygons on both sides.

Rings are cut into arcs at junctions, which stay. Each arc is simplified by itself, always in the
same direction, whichever polygon it is of: by Douglas and Peucker's method, where each point has a
tolerance of its own, at most the one asked for and less than half of its clearance. Thus

* no two arcs meet, and what was on one side of an arc is on that side of the simplified one: a
  point and its foot on the new line are nearer to each other than to any other arc;
* all vertices lie on the old border, and that lies within the tolerance of the new one. Vertices
  are corners of pixels or, where there is little room, middles of edges.

What clearances do not prevent is that an arc crosses itself. Where a piece does, vertices come
back until none does. An island that would gain or lose more than a fifth of its area is tried with
less tolerance.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geounet.vector.boundaries.archive import Rings
from geounet.vector.boundaries.clearance import FREE, JUNCTION, LARGEST_REACH, STEPS
from geounet.vector.boundaries.front import CLEARANCE, ROW
from geounet.vector.compiling import compiled

SHARE = 0.499
"""Of its clearance that a point may move."""

TIGHT = 2
"""Tolerance in half pixels below which a slanting border would keep all of its steps."""

EXACT = 1e-6
"""A tolerance that takes away no corner."""

MOST_CHANGE = 0.2
"""Of the area in a closed arc."""

LARGEST_TOLERANCE = SHARE * LARGEST_REACH
"""In pixels: further than this, no clearances are known."""


class Border(NamedTuple):
    """Rings of points, in half pixels."""

    points: NDArray[np.int32]  # (N, 2): row and column
    offsets: NDArray[np.int64]  # (R + 1): of the rings in points
    rooms: NDArray[np.float64]  # (N): how far a point may move lest it meet another arc
    is_junction: NDArray[np.bool_]  # (N)
    is_middle: NDArray[np.bool_]  # (N): no corner of pixels, but the middle of an edge


class Limits(NamedTuple):
    """How far points may be from the new border, in half pixels."""

    own: NDArray[np.float64]  # (N): each
    most: float  # any
    away: float  # pieces this far apart cannot meet


class Scratch(NamedTuple):
    """Room for the longest arc."""

    order: NDArray[np.int64]  # its points
    flags: NDArray[np.bool_]  # whether they stay
    stack: NDArray[np.int64]  # (N, 2): pieces that are still to be looked at


def reach_for(tolerance: float) -> int:
    """How far to look for other borders, in pixels."""
    return min(LARGEST_REACH, int(np.ceil(tolerance / SHARE)))


def simplify_rings(rings: Rings, tolerance: float, reach: int, share: float = SHARE) -> Border:
    """The rings, whose rows have clearances, with a tolerance in pixels.

    Args:
        rings: as `cut_rings` returns them.
        tolerance: how far their borders may move, in pixels.
        reach: of their clearances.
        share: of its clearance that a point may move.
    """
    rows, cols = rings.points.T
    clearances = rows >> CLEARANCE & FREE
    corners = Border(
        points=2 * np.column_stack([rows & ROW, cols]).astype(np.int32),
        offsets=rings.offsets,
        rooms=np.where(clearances == FREE, reach, clearances / STEPS) * (2 * share),
        is_junction=clearances == JUNCTION,
        is_middle=np.zeros(len(rows), np.bool_),
    )
    border = _add_middles(corners, min(2 * tolerance, TIGHT))
    longest = int(np.diff(border.offsets).max(initial=0)) + 1
    scratch = Scratch(
        order=np.empty(longest, np.int64),
        flags=np.empty(longest, np.bool_),
        stack=np.empty((longest + 2, 2), np.int64),
    )
    limits = np.where(border.is_middle, np.inf, np.minimum(border.rooms, 2 * tolerance))
    kept = np.zeros(len(border.points), np.bool_)
    _simplify(border, Limits(limits, 2 * tolerance, 2 * (tolerance + reach)), scratch, kept)
    counts = np.concatenate([[0], np.cumsum(kept)])
    return Border(
        border.points[kept],
        counts[border.offsets],
        border.rooms[kept],
        border.is_junction[kept],
        border.is_middle[kept],
    )


@compiled
def _add_middles(corners: Border, limit: float) -> Border:
    """The border with a point half a pixel before and after each that must stay near."""
    points, offsets, rooms = corners.points, corners.offsets, corners.rooms
    most = 3 * len(points)
    found = Border(
        np.empty((most, 2), np.int32),
        np.zeros(offsets.size, np.int64),
        np.empty(most, np.float64),
        np.zeros(most, np.bool_),
        np.zeros(most, np.bool_),
    )
    end = 0
    for ring in range(offsets.size - 1):
        for index in range(offsets[ring], offsets[ring + 1]):
            after = index + 1 if index + 1 < offsets[ring + 1] else offsets[ring]
            row, col = points[index]
            rows, cols = points[after, 0] - row, points[after, 1] - col
            found.points[end] = points[index]
            found.rooms[end], found.is_junction[end] = rooms[index], corners.is_junction[index]
            end += 1
            length = abs(rows) + abs(cols)
            near, far = min(rooms[index], limit) < TIGHT, min(rooms[after], limit) < TIGHT
            for step in range(1, length, max(1, length - 2)):
                if (near and step == 1) or (far and step == length - 1):
                    found.points[end, 0] = row + np.sign(rows) * step
                    found.points[end, 1] = col + np.sign(cols) * step
                    found.rooms[end] = min(rooms[index], rooms[after])
                    found.is_middle[end] = True
                    end += 1
        found.offsets[ring + 1] = end
    return Border(
        found.points[:end],
        found.offsets,
        found.rooms[:end],
        found.is_junction[:end],
        found.is_middle[:end],
    )


@compiled
def _simplify(border: Border, limits: Limits, scratch: Scratch, kept: NDArray[np.bool_]) -> None:
    """Mark the points that stay."""
    points, offsets, is_junction = border.points, border.offsets, border.is_junction
    order = scratch.order
    for ring in range(offsets.size - 1):
        begin, end = offsets[ring], offsets[ring + 1]
        first = begin
        while first < end and not is_junction[first]:
            first += 1
        if first == end:  # its first point is the uppermost and of these the leftmost
            _order_arc(points, begin, end, begin, end - begin + 1, order)
            _simplify_arc(border, end - begin + 1, limits, scratch, kept)
            continue
        start, length = first, 1
        for step in range(1, end - begin + 1):
            index = first + step
            if index >= end:
                index -= end - begin
            length += 1
            if is_junction[index]:
                _order_arc(points, begin, end, start, length, order)
                _simplify_arc(border, length, limits, scratch, kept)
                start, length = index, 1


@compiled
def _order_arc(
    points: NDArray[np.int32],
    begin: int,
    end: int,
    start: int,
    length: int,
    order: NDArray[np.int64],
) -> None:
    """Write the indices of an arc of a ring in the direction that is the same from both sides.

    It begins at the upper of its ends, then the left one; if it comes back to where it began,
    it goes first to the upper or left one of the two points beside that.
    """
    for step in range(length):
        index = start + step
        order[step] = index if index < end else index - (end - begin)
    head, tail = points[order[0]], points[order[length - 1]]
    if head[0] == tail[0] and head[1] == tail[1]:
        head, tail = points[order[1]], points[order[length - 2]]
    if head[0] > tail[0] or (head[0] == tail[0] and head[1] > tail[1]):
        order[:length] = order[:length][::-1].copy()


@compiled
def _simplify_arc(
    border: Border, length: int, limits: Limits, scratch: Scratch, kept: NDArray[np.bool_]
) -> None:
    """Mark the points that stay of the arc in `order`, with less and less tolerance if need be."""
    points = border.points
    order, flags = scratch.order[:length], scratch.flags[:length]
    head, tail = points[order[0]], points[order[length - 1]]
    is_closed = head[0] == tail[0] and head[1] == tail[1]
    limit = max(limits.most, EXACT)
    while True:
        flags[:] = False
        flags[0] = flags[length - 1] = True
        _choose(points, order, Limits(limits.own, limit, limits.away), flags, scratch.stack)
        while _uncross(points, order, Limits(limits.own, limit, limits.away), flags, is_closed):
            pass
        if not is_closed or limit <= 2 * EXACT or _keeps_area(points, order, flags):
            break
        limit = limit / 2 if limit >= 2 else EXACT
    for step in range(length):
        if flags[step]:
            kept[order[step]] = True


@compiled
def _choose(
    points: NDArray[np.int32],
    order: NDArray[np.int64],
    limits: Limits,
    flags: NDArray[np.bool_],
    stack: NDArray[np.int64],
) -> None:
    """Douglas-Peucker: flag the worst point of a piece, until none is beyond its tolerance."""
    stack[0, 0], stack[0, 1] = 0, order.size - 1
    size = 1
    while size > 0:
        size -= 1
        first, last = stack[size, 0], stack[size, 1]
        worst, excess = _find_worst(points, order, limits, first, last)
        if excess > 1:
            if limits.most > 2 * EXACT:
                worst = _step_aside(points, order, limits.own, (first, worst, last))
            flags[worst] = True
            stack[size, 0], stack[size, 1] = first, worst
            stack[size + 1, 0], stack[size + 1, 1] = worst, last
            size += 2


@compiled
def _step_aside(
    points: NDArray[np.int32],
    order: NDArray[np.int64],
    own: NDArray[np.float64],
    steps: tuple[int, int, int],
) -> int:
    """The middle of an edge beside the worst point between two, if there is one; or that itself.

    The line of a slanting border goes through the middles of the steps; its corners are as far to
    the left of it as to the right. Of two middles, that on the shorter side is the one.
    """
    first, worst, last = steps
    best, shortest = worst, np.iinfo(np.int64).max
    for direction in (-1, 1):
        middle = worst + direction
        if middle <= first or middle >= last or own[order[middle]] < np.inf:
            continue
        corner = middle + direction
        if own[order[corner]] == np.inf:
            corner += direction
        p, q = points[order[worst]], points[order[corner]]
        length = abs(np.int64(p[0]) - q[0]) + abs(np.int64(p[1]) - q[1])
        if length < shortest:
            best, shortest = middle, length
    return best


@compiled
def _find_worst(
    points: NDArray[np.int32],
    order: NDArray[np.int64],
    limits: Limits,
    first: int,
    last: int,
) -> tuple[int, float]:
    """The point between two of an arc that is most beyond its tolerance; -1 if there is none.

    And by how much: its distance from the line between them over its tolerance, squared.
    """
    y, x = float(points[order[first], 0]), float(points[order[first], 1])
    dy, dx = points[order[last], 0] - y, points[order[last], 1] - x
    square = dy * dy + dx * dx
    worst, excess = -1, -1.0
    for step in range(first + 1, last):
        py, px = points[order[step], 0] - y, points[order[step], 1] - x
        along = py * dy + px * dx
        if square == 0 or along <= 0:
            distance = py * py + px * px
        elif along >= square:
            distance = (py - dy) * (py - dy) + (px - dx) * (px - dx)
        else:
            across = px * dy - py * dx
            distance = across * across / square
        allowed = min(limits.own[order[step]], limits.most)
        if distance > excess * allowed * allowed:
            worst, excess = step, distance / (allowed * allowed)
    return worst, excess


@compiled
def _keeps_area(
    points: NDArray[np.int32], order: NDArray[np.int64], flags: NDArray[np.bool_]
) -> bool:
    """Whether a closed arc has its area still, the same way round."""
    whole = left = 0
    last = 0
    for step in range(1, order.size):
        whole += _cross(points, order[0], order[step - 1], order[step])
        if flags[step]:
            left += _cross(points, order[0], order[last], order[step])
            last = step
    return abs(left - whole) <= MOST_CHANGE * abs(whole)


@compiled
def _uncross(
    points: NDArray[np.int32],
    order: NDArray[np.int64],
    limits: Limits,
    flags: NDArray[np.bool_],
    is_closed: bool,
) -> bool:
    """Flag the worst points of all pieces that cross; whether there were any.

    Pieces far apart cannot cross: see `clearance`. What may is connected within the reach, so the
    search ends where the arc has gone further away than that.
    """
    ends = np.flatnonzero(flags)
    pieces = ends.size - 1
    away = limits.away
    crossed = np.zeros(pieces, np.bool_)
    for one in range(pieces):
        a, b = points[order[ends[one]]], points[order[ends[one + 1]]]
        top, bottom = min(a[0], b[0]) - away, max(a[0], b[0]) + away
        left, right = min(a[1], b[1]) - away, max(a[1], b[1]) + away
        for step in range(1, pieces):
            other = one + step
            if other >= pieces:
                if not is_closed:
                    break
                other -= pieces
            c, d = points[order[ends[other]]], points[order[ends[other + 1]]]
            if c[0] < top or c[0] > bottom or c[1] < left or c[1] > right:
                break
            if _meet(a, b, c, d):
                crossed[one] = crossed[other] = True
    found = False
    for piece in range(pieces):
        if crossed[piece]:
            worst, _ = _find_worst(points, order, limits, ends[piece], ends[piece + 1])
            if worst >= 0:
                flags[worst] = found = True
    return found


@compiled
def _meet(
    a: NDArray[np.int32], b: NDArray[np.int32], c: NDArray[np.int32], d: NDArray[np.int32]
) -> bool:
    """Whether two pieces of an arc meet elsewhere than where one ends and the other begins."""
    if a[0] == d[0] and a[1] == d[1]:
        a, b, c, d = c, d, a, b
    if b[0] == c[0] and b[1] == c[1]:
        turn = _turn(a, b, d)
        back = (np.int64(b[0]) - a[0]) * (np.int64(d[0]) - c[0]) + (np.int64(b[1]) - a[1]) * (
            np.int64(d[1]) - c[1]
        )
        return bool(turn == 0 and back < 0)
    if max(a[0], b[0]) < min(c[0], d[0]) or max(c[0], d[0]) < min(a[0], b[0]):
        return False
    if max(a[1], b[1]) < min(c[1], d[1]) or max(c[1], d[1]) < min(a[1], b[1]):
        return False
    return bool(_turn(a, b, c) * _turn(a, b, d) <= 0 and _turn(c, d, a) * _turn(c, d, b) <= 0)


@compiled
def _turn(a: NDArray[np.int32], b: NDArray[np.int32], c: NDArray[np.int32]) -> int:
    """1, 0 or -1: on which side of a line from a to b a point is."""
    cross = (np.int64(b[0]) - a[0]) * (np.int64(c[1]) - a[1]) - (np.int64(b[1]) - a[1]) * (
        np.int64(c[0]) - a[0]
    )
    return int(np.sign(cross))


@compiled
def _cross(points: NDArray[np.int32], origin: int, one: int, other: int) -> int:
    o, p, q = points[origin], points[one], points[other]
    cross = (np.int64(p[0]) - o[0]) * (np.int64(q[1]) - o[1]) - (np.int64(p[1]) - o[1]) * (
        np.int64(q[0]) - o[0]
    )
    return int(cross)
