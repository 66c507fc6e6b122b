"""Tiles partition the region, lie on the lattice, and never change with how they were cut."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geounet.errors import UsageError
from geounet.inference.planning.parts import choose_part_rows, plan_parts
from geounet.inference.planning.tiling import fit_tile, plan_tiles
from geounet.raster import Window

strides = st.sampled_from([1, 2, 4, 8, 16, 32])
regions = st.builds(
    lambda r, c, h, w: Window(row_off=r, col_off=c, height=h, width=w),
    st.integers(0, 300),
    st.integers(0, 300),
    st.integers(1, 200),
    st.integers(1, 200),
)


@settings(deadline=None)
@given(regions, strides, st.integers(1, 300), st.integers(0, 40))
def test_write_windows_partition_the_region(region, stride, tile, margin):
    tile = max(tile, stride)
    shape = fit_tile(region, tile, stride)
    hits = np.zeros((501, 501), int)
    for one in plan_tiles(region, shape, stride, margin):
        hits[one.write.slices()] += 1
        assert one.cover.contains(one.write)
        assert one.cover.shape == shape
        assert one.cover.row_off % stride == one.cover.col_off % stride == 0
        assert one.read == one.cover.pad(margin)
    assert (hits[region.slices()] == 1).all()
    assert hits.sum() == region.area


@settings(deadline=None)
@given(regions, strides, st.integers(1, 300))
def test_tiles_are_multiples_of_the_stride_and_balanced(region, stride, tile):
    tile = max(tile, stride)
    for side, length in zip(
        fit_tile(region, tile, stride), region.aligned(stride).shape, strict=True
    ):
        assert side % stride == 0
        assert stride <= side <= tile
        largest = tile // stride * stride
        assert -(-length // side) == -(-length // largest)  # no more tiles than full ones need


def test_tile_below_the_stride_is_refused():
    with pytest.raises(UsageError, match="stride 16"):
        fit_tile(Window(row_off=0, col_off=0, height=9, width=9), 15, 16)


@settings(deadline=None)
@given(regions, strides, st.integers(1, 200))
def test_parts_partition_the_extent_on_the_lattice(extent, stride, part_rows):
    parts = list(plan_parts(extent, part_rows, stride))
    assert parts[0].row_off == extent.row_off
    assert parts[-1].row_end == extent.row_end
    assert all((p.col_off, p.width) == (extent.col_off, extent.width) for p in parts)
    for above, below in itertools.pairwise(parts):
        assert above.row_end == below.row_off
        assert below.row_off % stride == 0


@pytest.mark.parametrize(("width", "tile"), [(100, 512), (10_000, 1024), (100_000, 2048)])
@pytest.mark.parametrize("pixel_bytes", [1, 17])
def test_parts_are_whole_rows_of_tiles(width, tile, pixel_bytes):
    extent = Window(row_off=0, col_off=0, height=10**6, width=width)
    rows = choose_part_rows(extent, tile, pixel_bytes)
    assert rows % tile == 0
    if rows > tile:
        assert rows * width * pixel_bytes <= 32 * 2**20
    assert (rows + tile) * width >= min(8 * 2**20, 32 * 2**20 // pixel_bytes)
