"""Blended tiles: weights that sum to 1, and a result that does not depend on how work is cut."""

import hashlib
import itertools
import threading
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import make_model
from rasters import read_raster, write_raster
from scipy import ndimage
from test_inference_predict import make_pixels
from torch import nn

from geounet.classes import NODATA, make_classes
from geounet.errors import InputError, Interrupted, ModelError, ResourceError, UsageError
from geounet.inference import (
    PredictOptions,
    TorchEngine,
    foresee,
    make_engine,
    predict,
    predict_window,
    resolve_runtime,
    verify,
)
from geounet.inference.engines.blended_engine import choose_blend
from geounet.inference.engines.blending import Accumulator, Blend, plan_blended_tiles
from geounet.inference.planning import parts, plan
from geounet.models import Band, Model, ModelSpec, build_network, measure_reach
from geounet.models.receptive_field import make_noise
from geounet.raster import Window, open_scene


class Pointwise(nn.Module):
    """Scores of a pixel from that pixel alone."""

    def forward(self, x):
        return torch.cat([x, -x, 0.5 * x * x], dim=1)


class Constant(nn.Module):
    """The same probabilities everywhere."""

    def __init__(self, probabilities=(0.2, 0.7, 0.1)):
        super().__init__()
        self.register_buffer("scores", torch.tensor(probabilities).log())

    def forward(self, x):
        return self.scores[:, None, None].expand(len(x), -1, *x.shape[-2:])


class Blur(nn.Module):
    """A box blur that sees zeros beyond its tile, as padded convolutions do."""

    def __init__(self, radius):
        super().__init__()
        self.blur = nn.AvgPool2d(2 * radius + 1, 1, padding=radius)

    def forward(self, x):
        x = 8 * self.blur(x)
        return torch.cat([x, -x, torch.zeros_like(x)], dim=1)


class Positional(nn.Module):
    """Scores that depend on where in its tile a pixel lies: the hardest case."""

    def forward(self, x):
        rows = torch.linspace(-2, 2, x.shape[-2], device=x.device)[:, None]
        cols = torch.linspace(-3, 3, x.shape[-1], device=x.device)[None]
        return torch.cat([x + rows, cols - x, rows * cols * torch.ones_like(x)], dim=1)


class Greedy(Positional):
    """Does not fit the memory with more than `most` tiles at once."""

    def __init__(self, most):
        super().__init__()
        self.most = most

    def forward(self, x):
        if len(x) > self.most:
            raise RuntimeError("cannot allocate memory")
        return super().forward(x)


def wrap(network, *, classes=3, bands=1, tile=64, stride=8, name="foreign"):
    """A model around a function, without a file."""
    spec = ModelSpec(
        architecture=name,
        arguments={"tile": tile},
        bands=(Band(None, "uint8", 128.0, 50.0),) * bands,
        classes=make_classes(
            [f"class {i}" for i in range(classes)], [3 * i for i in range(classes)]
        ),
        pixel_size_m=None,
        margin=None,
        stride=stride,
    )
    return Model(spec, network.eval(), name, hashlib.sha256(name.encode()).hexdigest())


def run(folder, scene, model, name="mask", **options):
    """Mask and float scores of a run."""
    options = {
        "scores": folder / f"{name}-scores.tif", "scores_dtype": "float32", "overwrite": True,
        **options,
    }  # fmt: skip
    predict(scene, model, folder / f"{name}.tif", PredictOptions(precision="float32", **options))
    return read_raster(folder / f"{name}.tif")[0], read_raster(options["scores"])


def window(row_off, col_off, height, width):
    return Window(row_off=row_off, col_off=col_off, height=height, width=width)


@st.composite
def blends(draw):
    ramp = draw(st.integers(1, 40))
    step = ramp + draw(st.integers(0, 60))
    rim = draw(st.integers(0, 20))
    return Blend(step + ramp + 2 * rim, rim, ramp, draw(st.integers(0, step)))


