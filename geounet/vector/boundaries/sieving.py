"""Small regions and small holes of a mask, taken out before polygons are made of it.

A mask goes through from top to bottom. A row is held back until it is known what becomes of each
region in it; what comes out is the same for strips of any height. Regions are *small* or *large*,
by area; a region is open while it reaches the last row.

Small regions become the class with which they share the longest border, of their large neighbours
and the background. Where all neighbours are small, that is done in rounds: those that touch a
large one first, then those that touch them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geounet.classes import NODATA
from geounet.raster import Grid
from geounet.vector.boundaries.front import Records
from geounet.vector.boundaries.neighbours import (
    UNKNOWN,
    Sweep,
    add_rows,
    border_below,
    count_settled,
    find_roots,
    grow_held,
    last_labels,
    make_held,
    paint_rows,
)
from geounet.vector.files.attributes import measure_pixels
from geounet.vector.masks import Strip
from geounet.vector.options import PolygonizeOptions

SWEEP_PIXELS = 1 << 18
"""Pixels taken in before rows are let out."""

ROUNDS = 8
"""How many small regions may lie between a small region and the large one it dissolves into; what
is deeper in becomes background. It bounds how many rows are held back."""

PIXEL_AREA = 1 << 20
"""Area of the largest pixel: whole numbers have the same sum in any order."""

LAST = NODATA + 1
"""Sorts the background behind all classes."""

CLEANED: dict[str, Any] = {"u": np.uint8(255), "f": np.float32(-1)}
"""Confidence and scores, by kind of number, of pixels that got another class: none."""


class _Links(NamedTuple):
    """Borders between regions, seen from the first: arrays of one length."""

    regions: NDArray[np.int64]
    others: NDArray[np.int64]
    lengths: NDArray[np.int64]


Settle = Callable[[Records, _Links, NDArray[np.bool_]], None]
"""Sets the fates of regions that are not open (bool (N,)), as far as they are clear."""


@dataclass(frozen=True)
class Sieve:
    """What to take out of a mask.

    Attributes:
        values: class values to make polygons of; all others are background.
        row_areas: area of a pixel in each row of the mask, in a whole number of any unit.
        min_area: regions of less, in that unit, are small.
        min_hole: background of less that borders on one class only is a hole to be filled.
        drop: small regions become background, whatever they border on.
        eight: pixels of a class that touch at a corner are of one region.
    """

    values: tuple[int, ...]
    row_areas: NDArray[np.int64]
    min_area: int = 0
    min_hole: int = 0
    drop: bool = False
    eight: bool = False

    @property
    def background(self) -> int:
        """The value of all that is not wanted: 255 if everything is."""
        return min(set(range(NODATA + 1)) - set(self.values))


def make_sieve(options: PolygonizeOptions, grid: Grid, values: Collection[int]) -> Sieve | None:
    """The sieve that the options ask for; None if they ask for none."""
    if options.min_area_m2 == options.min_hole_m2 == 0:
        return None
    areas = measure_pixels(grid)
    unit = float(areas.max()) / PIXEL_AREA

    def to_units(area_m2: float) -> int:  # rounding must not take a region of just that area
        return math.ceil(area_m2 / unit * (1 - 1e-6))

    return Sieve(
        values=tuple(sorted(values)),
        row_areas=np.rint(areas / unit).astype(np.int64),
        min_area=to_units(options.min_area_m2),
        min_hole=to_units(options.min_hole_m2),
        drop=options.drop_small,
        eight=options.connectivity == 8,
    )


@dataclass
class SieveCounts:
    """What was taken out: small regions, and holes."""

    small: int = 0
    holes: int = 0


def sieve_strips(strips: Iterator[Strip], sieve: Sieve, counts: SieveCounts) -> Iterator[Strip]:
    """The strips of a mask without small regions, then without small holes.

    The strips that come out hold the same rows, but not as many at a time. Pixels that are not
    wanted have the value of the background. Where a pixel was given another class, its confidence
    and scores are 255 or -1: they are not those by which it got there.

    Memory: the rows down from the uppermost region whose fate is open. A region is open over as
    many rows as it may have pixels, at most; usually that is the height of a small region.
    """
    strips = _map_background(strips, sieve)
    wanted = np.isin(np.arange(NODATA + 1), sieve.values)
    background = sieve.background
    if sieve.min_area > 0:
        sweep = Sweep(wanted, background, sieve.eight, sieve.min_area)

        def settle_small(areas: Records, links: _Links, is_open: NDArray[np.bool_]) -> None:
            large = areas["area"] >= sieve.min_area
            before = areas["fate"] != UNKNOWN
            areas["fate"][large] = areas["value"][large]
            if sieve.drop:
                areas["fate"][~large & ~is_open] = background
            else:
                _dissolve(areas, links, is_open, background)
            counts.small += int((~before & ~large & (areas["fate"] != UNKNOWN)).sum())

        strips = _Sweeper(sweep, sieve.row_areas, settle_small).run(strips)
    if sieve.min_hole > 0 and background != NODATA:
        is_background = np.arange(NODATA + 1) == background
        sweep = Sweep(is_background, background, False, sieve.min_hole)

        def settle_holes(areas: Records, links: _Links, is_open: NDArray[np.bool_]) -> None:
            before = areas["fate"] != UNKNOWN
            is_hole = (areas["area"] < sieve.min_hole) & (areas["around"] >= 0)
            areas["fate"][~is_hole] = background
            filled = is_hole & ~is_open & ~before
            areas["fate"][filled] = areas["around"][filled]
            counts.holes += int(filled.sum())

        strips = _Sweeper(sweep, sieve.row_areas, settle_holes).run(strips)
    return strips


class _Sweeper:
    """Holds rows back until the fate of every region in them is settled."""

    def __init__(self, sweep: Sweep, row_areas: NDArray[np.int64], settle: Settle) -> None:
        self._sweep, self._row_areas, self._settle_regions = sweep, row_areas, settle
        self._held = make_held()
        self._waiting: list[Strip] = []  # as they came, for their confidence and scores
        self._taken_in = 0  # rows
        self._first_is_out = False  # of the held rows: the next row borders on it

    def run(self, strips: Iterator[Strip]) -> Iterator[Strip]:
        width = 0
        for strip in strips:
            width = strip.window.width
            rows = max(1, SWEEP_PIXELS // width)
            for row in range(0, strip.window.height, rows):
                some = _cut(strip, row, row + rows)
                self._waiting.append(some)
                self._take_in(some.values)
                self._settle(finished=False)
                yield from self._let_rows_out(width)
        if width > 0:
            border_below(width, self._sweep, self._held)
            self._settle(finished=True)
            yield from self._let_rows_out(width)

    def _take_in(self, values: NDArray[np.uint8]) -> None:
        values = np.ascontiguousarray(values)
        areas = self._row_areas[self._taken_in : self._taken_in + len(values)]
        row = 0
        while True:
            self._held = grow_held(self._held, len(values) - row, values.shape[1])
            row = add_rows(values, areas, row, self._sweep, self._held)
            if row == len(values):
                break
            self._merge_borders()
        self._taken_in += len(values)

    def _merge_borders(self) -> _Links:
        """Make one of all borders of the same two regions."""
        held = self._held
        counts = held.counts[0]
        roots = find_roots(held.areas, int(counts["areas"]))
        borders = held.borders[: counts["borders"]]
        one, other = roots[borders["one"]], roots[borders["other"]]
        apart = one != other
        one, other = one[apart].astype(np.int64), other[apart].astype(np.int64)
        keys = np.minimum(one, other) << 32 | np.maximum(one, other)
        keys, inverse = np.unique(keys, return_inverse=True)
        lengths = np.zeros(len(keys), np.int64)
        np.add.at(lengths, inverse, borders["length"][apart])
        borders = held.borders[: len(keys)]
        borders["one"], borders["other"] = keys >> 32, keys & 0xFFFFFFFF
        borders["length"] = lengths
        counts["borders"] = len(keys)
        one, other = borders["one"].astype(np.int64), borders["other"].astype(np.int64)
        return _Links(
            np.concatenate([one, other]), np.concatenate([other, one]), np.tile(lengths, 2)
        )

    def _settle(self, *, finished: bool) -> None:
        """Find out what can be known of the fates, and forget the regions that matter no more."""
        links, held = self._merge_borders(), self._held
        areas = held.areas[: held.counts["areas"][0]]
        roots = find_roots(held.areas, len(areas))
        is_root = roots == np.arange(len(areas))
        is_open = np.zeros(len(areas), np.bool_)
        if not finished:
            is_open[roots[last_labels(held)]] = True
        mine = areas[is_root]
        numbers = np.cumsum(is_root) - 1
        links = links._replace(regions=numbers[links.regions], others=numbers[links.others])
        self._settle_regions(mine, links, is_open[is_root])
        areas[is_root] = mine

    def _let_rows_out(self, width: int) -> Iterator[Strip]:
        held = self._held
        rows = count_settled(held)
        values = np.empty((rows, width), np.uint8)
        changed = np.empty((rows, width), np.bool_)
        paint_rows(held, rows, values, changed)
        skipped = int(self._first_is_out and rows > 0)
        self._forget(rows)
        for strip in self._take_strips(rows - skipped):
            end = skipped + strip.window.height
            yield _clean(strip, values[skipped:end], changed[skipped:end])
            skipped = end

    def _take_strips(self, rows: int) -> Iterator[Strip]:
        """The first rows as they came."""
        while rows > 0:
            strip = self._waiting.pop(0)
            if strip.window.height > rows:
                self._waiting.insert(0, _cut(strip, rows, strip.window.height))
                strip = _cut(strip, 0, rows)
            rows -= strip.window.height
            yield strip

    def _forget(self, rows: int) -> None:
        """Drop the first rows, but for the last one, and the regions and borders of no use."""
        held = self._held
        counts = held.counts[0]
        total = int(counts["rows"])
        kept = min(rows, total - 1)
        self._first_is_out = rows == total
        begin = int(held.rows[kept])
        runs = held.runs[begin : counts["runs"]].copy()
        offsets = held.rows[kept : total + 1] - begin
        roots = find_roots(held.areas, int(counts["areas"]))
        borders = held.borders[: counts["borders"]]
        fates = held.areas["fate"]
        open_fate = (fates[borders["one"]] == UNKNOWN) | (fates[borders["other"]] == UNKNOWN)
        borders = borders[open_fate].copy()
        is_region = runs["label"] >= 0
        labels = roots[runs["label"][is_region]]
        used = np.zeros(len(roots), np.bool_)
        used[labels] = used[borders["one"]] = used[borders["other"]] = True
        numbers = (np.cumsum(used) - 1).astype(np.int32)
        areas = held.areas[: len(roots)][used].copy()
        areas["parent"] = np.arange(len(areas))
        runs["label"][is_region] = numbers[labels]
        borders["one"], borders["other"] = numbers[borders["one"]], numbers[borders["other"]]
        held.areas[: len(areas)] = areas
        held.borders[: len(borders)] = borders
        held.runs[: len(runs)] = runs
        held.rows[: len(offsets)] = offsets
        counts["areas"], counts["borders"] = len(areas), len(borders)
        counts["runs"], counts["rows"] = len(runs), len(offsets) - 1


def _cut(strip: Strip, begin: int, end: int) -> Strip:
    """Some of its rows."""
    rows = slice(begin, end)
    values = strip.values[rows]
    return Strip(
        replace(strip.window, row_off=strip.window.row_off + begin, height=len(values)),
        values,
        None if strip.confidence is None else strip.confidence[rows],
        None if strip.scores is None else strip.scores[:, rows],
    )


def _clean(strip: Strip, values: NDArray[np.uint8], changed: NDArray[np.bool_]) -> Strip:
    """The strip with other values, and what was known of those that changed taken away."""

    def mark(shares: NDArray[Any] | None) -> NDArray[Any] | None:
        if shares is None or not changed.any():
            return shares
        marked: NDArray[Any] = np.where(changed, CLEANED[shares.dtype.kind], shares)
        return marked

    return Strip(strip.window, values, mark(strip.confidence), mark(strip.scores))


def _map_background(strips: Iterator[Strip], sieve: Sieve) -> Iterator[Strip]:
    table = np.full(NODATA + 1, sieve.background, np.uint8)
    table[list(sieve.values)] = sieve.values
    table[NODATA] = NODATA
    for strip in strips:
        yield replace(strip, values=table[strip.values])


def _dissolve(areas: Records, links: _Links, is_open: NDArray[np.bool_], background: int) -> None:
    """Set the fates of small regions, as far as nothing that follows can change them.

    In round r a region takes part whose neighbours are all certain up to round r - 1. Those that
    are open and small are uncertain from round 0 on: they may become large.
    """
    never = ROUNDS + 1
    fates = areas["fate"]
    settled = np.where(fates == UNKNOWN, never, areas["round"])
    uncertain = np.where((fates == UNKNOWN) & is_open, 0, never)
    for number in range(1, ROUNDS + 1):
        pending = (settled == never) & (uncertain == never)
        mine = pending[links.regions]
        doubtful = np.zeros(len(areas), np.bool_)
        doubtful[links.regions[mine & (uncertain[links.others] < number)]] = True
        uncertain[doubtful & pending] = number
        usable = mine & (settled[links.others] < number) & ~doubtful[links.regions]
        useful = _Links(*(array[usable] for array in links))
        chosen = _choose(areas, useful, pending & ~doubtful, background)
        found = chosen >= 0
        fates[found] = chosen[found]
        areas["round"][found] = settled[found] = number
    deep = (settled == never) & (uncertain == never)
    fates[deep] = background
    areas["round"][deep] = never


def _choose(
    areas: Records, links: _Links, pending: NDArray[np.bool_], background: int
) -> NDArray[np.int64]:
    """The class of the longest border of each pending region; -1 if it has none.

    Of equally long ones, the lowest value; the background comes last.
    """
    open_border = np.flatnonzero(pending & (areas["open_border"] > 0))
    regions = np.concatenate([links.regions, open_border])
    fates = areas["fate"][links.others].astype(np.int64)
    fates[fates == background] = LAST
    values = np.concatenate([fates, np.full(len(open_border), LAST)])
    lengths = np.concatenate([links.lengths, areas["open_border"][open_border]])
    keys, inverse = np.unique(regions << 9 | values, return_inverse=True)
    sums = np.zeros(len(keys), np.int64)
    np.add.at(sums, inverse, lengths)
    order = np.lexsort((-keys, sums, keys >> 9))  # the last of a region is the one
    keys = keys[order]
    keys = keys[np.diff(keys >> 9, append=-1) != 0]
    chosen, values = np.full(len(areas), -1, np.int64), keys & 511
    chosen[keys >> 9] = np.where(values == LAST, background, values)
    return chosen
