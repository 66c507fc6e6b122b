"""What remains where labels cannot be warped to a mask: errors of topology, and of what kind."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geounet.evaluation.measures.components import Components, Table, extend
from geounet.raster import Window
from geounet.vector import compiled

KINDS = ("merge", "split", "hole", "hole_lost", "object_lost", "object_added", "shift")
"""What an error does to the objects of the labels: it merges or splits one or more; makes a hole,
or fills or opens one; loses or adds an object; or moves a boundary further than it may be warped,
which leaves the topology as it is."""

MERGE, SPLIT, HOLE, HOLE_LOST, OBJECT_LOST, OBJECT_ADDED, SHIFT = range(len(KINDS))

ADDED, MISSING = 1, 2
"""Values of error pixels: of the object in the mask only, and in the warped labels only."""


class Touches(NamedTuple):
    """Pairs of a component of errors and one that it touches, by provisional numbers: (N,) each."""

    errors: NDArray[np.int64]
    others: NDArray[np.int64]


class Mismatches:
    """Errors of one class in an area, as its windows come.

    An error is a component of pixels that are of the object in the mask only, connected as objects
    are, or of pixels that are so in the warped labels only, connected as what is outside. It is of
    the kind that follows from what it touches, in what it becomes part of (the warped labels) and
    in what it takes away from (the mask):

        in the mask only     objects of the labels: none, object added; several, merge
                             else outside in the mask: none, hole lost; several, hole; one, shift
        in the labels only   objects of the mask: none, object lost; several, split
                             else outside in the labels: none, hole; several, hole lost; one, shift

    Beyond the area, and where pixels do not count, is outside, all one.
    """

    def __init__(self, area: Window, *, eight: bool) -> None:
        self._area, self._eight = area, eight
        sides = (1,) if eight else (0,)
        self._warped, self._mask = (Components(area, (), sides) for _ in range(2))
        self._errors = Components(area, (0,), (ADDED,) if eight else (MISSING,))
        self._joined: list[Touches] = []  # errors with what they become part of
        self._cut: list[Touches] = []  # and with what they take away from

    def add(
        self, window: Window, warped: NDArray[np.bool_], mask: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Take in the pixels of `extend(window, area)`; the error pixels (H, W) of the window."""
        errors = np.where(mask, np.uint8(ADDED), np.uint8(MISSING)) * (warped != mask)
        ids = self._errors.add(window, errors)
        for side, other, found, is_joined in (
            (self._warped, warped, self._joined, True),
            (self._mask, mask, self._cut, False),
        ):
            numbers = side.add(window, other.view(np.uint8))
            wanted = mask if is_joined else ~mask
            keys = np.unique(_list_touches(ids, other, numbers, wanted, self._eight))
            found.append(Touches(keys >> 32, keys & 0xFFFFFFFF))
        inner = window.relative_to(extend(window, self._area)).slices()
        wrong: NDArray[np.bool_] = ids[inner] > 0
        return wrong

    def finish(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Kind of each error (N,), and row and column of its first pixel (N, 2)."""
        errors = self._errors.finish()
        joined = _count_touched(errors, self._joined, self._warped.find_roots())
        cut = _count_touched(errors, self._cut, self._mask.find_roots())
        added = [OBJECT_ADDED, MERGE, HOLE_LOST, HOLE]
        missing = [OBJECT_LOST, SPLIT, HOLE, HOLE_LOST]
        kinds_added = np.select([joined == 0, joined > 1, cut == 0, cut > 1], added, SHIFT)
        kinds_missing = np.select([cut == 0, cut > 1, joined == 0, joined > 1], missing, SHIFT)
        return np.where(errors.values == ADDED, kinds_added, kinds_missing), errors.firsts


def _count_touched(
    errors: Table, touches: list[Touches], roots: NDArray[np.int32]
) -> NDArray[np.int64]:
    """How many different components each error (N,) touches."""
    ones = errors.numbers[np.concatenate([np.zeros(0, np.int64), *(t.errors for t in touches)])]
    others = roots[np.concatenate([np.zeros(0, np.int64), *(t.others for t in touches)])]
    pairs = np.unique(ones << 32 | others)
    return np.bincount(pairs >> 32, minlength=len(errors.pixels)).astype(np.int64)


@compiled
def _list_touches(
    errors: NDArray[np.int32],
    values: NDArray[np.bool_],
    numbers: NDArray[np.int32],
    wanted: NDArray[np.bool_],
    eight: bool,
) -> NDArray[np.int64]:
    """Pairs `error << 32 | number` of errors and pixels beside them of the wanted value.

    Args:
        errors: (H, W), number of the error, or 0.
        values: (H, W), whether a pixel is of an object; these connect by corners if `eight`, else
            what is outside does.
        numbers: (H, W), of its component.
        wanted: (H, W), of an error's pixels: whether it is an object that counts.
        eight: see above.
    """
    height, width = errors.shape
    keys = np.empty(8 * np.count_nonzero(errors), np.int64)
    found = 0
    for row in range(height):
        for col in range(width):
            if errors[row, col] == 0:
                continue
            value = wanted[row, col]  # not the pixel's own
            by_corners = value == eight
            for y in range(max(row - 1, 0), min(row + 2, height)):
                for x in range(max(col - 1, 0), min(col + 2, width)):
                    if values[y, x] == value and (by_corners or y == row or x == col):
                        keys[found] = np.int64(errors[row, col]) << 32 | numbers[y, x]
                        found += 1
    return keys[:found].copy()
