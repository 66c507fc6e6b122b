"""The tiling never shows: every mask equals the network run untiled on the mirrored scene."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import make_model
from rasters import read_raster, write_raster, write_vrt
from scipy import ndimage

from geounet.classes import NODATA
from geounet.errors import ModelError, UsageError
from geounet.inference import PredictOptions, foresee, predict
from geounet.models import to_inference_form
from geounet.raster import open_scene

SIZES = [(1, 1), (1, 7), (5, 1), (3, 2), (9, 40), (45, 46), (64, 64), (100, 133), (257, 90)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model"))[1]


def make_pixels(height, width, bands=3, seed=0):
    """Smooth blobs with noise, so that labels differ from place to place."""
    noise = np.random.default_rng(seed).normal(size=(bands, height, width))
    smooth = sum(ndimage.gaussian_filter(noise, (0, s, s)) * s for s in (1, 4, 9))
    return (128 + 50 * smooth / (smooth.std() + 1e-6)).clip(0, 255).astype(np.uint8)


def predict_untiled(model, pixels, valid=None):
    """The reference: numpy's mirror around the whole scene, then the network once."""
    network = to_inference_form(model.network)
    geometry = model.network.geometry
    _, height, width = pixels.shape
    stride, reach = geometry.stride, geometry.read_margin
    extra = (-height % stride, -width % stride)
    pad = ((reach, reach + extra[0]), (reach, reach + extra[1]))
    offset = np.array([b.offset for b in model.spec.bands], np.float32)[:, None, None]
    scale = np.array([b.scale for b in model.spec.bands], np.float32)[:, None, None]
    valid = np.ones((height, width), bool) if valid is None else valid
    x = np.where(valid, (pixels.astype(np.float32) - offset) / scale, np.float32(0))
    x = np.pad(x, ((0, 0), *pad), mode="reflect")
    with torch.inference_mode():
        scores = network(torch.from_numpy(x)[None].to(memory_format=torch.channels_last))[0]
    spare = geometry.spare
    labels = scores.argmax(0).numpy()[spare : spare + height, spare : spare + width]
    return np.where(valid, labels, NODATA).astype(np.uint8)


def run(tmp_path, scene, model, name="mask.tif", **options):
    predict(scene, model, tmp_path / name, PredictOptions(precision="float32", **options))
    return read_raster(tmp_path / name)[0]


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("tile", [16, 40, 64, 1024])
def test_mask_equals_the_untiled_network(tmp_path, model, height, width, tile):
    pixels = make_pixels(height, width)
    scene = write_raster(tmp_path / "scene.tif", pixels)
    mask = run(tmp_path, scene, model, tile=tile, device="cpu")
    assert (mask == predict_untiled(model, pixels)).all()


def test_the_reference_sees_several_classes(model):
    labels = predict_untiled(model, make_pixels(257, 190))
    assert min(np.bincount(labels.ravel(), minlength=3)) > 500


def test_identical_for_every_cut(tmp_path, model):
    """Tile, batch, readers: no label changes; depth 4 as well."""
    _, deep = make_model(tmp_path, depth=4, width=4, seed=3)
    pixels = make_pixels(300, 270, seed=1)
    scene = write_raster(tmp_path / "scene.tif", pixels, tiled=True, blockxsize=64, blockysize=64)
    for network in (model, deep):
        expected = predict_untiled(network, pixels)
        for i, options in enumerate(
            [
                {"tile": 64, "batch": 5, "readers": 3},
                {"tile": 128, "batch": 2, "readers": 2},
                {"tile": 256},
                {},
            ]
        ):
            mask = run(tmp_path, scene, network, f"{i}-{network.name}.tif", **options)
            assert (mask == expected).all()


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.integers(1, 90), st.integers(1, 90), st.sampled_from([8, 24, 56, 200]), st.integers(1, 3),
    st.integers(1, 3), st.data(),
)  # fmt: skip
def test_bbox_is_the_cut_of_the_whole(tmp_path, model, height, width, tile, batch, readers, data):
    row, col = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    rows = data.draw(st.integers(1, height - row))
    cols = data.draw(st.integers(1, width - col))
    pixels = make_pixels(height, width)
    scene = write_raster(tmp_path / "scene.tif", pixels)
    with open_scene(scene) as source:
        grid = source.grid
    window = grid.extent.intersect(type(grid.extent)(
        row_off=row, col_off=col, height=rows, width=cols))  # fmt: skip
    mask = run(
        tmp_path, scene, model, tile=tile, batch=batch, readers=readers,
        bbox=grid.bounds(window), overwrite=True,
    )  # fmt: skip
    assert (mask == predict_untiled(model, pixels)[window.slices()]).all()
    with open_scene(tmp_path / "mask.tif", allow_palette=True) as result:
        assert result.grid.matches(grid.crop(window))


