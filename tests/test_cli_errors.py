"""Bad input is normal: one line on stderr, the right exit code, nothing half-written."""

import json
import os
import pickle
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from networks import make_model
from rasters import UTM, write_raster
from shapely import LineString, Point, Polygon, box


@pytest.fixture
def files(tmp_path):
    """A scene of 96 x 80 pixels, its labels in several forms, and a model that fits."""
    pixels = np.random.default_rng(0).integers(1, 255, (3, 96, 80), np.uint8)
    write_raster(tmp_path / "scene.tif", pixels)
    classes = np.zeros((96, 80), np.uint8)
    classes[20:50, 20:60] = 1
    write_raster(tmp_path / "labels.tif", classes)
    write_vectors(tmp_path / "labels.geojson", [pixel_box(20, 20, 60, 50)], kind=["house"])
    make_model(tmp_path)[0].rename(tmp_path / "model.safetensors")
    return tmp_path


def pixel_box(left, top, right, bottom):
    (west, north), (east, south) = UTM @ (left, top), UTM @ (right, bottom)
    return box(west, south, east, north)


def write_vectors(path, geometries, crs="EPSG:32633", **columns):
    frame = geopandas.GeoDataFrame(columns, geometry=geometries, crs=crs)
    frame.to_crs("EPSG:4326").to_file(path)


def check(result, code, *words):
    got, out, err = result
    lines = err.strip().splitlines()
    assert got == code, err
    assert len(lines) == 1, err
    assert lines[0].startswith("error: ")
    assert out == ""
    for word in words:
        assert word in lines[0], err


PREDICT = ("-m", "model.safetensors", "-o", "mask.tif", "--quiet")
TRAIN = (
    "-o", "run", "--quiet", "--epochs", "1", "--chip", "32", "--architecture", "unet",
    "--width", "4", "--depth", "2",
)  # fmt: skip


def break_nothing(folder):
    pass


def make_text(folder):
    (folder / "scene.tif").write_text("not a raster")


def truncate(folder):
    path = folder / "scene.tif"
    path.write_bytes(path.read_bytes()[:-5000])


def make_two_bands(folder):
    write_raster(folder / "scene.tif", np.ones((2, 40, 40), np.uint8))


def make_palette(folder):
    import rasterio

    write_raster(folder / "scene.tif", np.ones((40, 40), np.uint8), photometric="palette")
    with rasterio.open(folder / "scene.tif", "r+") as scene:
        scene.write_colormap(1, {0: (0, 0, 0), 1: (9, 9, 9)})


def make_complex(folder):
    write_raster(folder / "scene.tif", np.ones((3, 40, 40), np.complex64))


def make_pickle(folder):
    (folder / "model.safetensors").write_bytes(pickle.dumps({"a": 1}, protocol=2))


def make_output(folder):
    (folder / "mask.tif").write_text("precious")


