"""polygonize and rasterize on the command line: what they say, and what they refuse."""

from __future__ import annotations

import json
import sys

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from rasters import UTM, read_raster, write_raster

from geounet.classes import make_classes
from geounet.raster import CLASSES_TAG, dump_classes

CLASSES = make_classes(["background", "house", "water"])


@pytest.fixture
def files(tmp_path):
    """Masks with classes, scores and confidence of the first, houses, and a text."""
    mask = np.zeros((20, 30), np.uint8)
    mask[2:9, 3:12], mask[5:15, 15:25] = 1, 2
    write_mask(tmp_path / "mask.tif", mask)
    write_mask(tmp_path / "empty.tif", np.zeros_like(mask))
    write_raster(tmp_path / "bare.tif", mask, transform=None)
    write_raster(tmp_path / "float.tif", mask.astype(np.float32))
    write_raster(tmp_path / "small.tif", mask[:9])
    scores = np.full((3, *mask.shape), 84, np.uint8)
    write_raster(tmp_path / "scores.tif", scores, descriptions=[item.name for item in CLASSES])
    whole = (tmp_path / "mask.tif").read_bytes()
    (tmp_path / "damaged.tif").write_bytes(whole[: len(whole) // 2])
    corners = [*(UTM @ (3, 9)), *(UTM @ (12, 2))]
    houses = geopandas.GeoDataFrame(
        {"kind": ["house"]}, geometry=[shapely.box(*corners)], crs="EPSG:32633"
    )
    houses.to_file(tmp_path / "houses.gpkg")
    (tmp_path / "text.gpkg").write_text("precious")
    return tmp_path


def write_mask(path, mask):
    write_raster(path, mask, nodata=255)
    with rasterio.open(path, "r+") as target:
        target.update_tags(**{CLASSES_TAG: dump_classes(CLASSES)})


def check(result, code, *words):
    got, out, err = result
    lines = err.strip().splitlines()
    assert got == code, err
    assert len(lines) == 1, err
    assert lines[0].startswith("error: ")
    assert out == ""
    for word in words:
        assert word in lines[0], err


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["none.tif", "out.gpkg"], 3, ["none.tif", "does not exist"]),
        (["text.gpkg", "out.gpkg"], 3, ["text.gpkg"]),
        (["damaged.tif", "out.gpkg"], 3, ["damaged.tif is not a raster"]),
        (["float.tif", "out.gpkg"], 3, ["float.tif is no mask: float32"]),
        (["scores.tif", "out.gpkg"], 3, ["scores.tif is no mask: 3 bands of uint8"]),
        (["bare.tif", "out.geojson"], 2, ["the mask has no CRS", ".gpkg"]),
        (["bare.tif", "out.gpkg", "--crs", "EPSG:4326"], 3, ["the mask has no CRS", "--crs"]),
        (["mask.tif", "out.gpkg", "--crs", "EPSG:1"], 2, ["EPSG:1", "no known CRS"]),
        (["mask.tif", "out.gpkg", "--classes", "roof"], 3, ["no class roof", "house, water"]),
        (["mask.tif", "out.gpkg", "--connectivity", "6"], 2, ["--connectivity", "4 or 8"]),
        (["mask.tif", "out.gpkg", "--confidence", "small.tif"], 3, ["small.tif", "grid of"]),
        (["mask.tif", "out.gpkg", "--scores", "small.tif"], 3, ["small.tif", "name its bands"]),
        (["mask.tif", "out.gpkg", "--layer", "gpkg_x"], 2, ["--layer 'gpkg_x'"]),
        (["mask.tif", "out.gpkg", "--layer", " "], 2, ["--layer ' '"]),
        (["mask.tif", "out.shp"], 2, ["out.shp", ".gpkg, .parquet, .fgb, .geojson"]),
        (["mask.tif", "out"], 2, ["is of no format that can be written"]),
        (["mask.tif", "none/out.gpkg"], 2, ["none is no folder"]),
        (["mask.tif", "text.gpkg"], 2, ["text.gpkg exists", "--overwrite, or --append"]),
        (["mask.tif", "text.gpkg", "--append"], 3, ["text.gpkg is no GeoPackage"]),
        (["mask.tif", "out.fgb", "--append"], 2, ["out.fgb cannot be added to"]),
        (["mask.tif", "out.gpkg", "--append", "--overwrite"], 2, ["exclude each other"]),
        (
            ["mask.tif", "houses.gpkg", "--append", "--layer", "houses"],
            3,
            ["houses.gpkg, layer houses, has columns that these polygons lack: kind"],
        ),
    ],
)
def test_polygonize_refuses(cli, files, arguments, code, words):
    before = contents(files)
    check(cli("polygonize", *arguments), code, *words)
    assert contents(files) == before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
@pytest.mark.parametrize(
    "arguments",
    [
        ("polygonize", "mask.tif", "/proc/out.gpkg"),
        ("rasterize", "houses.gpkg", "--like", "mask.tif", "-o", "/proc/out.tif"),
    ],
)
def test_a_folder_that_cannot_be_written_to_is_named(cli, files, arguments):
    check(cli(*arguments), 5, "/proc/out.", "cannot be written")


