"""Borders with rounded corners, the same for the polygons on both sides.

A corner between two edges of a simplified arc becomes a parabola from one edge to the other, with
the corner as its control point. It begins at most half-way along each edge, and no further from the
corner than the share of its clearance that an arc may move: so it cannot meet another arc. Where
an arc comes to meet itself, the corners in question stay sharp. Junctions stay.

Nothing here depends on the direction of a ring: its polygon's neighbour has it the other way round.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from geounet.vector.boundaries.archive import Rings
from geounet.vector.boundaries.simplifying import Border

FINE = 256
"""Rounded borders have coordinates in whole numbers of this part of a pixel."""

BEND = np.pi / 10
"""The most that a rounded border turns at once."""

UNSEEN = 0.25
"""A turn of less than this share of that stays as it is."""

MOST_PIECES = 6


def smooth_rings(border: Border, regions: NDArray[np.int64], most: float) -> Rings:
    """Simplified rings with corners moved by at most so many pixels; rows and columns in 1/256."""
    points: NDArray[np.float64] = border.points * np.float64(FINE / 2)
    before, after = _find_neighbours(border.offsets)
    reach = _find_reach(points, before, after)
    is_round = ~border.is_junction
    reach = np.where(is_round, np.minimum(reach, border.rooms * (FINE / 2)), 0)
    ends = [points + _scale(points[other] - points, reach) for other in (before, after)]
    height = np.hypot(*(points - (ends[0] + ends[1]) / 2).T) / 2
    reach = reach * np.minimum(1, most * FINE / np.maximum(height, 1e-9))
    rings = _round(border, points, reach, regions)
    while (crossed := _find_crossed(rings, border)).size:
        reach[crossed] = 0
        rings = _round(border, points, reach, regions)
    return rings[0]


_Rounded = tuple[Rings, NDArray[np.int64]]
"""Rings, and the corner that each of their points comes from."""


def _round(
    border: Border,
    points: NDArray[np.float64],
    reach: NDArray[np.float64],
    regions: NDArray[np.int64],
) -> _Rounded:
    """Parabolas in place of the corners, as far as they reach."""
    before, after = _find_neighbours(border.offsets)
    first, last = (points + _scale(points[other] - points, reach) for other in (before, after))
    pieces = _count_pieces(points - points[before], points[after] - points)
    pieces[reach < 1] = 0
    owners = np.repeat(np.arange(len(points)), pieces + 1)
    starts = np.cumsum(pieces + 1) - (pieces + 1)
    step, whole = np.arange(len(owners)) - starts[owners], np.maximum(pieces[owners], 1)
    ahead, behind = step / whole, (whole - step) / whole
    curve = (behind**2)[:, None] * first[owners] + (ahead**2)[:, None] * last[owners]
    curve = curve + (2 * ahead * behind)[:, None] * points[owners]
    sharp = pieces[owners] == 0
    curve[sharp] = points[owners][sharp]
    found = np.rint(curve).astype(np.int32)
    ring = np.searchsorted(border.offsets, owners, side="right") - 1
    same = (found[1:] == found[:-1]).all(axis=1) & (ring[1:] == ring[:-1])
    kept = np.concatenate([[True], ~same]) if len(found) else np.zeros(0, np.bool_)
    sizes = np.bincount(ring[kept], minlength=len(border.offsets) - 1)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    return Rings(found[kept], offsets, regions), owners[kept]


def _find_neighbours(offsets: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each point of rings, the points before and after it."""
    before, after = np.arange(-1, offsets[-1] - 1), np.arange(1, offsets[-1] + 1)
    before[offsets[:-1]] = offsets[1:] - 1
    after[offsets[1:] - 1] = offsets[:-1]
    return before, after


def _find_reach(
    points: NDArray[np.float64], before: NDArray[np.int64], after: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Half of the shorter edge at each point."""
    lengths = [np.hypot(*(points[other] - points).T) for other in (before, after)]
    shorter: NDArray[np.float64] = np.minimum(*lengths) / 2
    return shorter


def _scale(vectors: NDArray[np.float64], lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vectors (N, 2) with other lengths (N)."""
    scaled: NDArray[np.float64] = vectors * (lengths / np.hypot(*vectors.T))[:, None]
    return scaled


def _count_pieces(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.int64]:
    """Edges that a turn from one direction to another is made of."""
    along = (one * other).sum(axis=1)
    across = np.abs(one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0])
    turns = np.ceil(np.arctan2(across, along) / BEND - UNSEEN)
    pieces: NDArray[np.int64] = np.clip(turns, 0, MOST_PIECES).astype(np.int64)
    return pieces


def _find_crossed(rounded: _Rounded, border: Border) -> NDArray[np.int64]:
    """Corners whose parabolas meet another piece of their ring."""
    rings, owners = rounded
    indices = np.repeat(np.arange(len(rings.regions)), np.diff(rings.offsets))
    lines = shapely.linearrings(rings.points.astype(np.float64), indices=indices)
    crossed = [np.zeros(0, np.int64)]
    for ring in np.flatnonzero(~shapely.is_simple(lines)):
        points = slice(rings.offsets[ring], rings.offsets[ring + 1])
        crossed.append(_find_crossings(rings.points[points], owners[points]))
    found = np.unique(np.concatenate(crossed))
    return found[~border.is_junction[found]]


def _find_crossings(points: NDArray[np.int32], owners: NDArray[np.int64]) -> NDArray[np.int64]:
    """The corners at the ends of the edges of a ring that meet other edges."""
    ends = np.roll(points, -1, axis=0)
    lines = shapely.linestrings(np.stack([points, ends], axis=1).astype(np.float64))
    edges = np.asarray(lines, np.object_)
    one, other = shapely.STRtree(edges).query(edges, predicate="intersects")
    apart = (one - other) % len(points)
    one = one[(apart > 1) & (apart < len(points) - 1)]
    return np.concatenate([owners[one], np.roll(owners, -1)[one]])
