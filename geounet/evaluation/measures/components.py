"""Connected components of an area that comes window by window, and which of them overlap.

Each window is looked at with one more row and column of pixels below and right of it, so that each
pair of neighbours is in some window. What a pixel is called in both of two windows is one
component.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geounet.evaluation.measures.blocks import cut_out
from geounet.evaluation.measures.family import Piece
from geounet.raster import Window
from geounet.vector import compiled, number_regions

NONE = np.iinfo(np.int64).max
"""Stands for the first pixel of what has none."""

MANY = 1 << 22
"""Pairs that are kept before those that are known by now to be the same are merged."""


class Table(NamedTuple):
    """Components in the order of their first pixels, row by row.

    Attributes:
        numbers: int64: of each provisional number, the index of the component; -1 for 0 (none).
        values: uint8 (N,): the value of their pixels.
        pixels: int64 (N,): how many there are.
        firsts: int64 (N, 2): row and column of the first pixel, on the grid.
    """

    numbers: NDArray[np.int64]
    values: NDArray[np.uint8]
    pixels: NDArray[np.int64]
    firsts: NDArray[np.int64]


class Components:
    """Connected components of an area. Windows come row by row, left to right, and partition it.

    Pixels of one value connect by their edges, those of values `eight` by their corners too; of
    values `amorphous` there are no components.
    """

    def __init__(
        self, area: Window, amorphous: Collection[int], eight: Collection[int] = ()
    ) -> None:
        self._area, self._amorphous, self._eight = area, amorphous, eight
        self._count = 1  # provisional numbers in use; 0 is none
        self._parents = np.zeros(1, np.int32)
        self._values = np.zeros(1, np.uint8)
        self._pixels = np.zeros(1, np.int64)
        self._firsts = np.full(1, NONE)
        self._above = self._below = np.zeros(0, np.int32)
        self._left = np.zeros(0, np.int32)

    def add(self, window: Window, values: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Provisional numbers (as values) of the components; 0 where there are none.

        Values are those of `extend(window, area)`, whatever lies beyond the area.
        """
        ids = number_regions(values, self._amorphous, self._eight)
        ids[ids > 0] += self._count - 1
        found = max(0, int(ids.max(initial=0)) + 1 - self._count)
        self._grow(self._count + found)
        self._stitch(extend(window, self._area), ids)
        self._tally(window, values, ids)
        return ids

    def add_known(
        self, window: Window, values: NDArray[np.uint8], ids: NDArray[np.int32]
    ) -> NDArray[np.int32]:
        """The same for components whose numbers are known; those of amorphous values become 0."""
        kept = np.where(np.isin(values, list(self._amorphous)), np.int32(0), ids)
        self._grow(max(self._count, int(kept.max(initial=0)) + 1))
        self._tally(window, values, kept)
        return kept

    def finish(self) -> Table:
        """The components, after the last window; those without a pixel in the area left out."""
        roots = self.find_roots()
        values, used = np.zeros(self._count, np.uint8), np.flatnonzero(self._pixels[: self._count])
        values[roots[used]] = self._values[used]
        pixels, firsts = np.zeros(self._count, np.int64), np.full(self._count, NONE)
        np.add.at(pixels, roots, self._pixels[: self._count])
        np.minimum.at(firsts, roots, self._firsts[: self._count])
        seen = np.flatnonzero(pixels)
        order = seen[np.argsort(firsts[seen])]
        numbers = np.full(self._count, -1, np.int64)
        numbers[order] = np.arange(len(order))
        rows, cols = np.divmod(firsts[order], self._area.width)
        places = np.stack([rows + self._area.row_off, cols + self._area.col_off], axis=1)
        return Table(numbers[roots], values[order], pixels[order], places)

    def find_roots(self) -> NDArray[np.int32]:
        """By provisional number one number for all of a component, after the last window."""
        return _find_roots(self._parents[: self._count])

    def _grow(self, count: int) -> None:
        """Make room for so many provisional numbers, each a component by itself."""
        if count > len(self._parents):
            more = max(count, 2 * len(self._parents)) - len(self._parents)
            fresh = np.arange(len(self._parents), len(self._parents) + more, dtype=np.int32)
            self._parents = np.concatenate([self._parents, fresh])
            self._values = np.concatenate([self._values, np.zeros(more, np.uint8)])
            self._pixels = np.concatenate([self._pixels, np.zeros(more, np.int64)])
            self._firsts = np.concatenate([self._firsts, np.full(more, NONE)])
        self._count = count

    def _stitch(self, extended: Window, ids: NDArray[np.int32]) -> None:
        """Unite what the pixels shared with the windows above and left are called there and here.

        The lines between are kept as wide as the area with a pixel around it.
        """
        if extended.col_off < self._area.col_off:
            self._above, self._left = self._below, np.zeros(0, np.int32)
            self._below = np.zeros(self._area.width + 2, np.int32)
        begin = extended.col_off + 1 - self._area.col_off
        cols = slice(begin, begin + extended.width)
        if len(self._above):
            unite_pairs(self._parents, self._above[cols], ids[0])
        if len(self._left):
            unite_pairs(self._parents, self._left, ids[:, 0])
        self._below[cols] = ids[-1]
        self._left = ids[:, -1].copy()

    def _tally(self, window: Window, values: NDArray[np.uint8], ids: NDArray[np.int32]) -> None:
        """Count the pixels of the window itself."""
        inner = window.relative_to(extend(window, self._area)).slices()
        place = window.relative_to(self._area)
        tally_pixels(
            ids[inner],
            values[inner],
            (place.row_off, place.col_off, self._area.width),
            (self._values, self._pixels, self._firsts),
        )


