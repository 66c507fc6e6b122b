"""Which images are mapped, and which of their pixels: folders, lists, --bbox."""

import json

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from networks import make_model
from rasters import UTM, read_raster, write_raster
from test_inference_predict import make_pixels, predict_untiled

from geounet.classes import NODATA
from geounet.errors import InputError
from geounet.inference import PredictOptions, predict
from geounet.raster import Grid
from geounet.vector.limits import is_rotated

FLOAT32 = ("--precision", "float32", "--quiet")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model"), pixel_size_m=None)


@pytest.fixture
def scenes(tmp_path):
    """A folder of three."""
    folder = tmp_path / "scenes"
    folder.mkdir()
    for seed, name in enumerate("abc"):
        write_raster(folder / f"{name}.tif", make_pixels(50, 40, seed=seed))
    return folder


@pytest.mark.parametrize("degrees", [30, -75, 0.5])
def test_bbox_on_a_rotated_grid_leaves_what_is_inside(tmp_path, model, degrees):
    """Not all of the window around it: pixels whose centres are outside are no data."""
    pixels = make_pixels(90, 110)
    transform = UTM @ Affine.rotation(degrees)
    scene = write_raster(tmp_path / "scene.tif", pixels, transform=transform)
    x, y = transform @ (52, 41)
    bbox = (x - 12, y - 8, x + 10, y + 11)
    options = PredictOptions(precision="float32", tile=32, bbox=bbox)
    predict(scene, model[1], tmp_path / "mask.tif", options)
    with rasterio.open(tmp_path / "mask.tif") as result:
        mask = result.read(1)
        col, row = (round(v) for v in ~transform @ (result.transform.c, result.transform.f))
        assert result.transform.almost_equals(transform @ Affine.translation(col, row), 1e-6)
    window = np.s_[row : row + mask.shape[0], col : col + mask.shape[1]]
    rows, cols = np.mgrid[window] + 0.5
    xs, ys = (v.reshape(rows.shape) for v in transform @ (cols.ravel(), rows.ravel()))
    inside = shapely.contains_xy(shapely.box(*bbox), xs, ys)
    expected = np.where(inside, predict_untiled(model[1], pixels)[window], NODATA)
    assert (mask == expected).all()
    assert inside.sum() == pytest.approx(22 * 19 / 0.25, rel=0.02)


def test_bbox_and_aoi_on_a_rotated_grid(tmp_path, model):
    import geopandas

    transform = UTM @ Affine.rotation(30)
    scene = write_raster(tmp_path / "scene.tif", make_pixels(90, 110), transform=transform)
    x, y = transform @ (52, 41)
    for name, box in {
        "near": shapely.box(x, y - 5, x + 30, y + 5),
        "far": shapely.box(x + 6, y + 6, x + 9, y + 9),
    }.items():
        frame = geopandas.GeoDataFrame(geometry=[box], crs="EPSG:32633")
        frame.to_file(tmp_path / f"{name}.gpkg")
    options = {"precision": "float32", "bbox": (x - 5, y - 5, x + 5, y + 5)}
    near = PredictOptions(**options, aoi=tmp_path / "near.gpkg")
    summary = predict(scene, model[1], tmp_path / "mask.tif", near)
    assert sum(summary.class_pixels.values()) == pytest.approx(5 * 10 / 0.25, rel=0.05)
    with pytest.raises(InputError, match="no pixel"):
        far = PredictOptions(**options, aoi=tmp_path / "far.gpkg")
        predict(scene, model[1], tmp_path / "none.tif", far)


def test_what_counts_as_rotated():
    def grid(transform):
        return Grid(1000, 2000, transform)

    upright = [UTM, Affine(0.5, 0, 0, 0, 0.5, 0), Affine(0, 2, 0, 2, 0, 0),
               Affine(1e-6, 1e-13, 8, 0, -1e-6, 47)]  # fmt: skip
    assert not [t for t in upright if is_rotated(grid(t))]
    rotated = [UTM @ Affine.rotation(0.1), Affine(1e-6, 1e-7, 8, 0, -1e-6, 47)]
    assert all(is_rotated(grid(t)) for t in rotated)


