"""A label file without features is a scene without polygons, if other files have some."""

import geopandas
import numpy as np
import pytest
from pyproj import CRS
from rasters import UTM, write_raster
from shapely import box

from geounet.classes import make_classes
from geounet.errors import InputError
from geounet.evaluation import EvaluateOptions, evaluate
from geounet.models import read_spec
from geounet.raster import Grid
from geounet.vector import LabelOptions, open_labels, resolve_legend

TWO = make_classes(["background", "house"])
GRID = Grid(height=64, width=80, transform=UTM, crs=CRS.from_epsg(32633))
FORMATS = ("gpkg", "geojson", "shp", "fgb")
TINY = (
    "--quiet", "--epochs", "1", "--chip", "32", "--architecture", "unet", "--width", "4",
    "--depth", "2",
)  # fmt: skip


def write_houses(path, boxes):
    """Houses as (left, top, right, bottom) in pixels; without any perhaps no column, too."""
    shapes = [box(*(UTM @ (left, bottom)), *(UTM @ (right, top)))
              for left, top, right, bottom in boxes]  # fmt: skip
    columns = {"kind": ["house"] * len(boxes)}
    frame = geopandas.GeoDataFrame(columns, geometry=shapes, crs=32633)
    frame.to_file(path)
    return path


def write_mask(path):
    """Houses in 100 pixels; the rest is background."""
    values = np.zeros(GRID.shape, np.uint8)
    values[10:20, 30:40] = 1
    write_raster(path, values, nodata=255)
    return path


@pytest.fixture
def pair(tmp_path):
    houses = write_houses(tmp_path / "a.gpkg", [(30, 10, 40, 20)])
    return houses, write_houses(tmp_path / "b.gpkg", [])


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("column", [None, "kind"])
def test_all_is_background(tmp_path, suffix, column):
    labels = write_houses(tmp_path / f"b.{suffix}", [])
    labels.with_suffix(".prj").unlink(missing_ok=True)
    options = LabelOptions(class_field=column)
    with open_labels(labels, GRID, TWO, options) as opened:
        assert (opened.read(GRID.extent) == 0).all()
        assert (opened.read_instances(GRID.extent) == 0).all()
        assert opened.note == "the file has no features: all is background"
    with open_labels(labels, GRID, TWO, LabelOptions("kind", sparse=True)) as opened:
        assert (opened.read(GRID.extent) == 255).all()
        assert opened.note == "the file has no features: nothing has a label"


@pytest.mark.parametrize("declared", [None, "house", TWO])
def test_of_several_one_may_be_empty(pair, declared):
    for options in (LabelOptions(), LabelOptions(class_field="kind")):
        legend = resolve_legend(declared, pair, [GRID, GRID], options)
        assert [item.value for item in legend.classes] == [0, 1]
        with pytest.raises(InputError, match=r"b\.gpkg is empty; give a vector file"):
            resolve_legend(declared, pair[1:], [GRID], options)


def test_a_column_without_values_names_the_others(pair):
    frame = geopandas.read_file(pair[0]).assign(kind=None, height=3)
    frame.to_file(pair[0])
    with pytest.raises(InputError, match=r"0 different values in column 'kind' .*: kind, height$"):
        resolve_legend(None, pair[:1], [GRID], LabelOptions(class_field="kind"))


def test_evaluation(tmp_path, pair):
    masks = [write_mask(tmp_path / f"{name}.tif") for name in "ab"]
    both = evaluate(masks, pair, EvaluateOptions(classes="background,house"))
    counts = both.results.confusion.counts
    assert counts.tolist() == [[2 * GRID.height * GRID.width - 200, 100], [0, 100]]
    assert f"{pair[1]}: the file has no features: all is background" in both.notes
    alone = evaluate(masks[1], pair[1], EvaluateOptions(classes="background,house"))
    assert alone.results.confusion.counts[0].tolist() == [GRID.height * GRID.width - 100, 100]
    assert f"{pair[1]}: the file has no features: all is background" in alone.notes
    with pytest.raises(InputError, match=r"b\.gpkg is empty"):  # what is 1 in the mask?
        evaluate(masks[1], pair[1])


def test_training(tmp_path, cli, pair):
    (tmp_path / "images").mkdir()
    pixels = np.random.default_rng(0).integers(1, 255, (3, *GRID.shape), np.uint8)
    for name in "ab":
        write_raster(tmp_path / "images" / f"{name}.tif", pixels)
    command = ("train", tmp_path / "images", "--class-field", "kind", *TINY)
    code, out, err = cli(*command, "-l", *pair[:1], "-l", pair[1], "-o", "run", "--json")
    assert code == 0, err
    assert "the file has no features: all is background" in out
    assert [item.name for item in read_spec(tmp_path / "run" / "model.safetensors").classes] == [
        "background", "house",
    ]  # fmt: skip
    code, _, err = cli(*command, "-l", pair[1], "-l", pair[1], "-o", "other")
    assert (code, "b.gpkg is empty" in err) == (3, True)
