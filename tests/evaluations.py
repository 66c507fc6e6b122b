"""Families of metrics fed with arrays, in windows of any size."""

from __future__ import annotations

import numpy as np
from affine import Affine
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geounet.evaluation.measures.family import Piece, Scope
from geounet.raster import Grid, Window

PIXELS = Affine.identity()


def count(family, labels, mask, sides=(1024, 1024), block_px=1 << 20, **options):
    """The sums of the blocks of arrays (H, W) of positions, from windows of these sides.

    Options: origin (row, col) of the area, transform and crs of the grid, instances (H, W).
    """
    row_off, col_off = options.get("origin", (0, 0))
    height, width = labels.shape
    area = Window(row_off=row_off, col_off=col_off, height=height, width=width)
    grid = Grid(
        height=area.row_end + 3,
        width=area.col_end + 2,
        transform=options.get("transform", PIXELS),
        crs=options.get("crs"),
    )
    accumulator = family.start(Scope(grid, area, block_px))
    void = (labels == 255) | (mask == 255)
    instances = options.get("instances")
    for window in area.blocks(*sides):
        halo = accumulator.halo
        around = window.pad(halo).relative_to(area.pad(halo)).slices()
        fields = {
            name: np.pad(np.where(void, 255, values).astype(np.uint8), halo, constant_values=255)
            for name, values in (("labels", labels), ("mask", mask))
        }
        if instances is not None:
            fields["instances"] = np.pad(instances, halo)
        accumulator.add(Piece(window, **{k: v[around].copy() for k, v in fields.items()}))
    sums = accumulator.finish()
    places = np.argwhere(~void) + np.array([row_off, col_off])
    counted = {(row, col) for row, col in (places // block_px).tolist()}
    assert set(sums) <= counted
    return sums


def total(family, sums):
    """Of all blocks."""
    return sum(sums.values(), np.zeros(family.size, np.int64))


def measure(family, labels, mask, **options):
    """Metrics of arrays, by name; None where undefined."""
    found = family.measure(total(family, count(family, labels, mask, **options)))
    return {name: None if np.isnan(value) else float(value) for name, value in found.items()}


def same_sums(one, other):
    """Whether two results of `count` are equal, bit by bit."""
    return set(one) == set(other) and all((one[block] == other[block]).all() for block in one)


def positions(classes=3, most=14):
    """Arrays of positions in so many classes, and of 255, in lumps as in masks."""
    shapes = st.tuples(st.integers(1, most), st.integers(1, most))
    lumps = st.integers(1, 3)
    values = st.sampled_from([*range(classes), *range(classes), 255])
    return st.builds(
        lambda array, side: array.repeat(side, axis=0).repeat(side, axis=1)[:most, :most],
        arrays(np.uint8, shapes, elements=values),
        lumps,
    )


@st.composite
def pairs(draw, classes=3, most=14):
    """Labels and a mask that is like them in most places."""
    labels = draw(positions(classes, most))
    other = draw(arrays(np.uint8, labels.shape, elements=st.integers(0, classes - 1)))
    changed = draw(arrays(np.bool_, labels.shape))
    return labels, np.where(changed, other, labels)


sides = st.tuples(st.integers(1, 15), st.integers(1, 15))