@pytest.mark.parametrize("name", ["maps", "maps.v2", "2024.01"])
def test_a_folder_into_a_folder(tmp_path, cli, model, scenes, name):
    code, _, err = cli("predict", scenes, "-m", model[0], "-o", name, *FLOAT32)
    assert (code, err) == (0, "")
    for seed, stem in enumerate("abc"):
        expected = predict_untiled(model[1], make_pixels(50, 40, seed=seed))
        assert (read_raster(tmp_path / name / f"{stem}.tif")[0] == expected).all()


def test_what_is_left_out_of_a_folder_is_named(tmp_path, cli, model, scenes):
    for name in ("notes.txt", "a.tfw", "d.hdf"):
        (tmp_path / scenes / name).touch()
    code, _, err = cli("predict", scenes, "-m", model[0], "-o", "maps", *FLOAT32[:-1])
    assert code == 0
    assert "note: d.hdf, notes.txt in" in err
    assert "a.tfw" not in err


@pytest.mark.parametrize("name", ["maps.tif", "maps.PNG", "maps.vrt"])
def test_several_images_into_a_file_are_refused(tmp_path, cli, model, scenes, name):
    code, _, err = cli("predict", scenes, "-m", model[0], "-o", name, "--quiet")
    assert code == 2
    assert err.startswith(f"error: {name}: several images need a folder")
    assert not (tmp_path / name).exists()


def test_dry_run_makes_no_folder(tmp_path, cli, model, scenes):
    before = set(tmp_path.rglob("*"))
    code, out, _ = cli("predict", scenes, "-m", model[0], "-o", "maps", "--dry-run", "--json")
    assert code == 0
    assert [(plan["height"], plan["width"]) for plan in json.loads(out)] == [(50, 40)] * 3
    assert set(tmp_path.rglob("*")) == before
    alone = ("predict", scenes / "a.tif", "-m", model[0], "-o", "none/mask.tif", "--dry-run")
    assert cli(*alone)[0] == 2  # as predict would
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "b.tif").write_text("precious")
    assert cli("predict", scenes, "-m", model[0], "-o", "maps", "--dry-run")[0] == 2


def test_dry_run_of_a_folder_with_one_image(tmp_path, cli, model, scenes):
    for name in "bc":
        (scenes / f"{name}.tif").unlink()
    assert cli("predict", scenes, "-m", model[0], "-o", "maps", "--dry-run")[0] == 0
    assert not (tmp_path / "maps").exists()
    assert cli("predict", scenes, "-m", model[0], "-o", "maps", *FLOAT32)[0] == 0
    assert (tmp_path / "maps" / "a.tif").exists()


def test_one_that_exists_does_not_stop_the_others(tmp_path, cli, model, scenes):
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "b.tif").write_text("precious")
    (scenes / "a.tif").write_text("no raster")
    code, out, err = cli("predict", scenes, "-m", model[0], "-o", "maps", *FLOAT32, "--json")
    assert code == 3  # of the first that failed
    lines = err.splitlines()
    assert [line[:7] for line in lines] == ["error: "] * 3
    assert "a.tif is not a raster" in lines[0]
    assert "b.tif exists; replace it with --overwrite" in lines[1]
    assert "2 of 3 images failed" in lines[2]
    assert (tmp_path / "maps" / "b.tif").read_text() == "precious"
    expected = predict_untiled(model[1], make_pixels(50, 40, seed=2))
    assert (read_raster(tmp_path / "maps" / "c.tif")[0] == expected).all()
    assert len(json.loads(out)["masks"]) == 1
    assert cli("predict", scenes, "-m", model[0], "-o", "maps", *FLOAT32, "--overwrite")[0] == 3
    assert (read_raster(tmp_path / "maps" / "b.tif")[0] != NODATA).all()


def test_what_concerns_all_is_said_once(tmp_path, cli, model, scenes):
    command = ("predict", scenes, "-m", model[0], "-o", "maps", "--quiet", "--device", "abacus")
    code, _, err = cli(*command)
    assert code == 2
    first, last = err.splitlines()
    assert "abacus" in first
    assert "3 of 3 images failed" in last
    assert not list((tmp_path / "maps").glob("*.tif"))