@settings(deadline=None, max_examples=80)
@given(
    blends(), st.integers(-99, 300), st.integers(-99, 300), st.integers(1, 130), st.integers(1, 90)
)
def test_weights_sum_to_one_and_none_is_zero(blend, row, col, height, width):
    region = window(row, col, height, width)
    weights = blend.weights()
    assert (weights > 0).all()
    assert weights.shape == (blend.kept,)
    total = np.zeros(region.shape, np.float32)
    for tile in plan_blended_tiles(region, blend):
        assert tile.read.shape == (blend.tile, blend.tile)
        assert (tile.read.row_off + blend.rim + blend.ramp - blend.shift) % blend.step == 0
        rows, cols = tile.write.relative_to(tile.read.pad(-blend.rim)).slices()
        total[tile.write.relative_to(region).slices()] += np.outer(weights[rows], weights[cols])
    assert (total == 1).all()


def blend_noise(region, blend):
    """Blended scores of a region; those of a tile are noise that its place decides."""
    strip = Accumulator(region, 2, blend)
    pieces = []
    for tile in plan_blended_tiles(region, blend):
        pieces += strip.finish(tile.write.col_off)
        seed = [tile.read.row_off % 2**20, tile.read.col_off % 2**20]
        scores = np.random.default_rng(seed).random((2, *tile.read.shape), np.float32)
        rows, cols = tile.kept()
        strip.add(tile, scores[:, rows, cols])
    pieces += strip.finish(region.col_end)
    assert [p.col_off for p, _ in pieces] == sorted({p.col_off for p, _ in pieces})
    assert sum(p.area for p, _ in pieces) == region.area
    assert max(p.width for p, _ in pieces) <= blend.kept
    return np.concatenate([scores for _, scores in pieces], axis=-1)


@settings(deadline=None, max_examples=20)
@given(blends(), st.data())
def test_sums_are_the_same_bits_in_every_region(blend, data):
    whole = window(-7, 5, 90, 140)
    expected = blend_noise(whole, blend)
    row, col = data.draw(st.integers(0, 89)), data.draw(st.integers(0, 139))
    height, width = data.draw(st.integers(1, 90 - row)), data.draw(st.integers(1, 140 - col))
    part = window(row - 7, col + 5, height, width)
    rows, cols = part.relative_to(whole).slices()
    assert (blend_noise(part, blend) == expected[:, rows, cols]).all()


def test_pixels_without_a_tile_are_no_data():
    blend = Blend(64, 8, 8)
    region = window(0, 0, 40, 300)
    tiles = list(plan_blended_tiles(region, blend))
    strip = Accumulator(region, 1, blend)
    first, last = tiles[0], tiles[-1]
    for tile in (first, last):
        pieces = list(strip.finish(tile.write.col_off))
        strip.add(tile, np.ones((1, *tile.write.shape), np.float32))
    assert all(np.isnan(scores).all() for p, scores in pieces if p.col_off > first.write.col_end)


def test_a_constant_network_gives_a_constant(tmp_path):
    scene = write_raster(tmp_path / "scene.tif", make_pixels(100, 130, bands=1))
    mask, scores = run(tmp_path, scene, wrap(Constant()))
    assert (mask == 3).all()
    for k, p in enumerate((0.2, 0.7, 0.1)):
        np.testing.assert_allclose(scores[k], p, rtol=3e-7)
    _, steps = run(tmp_path, scene, wrap(Constant()), scores_dtype="uint8")
    assert [set(np.unique(band)) for band in steps] == [{51}, {178}, {25}]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 90), (64, 64), (101, 150)])
def test_a_pointwise_network_does_not_show_the_tiling(tmp_path, height, width):
    pixels = make_pixels(height, width, bands=1)
    scene = write_raster(tmp_path / "scene.tif", pixels)
    mask, scores = run(tmp_path, scene, wrap(Pointwise()), confidence=tmp_path / "confidence.tif")
    x = torch.from_numpy((pixels[None].astype(np.float32) - 128) / 50)
    expected = Pointwise()(x).softmax(1)[0].numpy()
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    assert (mask == 3 * expected.argmax(0)).mean() > 0.999
    confidence = read_raster(tmp_path / "confidence.tif")[0]
    assert np.abs(confidence - 254 * expected.max(0)).max() <= 0.51


def test_the_rim_hides_the_border_of_tiles(tmp_path):
    """What the measured reach crops is what a padded blur gets wrong."""
    pixels = make_pixels(150, 170, bands=1)
    scene = write_raster(tmp_path / "scene.tif", pixels)
    mask, scores = run(tmp_path, scene, wrap(Blur(6)))
    x = (pixels[0].astype(np.float64) - 128) / 50
    blurred = 8 * ndimage.uniform_filter(x, 13, mode="mirror")
    raw = np.stack([blurred, -blurred, np.zeros_like(blurred)])
    expected = np.exp(raw) / np.exp(raw).sum(0)
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    assert (mask == 3 * expected.argmax(0)).mean() > 0.999


