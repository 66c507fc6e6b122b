"""Polygons of errors: burnt back, they are the pixels that are wrong."""

import sqlite3
from contextlib import closing

import geopandas
import numpy as np
import pytest
from rasterio.features import rasterize
from rasters import UTM, write_raster

from geounet.errors import InputError, UsageError
from geounet.evaluation import EvaluateOptions, evaluate

NAMES = "background,field,water"


def blobs(seed, shape=(90, 130), classes=3, side=7):
    rng = np.random.default_rng(seed)
    rows, cols = (-(-size // side) for size in shape)
    coarse = rng.integers(0, classes, (rows, cols))
    return np.kron(coarse, np.ones((side, side)))[: shape[0], : shape[1]].astype(np.uint8)


def write_pair(folder, seed=0, classes=3, **options):
    labels, mask = blobs(seed, classes=classes), blobs(seed, classes=classes)
    mask[3:60] = np.roll(mask[3:60], (2, 3), (0, 1))
    labels[20:30, 50:64] = 255
    paths = [folder / f"{name}{seed}.tif" for name in ("mask", "labels")]
    for path, array in zip(paths, (mask, labels), strict=True):
        write_raster(path, array, nodata=255, **options)
    return *paths, mask, labels


def collect(folder, mask, labels, name="errors.gpkg", classes=NAMES, **options):
    how = EvaluateOptions(errors=folder / name, classes=classes, intervals=False, **options)
    evaluate(mask, labels, how)
    return geopandas.read_file(folder / name, layer="errors")


def burn(frame, column, shape=(90, 130), transform=UTM):
    pairs = zip(frame.geometry, frame[column], strict=True)
    return rasterize(pairs, shape, fill=255, transform=transform, dtype="uint8")


def test_burnt_back_they_are_what_is_wrong(tmp_path):
    mask_path, labels_path, mask, labels = write_pair(tmp_path)
    frame = collect(tmp_path, mask_path, labels_path)
    wrong = (mask != labels) & (labels != 255)
    assert wrong.any()
    for column, values in (("label_id", labels), ("predicted_id", mask)):
        np.testing.assert_array_equal(burn(frame, column), np.where(wrong, values, 255))
    kinds = np.where(mask == 0, 1, np.where(labels == 0, 2, 3))
    np.testing.assert_array_equal(burn(frame, "kind_id"), np.where(wrong, kinds, 255))
    assert frame.pixels.sum() == wrong.sum()
    np.testing.assert_allclose(frame.area_m2, 0.25 * frame.pixels)
    np.testing.assert_allclose(frame.area, frame.area_m2)
    names = dict(enumerate(NAMES.split(",")))
    assert (frame.label == frame.label_id.map(names)).all()
    assert (frame.predicted == frame.predicted_id.map(names)).all()
    assert set(frame.kind) == {"false negative", "false positive", "confusion"}
    assert set(frame.scene) == {"mask0"}
    assert frame.crs.to_epsg() == 32633


def test_windows_do_not_matter(tmp_path, monkeypatch):
    mask, labels, *_ = write_pair(tmp_path)
    whole = collect(tmp_path, mask, labels)
    monkeypatch.setattr("geounet.evaluation.reading.BLOCK", 32)
    monkeypatch.setattr("geounet.evaluation.error_layer.PART_PIXELS", 500)
    cut = collect(tmp_path, mask, labels, "cut.gpkg")
    assert whole.equals(cut)
    assert len(whole) > 20


def test_only_the_area_counts(tmp_path):
    mask, labels, *arrays = write_pair(tmp_path)
    west, north = UTM @ (31, 17)
    east, south = UTM @ (101, 77)
    frame = collect(tmp_path, mask, labels, bbox=(west, south, east, north))
    wrong = (arrays[0] != arrays[1]) & (arrays[1] != 255)
    wrong[:17], wrong[77:], wrong[:, :31], wrong[:, 101:] = False, False, False, False
    np.testing.assert_array_equal(burn(frame, "label_id") != 255, wrong)


def test_many_classes_have_more_pairs_than_a_byte(tmp_path):
    mask_path, labels_path, mask, labels = write_pair(tmp_path, classes=30)
    names = ",".join(f"c{k}" for k in range(30))
    frame = collect(tmp_path, mask_path, labels_path, classes=names)
    wrong = (mask != labels) & (labels != 255)
    assert len(np.unique(256 * mask[wrong].astype(int) + labels[wrong])) > 254
    for column, values in (("label_id", labels), ("predicted_id", mask)):
        np.testing.assert_array_equal(burn(frame, column), np.where(wrong, values, 255))


def test_qgis_colours_them_by_kind(tmp_path):
    mask, labels, *_ = write_pair(tmp_path)
    collect(tmp_path, mask, labels)
    with closing(sqlite3.connect(tmp_path / "errors.gpkg")) as database:
        ((style,),) = database.execute("SELECT styleQML FROM layer_styles")
    assert 'attr="kind_id"' in style
    for name in ("false negative", "false positive", "confusion"):
        assert f'label="{name}"' in style


def test_scenes_in_two_crs_become_one_layer(tmp_path):
    one, labels, *_ = write_pair(tmp_path)
    other, others, mask, truth = write_pair(tmp_path, 1, crs="EPSG:32632")
    frame = collect(tmp_path, [one, other], [labels, others])
    assert set(frame.scene) == {"mask0", "mask1"}
    assert frame.crs.to_epsg() == 32633
    moved = frame[frame.scene == "mask1"].to_crs(32632)
    wrong = (mask != truth) & (truth != 255)
    np.testing.assert_array_equal(burn(moved, "label_id"), np.where(wrong, truth, 255))


def test_geojson_is_in_longitude_and_latitude(tmp_path):
    mask, labels, *_ = write_pair(tmp_path)
    frame = collect(tmp_path, mask, labels, "e.geojson")
    plain = collect(tmp_path, mask, labels)
    assert frame.crs.to_epsg() == 4326
    assert len(frame) == len(plain)
    assert frame.to_crs(32633).total_bounds == pytest.approx(plain.total_bounds, abs=0.01)


def test_without_crs_areas_are_pixels(tmp_path):
    mask, labels, *_ = write_pair(tmp_path, transform=None)
    frame = collect(tmp_path, mask, labels)
    assert frame.crs is None
    assert (frame.area_m2 == frame.pixels).all()


def test_what_is_all_right_makes_an_empty_layer(tmp_path):
    path = write_raster(tmp_path / "m.tif", blobs(0))
    frame = collect(tmp_path, path, path)
    assert len(frame) == 0
    assert "kind_id" in frame


def test_nothing_is_left_behind_if_it_fails(tmp_path):
    mask, labels, *_ = write_pair(tmp_path)
    write_raster(labels, np.full((90, 130), 7, np.uint8))  # no such class
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match="7"):
        collect(tmp_path, mask, labels)
    assert {path.name for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("name", "words"),
    [("e.shp", "no format"), ("no/e.gpkg", "no folder"), ("mask0.tif", "also an input")],
)
def test_what_cannot_be_meant_is_refused_at_once(tmp_path, monkeypatch, name, words):
    mask, labels, *_ = write_pair(tmp_path)
    monkeypatch.setattr("geounet.evaluation.evaluating.count_scene", None)
    with pytest.raises(UsageError, match=words):
        collect(tmp_path, mask, labels, name)


def test_an_existing_file_stays_unless_it_may_be_replaced(tmp_path):
    mask, labels, *_ = write_pair(tmp_path)
    (tmp_path / "errors.gpkg").write_text("mine")
    with pytest.raises(UsageError, match="--overwrite"):
        collect(tmp_path, mask, labels)
    assert (tmp_path / "errors.gpkg").read_text() == "mine"
    assert len(collect(tmp_path, mask, labels, overwrite=True)) > 0


def test_some_without_crs_are_refused(tmp_path):
    one, labels, *_ = write_pair(tmp_path)
    other, others, *_ = write_pair(tmp_path, 1, transform=None)
    with pytest.raises(UsageError, match="CRS"):
        collect(tmp_path, [one, other], [labels, others])
