"""Regions of a mask and what they border on, row by row, for as long as their fate is open.

Like `regions`, but no boundaries are traced: a region is an area, a length of border with each
neighbour, and the runs of pixels it is made of, which are kept until it is known what becomes of
it. A border is as long as the edges of pixels it is made of.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geounet.classes import NODATA
from geounet.vector.boundaries.front import Record, Records, grow
from geounet.vector.compiling import compiled

AREA = np.dtype(
    [
        ("parent", np.int32),  # an earlier record of the same region, or this one
        ("value", np.int16),
        ("around", np.int16),  # the only value beside it; NOTHING or SEVERAL
        ("fate", np.int16),  # the value its pixels get; UNKNOWN
        ("round", np.int16),  # when that became clear, in rounds of dissolving; 0: it stays
        ("area", np.int64),
        ("open_border", np.int64),  # with the background
    ],
    align=True,
)
"""A region, or what was taken for one until it met another."""

BORDER = np.dtype([("one", np.int32), ("other", np.int32), ("length", np.int64)], align=True)
"""A piece of the border between two regions."""

RUN = np.dtype([("start", np.int32), ("label", np.int32), ("value", np.uint8)], align=True)
"""Equal pixels of a row, from this column on; its region, or -1."""

COUNTS = np.dtype([(name, np.int64) for name in ("areas", "borders", "runs", "rows")])

NOTHING, SEVERAL, UNKNOWN = -1, -2, -1

SPARE = 1 << 16
"""Borders for which there is room beyond those of one row, lest they be merged after each."""


class Sweep(NamedTuple):
    """Which values make regions, how pixels connect, and what the background is."""

    is_region: NDArray[np.bool_]  # by value
    background: int
    eight: bool
    enough: int  # the area from which on a region is large


class Held(NamedTuple):
    """Rows whose fate is open, the regions in them, and those that these border on."""

    counts: Records  # one record of COUNTS: records in use
    areas: Records
    borders: Records
    runs: Records
    rows: NDArray[np.int64]  # first run of each row, and the end of the last


def make_held() -> Held:
    """No rows: what is above row 0 is no data."""
    return Held(
        counts=np.zeros(1, COUNTS),
        areas=np.empty(0, AREA),
        borders=np.empty(0, BORDER),
        runs=np.empty(0, RUN),
        rows=np.zeros(1, np.int64),
    )


def grow_held(held: Held, height: int, width: int) -> Held:
    """With room for so many more rows, whatever is in them, but for borders."""
    counts = held.counts[0]
    return held._replace(
        areas=grow(held.areas, int(counts["areas"]) + height * width),
        borders=grow(held.borders, int(counts["borders"]) + 3 * width + SPARE),
        runs=grow(held.runs, int(counts["runs"]) + height * (width + 1)),
        rows=grow(held.rows, int(counts["rows"]) + height + 1),
    )


@compiled
def add_rows(
    strip: NDArray[np.uint8],
    row_areas: NDArray[np.int64],
    first: int,
    sweep: Sweep,
    held: Held,
) -> int:
    """Take in the rows of a strip (H, W) from `first` on; the row where it stopped.

    It stops for want of room for borders; H when all are done.
    """
    width = strip.shape[1]
    counts = held.counts[0]
    row = first
    while row < len(strip) and held.borders.size - counts.borders >= 3 * width:
        begin = counts.runs
        above = held.rows[counts.rows - 1] if counts.rows > 0 else begin
        _add_runs(strip[row], held)
        if above < begin:
            _join(above, begin, width, sweep, held)
        _label(begin, width, row_areas[row], sweep, held)
        _border(above, begin, width, sweep, held)
        counts.rows += 1
        held.rows[counts.rows] = counts.runs
        row += 1
    return row


@compiled
def border_below(width: int, sweep: Sweep, held: Held) -> None:
    """Nothing follows: below the last row is no data."""
    counts = held.counts[0]
    for index in range(held.rows[counts.rows - 1], counts.runs):
        _touch(held.areas, held.runs[index].label, NODATA, 1, sweep)


@compiled
def find_roots(areas: Records, count: int) -> NDArray[np.int32]:
    """The region of each record."""
    roots = np.empty(count, np.int32)
    for index in range(count):
        roots[index] = _find(areas, index)
    return roots


@compiled
def count_settled(held: Held) -> int:
    """Rows from the first on in which nothing is open."""
    for row in range(held.counts[0].rows):
        for index in range(held.rows[row], held.rows[row + 1]):
            label = held.runs[index].label
            if label >= 0 and held.areas[_find(held.areas, label)].fate == UNKNOWN:
                return row
    return int(held.counts[0].rows)


@compiled
def paint_rows(
    held: Held, rows: int, values: NDArray[np.uint8], changed: NDArray[np.bool_]
) -> None:
    """The values (rows, W) of the first rows, and where they are not what they were."""
    width = values.shape[1]
    for row in range(rows):
        end = held.rows[row + 1]
        for index in range(held.rows[row], end):
            run = held.runs[index]
            value = np.int64(run.value)
            if run.label >= 0:
                value = held.areas[_find(held.areas, run.label)].fate
            stop = held.runs[index + 1].start if index + 1 < end else width
            for col in range(run.start, stop):
                values[row, col] = value
                changed[row, col] = value != run.value


@compiled
def _add_runs(pixels: NDArray[np.uint8], held: Held) -> None:
    counts, runs = held.counts[0], held.runs
    end = counts.runs
    for col in range(pixels.size):
        if col == 0 or pixels[col] != pixels[col - 1]:
            runs[end].start = col
            runs[end].label = -1
            runs[end].value = pixels[col]
            end += 1
    counts.runs = end


@compiled
def _join(above: int, begin: int, width: int, sweep: Sweep, held: Held) -> None:
    """Give the runs from `begin` on the regions of the runs above that they connect to."""
    runs, areas, end = held.runs, held.areas, held.counts[0].runs
    reach = 1 if sweep.eight else 0
    first = above
    for index in range(begin, end):
        run = runs[index]
        if not sweep.is_region[run.value]:
            continue
        stop = (runs[index + 1].start if index + 1 < end else width) + reach
        while first + 1 < begin and runs[first + 1].start + reach <= run.start:
            first += 1
        over = first
        while over < begin and runs[over].start < stop:
            if runs[over].value == run.value:
                label = _find(areas, runs[over].label)
                run.label = label if run.label < 0 else _unite(areas, run.label, label)
            over += 1


@compiled
def _label(begin: int, width: int, row_area: int, sweep: Sweep, held: Held) -> None:
    """Regions for the runs that connect to none, and the areas of all."""
    counts, runs, areas = held.counts[0], held.runs, held.areas
    end = counts.runs
    for index in range(begin, end):
        run = runs[index]
        if not sweep.is_region[run.value]:
            continue
        if run.label < 0:
            run.label = counts.areas
            counts.areas += 1
            area = areas[run.label]
            area.parent, area.value, area.around = run.label, run.value, NOTHING
            area.fate, area.round, area.area, area.open_border = UNKNOWN, 0, 0, 0
        stop = runs[index + 1].start if index + 1 < end else width
        areas[_find(areas, run.label)].area += (stop - run.start) * row_area


@compiled
def _border(above: int, begin: int, width: int, sweep: Sweep, held: Held) -> None:
    """Note the borders of the new runs with each other, with those above and with the edge."""
    runs, areas, end = held.runs, held.areas, held.counts[0].runs
    _touch(areas, runs[begin].label, NODATA, 1, sweep)
    _touch(areas, runs[end - 1].label, NODATA, 1, sweep)
    over = above
    for index in range(begin, end):
        run = runs[index]
        stop = runs[index + 1].start if index + 1 < end else width
        if index + 1 < end:
            _meet(run, runs[index + 1], 1, sweep, held)
        if above == begin:
            _touch(areas, run.label, NODATA, 1, sweep)
            continue
        while True:
            over_stop = runs[over + 1].start if over + 1 < begin else width
            length = min(stop, over_stop) - max(run.start, runs[over].start)
            if runs[over].value != run.value:
                _meet(run, runs[over], length, sweep, held)
            if over_stop >= stop:
                break
            over += 1
        if over_stop == stop:
            over += 1


@compiled
def _meet(one: Record, other: Record, length: int, sweep: Sweep, held: Held) -> None:
    """Note the border of two runs of different values."""
    areas, counts = held.areas, held.counts[0]
    if one.label >= 0 and other.label >= 0:
        first, second = _find(areas, one.label), _find(areas, other.label)
        if areas[first].area < sweep.enough or areas[second].area < sweep.enough:
            border = held.borders[counts.borders]
            counts.borders += 1
            border.one, border.other, border.length = first, second, length
    elif one.label >= 0:
        _touch(areas, one.label, other.value, length, sweep)
    else:
        _touch(areas, other.label, one.value, length, sweep)


@compiled
def _touch(areas: Records, label: int, value: int, length: int, sweep: Sweep) -> None:
    """Note what a region borders on that is none."""
    if label < 0:
        return
    area = areas[_find(areas, label)]
    if value == sweep.background:
        area.open_border += length
    _add_around(area, SEVERAL if value == NODATA else value)


@compiled
def _add_around(area: Record, value: int) -> None:
    if area.around == NOTHING:
        area.around = value
    elif value != NOTHING and area.around != value:
        area.around = SEVERAL


@compiled
def _unite(areas: Records, one: int, other: int) -> int:
    """The earlier of two roots becomes the root of both, and gets all that they have."""
    one, other = _find(areas, one), _find(areas, other)
    if one == other:
        return one
    first, second = areas[min(one, other)], areas[max(one, other)]
    second.parent = min(one, other)
    first.area += second.area
    first.open_border += second.open_border
    _add_around(first, second.around)
    return min(one, other)


@compiled
def _find(areas: Records, index: int) -> int:
    while areas[index].parent != index:
        areas[index].parent = areas[areas[index].parent].parent
        index = areas[index].parent
    return index


def last_labels(held: Held) -> NDArray[Any]:
    """Of the runs of the last row that are regions."""
    rows = int(held.counts["rows"][0])
    labels = held.runs["label"][held.rows[rows - 1] : held.rows[rows]]
    return labels[labels >= 0]