class Pairs:
    """How many pixels each two components of two segmentations of an area have in common."""

    def __init__(self) -> None:
        self._keys: list[NDArray[np.int64]] = []
        self._counts: list[NDArray[np.int64]] = []
        self._size = self._least = 0

    def add(self, ones: NDArray[np.int32], others: NDArray[np.int32]) -> None:
        """Take in the provisional numbers (H, W) of a window's pixels; 0 in `ones` is left out."""
        keys, counts = list_runs(ones, others)
        self._keep(*sum_by_key(keys, counts))
        if self._size > 2 * self._least + MANY:
            self._keep(*self._merge())
            self._least = self._size

    def finish(self, ones: Table, others: Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Index into each of the tables (P, 2), of the other -1 for none, and pixels (P,)."""
        keys, counts = self._merge()
        first, second = ones.numbers[keys >> 32], others.numbers[keys & 0xFFFFFFFF]
        keys, counts = sum_by_key(first << 32 | (second + 1), counts)
        return np.stack([keys >> 32, (keys & 0xFFFFFFFF) - 1], axis=1), counts

    def _keep(self, keys: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        self._keys.append(keys)
        self._counts.append(counts)
        self._size += len(keys)

    def _merge(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All pairs so far, once each; none are kept."""
        nothing = np.zeros(0, np.int64)
        keys = np.concatenate([nothing, *self._keys])
        counts = np.concatenate([nothing, *self._counts])
        self._keys, self._counts, self._size = [], [], 0
        return sum_by_key(keys, counts)


def extend(window: Window, area: Window) -> Window:
    """The window with a row and a column more below and right, and at the area's edge around it."""
    above, left = int(window.row_off == area.row_off), int(window.col_off == area.col_off)
    return Window(
        row_off=window.row_off - above,
        col_off=window.col_off - left,
        height=window.height + above + 1,
        width=window.width + left + 1,
    )


def number_objects(
    components: Components, piece: Piece, window: Window, labels: NDArray[np.uint8]
) -> NDArray[np.int32]:
    """Numbers of the objects of labels in an extended window: given instances, or components."""
    if piece.instances is None:
        return components.add(piece.window, labels)
    return components.add_known(piece.window, labels, cut_out(piece, piece.instances, window))


def sum_by_key(
    keys: NDArray[np.int64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The different keys, sorted, and the sum of the counts of each."""
    order = np.argsort(keys, kind="stable")
    keys, counts = keys[order], counts[order]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    return keys[starts], np.add.reduceat(counts, starts) if len(keys) else counts


@compiled
def list_runs(
    ones: NDArray[np.int32], others: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Runs of equal pairs of numbers along the rows: `one << 32 | other`, and how long they are."""
    height, width = ones.shape
    keys, counts = np.empty(ones.size, np.int64), np.empty(ones.size, np.int64)
    found = 0
    for row in range(height):
        last = np.int64(-1)
        for col in range(width):
            one = np.int64(ones[row, col])
            key = one << 32 | np.int64(others[row, col]) if one > 0 else np.int64(-1)
            if key != last and key >= 0:
                keys[found], counts[found] = key, 0
                found += 1
            if key >= 0:
                counts[found - 1] += 1
            last = key
    return keys[:found].copy(), counts[:found].copy()


@compiled
def tally_pixels(
    ids: NDArray[np.int32],
    values: NDArray[np.uint8],
    place: tuple[int, int, int],
    tables: tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]],
) -> None:
    """Count the pixels of each number, and note their value and the first one.

    Args:
        ids: (H, W), of a window; 0 is left out.
        values: (H, W).
        place: row and column of the window in the area, and the area's width.
        tables: by number: values, pixels, and the first pixel's index in the area.
    """
    row_off, col_off, across = place
    kinds, pixels, firsts = tables
    for row in range(ids.shape[0]):
        for col in range(ids.shape[1]):
            index = ids[row, col]
            if index > 0:
                if pixels[index] == 0:
                    kinds[index] = values[row, col]
                pixels[index] += 1
                pixel = np.int64(row + row_off) * across + col + col_off
                if pixel < firsts[index]:
                    firsts[index] = pixel


@compiled
def unite_pairs(
    parents: NDArray[np.int32], ones: NDArray[np.int32], others: NDArray[np.int32]
) -> None:
    """Unite each two numbers (N,) that stand for the same pixel; 0 is none."""
    last_one = last_other = np.int32(0)
    for index in range(len(ones)):
        one, other = ones[index], others[index]
        if one == 0 or other == 0 or (one == last_one and other == last_other):
            continue
        last_one, last_other = one, other
        while parents[one] != one:
            parents[one] = parents[parents[one]]
            one = parents[one]
        while parents[other] != other:
            parents[other] = parents[parents[other]]
            other = parents[other]
        parents[max(one, other)] = min(one, other)


@compiled
def _find_roots(parents: NDArray[np.int32]) -> NDArray[np.int32]:
    """The root of each number: parents come before their children."""
    roots = np.empty_like(parents)
    for index in range(len(parents)):
        roots[index] = index if parents[index] == index else roots[parents[index]]
    return roots
