"""Instances where nothing but their class is known: its connected regions."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from geounet.classes import NODATA, ClassInfo
from geounet.vector.compiling import compiled
from geounet.vector.labels.label_options import LabelOptions
from geounet.vector.labels.label_values import BACKGROUND


def find_amorphous(classes: Sequence[ClassInfo], options: LabelOptions) -> frozenset[int]:
    """Values whose regions are no instances: no label, and what lies between the instances.

    That is the class named background, else the first; if labels are sparse, it is only the former.
    """
    named = [item.value for item in classes if item.name == BACKGROUND]
    first = [] if options.sparse else [classes[0].value]
    return frozenset((NODATA, *(named or first)))


def number_regions(
    values: NDArray[np.uint8], amorphous: Collection[int], eight: Collection[int] = ()
) -> NDArray[np.int32]:
    """A number from 1 for each connected region of a value, int32 (H, W); 0 where amorphous.

    Numbers are in the order of the regions' first pixels, row by row. Pixels connect by their
    edges, as in the polygons that a mask is made into; those of the values `eight` by their corners
    too. Regions that are connected only outside of what is given are several.
    """
    is_wanted, is_eight = np.ones(256, np.bool_), np.zeros(256, np.bool_)
    is_wanted[list(amorphous)] = False
    is_eight[list(eight)] = True
    ids = np.zeros(values.shape, np.int32)
    _number_regions(values, is_wanted, is_eight, ids)
    return ids


@compiled
def _number_regions(
    values: NDArray[np.uint8],
    is_wanted: NDArray[np.bool_],
    is_eight: NDArray[np.bool_],
    ids: NDArray[np.int32],
) -> None:
    """Two passes: numbers and which of them are one region, then one number for each."""
    parents = np.empty(values.size + 1, np.int32)  # what is not used is never touched
    parents[0] = last = 0
    for row in range(values.shape[0]):
        for col in range(values.shape[1]):
            value = values[row, col]
            if not is_wanted[value]:
                continue
            own = ids[row, col - 1] if col > 0 and values[row, col - 1] == value else np.int32(0)
            if row > 0 and values[row - 1, col] == value:
                if own == 0 or values[row - 1, col - 1] != value:
                    own = _unite(parents, own, ids[row - 1, col])
            elif row > 0 and is_eight[value]:
                own = _meet_corners(values, ids, (row, col), own, parents)
            if own == 0:
                last += 1
                own = np.int32(last)
                parents[last] = last
            ids[row, col] = own
    _renumber(parents, last, ids)


@compiled
def _renumber(parents: NDArray[np.int32], last: int, ids: NDArray[np.int32]) -> None:
    """Replace the numbers up to `last` by one for each region, from 1 without gaps."""
    count = 0
    for index in range(1, last + 1):
        if parents[index] == index:
            count += 1
            parents[index] = count
        else:  # an earlier one, which has its number by now
            parents[index] = parents[parents[index]]
    for row in range(ids.shape[0]):
        for col in range(ids.shape[1]):
            ids[row, col] = parents[ids[row, col]]


@compiled
def _meet_corners(
    values: NDArray[np.uint8],
    ids: NDArray[np.int32],
    pixel: tuple[int, int],
    own: np.int32,
    parents: NDArray[np.int32],
) -> np.int32:
    """The region of a pixel that has this one so far, after a look at what is above its corners."""
    row, col = pixel
    if own == 0 and col > 0 and values[row - 1, col - 1] == values[row, col]:
        own = ids[row - 1, col - 1]
    if col + 1 < values.shape[1] and values[row - 1, col + 1] == values[row, col]:
        own = _unite(parents, own, ids[row - 1, col + 1])
    return own


@compiled
def _unite(parents: NDArray[np.int32], one: np.int32, other: np.int32) -> np.int32:
    """The earlier of two roots becomes the root of both; 0 is none."""
    if one == 0 or one == other:
        return other
    while parents[one] != one:
        parents[one] = parents[parents[one]]
        one = parents[one]
    while parents[other] != other:
        parents[other] = parents[parents[other]]
        other = parents[other]
    first = min(one, other)
    parents[max(one, other)] = first
    return first
