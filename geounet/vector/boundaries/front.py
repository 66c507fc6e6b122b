"""What a sweep over the rows of a mask keeps from one row to the next."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geounet.classes import NODATA

Records = NDArray[Any]
"""A structured array; a field is an attribute in compiled code, a key outside."""

Record = Any
"""One element of a structured array, to be changed in place."""

CORNER = np.dtype(
    [
        ("row", np.int32),  # of the line between two rows: 0 is the upper edge of row 0
        ("col", np.int32),
        ("next", np.int32),  # the next corner along the boundary; -1: not known yet
        ("region", np.int32),
    ],
    align=True,
)
"""A turn of a region's boundary. Where another pixel of the class lies opposite, and the boundary
may come by twice, `col` is inverted (quadrants 0 and 3) or `row` (1 and 2): they are negative.
`row` has the clearance of the point, if it is known, in the bits from CLEARANCE on."""

CLEARANCE = 23

ROW = (1 << CLEARANCE) - 1
"""The bits of a row."""

REGION = np.dtype(
    [
        ("parent", np.int32),  # an earlier record of the same region, or this one
        ("group", np.int32),  # likewise, with 8-connectivity
        ("value", np.int32),
        ("last_row", np.int32),
        ("first_ring", np.int32),  # list of finished rings, or -1
        ("last_ring", np.int32),
        ("pixels", np.int64),
        ("weight", np.int64),  # sum over the pixels
        ("lowest", np.int64),  # the smallest of them
        ("unsure", np.int64),  # pixels that have none
    ],
    align=True,
)
"""A region, or what was taken for one until it met another; `fold` joins these."""

STATE = np.dtype(
    [
        ("row", np.int64),  # rows swept so far
        ("corners", np.int64),  # records in use
        ("regions", np.int64),
        ("eight", np.int64),  # 1: pixels that share only a corner are connected
    ]
)

TAILS, HEADS = 0, 1


class Front(NamedTuple):
    """What the next row needs to know of all rows above it.

    Runs of equal pixels are kept for the last row and the current one, in turn.
    """

    state: Records  # one record of STATE
    wanted: NDArray[np.bool_]  # by class value: whether it becomes polygons
    starts: NDArray[np.int32]  # (2, W + 1): first columns of the runs, then the width
    values: NDArray[np.uint8]  # (2, W + 1): of the runs; NODATA for all that is not wanted
    labels: NDArray[np.int32]  # (2, W + 1): index into regions; -1 where not wanted
    waiting: NDArray[np.int32]  # (2, W + 2): by column line, and last the line being walked:
    #                             the corner from which (TAILS) or to which (HEADS) a boundary runs
    corners: Records
    regions: Records
    sums: NDArray[np.int64]  # (as many as regions, bands): of the scores of their pixels

    @property
    def width(self) -> int:
        """Columns of the mask."""
        return int(self.waiting.shape[1]) - 2


def make_front(width: int, wanted: NDArray[np.bool_], *, eight: bool, bands: int = 0) -> Front:
    """The front above row 0 of a mask of this width, with so many bands of scores."""
    state = np.zeros(1, STATE)
    state["eight"] = eight
    starts = np.full((2, width + 1), width, np.int32)
    starts[:, 0] = 0
    return Front(
        state=state,
        wanted=wanted,
        starts=starts,
        values=np.full((2, width + 1), NODATA, np.uint8),
        labels=np.full((2, width + 1), -1, np.int32),
        waiting=np.full((2, width + 2), -1, np.int32),
        corners=np.empty(0, CORNER),
        regions=np.empty(0, REGION),
        sums=np.empty((0, bands), np.int64),
    )


def grow_front(front: Front) -> Front:
    """The front with room for at least one more row."""
    state = front.state[0]
    regions = int(state["regions"]) + front.width
    return front._replace(
        corners=grow(front.corners, int(state["corners"]) + 4 * (front.width + 1)),
        regions=grow(front.regions, regions),
        sums=grow(front.sums, regions),
    )


def grow(records: NDArray[Any], needed: int) -> NDArray[Any]:
    """The array with at least this length: itself, or a copy of at least twice its length."""
    if len(records) >= needed:
        return records
    grown = np.empty((max(2 * len(records), needed), *records.shape[1:]), records.dtype)
    grown[: len(records)] = records
    return grown