def test_aoi_limits_without_changing(tmp_path, model):
    pixels = make_pixels(120, 150)
    scene = write_raster(tmp_path / "scene.tif", pixels)
    aoi = tmp_path / "aoi.geojson"
    with open_scene(scene) as source:
        grid = source.grid
    corners = [grid.transform @ p for p in [(20.3, 30.2), (100.7, 40.1), (60.2, 110.4)]]
    _write_polygon(aoi, corners, "EPSG:32633")
    mask = run(tmp_path, scene, model, tile=32, aoi=aoi)
    with open_scene(tmp_path / "mask.tif", allow_palette=True) as result:
        window = grid.window_of(result.grid.bounds())
    expected = predict_untiled(model, pixels)[window.slices()]
    inside = _centres_inside([(20.3, 30.2), (100.7, 40.1), (60.2, 110.4)], window)
    assert (mask[inside] == expected[inside]).all()
    assert (mask[~inside] == NODATA).all()
    assert 0.2 < inside.mean() < 0.8


def test_nodata_corner_nan_and_alpha(tmp_path):
    """Invalid pixels are 255, act as the training mean, and their garbage changes nothing."""
    _, model = make_model(tmp_path, dtype="float32")
    pixels = make_pixels(90, 110).astype(np.float32)
    valid = np.ones((90, 110), bool)
    valid[:30, :40] = False
    valid[70, 80] = False
    expected = predict_untiled(model, pixels, valid)
    for i, garbage in enumerate((np.nan, np.inf, -9999)):
        dirty = np.where(valid, pixels, np.float32(garbage))
        scene = write_raster(
            tmp_path / f"{i}.tif", dirty, nodata=garbage if garbage == -9999 else None
        )
        mask = run(tmp_path, scene, model, f"mask-{i}.tif", tile=32)
        assert (mask == expected).all()


def test_invalid_tiles_skip_the_network(tmp_path, model):
    pixels = make_pixels(256, 256)
    pixels[:, :, 100:] = 0
    scene = write_raster(tmp_path / "scene.tif", pixels, nodata=0)
    summary = predict(scene, model, tmp_path / "m.tif", PredictOptions(tile=64))
    assert summary.tiles == 16
    assert summary.tiles_skipped == 8
    assert summary.nodata_pixels == (read_raster(tmp_path / "m.tif") == NODATA).sum()


def test_all_invalid_scene(tmp_path, model):
    scene = write_raster(tmp_path / "scene.tif", np.zeros((3, 40, 50), np.uint8), nodata=0)
    assert (run(tmp_path, scene, model) == NODATA).all()


def test_wide_integers_keep_their_precision(tmp_path):
    """float32 cannot tell 10^9 + 1 from 10^9: normalisation happens before it."""
    _, model = make_model(tmp_path, dtype="int32")
    pixels = make_pixels(40, 60)
    for band in model.spec.bands:
        object.__setattr__(band, "offset", band.offset + 1e9)
    scene = write_raster(tmp_path / "scene.tif", pixels.astype(np.int32) + 10**9)
    mask = run(tmp_path, scene, model)
    for band in model.spec.bands:
        object.__setattr__(band, "offset", band.offset - 1e9)
    assert (mask == predict_untiled(model, pixels)).all()


