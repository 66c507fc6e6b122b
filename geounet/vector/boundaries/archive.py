"""The boundaries that a sweep has found: finished rings, and chains that go on in the next strip.

After each strip its corners move here, in the order of the boundaries: the rings in lists by
region, and the open *chains* that cross the strip's lower edge, each of which is a single corner to
the next strip. A chain that grows at both ends is not copied: it is a list of *pieces*. Rings whose
region is complete leave the archive.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geounet.vector.boundaries.front import HEADS, ROW, TAILS, Front, Record, Records, grow
from geounet.vector.compiling import compiled

PIECE = np.dtype([("begin", np.int64), ("end", np.int64), ("next", np.int64)], align=True)
"""A stretch of the archive's points; the next piece of its ring or chain, or -1."""

RING = np.dtype([("piece", np.int32), ("next", np.int32)], align=True)
"""First piece; next ring of the region, or -1."""

CHAIN = np.dtype([("first", np.int32), ("last", np.int32), ("col", np.int32)], align=True)
"""First and last piece; column line on which the chain comes down to the next strip."""

COUNTS = np.dtype([(name, np.int64) for name in ("points", "pieces", "rings", "chains", "dead")])

TRACED = -2
"""`next` of a corner that is in the archive."""


class Archive(NamedTuple):
    """Finished rings and open chains of the regions that reach the last row."""

    counts: Records  # one record of COUNTS: records in use; points that nothing refers to
    points: NDArray[np.int32]  # (N, 2): row and column lines, inverted as in CORNER
    pieces: Records
    rings: Records
    chains: Records  # by number of the corner that stands for the chain


class Rings(NamedTuple):
    """Closed rings of corners, region by region."""

    points: NDArray[Any]  # (N, 2): row and column lines, int32; float64 once they are shaped
    offsets: NDArray[np.int64]  # (R + 1): of the rings in points
    regions: NDArray[np.int64]  # (R): index of the region

    @property
    def first(self) -> NDArray[np.int64]:
        """Where the rings' first corners are, counted row by row (R)."""
        rows, cols = self.points[self.offsets[:-1]].T
        first: NDArray[np.int64] = (rows & ROW).astype(np.int64) << 32 | cols
        return first


def make_archive() -> Archive:
    """An empty archive."""
    return Archive(
        counts=np.zeros(1, COUNTS),
        points=np.empty((0, 2), np.int32),
        pieces=np.empty(0, PIECE),
        rings=np.empty(0, RING),
        chains=np.empty(0, CHAIN),
    )


def archive_corners(front: Front, archive: Archive) -> Archive:
    """The archive with all that the sweep has found since the last time."""
    counts, corners = archive.counts[0], int(front.state["corners"][0])
    chains = int(counts["chains"])
    lines = corners // 4 + chains + front.width  # a ring within the strip has four corners or more
    archive = archive._replace(
        points=grow(archive.points, int(counts["points"]) + corners),
        pieces=grow(archive.pieces, int(counts["pieces"]) + lines + 2 * chains),
        rings=grow(archive.rings, int(counts["rings"]) + lines),
        chains=grow(archive.chains, chains + front.width + 1),  # one to spare, for rings
    )
    _archive(front, archive)
    return archive


def take_rings(regions: Records, archive: Archive) -> Rings:
    """The rings of these regions, which are complete, out of the archive.

    They start anywhere; corners are inverted as in CORNER where a ring may come by twice.
    """
    first = np.ascontiguousarray(regions["first_ring"])
    count, length = _measure(first, archive)
    rings = Rings(
        points=np.empty((length, 2), np.int32),
        offsets=np.zeros(count + 1, np.int64),
        regions=np.empty(count, np.int64),
    )
    _copy_rings(first, archive, rings)
    archive.counts["dead"] += length
    return rings


def compact_archive(front: Front, archive: Archive) -> Archive:
    """The archive without what is dead, once that is half of it: its size follows what is open."""
    counts = archive.counts[0]
    if 2 * counts["dead"] <= counts["points"]:
        return archive
    compact = Archive(
        counts=np.zeros(1, COUNTS),
        points=np.empty((int(counts["points"] - counts["dead"]), 2), np.int32),
        pieces=np.empty(int(counts["rings"] + counts["chains"]), PIECE),
        rings=np.empty(int(counts["rings"]), RING),
        chains=archive.chains,
    )
    _compact(front, archive, compact)
    return compact


@compiled
def _archive(front: Front, archive: Archive) -> None:
    state, counts, chains = front.state[0], archive.counts[0], archive.chains
    last = (state.row - 1) & 1
    starts, labels, waiting = front.starts[last], front.labels[last], front.waiting
    known = counts.chains
    opened = run = 0
    while starts[run] < labels.size - 1:
        if labels[run] >= 0:  # its right side goes up here: a chain begins
            line = starts[run + 1]
            chain = chains[known + opened]
            _follow(waiting[HEADS, line], front.corners, archive, chain)
            waiting[HEADS, line] = opened
            waiting[TAILS, chain.col] = opened
            opened += 1
        run += 1
    _archive_rings(front, archive, chains[known + opened])
    for index in range(opened):
        chains[index].first = chains[known + index].first
        chains[index].last = chains[known + index].last
        chains[index].col = front.corners[index].col = chains[known + index].col
        front.corners[index].next = -1
    counts.chains = state.corners = opened