@pytest.mark.parametrize(
    ("break_it", "arguments", "code", "words"),
    [
        (break_nothing, ("none.tif", *PREDICT), 3, ["none.tif"]),
        (make_text, ("scene.tif", *PREDICT), 3, ["scene.tif"]),
        (truncate, ("scene.tif", *PREDICT), 3, ["scene.tif", "rows"]),
        (make_two_bands, ("scene.tif", *PREDICT), 4, ["2 bands", "needs 3", "has all of them"]),
        (make_two_bands, ("scene.tif", *PREDICT, "--bands", "1,2"), 4, ["2 bands", "--bands"]),
        (break_nothing, (".", *PREDICT, "--stack"), 2, ["band order, not a folder"]),
        (break_nothing, ("scene.tif", "labels.tif", *PREDICT), 2, ["or --stack"]),
        (make_palette, ("scene.tif", *PREDICT), 3, ["palette"]),
        (make_complex, ("scene.tif", *PREDICT), 3, ["complex"]),
        (make_pickle, ("scene.tif", *PREDICT), 4, ["pickle"]),
        (make_output, ("scene.tif", *PREDICT), 2, ["mask.tif", "--overwrite"]),
        (break_nothing, ("scene.tif", *PREDICT, "--bands", "1,2,9"), 3, ["9"]),
        (break_nothing, ("scene.tif", *PREDICT, "--bands", "1,x"), 2, ["--bands"]),
        (break_nothing, ("scene.tif", *PREDICT, "--bbox", "0,0,1,1"), 3, ["outside"]),
        (break_nothing, ("scene.tif", *PREDICT, "--bbox", "1,1,0,0"), 2, ["W,S,E,N"]),
        (break_nothing, ("scene.tif", *PREDICT, "--tile", "0"), 2, ["--tile"]),
        (break_nothing, ("scene.tif", *PREDICT, "--device", "tpu"), 2, ["tpu"]),
        (break_nothing, ("scene.tif", *PREDICT, "--device", "cuda:99"), 5, ["CUDA"]),
        (break_nothing, ("scene.tif", *PREDICT, "--max-memory", "1KB"), 5, ["--max-memory"]),
        (break_nothing, ("scene.tif", *PREDICT, "--max-memory", "50MB"), 5, ["50 MB of memory"]),
        (break_nothing, ("scene.tif", *PREDICT, "--max-memory", "lots"), 2, ["4GB"]),
        (break_nothing, ("scene.tif", *PREDICT, "--aoi", "none.geojson"), 3, ["none.geojson"]),
        (break_nothing, ("scene.tif", "-m", "scene.tif", "-o", "m.tif"), 4, ["scene.tif"]),
        (break_nothing, ("scene.tif", "-m", "no.safetensors", "-o", "m.tif"), 4, ["no such file"]),
        (
            break_nothing,
            ("scene.tif", "-m", "model.safetensors", "-o", "no/m.tif"),
            2,
            ["no such folder"],
        ),
        (break_nothing, ("scene.tif", "-m", "model.safetensors", "-o", "m.png"), 2, [".tif"]),
        (break_nothing, ("scene.tif", "-m", "model.safetensors", "-o", "scene.tif"), 2, ["itself"]),
        (break_nothing, ("scene.tif", "scene.tif", *PREDICT), 2, ["named"]),
        (break_nothing, ("scene.tif", *PREDICT, "--polygons", "x.shp"), 2, [".gpkg"]),
        (break_nothing, ("scene.tif", *PREDICT, "--polygons", "labels.geojson"), 2, ["exists"]),
        (break_nothing, ("scene.tif", "scene.tif", *PREDICT, "--polygons", "x.gpkg"), 2, ["named"]),
    ],
)
def test_predict(cli, files, break_it, arguments, code, words):
    break_it(files)
    before = {p.name: p.stat().st_size for p in files.iterdir()}
    check(cli("predict", *arguments), code, *words)
    after = {p.name: p.stat().st_size for p in files.iterdir() if not p.name.endswith(".parts")}
    assert after == before


def shift_labels(folder):
    write_vectors(folder / "labels.geojson", [pixel_box(9000, 9000, 9100, 9100)])


def make_points(folder):
    write_vectors(folder / "labels.geojson", [Point(500_010, 4_999_990)])


def make_lines(folder):
    write_vectors(
        folder / "labels.geojson", [LineString([(500_010, 4_999_990), (500_020, 4_999_990)])]
    )


def make_empty(folder):
    (folder / "labels.geojson").write_text(
        json.dumps({"type": "FeatureCollection", "features": []})
    )


def make_text_labels(folder):
    (folder / "labels.geojson").write_text("hello")


def make_run(folder):
    (folder / "run").mkdir()
    (folder / "run" / "model.safetensors").write_text("precious")


def make_other_value(folder):
    classes = np.zeros((96, 80), np.uint8)
    classes[30:40, 30:40] = 7
    write_raster(folder / "labels.tif", classes)


def shift_raster_labels(folder):
    write_raster(
        folder / "labels.tif", np.zeros((96, 80), np.uint8), transform=UTM.translation(9e6, 9e6)
    )


def make_plain_labels(folder):
    write_raster(folder / "labels.tif", np.zeros((9, 9), np.uint8), transform=None)


def make_float_labels(folder):
    write_raster(folder / "labels.tif", np.full((96, 80), 0.5, np.float32))


VECTOR, RASTER = ("--labels", "labels.geojson"), ("--labels", "labels.tif")