def test_confidence_is_the_winning_probability(tmp_path, model):
    pixels = make_pixels(60, 70)
    pixels[:, :5, :5] = 0
    scene = write_raster(tmp_path / "scene.tif", pixels, nodata=0)
    mask = run(tmp_path, scene, model, tile=32, confidence=tmp_path / "confidence.tif")
    confidence = read_raster(tmp_path / "confidence.tif")[0]
    assert ((confidence == NODATA) == (mask == NODATA)).all()
    assert (confidence[mask != NODATA] >= 254 // 3).all()
    assert confidence[mask != NODATA].max() <= 254


def test_the_mask_says_what_it_is(tmp_path, model):
    scene = write_raster(tmp_path / "scene.tif", make_pixels(40, 50))
    run(tmp_path, scene, model)
    import rasterio

    with rasterio.open(tmp_path / "mask.tif") as mask:
        assert mask.crs.to_epsg() == 32633
        assert mask.nodata == NODATA
        assert mask.tags()["GEOUNET_MODEL_SHA256"] == model.digest
        assert mask.colormap(1)[1][:3] == model.spec.classes[1].rgb
        assert mask.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    assert not list(tmp_path.glob("*.parts"))


def test_same_run_same_bytes(tmp_path, model):
    scene = write_raster(tmp_path / "scene.tif", make_pixels(140, 150))
    run(tmp_path, scene, model, "a.tif", tile=32)
    run(tmp_path, scene, model, "b.tif", tile=128, batch=2)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_existing_output_is_not_touched(tmp_path, model):
    scene = write_raster(tmp_path / "scene.tif", make_pixels(20, 20))
    (tmp_path / "mask.tif").write_bytes(b"precious")
    with pytest.raises(UsageError, match="--overwrite"):
        predict(scene, model, tmp_path / "mask.tif")
    assert (tmp_path / "mask.tif").read_bytes() == b"precious"
    run(tmp_path, scene, model, overwrite=True)


def test_the_scene_is_not_overwritten(tmp_path, model):
    scene = write_raster(tmp_path / "scene.tif", make_pixels(20, 20))
    before = scene.read_bytes()
    with pytest.raises(UsageError, match="the scene itself"):
        predict(scene, model, scene, PredictOptions(overwrite=True))
    assert scene.read_bytes() == before


def test_two_outputs_of_one_path_are_refused(tmp_path, model, monkeypatch):
    scene = write_raster(tmp_path / "scene.tif", make_pixels(20, 20))
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("mask.tif", "sub/../mask.tif", "link/mask.tif"):
        with pytest.raises(UsageError, match="named for two outputs"):
            predict(scene, model, "mask.tif", PredictOptions(confidence=Path(name)))


@pytest.mark.parametrize("look", [predict, foresee])
@pytest.mark.parametrize("kind", ["mask", "scores", "polygons"])
def test_no_file_of_the_scene_is_overwritten(tmp_path, model, kind, look):
    """Nor one under a virtual raster, nor a scene that has the format of polygons."""
    source = write_raster(tmp_path / "source.tif", make_pixels(20, 20))
    scene = write_vrt(tmp_path / "outer.vrt", write_vrt(tmp_path / "inner.vrt", source))
    outputs = {"mask": tmp_path / "mask.tif"}
    if kind == "polygons":
        scene = source = write_raster(tmp_path / "s.gpkg", make_pixels(20, 20), driver="GPKG")
    outputs[kind] = source
    before = source.read_bytes()
    mask = outputs.pop("mask")
    with pytest.raises(UsageError, match="is a file of the scene itself"):
        look(scene, model, mask, PredictOptions(overwrite=True, bands=(1, 2, 3), **outputs))
    assert source.read_bytes() == before


@pytest.mark.parametrize(
    ("scene_options", "model_options", "message"),
    [
        ({"bands": 2}, {}, "gives 2 bands, the model needs 3"),
        ({"dtype": np.float32}, {}, "--allow-dtype"),
        ({}, {"pixel_size_m": 2.0}, "--allow-pixel-size"),
        (
            {"descriptions": ["red", "green", "blue"]},
            {"names": ("blue", "green", "red")},
            "--bands 3,2,1",
        ),
        (
            {"descriptions": ["red", "green", "nir"]},
            {"names": ("blue", "green", "red")},
            "the model needs blue, green, red",
        ),
    ],
)
def test_scenes_that_do_not_fit(tmp_path, scene_options, model_options, message):
    _, model = make_model(tmp_path, **model_options)
    pixels = make_pixels(20, 20, scene_options.pop("bands", 3))
    pixels = pixels.astype(scene_options.pop("dtype", np.uint8))
    scene = write_raster(tmp_path / "scene.tif", pixels, **scene_options)
    with pytest.raises(ModelError, match=message):
        predict(scene, model, tmp_path / "mask.tif")
    assert not (tmp_path / "mask.tif").exists()
    assert not (tmp_path / "mask.tif.parts").exists()


def _write_polygon(path, corners, crs):
    import geopandas
    from shapely import Polygon

    frame = geopandas.GeoDataFrame(geometry=[Polygon(corners)], crs=crs)
    frame.to_crs("EPSG:4326").to_file(path)


def _centres_inside(corners, window):
    import shapely

    rows, cols = np.mgrid[window.row_off : window.row_end, window.col_off : window.col_end]
    return shapely.contains_xy(shapely.Polygon(corners), cols + 0.5, rows + 0.5)
