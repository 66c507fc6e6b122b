"""Instances of labels: which pixel is of which, whatever the window."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pyproj import CRS
from rasterio import features as gdal
from rasters import UTM, write_raster
from scipy import ndimage

from geounet.classes import make_classes
from geounet.raster import Grid, Window
from geounet.vector import LabelOptions, open_labels
from geounet.vector.labels.instances import find_amorphous, number_regions

GRID = Grid(height=40, width=50, transform=UTM, crs=CRS.from_epsg(32633))
CLASSES = make_classes(["background", "house", "shed"])


def box(row, col, height, width):
    """Exactly these pixels."""
    corners = [UTM @ (col, row), UTM @ (col + width, row + height)]
    return shapely.box(*np.sort(np.array(corners), axis=0).ravel())


def same(first, second):
    """Whether two numberings tell the same pixels apart."""
    pairs = {
        tuple(pair) for pair in zip(first.ravel().tolist(), second.ravel().tolist(), strict=True)
    }
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


@pytest.fixture
def houses(tmp_path):
    """Two houses side by side, a shed that touches both, one house in two parts, background."""
    kinds = ["house", "house", "shed", "house", "background"]
    shapes = [
        box(2, 2, 8, 8),
        box(2, 10, 8, 8),
        box(10, 4, 4, 12),
        shapely.union_all([box(20, 5, 4, 4), box(30, 20, 6, 6)]),
        box(30, 40, 5, 5),
    ]
    frame = gpd.GeoDataFrame({"kind": kinds}, geometry=shapes, crs=GRID.crs)
    frame.to_file(tmp_path / "features.gpkg")
    return tmp_path / "features.gpkg"


def test_features_kept_apart_are_instances(houses):
    options = LabelOptions(class_field="kind", separate_px=1)
    with open_labels(houses, GRID, CLASSES, options) as labels:
        ids, values = labels.read_instances(GRID.extent), labels.read(GRID.extent)
    assert ids.dtype == np.int32
    expected = np.zeros(GRID.shape, int)
    expected[2:10, 2:10] = 1
    expected[2:10, 11:18] = 2  # the first column is the gap
    expected[10:14, 4:16] = 3  # of another class: no gap
    expected[20:24, 5:9] = expected[30:36, 20:26] = 4
    assert same(ids, expected)
    assert ((ids > 0) == (values > 0)).all()


def test_the_number_of_a_feature_is_the_same_in_all_windows(houses):
    options = LabelOptions(class_field="kind", separate_px=1)
    with open_labels(houses, GRID, CLASSES, options) as labels:
        whole = labels.read_instances(GRID.extent)
        for window in GRID.extent.blocks(7, 9):
            assert (labels.read_instances(window) == whole[window.slices()]).all()
        beyond = Window(row_off=-6, col_off=-5, height=60, width=61)
        expected = np.pad(whole, ((6, 14), (5, 6)), mode="reflect")
        assert (labels.read_instances(beyond) == expected).all()


def test_features_not_kept_apart_are_one_instance_if_they_touch(houses):
    with open_labels(houses, GRID, CLASSES, LabelOptions(class_field="kind")) as labels:
        ids = labels.read_instances(GRID.extent)
    assert ids[5, 5] == ids[5, 15] > 0
    assert len(np.unique(ids)) == 5  # houses, shed, two parts, nothing


def test_regions_of_a_raster_are_instances(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.choice(np.array([0, 1, 2, 9], np.uint8), GRID.shape, p=[0.4, 0.3, 0.2, 0.1])
    path = write_raster(tmp_path / "labels.tif", values, transform=UTM, crs=GRID.crs)
    with open_labels(path, GRID, CLASSES, LabelOptions(ignore=9)) as labels:
        ids = labels.read_instances(GRID.extent)
    shown = np.where(values == 9, 0, values)
    regions = [shape for shape, _ in gdal.shapes(shown, shown > 0, connectivity=4)]
    numbered = ((shape, number) for number, shape in enumerate(regions, start=1))
    assert same(ids, gdal.rasterize(numbered, GRID.shape, dtype=np.int32))


def test_what_lies_between_instances_is_none():
    named = make_classes(["house", "background", "shed"])
    bare = make_classes(["field", "forest"])
    assert find_amorphous(named, LabelOptions()) == {255, 1}
    assert find_amorphous(bare, LabelOptions()) == {255, 0}
    assert find_amorphous(bare, LabelOptions(sparse=True)) == {255}
    values = np.array([[0, 0, 1, 255]], np.uint8)
    assert number_regions(values, {255}).tolist() == [[1, 1, 2, 0]]


@settings(deadline=None, max_examples=100)
@given(
    arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3)),
    st.sets(st.integers(1, 3)),
)
def test_regions_are_scipys_and_numbered_by_first_pixel(values, eight):
    ids = number_regions(values, {0}, eight)
    expected, last = np.zeros_like(ids), 0
    for value in (1, 2, 3):
        regions, count = ndimage.label(values == value, np.ones((3, 3)) if value in eight else None)
        expected[regions > 0] = regions[regions > 0] + last
        last += count
    _, first, back = np.unique(expected[expected > 0], return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))
    assert (ids[expected > 0] == (order + 1)[back]).all()
    assert ((ids > 0) == (values > 0)).all()
