"""Outlines of buildings with right angles.

An outline is simplified, turned by the direction that most of its length has, and each edge
becomes one of two kinds, along that direction or across it. Edges of one kind in a row become one,
at the mean of their places by length; edges too short to be told from noise go. What is left has
right angles, and is scaled to the area that it had.

It is used only where it has room, or can be shifted so that it has (see `room`), is a simple ring,
and covers nearly the same area and the same pixels. Nothing but the ring and its clearances
decides.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from geounet.vector.boundaries.room import Outline, Raw, keep_to_room
from geounet.vector.compiling import compiled

LEAST_IOU = 0.85
"""Of an outline with right angles and the raw one; if it is less, the outline is not used."""

MOST_SLANT = np.pi / 18
"""Of edges against the direction of an outline, to count for it."""

MOST_CHANGE = 0.05
"""Of the area of a polygon."""


def square_rings(
    raw: Raw, simplified: Outline, matrices: NDArray[np.float64], shortest: float
) -> tuple[Outline, NDArray[np.bool_]]:
    """Rings with right angles, and which of them may be used (R).

    Args:
        raw: the outlines, without junctions and with nothing but background around them.
        simplified: the same ones with fewer points.
        matrices: metres per row and column for each ring (R, 2, 2); angles are right in metres.
        shortest: edges shorter than this go, in pixels.
    """
    places = _multiply(simplified, matrices)
    areas = measure_rings(_multiply(raw.outline, matrices))
    lengths = shortest * np.sqrt(np.abs(np.linalg.det(matrices)))
    squared = Outline(np.empty_like(places.points), np.zeros_like(places.offsets))
    room = int(np.diff(places.offsets).max(initial=0))
    _square(places, areas, lengths, np.empty((2, room)), squared)
    squared = Outline(squared.points[: squared.offsets[-1]], squared.offsets)
    pixels = _multiply(squared, np.linalg.inv(matrices).astype(np.float64))
    usable = np.diff(squared.offsets) >= 4
    keep_to_room(raw, pixels, usable)
    usable[usable] = _covers(
        _select(raw.outline, usable), _select(pixels, usable), raw.holes[usable]
    )
    return pixels, usable


def _multiply(rings: Outline, matrices: NDArray[np.float64]) -> Outline:
    """Each ring's points times its matrix."""
    owners = np.repeat(np.arange(len(matrices)), np.diff(rings.offsets))
    points = np.einsum("nij,nj->ni", matrices[owners], rings.points)
    return Outline(np.ascontiguousarray(points), rings.offsets)


def _select(rings: Outline, which: NDArray[np.bool_]) -> Outline:
    sizes = np.diff(rings.offsets)
    offsets = np.concatenate([[0], np.cumsum(sizes[which])])
    return Outline(rings.points[np.repeat(which, sizes)], offsets)


def _to_polygons(rings: Outline) -> NDArray[np.object_]:
    owners = np.repeat(np.arange(len(rings.offsets) - 1), np.diff(rings.offsets))
    polygons = shapely.polygons(shapely.linearrings(rings.points, indices=owners))
    return np.asarray(polygons, np.object_)