@pytest.mark.parametrize(("tile", "stride"), [(64, 8), (128, 16), (256, 32), (1024, 32), (448, 14)])
def test_tiles_lie_on_the_lattice(tile, stride):
    """Otherwise poolings fall differently in each of them: 1 % of the labels of a trained one."""
    blend = choose_blend([(Blur(7), wrap(Blur(7), stride=stride).spec)], tile)
    region = window(0, 0, 3 * tile, tile)
    for one in plan_blended_tiles(region, blend):
        assert one.read.row_off % stride == one.read.col_off % stride == 0
    assert blend.rim >= 7
    assert blend.step > tile // 4


def test_reach_is_measured():
    assert measure_reach(Pointwise(), 1, 128, 8) == 0
    for radius in (3, 10, 18):
        assert radius <= measure_reach(Blur(radius), 1, 128, 8) <= radius + 5
    assert measure_reach(Blur(3), 1, 8, 8) == 2
    unbounded = nn.Sequential(Blur(3), nn.InstanceNorm2d(3))
    assert measure_reach(unbounded, 1, 64, 8) == 16
    scene = make_noise(3, 100)
    assert (scene == make_noise(3, 100)).all()
    assert abs(scene.mean()) < 1e-5
    assert abs(scene.std() - 1) < 1e-5


def test_nothing_that_cuts_the_work_changes_a_bit(tmp_path, monkeypatch):
    pixels = make_pixels(230, 190, bands=1)
    pixels[:, :40, :30] = 0
    scene = write_raster(tmp_path / "scene.tif", pixels, nodata=0)
    model = wrap(Positional())
    mask, scores = run(tmp_path, scene, model)
    assert ((mask == NODATA) == (pixels[0] == 0)).all()
    assert (np.isnan(scores) == (pixels == 0)).all()
    assert min((mask == value).mean() for value in (0, 3, 6)) > 0.05
    for steps, options in [
        (8, {"batch": 3, "readers": 2}),
        (1, {}),
        (2, {"batch": 5, "readers": 3}),
    ]:
        monkeypatch.setattr(parts, "BLENDED_STEPS", steps)
        monkeypatch.setattr(parts, "PART_PIXELS", 1)
        again, same = run(tmp_path, scene, model, "again", **options)
        assert (again == mask).all()
        assert np.array_equal(same, scores, equal_nan=True)