@pytest.mark.parametrize(
    ("break_it", "arguments", "code", "words"),
    [
        (break_nothing, ("none.tif", *VECTOR, *TRAIN), 3, ["none.tif"]),
        (make_text, ("scene.tif", *VECTOR, *TRAIN), 3, ["scene.tif"]),
        (truncate, ("scene.tif", *VECTOR, *TRAIN), 3, ["scene.tif"]),
        (break_nothing, ("scene.tif", "--labels", "none.geojson", *TRAIN), 3, ["none.geojson"]),
        (make_text_labels, ("scene.tif", *VECTOR, *TRAIN), 3, ["labels.geojson"]),
        (shift_labels, ("scene.tif", *VECTOR, *TRAIN), 3, ["labels.geojson", "does not overlap"]),
        (make_points, ("scene.tif", *VECTOR, *TRAIN), 3, ["oint"]),
        (make_lines, ("scene.tif", *VECTOR, *TRAIN), 3, ["--line-width"]),
        (make_empty, ("scene.tif", *VECTOR, *TRAIN), 3, ["labels.geojson"]),
        (
            break_nothing,
            ("scene.tif", *VECTOR, "--class-field", "type", *TRAIN),
            3,
            ["type", "kind"],
        ),
        (
            make_other_value,
            ("scene.tif", *RASTER, "--classes", "ground,house", *TRAIN),
            3,
            ["7", "labels.tif"],
        ),
        (
            shift_raster_labels,
            ("scene.tif", *RASTER, "--classes", "ground,house", *TRAIN),
            3,
            ["labels.tif", "does not overlap"],
        ),
        (make_plain_labels, ("scene.tif", *RASTER, *TRAIN), 3, ["labels.tif"]),
        (make_float_labels, ("scene.tif", *RASTER, *TRAIN), 3, ["labels.tif"]),
        (make_run, ("scene.tif", *VECTOR, *TRAIN), 2, ["run", "--overwrite"]),
        (break_nothing, ("scene.tif", *VECTOR, *TRAIN, "--chip", "33"), 2, ["--chip"]),
        (break_nothing, ("scene.tif", *VECTOR, *TRAIN, "--lr", "-1"), 2, ["--lr"]),
        (break_nothing, ("scene.tif", *VECTOR, *TRAIN, "--bbox", "0,0,1,1"), 3, ["outside"]),
        (break_nothing, ("scene.tif", *VECTOR, *TRAIN, "--architecture", "vnet"), 2, ["unet"]),
    ],
)
def test_train(cli, files, break_it, arguments, code, words):
    break_it(files)
    check(cli("train", *arguments), code, *words)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("none.tif", "out.gpkg"), 3, ["none.tif"]),
        (("labels.geojson", "out.gpkg"), 3, ["labels.geojson"]),
        (("scene.tif", "out.gpkg"), 3, ["3 bands"]),
        (("labels.tif", "out.shp"), 2, [".gpkg"]),
        (("labels.tif", "no/out.gpkg"), 2, ["folder"]),
        (("labels.tif", "labels.geojson"), 2, ["--overwrite"]),
        (("labels.tif", "out.gpkg", "--classes", "castle"), 3, ["castle"]),
        (("labels.tif", "out.gpkg", "--classes", "castle , moat"), 3, ["castle, moat"]),
        (("labels.tif", "out.gpkg", "--connectivity", "6"), 2, ["4 or 8"]),
    ],
)
def test_polygonize(cli, files, arguments, code, words):
    before = {p.name: p.read_bytes() for p in files.iterdir()}
    check(cli("polygonize", *arguments, "--quiet"), code, *words)
    assert {p.name: p.read_bytes() for p in files.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("none.tif", *VECTOR), 3, ["none.tif"]),
        (("labels.tif", "--labels", "none.tif"), 3, ["none.tif"]),
        (("scene.tif", *RASTER), 3, ["3 bands"]),
        (("labels.tif", *RASTER, "--bbox", "0,0,1,1"), 3, ["outside"]),
        (("labels.tif", *VECTOR, "--class-field", "type", "--classes", "a,b"), 3, ["kind"]),
    ],
)
def test_evaluate(cli, files, arguments, code, words):
    check(cli("evaluate", *arguments, "--quiet"), code, *words)


def test_info_says_whether_a_model_fits(cli, files):
    code, out, _ = cli("info", "scene.tif", "-m", "model.safetensors", "--json")
    assert (code, json.loads(out)["fits_model"]) == (0, True)
    make_two_bands(files)
    code, out, _ = cli("info", "scene.tif", "-m", "model.safetensors", "--json")
    assert (code, json.loads(out)["fits_model"]) == (4, False)
    assert "needs 3" in json.loads(out)["reason"]
    code, out, _ = cli("info", "scene.tif", "-m", "model.safetensors")
    assert code == 4
    assert "fits the model: no" in out


