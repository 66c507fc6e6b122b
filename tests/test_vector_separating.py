"""Gaps between touching instances: their definition, pixel by pixel, whatever the window."""

from __future__ import annotations

import json

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pyproj import CRS
from rasters import UTM
from scipy import ndimage

from geounet.classes import make_classes
from geounet.errors import UsageError
from geounet.raster import Grid, Window
from geounet.vector import LabelOptions, open_labels
from geounet.vector.labels.separating import InstanceBurner, find_gaps

GRID = Grid(height=40, width=50, transform=UTM, crs=CRS.from_epsg(32633))
CLASSES = make_classes(["background", "house", "shed"])
KINDS = np.array([-1, 1, 1, 1, 2, 2], np.int16)

instances = hnp.arrays(
    np.int32, st.tuples(st.integers(1, 14), st.integers(1, 14)), elements=st.integers(0, 5)
)


def find_gaps_plainly(ids, gap_px):
    """The definition, as it stands in the docstring."""
    gaps = np.zeros(ids.shape, bool)
    rows, cols = np.indices(ids.shape)
    for row, col in np.ndindex(ids.shape):
        own = ids[row, col]
        if KINDS[own] < 0:
            continue
        distance = np.hypot(rows - row, cols - col)
        for other in set(ids.ravel().tolist()) - {own}:
            if KINDS[other] == KINDS[own]:
                reach = gap_px // 2 if own < other else -(-gap_px // 2)
                gaps[row, col] |= (distance[ids == other] < reach + 0.5).any()
    return gaps


@settings(deadline=None, max_examples=150)
@given(instances, st.integers(0, 7))
def test_gaps_are_what_their_definition_says(ids, gap_px):
    assert (find_gaps(ids, KINDS, gap_px) == find_gaps_plainly(ids, gap_px)).all()


@pytest.mark.parametrize("gap_px", range(9))
def test_a_straight_gap_is_just_so_wide(gap_px):
    ids = np.repeat([[1] * 10 + [2] * 10], 5, axis=0).astype(np.int32)
    gaps = find_gaps(ids, KINDS, gap_px)
    assert (gaps == gaps[0]).all()
    first = 10 - gap_px // 2
    assert np.flatnonzero(gaps[0]).tolist() == list(range(first, first + gap_px))


@settings(deadline=None, max_examples=100)
@given(instances, st.integers(1, 4))
def test_what_is_left_is_apart(ids, gap_px):
    """8-connected regions of what is left of a class are each of one instance."""
    left = np.where(find_gaps(ids, KINDS, gap_px), 0, ids)
    for kind in (1, 2):
        regions, count = ndimage.label(KINDS[left] == kind, np.ones((3, 3)))
        for number in range(1, count + 1):
            assert len(set(left[regions == number].tolist())) == 1


def random_features(seed):
    """Overlapping boxes and triangles of two classes; some features have two parts."""
    rng = np.random.default_rng(seed)
    polygons = []
    for _ in range(14):
        col, row = rng.uniform(-5, 50), rng.uniform(-5, 40)
        width, height = rng.uniform(3, 20, 2)
        corners = [(col, row), (col + width, row), (col + width, row + height), (col, row + height)]
        kept = corners[: rng.integers(3, 5)]
        polygons.append(shapely.Polygon([UTM @ corner for corner in kept]))
    values = rng.integers(1, 3, len(polygons)).astype(np.uint8)
    features = rng.permutation(10)[rng.integers(0, 10, len(polygons))].astype(np.int64)
    values = values[np.unique(features, return_inverse=True)[1] % len(values)]
    return np.array(polygons, object), values, features


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(0, 6), st.integers(3, 25), st.integers(3, 25))
def test_any_window_equals_the_whole(seed, gap_px, height, width):
    burner = InstanceBurner(*random_features(seed), GRID, gap_px)
    whole = burner.burn(GRID.extent)
    for window in GRID.extent.blocks(height, width):
        assert (burner.burn(window) == whole[window.slices()]).all()


def square(col, row, width, height):
    return shapely.box(*(UTM @ (col, row + height)), *(UTM @ (col + width, row)))


def write_houses(path):
    """Two houses side by side, the second of two parts that touch; a shed at their right."""
    wing = shapely.MultiPolygon([square(20, 10, 5, 10), square(25, 10, 5, 8)])
    shapes = [square(10, 10, 10, 10), wing, square(30, 10, 5, 8)]
    frame = gpd.GeoDataFrame(
        {"kind": ["house", "house", "shed"]}, geometry=shapes, crs="EPSG:32633"
    )
    frame.to_file(path)
    return path


@pytest.mark.parametrize("is_many", [False, True])
def test_features_of_one_class_are_separated_and_parts_of_one_are_not(
    tmp_path, monkeypatch, is_many
):
    monkeypatch.setattr("geounet.vector.labels.labels.MAX_WHOLE", 0 if is_many else 100)
    path = write_houses(tmp_path / "houses.gpkg")
    expected = np.zeros(GRID.shape, np.uint8)
    expected[10:20, 10:25] = expected[10:18, 25:30] = 1
    expected[10:18, 30:35] = 2
    expected[10:20, 20] = 0
    options = LabelOptions(class_field="kind", separate_px=1)
    window = Window(row_off=8, col_off=18, height=9, width=9)
    with open_labels(path, GRID, CLASSES, options) as labels:
        assert (labels.read(GRID.extent) == expected).all()
        beyond = labels.read(GRID.extent.pad(5))
    assert (beyond == np.pad(expected, 5, mode="reflect")).all()
    with open_labels(path, GRID, CLASSES, options, window) as labels:
        assert (labels.read(window) == expected[window.slices()]).all()


def test_any_number_is_a_feature(tmp_path):
    """Dates and hashes are common ids of GeoJSON."""
    frame = gpd.read_file(write_houses(tmp_path / "houses.gpkg"))
    plain = json.loads(frame.to_json(drop_id=True))
    plain["crs"] = {"type": "name", "properties": {"name": "EPSG:32633"}}
    for feature, number in zip(plain["features"], (2**48 + 7, 20230101123456789, 5), strict=True):
        feature["id"] = number
    path = tmp_path / "houses.geojson"
    path.write_text(json.dumps(plain))
    files = (tmp_path / "houses.gpkg", path)
    found = []
    for file in files:
        with open_labels(file, GRID, CLASSES, LabelOptions("kind", separate_px=1)) as labels:
            found.append(labels.read(GRID.extent))
    assert (found[0] == found[1]).all()


def test_without_a_gap_labels_are_as_ever(tmp_path):
    path = write_houses(tmp_path / "houses.gpkg")
    plain, zero = (
        open_labels(path, GRID, CLASSES, LabelOptions(class_field="kind", **options))
        for options in ({}, {"separate_px": 0})
    )
    with plain, zero:
        assert (plain.read(GRID.extent) == zero.read(GRID.extent)).all()


@pytest.mark.parametrize("gap_px", [-1, 65])
def test_gaps_that_cannot_be_meant_are_refused(gap_px):
    with pytest.raises(UsageError, match="--separate is"):
        LabelOptions(separate_px=gap_px)