@settings(
    deadline=None, max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_bbox_is_the_cut_of_the_whole(tmp_path, data):
    scene = tmp_path / "scene.tif"
    if not scene.exists():
        write_raster(scene, make_pixels(150, 170, bands=1))
    model = wrap(Positional())
    mask, scores = run(tmp_path, scene, model)
    row, col = data.draw(st.integers(0, 149)), data.draw(st.integers(0, 169))
    cut = window(
        row, col, data.draw(st.integers(1, 150 - row)), data.draw(st.integers(1, 170 - col))
    )
    with open_scene(scene) as source:
        bounds = source.grid.bounds(cut)
        engine = make_engine(model.network, model.spec, resolve_runtime("cpu", "float32"))
        assert (predict_window(engine, source, cut) == mask[cut.slices()]).all()
    got, same = run(tmp_path, scene, model, "cut", bbox=bounds)
    assert (got == mask[cut.slices()]).all()
    assert (same == scores[(slice(None), *cut.slices())]).all()


def test_aoi_limits_without_changing(tmp_path):
    import geopandas
    from shapely import Polygon, contains_xy

    scene = write_raster(tmp_path / "scene.tif", make_pixels(200, 300, bands=1))
    model = wrap(Positional())
    mask, _ = run(tmp_path, scene, model)
    corners = [(10.3, 8.2), (40.1, 30.2), (12.2, 60.4)]
    far = [(290.3, 180.2), (270.1, 190.2), (295.2, 195.4)]
    with open_scene(scene) as source:
        grid = source.grid
    shapes = [Polygon([grid.transform @ p for p in ring]) for ring in (corners, far)]
    frame = geopandas.GeoDataFrame(geometry=shapes, crs="EPSG:32633")
    frame.to_file(tmp_path / "aoi.gpkg")
    got, scores = run(tmp_path, scene, model, "aoi", aoi=tmp_path / "aoi.gpkg")
    with open_scene(tmp_path / "aoi.tif", allow_palette=True) as result:
        extent = grid.window_of(result.grid.bounds())
    rows, cols = np.mgrid[extent.row_off : extent.row_end, extent.col_off : extent.col_end] + 0.5
    inside = contains_xy(Polygon(corners), cols, rows) | contains_xy(Polygon(far), cols, rows)
    assert inside.any()
    assert (got == np.where(inside, mask[extent.slices()], NODATA)).all()
    assert (np.isnan(scores) == ~inside).all()


@pytest.mark.parametrize("calls", [3, 11])
def test_goes_on_after_an_interruption(tmp_path, monkeypatch, calls):
    monkeypatch.setattr(parts, "BLENDED_STEPS", 1)
    monkeypatch.setattr(parts, "PART_PIXELS", 1)
    scene = write_raster(tmp_path / "scene.tif", make_pixels(230, 90, bands=1))
    model = wrap(Positional())
    run(tmp_path, scene, model, "whole")
    original, count = TorchEngine.__call__, itertools.count(1)

    def fail(self, *arguments):
        if next(count) > calls:
            raise KeyboardInterrupt
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(TorchEngine, "__call__", fail)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, scene, model)
    with pytest.raises(InputError, match=r"another .*tiling"):
        predict(scene, model, tmp_path / "mask.tif", PredictOptions(tile=32))
    run(tmp_path, scene, model, overwrite=False)
    for kind in ("", "-scores"):
        files = [(tmp_path / f"{name}{kind}.tif").read_bytes() for name in ("whole", "mask")]
        assert files[0] == files[1]


def test_stops_gently_after_a_part(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "BLENDED_STEPS", 1)
    monkeypatch.setattr(parts, "PART_PIXELS", 1)
    scene = write_raster(tmp_path / "scene.tif", make_pixels(230, 90, bands=1))
    stop = threading.Event()
    seen = []

    def watch(progress):
        seen.append((progress.done, progress.total))
        stop.set()

    options = PredictOptions(precision="float32")
    with pytest.raises(Interrupted, match=r"of 20700 pixels"):
        predict(scene, wrap(Positional()), tmp_path / "mask.tif", options, watch, stop)
    assert all(done <= total == 230 * 90 for done, total in seen)
    assert predict(scene, wrap(Positional()), tmp_path / "mask.tif", options).parts_resumed == 1


def test_the_tile_is_part_of_the_result(tmp_path):
    scene = write_raster(tmp_path / "scene.tif", make_pixels(120, 130, bands=1))
    model = wrap(Positional())
    default, _ = run(tmp_path, scene, model)
    with rasterio.open(tmp_path / "mask.tif") as mask:
        assert mask.tags()["GEOUNET_TILING"].startswith("blend, tile 64, overlap ")
    other, _ = run(tmp_path, scene, model, "other", tile=32)
    with rasterio.open(tmp_path / "other.tif") as mask:
        assert mask.tags()["GEOUNET_TILING"].startswith("blend, tile 32, overlap ")
    assert (other != default).any()
    outlook = foresee(scene, model, tmp_path / "dry.tif", PredictOptions(tile=32))
    assert outlook.tiling.startswith("blend, tile 32, overlap ")
    assert outlook.tile_shape == (32, 32)
    assert outlook.expected_s > 0


def test_verify_compares_with_tiles_that_lie_elsewhere(tmp_path):
    scene = write_raster(tmp_path / "scene.tif", make_pixels(120, 130, bands=1))
    options = PredictOptions(precision="float32")
    for network, is_equal in [(Pointwise(), True), (Positional(), False)]:
        name = type(network).__name__
        model = wrap(network, name=name)
        predict(scene, model, tmp_path / f"{name}.tif", options)
        check = verify(scene, model, tmp_path / f"{name}.tif", options, windows=2)
        assert (check.labels_changed < 20) == is_equal
        assert (check.largest_score_difference < 1e-6) == is_equal