def test_predicting_again_says_that_it_is_done(cli, files):
    assert cli("predict", "scene.tif", *PREDICT, "--confidence", "c.tif")[0] == 0
    with rasterio.open(files / "c.tif") as confidence:
        assert (confidence.scales, confidence.offsets) == ((1 / 254,), (0,))
        assert confidence.read(1).max() > 1  # as stored
    code, _, err = cli("predict", "scene.tif", *PREDICT[:-1], "--confidence", "c.tif")
    assert code == 0
    assert "nothing was to be computed" in err
    assert "Mpx/s" not in err


def test_dry_run_is_for_people(cli, files):
    code, _, err = cli("predict", "scene.tif", *PREDICT[:-1], "--dry-run")
    assert code == 0
    assert "mask 8 KB before compression" in err


def test_demo_in_a_file(cli, files):
    check(cli("demo", "scene.tif"), 2, "scene.tif", "is a file")


def test_validation_images_from_a_folder(cli, files):
    """Their labels are one file for all, as for the training images."""
    (files / "val").mkdir()
    for name, shift in (("a", 200), ("b", 400)):
        pixels = np.random.default_rng(shift).integers(1, 255, (3, 96, 80), np.uint8)
        moved = UTM @ UTM.translation(shift, 0)
        write_raster(files / "val" / f"{name}.tif", pixels, transform=moved)
    houses = [pixel_box(x + 20, 20, x + 60, 50) for x in (200, 400)]
    write_vectors(files / "val.geojson", houses, kind=["house"] * 2)
    code, out, err = cli(
        "train", "scene.tif", *VECTOR, *TRAIN, "--val-images", "val", "--val-labels", "val.geojson",
        "--classes", "ground,house", "--class-field", "kind", "--json",
    )  # fmt: skip
    assert code == 0, err
    assert json.loads(out)["validation_pixels"] == 2 * 96 * 80


def test_usage(cli):
    check(cli("predict"), 2, "--help")
    check(cli("nonsense"), 2, "nonsense")
    check(cli("predict", "--nonsense"), 2, "--nonsense")
    code, out, err = cli()
    assert code == 2
    assert "predict" in out + err


def test_version(cli):
    code, out, err = cli("--version")
    assert (code, err) == (0, "")
    assert out.startswith("geounet ")


def test_a_bug_says_so(cli, files, monkeypatch):
    import geounet.inference

    def fail(path):
        raise ZeroDivisionError("surprise")

    monkeypatch.setattr(geounet.inference, "load_models", fail)
    code, _, err = cli("predict", "scene.tif", *PREDICT)
    assert code == 1
    assert "ZeroDivisionError: surprise" in err
    assert "report it" in err.splitlines()[-1]


def test_memory_that_is_full_is_no_bug(cli, files, monkeypatch):
    def fill(*arguments, **options):
        raise MemoryError("Unable to allocate 1.00 TiB")

    monkeypatch.setattr("geounet.vector.polygonize", fill)
    check(cli("polygonize", "labels.tif", "a.gpkg"), 5, "memory is full (Unable to allocate 1.00")


def test_interruption_says_how_to_go_on(cli, files, monkeypatch):
    import geounet.inference

    def interrupt(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(geounet.inference, "load_models", interrupt)
    check(cli("predict", "scene.tif", *PREDICT), 130, "same command")


def test_one_bad_scene_does_not_stop_the_others(cli, files):
    (files / "bad.tif").write_text("no raster")
    code, out, err = cli(
        "predict", "scene.tif", "bad.tif", "-m", "model.safetensors", "-o", "masks", "--json"
    )
    assert code == 3
    assert "1 of 2 images failed" in err
    summary = json.loads(out)
    assert [mask["output"] for mask in summary["masks"]] == [str(Path("masks", "scene.tif"))]
    assert (files / "masks" / "scene.tif").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder(cli, files):
    (files / "locked").mkdir(mode=0o500)
    check(cli("predict", "scene.tif", "-m", "model.safetensors", "-o", "locked/m.tif"), 5, "locked")


def test_polygon_labels_make_a_polygon():
    """The helper of this file puts labels where it says."""
    assert pixel_box(20, 20, 60, 50).equals(
        Polygon([UTM @ p for p in [(20, 20), (60, 20), (60, 50), (20, 50)]])
    )
