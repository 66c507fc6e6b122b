"""Regions of a mask, row by row: which runs of pixels belong together, and where they turn.

The sweep compares each row with the one above it at their *corners*, the points where four pixels
meet. Where the boundary of a region turns, it gets a record, linked to the next turn along the
boundary, the region on the left as seen with row 0 at the top. Nothing is kept per pixel, and
nothing ends where a strip ends, so the result cannot depend on strips.

With clearances (see there), points where a boundary goes straight on get records, too: junctions,
at which other regions meet, and points near which other borders are.

Only 4-neighbours share a boundary. With 8-connectivity, regions that meet at a corner belong to
the same *group*; their boundaries stay apart, since a polygon must not touch itself from inside.

    pixels at a corner     0 | 1      of quadrant q:  q ^ 1 beside it, q ^ 2 above or below it,
                          ---+---                     q ^ 3 opposite
                           2 | 3
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geounet.classes import NODATA
from geounet.vector.boundaries.clearance import FREE
from geounet.vector.boundaries.front import CLEARANCE, HEADS, TAILS, Front, Record, Records
from geounet.vector.compiling import compiled


class Closing(NamedTuple):
    """What `close_regions` took out, and what became of the numbers of groups."""

    regions: Records  # those without a pixel in the last row; group: as in `groups`
    sums: NDArray[np.int64]  # theirs, (as many, bands)
    groups: NDArray[np.int32]  # by old number of a region: one number for all of its group
    numbers: NDArray[np.int32]  # by old number: the group's new number; -1 if nothing is left


def close_regions(front: Front, rings: Records) -> Closing:
    """Take out the regions that are complete, and number the others anew from 0."""
    fold(front, rings)
    state = front.state[0]
    regions = front.regions[: state["regions"]]
    roots, groups = regions["parent"], regions["group"].copy()
    last = (state["row"] - 1) & 1
    labels = front.labels[last, : np.argmax(front.starts[last] == front.width)]
    wanted = labels >= 0
    left = np.unique(roots[labels[wanted]])
    is_closed = roots == np.arange(len(regions))
    is_closed[left] = False
    closed, sums = regions[is_closed], front.sums[: len(regions)][is_closed]
    numbers = np.full(len(regions), -1, np.int32)
    numbers[left] = np.arange(len(left))
    labels[wanted] = numbers[roots[labels[wanted]]]
    _, first, inverse = np.unique(groups[left], return_index=True, return_inverse=True)
    numbers[:] = -1
    numbers[groups[left]] = first[inverse]
    regions[: len(left)] = regions[left]
    front.sums[: len(left)] = front.sums[left]
    regions["parent"][: len(left)] = np.arange(len(left))
    regions["group"][: len(left)] = first[inverse]
    state["regions"] = len(left)
    return Closing(closed, sums, groups, numbers[groups])


@compiled
def sweep(
    strip: NDArray[np.uint8],
    weights: NDArray[np.int32],
    scores: NDArray[np.int32],
    clearances: NDArray[np.uint8],
    first: int,
    front: Front,
) -> int:
    """Take in the rows of a strip (H, W) from `first` on; the row where the sweep stopped.

    It stops before a row for which the records might not suffice; H when all are done.
    Weights are (H, W), or (0, 0) for none, scores (bands, H, W), or (0, 0, 0); those under 0 are
    not known. Clearances are (H, W + 1), of the points above each row, or (H, 0).
    """
    state, row = front.state[0], first
    while row < len(strip) and _has_room(front):
        this = state.row & 1
        _find_runs(strip[row], front, this)
        _join_rows(front, this, clearances[row])
        _count_pixels(front, this)
        if weights.size > 0:
            _add_weights(weights[row], front, this)
        for band in range(len(scores)):
            _add_scores(scores[band, row], front, this, band)
        state.row += 1
        row += 1
    return row


@compiled
def fold(front: Front, rings: Records) -> None:
    """Join the records of each region in its first; parents and groups become final."""
    regions, count = front.regions, front.state[0].regions
    parents, groups = regions["parent"], regions["group"]
    for index in range(count):
        root = parents[parents[index]]  # a parent comes before its children: its own is final
        parents[index] = root
        if root != index:
            _unite(groups, np.int32(index), root)
            _add_region(regions, rings, root, index)
            front.sums[root] += front.sums[index]
    for index in range(count):
        groups[index] = groups[groups[index]]


@compiled
def _has_room(front: Front) -> bool:
    """Whether the records suffice for one more row, whatever is in it."""
    state, width = front.state[0], front.starts.shape[1] - 1
    corners = front.corners.size - state.corners >= 4 * (width + 1)
    return bool(corners and front.regions.size - state.regions >= width)


@compiled
def _add_region(regions: Records, rings: Records, root: int, index: int) -> None:
    whole, part = regions[root], regions[index]
    whole.last_row = max(whole.last_row, part.last_row)
    whole.pixels += part.pixels
    whole.weight += part.weight
    whole.lowest = min(whole.lowest, part.lowest)
    whole.unsure += part.unsure
    if part.first_ring >= 0:
        if whole.first_ring < 0:
            whole.first_ring = part.first_ring
        else:
            rings[whole.last_ring].next = part.first_ring
        whole.last_ring = part.last_ring


@compiled
def _find_runs(pixels: NDArray[np.uint8], front: Front, this: int) -> None:
    starts, values, labels = front.starts[this], front.values[this], front.labels[this]
    wanted = front.wanted
    found = 1
    starts[0] = 0
    for col in range(1, pixels.size):
        starts[found] = col
        found += pixels[col] != pixels[col - 1]  # no branch: what was no start is overwritten
    kept = 0
    for index in range(found):
        col = starts[index]
        value = pixels[col] if wanted[pixels[col]] else np.uint8(NODATA)
        if index == 0 or value != values[kept - 1]:
            starts[kept], values[kept], labels[kept] = col, value, -1
            kept += 1
    starts[kept], values[kept], labels[kept] = pixels.size, NODATA, -1


@compiled
def _join_rows(front: Front, this: int, clearances: NDArray[np.uint8]) -> None:
    """Walk the line between the last row and this one, from corner to corner."""
    state, starts, values, labels = front.state[0], front.starts, front.values, front.labels
    corners, regions, waiting = front.corners, front.regions, front.waiting
    last = 1 - this
    above = below = -1  # runs right of the corner
    ur = lr = np.uint8(NODATA)  # the pixels: upper right, lower right; then upper and lower left
    ur_label = lr_label = np.int32(-1)
    col, width = starts[last, 0], waiting.shape[1] - 2
    while True:
        ul, ll, ul_label, ll_label = ur, lr, ur_label, lr_label
        if starts[last, above + 1] == col:
            above += 1
            ur, ur_label = values[last, above], labels[last, above]
        if starts[this, below + 1] == col:
            below += 1
            lr, lr_label = values[this, below], np.int32(-1)
        if lr != NODATA:
            if lr == ur:
                lr_label = _meet(regions["parent"], lr_label, ur_label)
            elif lr_label < 0:
                lr_label = _add_new_region(front, lr)
            labels[this, below] = lr_label
        is_turn = not ((ul == ur and ll == lr) or (ul == ll and ur == lr))
        if is_turn or (clearances.size > 0 and clearances[col] & FREE < FREE):
            pixels, owners = (ul, ur, ll, lr), (ul_label, ur_label, ll_label, lr_label)
            line = state.row
            if clearances.size > 0:
                line |= np.int64(clearances[col]) << CLEARANCE
                _pass_by(state, corners, waiting, (line, col), pixels, owners)
            _turn(state, corners, waiting, (line, col), pixels, owners)
            _group(state, regions, pixels, owners)
        if col == width:
            return
        col = _find_next(col, min(starts[last, above + 1], starts[this, below + 1]), clearances)


@compiled
def _find_next(col: int, limit: int, clearances: NDArray[np.uint8]) -> int:
    """The next column line where a record may be due; without clearances, the limit."""
    if clearances.size > 0:
        for line in range(col + 1, limit):
            if clearances[line] & FREE < FREE:
                return line
    return limit


@compiled
def _turn(
    state: Record,
    corners: Records,
    waiting: NDArray[np.int32],
    point: tuple[int, int],
    values: tuple[np.uint8, ...],
    labels: tuple[np.int32, ...],
) -> None:
    """Add the corners of all regions that turn at this point.

    A pixel unlike its two neighbours has a corner to itself; three pixels alike have one around the
    fourth. The quadrants' order lets what comes from above or the left be used, then replaced.
    """
    index = state.corners
    row, col = point
    for q in range(4):
        if values[q] == values[q ^ 1] or values[q] == values[q ^ 2]:
            continue
        if values[q] != NODATA:
            twice = values[q] == values[q ^ 3]
            corner = corners[index]
            corner.row = ~row if twice and (q == 1 or q == 2) else row
            corner.col = ~col if twice and (q == 0 or q == 3) else col
            corner.next = -1
            corner.region = labels[q]
            _link(corners, waiting, index, col, q, q == 0 or q == 3)
            index += 1
        if values[q ^ 1] == values[q ^ 2] == values[q ^ 3] and values[q ^ 3] != NODATA:
            corner = corners[index]
            corner.row = row
            corner.col = col
            corner.next = -1
            corner.region = labels[q ^ 3]
            _link(corners, waiting, index, col, q, q == 1 or q == 2)
            index += 1
    state.corners = index


@compiled
def _pass_by(
    state: Record,
    corners: Records,
    waiting: NDArray[np.int32],
    point: tuple[int, int],
    values: tuple[np.uint8, ...],
    labels: tuple[np.int32, ...],
) -> None:
    """Add records of the regions that go straight on at this point, two pixels beside it.

    The boundary of the upper two goes right, of the left two up; of the others, the other way.
    """
    row, col = point
    line = waiting.shape[1] - 1
    for q, beside, slot in ((0, 1, line), (2, 3, line), (0, 2, col), (1, 3, col)):
        value = values[q]
        if value == NODATA or value != values[beside]:
            continue
        if value == values[q ^ 3] or value == values[beside ^ 3]:
            continue
        index = state.corners
        state.corners += 1
        corner = corners[index]
        corner.row, corner.col = row, col
        corner.next = -1
        corner.region = labels[q]
        if (q == 0) == (slot == line):  # it comes from where all is known
            corners[waiting[TAILS, slot]].next = index
            waiting[TAILS, slot] = index
        else:
            corner.next = waiting[HEADS, slot]
            waiting[HEADS, slot] = index


@compiled
def _link(
    corners: Records, waiting: NDArray[np.int32], index: int, col: int, q: int, across: bool
) -> None:
    """Link a corner along the two lines of a quadrant.

    The boundary enters across the image and leaves up or down it, or the other way round. Towards
    the left and above the corner at the other end is known, towards the right and below it is not.
    """
    line = waiting.shape[1] - 1
    enter, leave = (line, col) if across else (col, line)
    enters_known, leaves_known = (q & 1, q & 2) if across else (q & 2, q & 1)
    if enters_known == 0:
        corners[waiting[TAILS, enter]].next = index
    else:
        waiting[HEADS, enter] = index
    if leaves_known == 0:
        corners[index].next = waiting[HEADS, leave]
    else:
        waiting[TAILS, leave] = index


@compiled
def _group(
    state: Record,
    regions: Records,
    values: tuple[np.uint8, ...],
    labels: tuple[np.int32, ...],
) -> None:
    if state.eight == 0:
        return
    for q in range(2):
        if values[q] == values[q ^ 3] and values[q] != NODATA:
            _unite(regions["group"], labels[q], labels[q ^ 3])


@compiled
def _add_new_region(front: Front, value: np.uint8) -> np.int32:
    state = front.state[0]
    index = np.int32(state.regions)
    state.regions += 1
    front.sums[index] = 0
    region = front.regions[index]
    region.parent = index
    region.group = index
    region.value = value
    region.last_row = state.row
    region.first_ring = -1
    region.last_ring = -1
    region.pixels = 0
    region.weight = 0
    region.lowest = np.iinfo(np.int64).max
    region.unsure = 0
    return index


@compiled
def _count_pixels(front: Front, this: int) -> None:
    starts, labels, regions = front.starts[this], front.labels[this], front.regions
    row, width = front.state[0].row, starts.size - 1
    run = 0
    while starts[run] < width:
        if labels[run] >= 0:
            region = regions[labels[run]]
            region.pixels += starts[run + 1] - starts[run]
            region.last_row = row
        run += 1


@compiled
def _add_weights(weights: NDArray[np.int32], front: Front, this: int) -> None:
    starts, labels, regions = front.starts[this], front.labels[this], front.regions
    run = 0
    while starts[run] < weights.size:
        if labels[run] >= 0:
            region = regions[labels[run]]
            for col in range(starts[run], starts[run + 1]):
                if weights[col] < 0:
                    region.unsure += 1
                else:
                    region.weight += weights[col]
                    region.lowest = min(region.lowest, np.int64(weights[col]))
        run += 1


@compiled
def _add_scores(scores: NDArray[np.int32], front: Front, this: int, band: int) -> None:
    starts, labels, sums = front.starts[this], front.labels[this], front.sums
    run = 0
    while starts[run] < scores.size:
        if labels[run] >= 0:
            for col in range(starts[run], starts[run + 1]):
                sums[labels[run], band] += max(scores[col], 0)
        run += 1


@compiled
def _meet(parents: NDArray[np.int32], label: np.int32, above: np.int32) -> np.int32:
    """The region of a run that had this label so far, or -1, where this one is above it."""
    if label < 0 or label == above:
        return above
    return _unite(parents, label, above)


@compiled
def _unite(parents: NDArray[np.int32], one: np.int32, other: np.int32) -> np.int32:
    """The earlier of two roots becomes the root of both."""
    one, other = _find(parents, one), _find(parents, other)
    first, second = min(one, other), max(one, other)
    parents[second] = first
    return first


@compiled
def _find(parents: NDArray[np.int32], index: np.int32) -> np.int32:
    while parents[index] != index:
        parents[index] = parents[parents[index]]
        index = parents[index]
    return index