def _covers(raw: Outline, squared: Outline, holes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether rings are valid and cover nearly what the raw ones do, holes taken off."""
    if len(holes) == 0:
        return np.zeros(0, np.bool_)
    old, new = _to_polygons(raw), _to_polygons(squared)
    valid = shapely.is_valid(new)
    new[~valid] = shapely.Polygon()
    common = shapely.area(shapely.intersection(old, new))
    before, after = shapely.area(old), shapely.area(new)
    either = before + after - common
    covers: NDArray[np.bool_] = valid & (common - holes >= LEAST_IOU * (either - holes))
    return covers & (np.abs(after - before) <= MOST_CHANGE * (before - holes))


@compiled
def measure_rings(rings: Outline) -> NDArray[np.float64]:
    """Signed areas of rings."""
    areas = np.zeros(rings.offsets.size - 1)
    for ring in range(areas.size):
        begin, end = rings.offsets[ring], rings.offsets[ring + 1]
        areas[ring] = _find_area(rings.points[begin:end])
    return areas


@compiled
def _find_area(points: NDArray[np.float64]) -> float:
    area = 0.0
    origin = points[0]
    for index in range(1, len(points) - 1):
        one, other = points[index] - origin, points[index + 1] - origin
        area += one[0] * other[1] - one[1] * other[0]
    return area / 2


@compiled
def _square(
    rings: Outline,
    areas: NDArray[np.float64],
    lengths: NDArray[np.float64],
    scratch: NDArray[np.float64],
    squared: Outline,
) -> None:
    """Write rings with right angles and these areas; an empty ring where that cannot be."""
    end = 0
    for ring in range(areas.size):
        points = rings.points[rings.offsets[ring] : rings.offsets[ring + 1]]
        angle = _find_direction(points)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        turned = np.empty_like(points)
        for index in range(len(points)):
            turned[index, 0] = turn[0, 0] * points[index, 0] + turn[0, 1] * points[index, 1]
            turned[index, 1] = turn[1, 0] * points[index, 0] + turn[1, 1] * points[index, 1]
        count, axis = _merge_edges(turned, scratch)
        count = _drop_short(scratch, count, lengths[ring])
        if count >= 4:
            corners = squared.points[end : end + count]
            for index in range(count):
                before = index - 1 if index > 0 else count - 1
                corners[index, (index + axis) & 1] = scratch[0, index]
                corners[index, (before + axis) & 1] = scratch[0, before]
            if _scale_to(corners, areas[ring]):
                for index in range(count):
                    u, v = corners[index, 0], corners[index, 1]
                    corners[index, 0] = turn[0, 0] * u + turn[1, 0] * v
                    corners[index, 1] = turn[0, 1] * u + turn[1, 1] * v
                end += count
        squared.offsets[ring + 1] = end


@compiled
def _find_direction(points: NDArray[np.float64]) -> float:
    """The mean direction of the edges by length, modulo 90 degrees, in radians.

    What slants against the mean of all is left out: cut corners, and other buildings.
    """
    angle = 0.0
    for slant in (np.pi / 4, MOST_SLANT):
        east = north = 0.0
        for index in range(len(points)):
            x = points[index, 0] - points[index - 1, 0]
            y = points[index, 1] - points[index - 1, 1]
            turn, length = 4 * (np.arctan2(y, x) - angle), np.hypot(x, y)
            if np.cos(turn) >= np.cos(4 * slant):
                east += length * np.cos(turn)
                north += length * np.sin(turn)
        angle += np.arctan2(north, east) / 4
    return float(angle)


@compiled
def _merge_edges(points: NDArray[np.float64], edges: NDArray[np.float64]) -> tuple[int, int]:
    """Write places and lengths (2, N) of edges that are along and across in turn.

    Returns how many there are, and the axis to which the first one's place belongs: 1 if it is
    along the first axis.
    """
    count = len(points)
    first = 0
    while first < count and _is_along(points, first) == _is_along(points, first - 1):
        first += 1
    if first == count:
        return 0, 0
    merged, last = 0, not _is_along(points, first)
    for step in range(count):
        index = (first + step) % count
        is_along = _is_along(points, index)
        if is_along != last:
            edges[0, merged] = edges[1, merged] = 0
            merged += 1
        axis = 1 if is_along else 0
        length = abs(points[index, 1 - axis] - points[index - 1, 1 - axis])
        place = (points[index, axis] + points[index - 1, axis]) / 2
        edges[1, merged - 1] += length
        edges[0, merged - 1] += (place - edges[0, merged - 1]) * length / edges[1, merged - 1]
        last = is_along
    return merged, 1 if _is_along(points, first) else 0


@compiled
def _is_along(points: NDArray[np.float64], index: int) -> bool:
    """Whether the edge that ends at a point is rather along the first axis than across."""
    x = points[index, 0] - points[index - 1, 0]
    y = points[index, 1] - points[index - 1, 1]
    return bool(abs(x) >= abs(y))


@compiled
def _drop_short(edges: NDArray[np.float64], count: int, shortest: float) -> int:
    """Join the two edges beside the shortest one, until that is long enough or four are left."""
    while count > 4:
        best, least = -1, shortest
        for index in range(count):
            length = abs(edges[0, (index + 1) % count] - edges[0, (index - 1) % count])
            if length < least:
                best, least = index, length
        if best < 0:
            break
        before, after = (best - 1) % count, (best + 1) % count
        if after == 0:  # the first edge stays the first: it says which ones are along
            before, after = after, before
        weight = edges[1, before] + edges[1, after]
        edges[0, before] += (edges[0, after] - edges[0, before]) * edges[1, after] / weight
        edges[1, before] = weight
        kept = 0
        for index in range(count):
            if index != best and index != after:
                edges[:, kept] = edges[:, index]
                kept += 1
        count = kept
    return count


@compiled
def _scale_to(points: NDArray[np.float64], area: float) -> bool:
    """Scale a ring about the middle of its points to an area; False if it is too far from it."""
    own = _find_area(points)
    if not 0.8 < own / area < 1.25:
        return False
    factor = np.sqrt(area / own)
    for axis in range(2):
        middle = points[:, axis].mean()
        points[:, axis] = middle + (points[:, axis] - middle) * factor
    return True
