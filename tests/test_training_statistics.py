"""Statistics against numpy."""

import geopandas
import numpy as np
import pytest
from rasters import UTM, write_raster
from shapely import box

from geounet.classes import make_classes
from geounet.errors import InputError
from geounet.raster import Window
from geounet.training.data.room import find_room
from geounet.training.data.sources import Reading, SourceReader, find_sources
from geounet.training.data.statistics import Moments, _thin, measure_rooms
from geounet.vector import LabelOptions
from geounet.vector.labels.datasets import Pair

READING = Reading(None, make_classes(["a", "b"], values=[1, 4]), LabelOptions())


def measure(image_path, label_path, holes=(), aoi=None, reading=READING):
    (source,), _ = find_sources([Pair(image_path, label_path)], None, aoi)
    room = find_room(0, source.area.window, holes, 64)
    with SourceReader([source], reading) as reader:
        return measure_rooms(reader, [room], [1, 4])


@pytest.fixture
def scene(tmp_path):
    """An image of two float bands with nodata and NaN, labels, and both as arrays."""
    rng = np.random.default_rng(0)
    image = rng.normal([[[5.0]], [[-3e5]]], [[[2.0]], [[1e-2]]], (2, 700, 600))
    image[0, :50, :70] = -1
    image[1, 300, 300:310] = np.nan
    labels = rng.choice(np.array([1, 4], np.uint8), (700, 600), p=[0.8, 0.2])
    image_path = write_raster(tmp_path / "image.tif", image, nodata=-1)
    return image_path, write_raster(tmp_path / "labels.tif", labels), image, labels


def test_moments_are_those_of_numpy_whatever_the_pieces():
    values = np.random.default_rng(1).normal(1e6, 1e-3, (3, 1000))
    moments = Moments()
    for piece in np.split(values, [1, 10, 10, 500], axis=1):
        moments.add(piece)
    np.testing.assert_allclose(moments.mean, values.mean(axis=1), rtol=1e-14)
    np.testing.assert_allclose(moments.deviation, values.std(axis=1), rtol=1e-6)


def test_a_constant_band_has_deviation_one():
    moments = Moments()
    for count in (3, 1000, 7):
        moments.add(np.stack([np.full(count, 0.1), np.zeros(count), np.arange(count)]))
    assert moments.deviation[0] == 1
    assert moments.deviation[1] == 1
    assert moments.deviation[2] > 1


def test_only_valid_training_pixels_count(scene):
    image_path, label_path, image, labels = scene
    hole = Window(row_off=400, col_off=0, height=300, width=300)
    used = (image[0] != -1) & np.isfinite(image[1])
    used[hole.slices()] = False
    found = measure(image_path, label_path, [hole])
    np.testing.assert_allclose(found.mean, image[:, used].mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(found.deviation, image[:, used].std(axis=1), rtol=1e-6)
    np.testing.assert_allclose(
        found.class_shares, [(labels[used] == 1).mean(), (labels[used] == 4).mean()], rtol=1e-12
    )
    assert found.labelled_share == pytest.approx(used.sum() / (labels.size - hole.area))


def test_pixels_outside_the_aoi_do_not_count(scene, tmp_path):
    image_path, label_path, image, _ = scene
    west, north = UTM @ (100, 200)
    east, south = UTM @ (250, 300)
    aoi = tmp_path / "aoi.gpkg"
    square = box(west, south, east, north)
    triangle = square.difference(box(west, south, (west + east) / 2, north))
    geopandas.GeoDataFrame(geometry=[triangle], crs="EPSG:32633").to_file(aoi)
    found = measure(image_path, label_path, aoi=aoi)
    np.testing.assert_allclose(found.mean, image[:, 200:300, 175:250].mean(axis=(1, 2)), rtol=1e-12)
    assert found.labelled_share == 1


def test_blocks_of_large_parts_are_chosen_all_over():
    columns, most = 64, 256  # a stride of 16 would take every 16th column only
    blocks = list(Window(row_off=0, col_off=0, height=64, width=columns).blocks(1, 1))
    chosen = [window for _, window in _thin([(0, window) for window in blocks], most)]
    assert len(set(chosen)) == most
    assert chosen == sorted(chosen) == [w for _, w in _thin([(0, w) for w in blocks], most)]
    assert len({window.col_off for window in chosen}) > 0.9 * columns
    assert len({window.row_off for window in chosen}) > 0.9 * columns


def test_labels_outside_of_the_sample_are_found(scene, tmp_path, monkeypatch):
    monkeypatch.setattr("geounet.training.data.statistics.BLOCK", 100)
    monkeypatch.setattr("geounet.training.data.statistics.MAX_PIXELS", 3 * 100**2)
    reading = Reading(None, READING.classes, LabelOptions(ignore=9))
    for row, col in ((0, 100), (300, 300), (600, 500)):
        labels = np.full((700, 600), 9, np.uint8)
        labels[row : row + 100, col : col + 100] = 4
        path = write_raster(tmp_path / f"{row}.tif", labels)
        assert measure(scene[0], path, reading=reading).class_shares == (0, 1)


def test_no_label_at_all_is_said(scene, tmp_path):
    nothing = write_raster(tmp_path / "none.tif", np.full((700, 600), 9, np.uint8))
    reading = Reading(None, READING.classes, LabelOptions(ignore=9))
    with pytest.raises(InputError, match="none of 420000 training pixels is labelled"):
        measure(scene[0], nothing, reading=reading)