def test_augmentation_and_ensembles(tmp_path):
    scene = write_raster(tmp_path / "scene.tif", make_pixels(90, 100, bands=1))
    models = [wrap(Constant(p), name=str(p)) for p in ((0.6, 0.3, 0.1), (0.2, 0.3, 0.5))]
    _, scores = run(tmp_path, scene, models, tta="d4")
    for k, p in enumerate((0.4, 0.3, 0.3)):
        np.testing.assert_allclose(scores[k], p, rtol=1e-6)
    _, plain = run(tmp_path, scene, wrap(Pointwise()))
    _, turned = run(tmp_path, scene, wrap(Pointwise()), tta="d4")
    np.testing.assert_allclose(turned, plain, atol=1e-6)


def test_what_cannot_be_blended_is_refused(tmp_path):
    scene = write_raster(tmp_path / "scene.tif", make_pixels(90, 100, bands=1))
    _, exact = make_model(tmp_path, bands=1)
    output = tmp_path / "mask.tif"
    values = make_classes([f"class {i}" for i in range(3)])
    foreign = wrap(Constant())
    alike = replace(foreign, spec=replace(foreign.spec, classes=values))
    with pytest.raises(ModelError, match="some have exact tiles"):
        predict(scene, [exact, alike], output)
    with pytest.raises(ModelError, match="32 and 64"):
        predict(scene, [foreign, wrap(Constant(), tile=32)], output)
    with pytest.raises(UsageError, match="multiple of 8"):
        predict(scene, foreign, output, PredictOptions(tile=60))
    with pytest.raises(ModelError, match=r"gives \(1, 3, 64, 64\)"):
        predict(scene, wrap(Constant(), classes=2), output)
    with pytest.raises(ModelError, match="cannot run"):
        predict(scene, wrap(nn.Conv2d(7, 3, 1)), output)
    with pytest.raises(ResourceError, match="--tile"):
        predict(scene, wrap(Constant(), tile=4096), output, PredictOptions(max_memory=2**29))
    assert not output.exists()


def test_batches_are_halved_and_tiles_are_not(tmp_path):
    scene = write_raster(tmp_path / "scene.tif", make_pixels(150, 170, bands=1))
    mask, scores = run(tmp_path, scene, wrap(Positional()))
    halved, same = run(tmp_path, scene, wrap(Greedy(1)), "halved", batch=6)
    assert (halved == mask).all()
    assert (same == scores).all()
    model = wrap(Greedy(1))
    engine = make_engine(model.network, model.spec, resolve_runtime("cpu", "float32"))
    engine.tiles.predictor.members[0].network.most = 0
    with open_scene(scene) as source, pytest.raises(ResourceError, match="too small"):
        predict_window(engine, source, source.grid.extent)


def test_memory_of_the_strip_bounds_the_parts(tmp_path, monkeypatch):
    scene = write_raster(tmp_path / "scene.tif", make_pixels(300, 120, bands=1))
    model = wrap(Positional())
    mask, _ = run(tmp_path, scene, model)
    many = foresee(scene, model, tmp_path / "dry.tif").parts
    monkeypatch.setattr(plan, "STRIP_BYTES", 4 * 3 * 64 * 80)
    assert foresee(scene, model, tmp_path / "dry.tif").parts > many
    assert (run(tmp_path, scene, model, "low")[0] == mask).all()


def test_a_network_of_smp_end_to_end(tmp_path, monkeypatch):
    pytest.importorskip("segmentation_models_pytorch", reason="the extra smp is not installed")
    torch.manual_seed(0)
    network = build_network("smp:Unet:resnet18", 3, 3, {"decoder_channels": [32, 16, 8, 8, 8]})
    network(torch.randn(2, 3, 64, 64))  # lively BatchNorm statistics
    model = wrap(network, bands=3, stride=32, tile=96, name="smp:Unet:resnet18")
    monkeypatch.setattr(parts, "BLENDED_STEPS", 2)
    monkeypatch.setattr(parts, "PART_PIXELS", 1)
    scene = write_raster(tmp_path / "scene.tif", make_pixels(170, 140))
    mask, scores = run(tmp_path, scene, model)
    again, same = run(tmp_path, scene, model, "again", batch=3)
    assert (again == mask).all()
    np.testing.assert_allclose(same, scores, atol=1e-5)
    with open_scene(scene) as source:
        bounds = source.grid.bounds(window(33, 21, 90, 77))
    cut, _ = run(tmp_path, scene, model, "cut", bbox=bounds)
    assert (cut == mask[33:123, 21:98]).all()