@compiled
def _archive_rings(front: Front, archive: Archive, chain: Record) -> None:
    """All corners that are not on a chain are on rings."""
    corners, rings, counts = front.corners, archive.rings, archive.counts[0]
    for index in range(counts.chains, front.state[0].corners):
        if corners[index].next != TRACED:
            _follow(index, corners, archive, chain)
            ring = counts.rings
            counts.rings += 1
            rings[ring].piece = chain.first
            rings[ring].next = -1
            _add_ring(front.regions[corners[index].region], rings, ring)


@compiled
def _add_ring(region: Record, rings: Records, ring: int) -> None:
    if region.first_ring < 0:
        region.first_ring = ring
    else:
        rings[region.last_ring].next = ring
    region.last_ring = ring


@compiled
def _follow(start: int, corners: Records, archive: Archive, chain: Record) -> None:
    """Write the points of a chain or ring to the archive; what is there already is linked."""
    counts, points, pieces = archive.counts[0], archive.points, archive.pieces
    known = counts.chains
    begin = end = counts.points
    chain.first = chain.last = -1
    index = start
    while index >= 0 and corners[index].next != TRACED:
        corner = corners[index]
        chain.col = max(corner.col, ~corner.col)
        if index < known:
            _add_piece(chain, counts, pieces, begin, end)
            begin = end
            _append(chain, pieces, archive.chains[index].first, archive.chains[index].last)
        else:
            points[end, 0] = corner.row
            points[end, 1] = corner.col
            end += 1
        index = corner.next
        corner.next = TRACED
    _add_piece(chain, counts, pieces, begin, end)
    counts.points = end


@compiled
def _add_piece(chain: Record, counts: Record, pieces: Records, begin: int, end: int) -> None:
    if begin < end:
        piece = counts.pieces
        counts.pieces += 1
        pieces[piece].begin = begin
        pieces[piece].end = end
        pieces[piece].next = -1
        _append(chain, pieces, piece, piece)


@compiled
def _append(chain: Record, pieces: Records, first: int, last: int) -> None:
    if chain.first < 0:
        chain.first = first
    else:
        pieces[chain.last].next = first
    chain.last = last


@compiled
def _measure(first: NDArray[np.int32], archive: Archive) -> tuple[int, int]:
    """Number of the rings in lists, and of their points."""
    count = length = 0
    for ring in first:
        while ring >= 0:
            piece = archive.rings[ring].piece
            while piece >= 0:
                length += archive.pieces[piece].end - archive.pieces[piece].begin
                piece = archive.pieces[piece].next
            count += 1
            ring = archive.rings[ring].next
    return count, length


@compiled
def _copy_rings(first: NDArray[np.int32], archive: Archive, rings: Rings) -> None:
    count = end = 0
    for region in range(first.size):
        ring = first[region]
        while ring >= 0:
            end = _copy_line(archive, archive.rings[ring].piece, rings.points, end)
            rings.regions[count] = region
            count += 1
            rings.offsets[count] = end
            ring = archive.rings[ring].next


@compiled
def _copy_line(archive: Archive, piece: int, points: NDArray[np.int32], end: int) -> int:
    while piece >= 0:
        for index in range(archive.pieces[piece].begin, archive.pieces[piece].end):
            points[end, 0] = archive.points[index, 0]
            points[end, 1] = archive.points[index, 1]
            end += 1
        piece = archive.pieces[piece].next
    return end


@compiled
def _compact(front: Front, archive: Archive, compact: Archive) -> None:
    counts = compact.counts[0]
    for index in range(front.state[0].regions):
        region = front.regions[index]
        ring = region.first_ring
        region.first_ring = region.last_ring = -1
        while ring >= 0:
            compact.rings[counts.rings].piece = _move_line(
                archive, archive.rings[ring].piece, compact
            )
            compact.rings[counts.rings].next = -1
            _add_ring(region, compact.rings, counts.rings)
            counts.rings += 1
            ring = archive.rings[ring].next
    for index in range(archive.counts[0].chains):
        chain = compact.chains[index]
        chain.first = chain.last = _move_line(archive, chain.first, compact)
    counts.chains = archive.counts[0].chains


@compiled
def _move_line(archive: Archive, piece: int, compact: Archive) -> int:
    counts = compact.counts[0]
    moved = compact.pieces[counts.pieces]
    moved.begin = counts.points
    moved.end = counts.points = _copy_line(archive, piece, compact.points, counts.points)
    moved.next = -1
    counts.pieces += 1
    return int(counts.pieces) - 1