@pytest.mark.parametrize("name", ["out.gpkg", "out.fgb", "out.parquet", "out.geojson"])
def test_an_empty_mask_is_an_empty_layer(cli, files, name):
    if name == "out.parquet":
        pytest.importorskip("pyarrow")
    code, out, err = cli("polygonize", "empty.tif", name, "--scores", "scores.tif", "--json")
    assert code == 0
    assert json.loads(out)["polygons"] == 0
    assert err == f"{name}: 0 polygons\n"
    if name == "out.parquet":
        frame = geopandas.read_parquet(files / name)
    else:
        frame = geopandas.read_file(files / name, layer=None if "fgb" in name else "polygons")
    assert len(frame) == 0
    if name != "out.geojson":  # which has no schema
        assert frame.crs == "EPSG:32633"
        assert [*frame.columns] == [
            "class_id", "class", "area_m2", "perimeter_m", "pixels", "confidence",
            "confidence_min", "score_background", "score_house", "score_water", "geometry",
        ]  # fmt: skip


def test_a_mask_without_crs_is_in_pixels(cli, files):
    assert cli("polygonize", "bare.tif", "out.gpkg")[0] == 0
    frame = geopandas.read_file(files / "out.gpkg", layer="polygons")
    assert frame.crs is None
    assert frame.area_m2.tolist() == frame.pixels.tolist() == [63, 100]


def test_scenes_are_added_to_one_file_once_each(cli, files):
    mask = np.zeros((20, 30), np.uint8)
    mask[0, :4] = 1
    write_mask(files / "other.tif", mask)
    added = [cli("polygonize", name, "all.gpkg", "--append") for name in ("mask.tif", "other.tif")]
    assert [err for _, _, err in added] == ["all.gpkg: 2 polygons\n", "all.gpkg: 1 polygon\n"]
    before = (files / "all.gpkg").read_bytes()
    code, out, err = cli("polygonize", "mask.tif", "all.gpkg", "--append", "--json")
    assert code == 0
    assert json.loads(out)["is_new"] is False
    assert err == "all.gpkg: 2 polygons, all of them there already: nothing added\n"
    assert (files / "all.gpkg").read_bytes() == before
    frame = geopandas.read_file(files / "all.gpkg", layer="polygons")
    assert frame.pixels.tolist() == [63, 100, 4]
    assert cli("polygonize", "mask.tif", "all.gpkg", "--append", "--layer", "second")[0] == 0
    assert len(geopandas.read_file(files / "all.gpkg", layer="second")) == 2
    renamed = ("polygonize", "bare.tif", "all.gpkg", "--append", "--crs")
    check(cli(*renamed[:-1]), 3, "all.gpkg", "these polygons in no CRS")


def test_classes_of_other_names_are_not_mixed(cli, files):
    assert cli("polygonize", "mask.tif", "all.gpkg", "--append")[0] == 0
    write_raster(files / "numbers.tif", np.ones((5, 5), np.uint8))
    result = cli("polygonize", "numbers.tif", "all.gpkg", "--append")
    check(result, 3, "all.gpkg calls class 1 'house', the mask 'class 1'", "--layer")


RASTERIZE = ("--like", "mask.tif", "-o", "labels.tif")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["none.gpkg", *RASTERIZE], 3, ["none.gpkg does not exist"]),
        (["text.gpkg", *RASTERIZE], 3, ["text.gpkg"]),
        (["mask.tif", *RASTERIZE], 2, ["mask.tif is a raster already"]),
        (["houses.gpkg", "--like", "none.tif", "-o", "labels.tif"], 3, ["none.tif"]),
        (["houses.gpkg", "--like", "bare.tif", "-o", "labels.tif"], 3, ["no georeference"]),
        (["houses.gpkg", "--like", "mask.tif", "-o", "labels.png"], 2, ["labels.png", ".tif"]),
        (["houses.gpkg", "--like", "mask.tif", "-o", "mask.tif"], 2, ["exists", "--overwrite"]),
        (["houses.gpkg", *RASTERIZE, "--class-field", "sort"], 3, ["'sort'", "kind"]),
        (["houses.gpkg", *RASTERIZE, "--separate", "-1"], 2, ["--separate is -1"]),
        (["houses.gpkg", *RASTERIZE, "--separate", "x"], 2, ["--separate"]),
        (["houses.gpkg", *RASTERIZE, "--line-width", "0"], 2, ["--line-width is 0"]),
        (["houses.gpkg", "-o", "labels.tif"], 2, ["--like"]),
    ],
)
def test_rasterize_refuses(cli, files, arguments, code, words):
    before = contents(files)
    check(cli("rasterize", *arguments), code, *words)
    assert contents(files) == before


def test_rasterize_says_what_it_made(cli, files):
    code, out, err = cli("rasterize", "houses.gpkg", *RASTERIZE, "--json")
    assert code == 0
    assert err == "labels.tif: background 89.5 %, houses 10.5 %\n"
    summary = json.loads(out)
    assert summary["class_pixels"] == {"background": 600 - 63, "houses": 63}
    labels = read_raster(files / "labels.tif")[0]
    assert (labels == (read_raster(files / "mask.tif")[0] == 1)).all()
    assert cli("rasterize", "houses.gpkg", *RASTERIZE, "--overwrite", "--quiet") == (0, "", "")
