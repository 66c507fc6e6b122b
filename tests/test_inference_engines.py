"""Engines agree, and each keeps its promise by itself."""

import gc
import importlib.util
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import make_model
from rasters import read_raster, write_raster
from test_inference_predict import make_pixels

from geounet.errors import ModelError, ResourceError, UsageError
from geounet.inference import PredictOptions, Request, Runtime, TorchEngine, load_models, predict
from geounet.inference.engines import openvino_engine
from geounet.inference.engines.cuda_engine import _naming, _reproducible
from geounet.inference.engines.engine import move_checked
from geounet.inference.engines.predictor import Predictor
from geounet.inference.engines.starting import start_engine

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="the extra openvino is not installed"
)


@needs_openvino
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_openvino_agrees_with_torch(tmp_path, dtype):
    _, model = make_model(tmp_path, dtype=dtype)
    pixels = make_pixels(150, 130).astype(dtype)
    pixels[:, :20, :30] = 0
    scene = write_raster(tmp_path / "scene.tif", pixels, nodata=0)
    masks = {}
    for engine in ("torch", "openvino"):
        summary = predict(
            scene, model, tmp_path / f"{engine}.tif",
            PredictOptions(
                engine=engine, precision="float32", tile=64, batch=2,
                scores=tmp_path / f"scores-{engine}.tif", scores_dtype="float32",
            ),
        )  # fmt: skip
        assert summary.engine == engine
        masks[engine] = read_raster(tmp_path / f"{engine}.tif")
    scores = [read_raster(tmp_path / f"scores-{e}.tif") for e in masks]
    np.testing.assert_allclose(*scores, atol=1e-4)
    assert (masks["torch"] == masks["openvino"]).mean() > 0.999


@needs_openvino
def test_openvino_does_not_show_the_tiling(tmp_path):
    _, model = make_model(tmp_path)
    scene = write_raster(tmp_path / "scene.tif", make_pixels(150, 130))
    for tile in (32, 512):
        options = PredictOptions(engine="openvino", precision="float32", tile=tile)
        predict(scene, model, tmp_path / f"{tile}.tif", options)
    masks = [(tmp_path / f"{tile}.tif").read_bytes() for tile in (32, 512)]
    assert masks[0] == masks[1]


@needs_openvino
def test_openvino_compiles_once_for_batches_of_any_size(tmp_path, monkeypatch):
    """Where tiles are skipped, each batch may be of another size."""
    _, model = make_model(tmp_path)
    shapes, original = [], openvino_engine._compile

    def compile_once(model, runtime, shape):
        shapes.append(shape)
        return original(model, runtime, shape)

    monkeypatch.setattr(openvino_engine, "_compile", compile_once)
    engine = start_engine([model], np.dtype("uint8"), PredictOptions(engine="openvino"))
    side = engine.geometry.stride * 4 + 2 * engine.geometry.read_margin
    pixels = np.stack([make_pixels(side, side, seed=seed) for seed in range(4)])
    valid = np.ones((4, side, side), bool)
    valid[:, :30] = False
    alone = [engine(pixels[i : i + 1], valid[i : i + 1])["mask"][0] for i in range(4)]
    for size in (1, 2, 3, 4):
        assert (engine(pixels[:size], valid[:size])["mask"] == np.stack(alone[:size])).all()
    assert len(shapes) == 1


@needs_openvino
def test_openvino_is_called_from_several_threads(tmp_path):
    _, model = make_model(tmp_path)
    engine = start_engine([model], np.dtype("uint8"), PredictOptions(engine="openvino"))
    side = engine.geometry.stride * 16 + 2 * engine.geometry.read_margin
    pixels = [make_pixels(side, side, seed=seed)[None] for seed in range(8)]
    valid = np.ones((1, side, side), bool)
    expected = [engine(one, valid)["mask"] for one in pixels]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda one: engine(one, valid)["mask"], 8 * pixels))
    assert all((a == b).all() for a, b in zip(found, 8 * expected, strict=True))


@needs_openvino
@pytest.mark.chooses_engine
def test_wide_scenes_go_to_torch(tmp_path):
    _, model = make_model(tmp_path, dtype="float64")
    scene = write_raster(tmp_path / "scene.tif", make_pixels(20, 20).astype(np.float64))
    assert predict(scene, model, tmp_path / "mask.tif").engine == "torch"
    with pytest.raises(UsageError, match="--engine torch"):
        predict(scene, model, tmp_path / "other.tif", PredictOptions(engine="openvino"))


@pytest.mark.chooses_engine
def test_an_engine_that_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    _, model = make_model(tmp_path)
    scene = write_raster(tmp_path / "scene.tif", make_pixels(20, 20))
    assert predict(scene, model, tmp_path / "mask.tif").engine == "torch"
    with pytest.raises(UsageError, match=r"geounet\[openvino\]"):
        predict(scene, model, tmp_path / "other.tif", PredictOptions(engine="openvino"))


@pytest.mark.parametrize("most", [3, 1.3, 0.5, 0.2])
def test_what_does_not_fit_is_halved(tmp_path, monkeypatch, most):
    """A device for `most` tiles of 96 with their margins: batches, then tiles are cut in two."""
    _, model = make_model(tmp_path, depth=2)
    scene = write_raster(tmp_path / "scene.tif", make_pixels(170, 230))
    options = PredictOptions(engine="torch", precision="float32", tile=96, batch=4)
    predict(scene, model, tmp_path / "expected.tif", options)
    original, refused = TorchEngine.__call__, []
    budget = most * (96 + 2 * model.network.geometry.read_margin) ** 2

    def call(self, image, valid):
        if valid.size > budget:
            refused.append(valid.size)
            raise MemoryError
        return original(self, image, valid)

    monkeypatch.setattr(TorchEngine, "__call__", call)
    predict(scene, model, tmp_path / "mask.tif", options)
    assert (tmp_path / "mask.tif").read_bytes() == (tmp_path / "expected.tif").read_bytes()
    assert refused
    assert len(refused) == len(set(refused))  # what failed once is not tried again


def test_a_device_too_small_for_anything(tmp_path, monkeypatch):
    def call(self, image, valid):
        raise MemoryError

    _, model = make_model(tmp_path)
    scene = write_raster(tmp_path / "scene.tif", make_pixels(70, 70))
    monkeypatch.setattr(TorchEngine, "__call__", call)
    with pytest.raises(ResourceError, match="memory is too small"):
        predict(scene, model, tmp_path / "mask.tif", PredictOptions(engine="torch"))
    assert not (tmp_path / "mask.tif").exists()


class Asynchronous(TorchEngine):
    """Computes when it is waited for, up to `ahead` batches later, or at once, or fails."""

    ahead = 3

    def submit(self, image, valid):
        if valid.size > self.budget[0]:
            raise MemoryError

        def wait():
            if valid.size > self.budget[1]:
                raise MemoryError
            return self(image, valid)

        return wait


@pytest.mark.parametrize("budget", [(1e9, 1e9), (1e9, 9000), (9000, 1e9), (30_000, 9000)])
def test_batches_in_flight_come_back_in_order(tmp_path, monkeypatch, budget):
    _, model = make_model(tmp_path, depth=2)
    scene = write_raster(tmp_path / "scene.tif", make_pixels(170, 230))
    options = PredictOptions(engine="torch", precision="float32", tile=48, batch=2)
    predict(scene, model, tmp_path / "expected.tif", options)
    monkeypatch.setattr(Asynchronous, "budget", budget, raising=False)
    monkeypatch.setattr("geounet.inference.engines.starting.TorchEngine", Asynchronous)
    _, model = make_model(tmp_path, depth=2)  # another network: the old one keeps its engine
    predict(scene, model, tmp_path / "mask.tif", options)
    assert (tmp_path / "mask.tif").read_bytes() == (tmp_path / "expected.tif").read_bytes()


@pytest.mark.parametrize(
    "name", ["torch", pytest.param("openvino", marks=[needs_openvino, pytest.mark.chooses_engine])]
)
def test_scenes_share_the_engine(tmp_path, name):
    """Of the same models, request and dtype; it goes when the model does."""
    (model,) = load_models(make_model(tmp_path)[0])
    options = PredictOptions(engine=name, precision="float32")
    first = start_engine([model], np.dtype("uint8"), options)
    assert start_engine([model], np.dtype("uint8"), replace(options, tile=64)) is first
    other = start_engine([model], np.dtype("uint8"), replace(options, tta="flip"))
    assert other is not first
    assert other.request.tta == "flip"
    seen = weakref.ref(other)
    del model, first, other
    gc.collect()
    assert seen() is None


@pytest.mark.parametrize("name", ["torch", "openvino"])
def test_changed_weights_get_another_engine(tmp_path, name):
    if name == "openvino":
        pytest.importorskip("openvino")
    (model,) = load_models(make_model(tmp_path)[0])
    scene = write_raster(tmp_path / "scene.tif", make_pixels(40, 40))
    options = PredictOptions(engine=name, precision="float32", overwrite=True)
    predict(scene, model, tmp_path / "mask.tif", options)
    with torch.no_grad():
        model.network.head.bias[1] += 1000
    predict(scene, model, tmp_path / "mask.tif", options)
    assert (read_raster(tmp_path / "mask.tif") == 1).all()


@pytest.mark.parametrize("name", ["torch", pytest.param("openvino", marks=needs_openvino)])
@pytest.mark.parametrize("tta", ["none", "flip"])
def test_scores_that_are_no_numbers_are_no_labels(tmp_path, name, tta):
    """As float16 gives beyond 65504; here float32 does."""
    _, model = make_model(tmp_path, dtype="float32")
    model.network.head.weight.data.mul_(1e6)
    pixels = make_pixels(60, 60).astype(np.float32)
    pixels[:, 10, 10] = 3e38
    scene = write_raster(tmp_path / "scene.tif", pixels)
    options = PredictOptions(engine=name, precision="float32", tta=tta)
    with pytest.raises(ModelError, match=r"rows 0-60, columns 0-60 .*in float32; look for such"):
        predict(scene, model, tmp_path / "mask.tif", options)
    pixels[:, 10, 10] = np.inf  # is no data
    write_raster(scene, pixels)
    options = replace(options, overwrite=True)
    assert predict(scene, model, tmp_path / "mask.tif", options).nodata_pixels == 1


def test_a_device_that_computes_wrong_is_refused(tmp_path, monkeypatch):
    """As torch did on Apple's GPUs; here the second device is the CPU, or one that mixes rows."""
    _, model = make_model(tmp_path)
    predictor = Predictor([(model.network, model.spec)], Request()).eval()
    move_checked(predictor, torch.device("cpu"))
    to = predictor.to

    def move_and_break(device):
        for module in predictor.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.weight.data = module.weight.flip(0)
        return to(device)

    monkeypatch.setattr(predictor, "to", move_and_break)
    with pytest.raises(ResourceError, match="computes this network wrong on cpu"):
        move_checked(predictor, torch.device("cpu"))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_switches_of_cudnn_are_put_back(precision):
    conv = torch.backends.cudnn.conv
    before = conv.fp32_precision
    conv.fp32_precision = "ieee"  # after this, torch refuses to tell its older switch
    try:
        with _reproducible(Runtime(torch.device("cpu"), precision)):
            assert conv.fp32_precision == ("ieee" if precision == "float32" else "tf32")
            assert torch.backends.cudnn.deterministic
        assert conv.fp32_precision == "ieee"
        assert not torch.backends.cudnn.deterministic
    finally:
        conv.fp32_precision = before


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CUDA error: no kernel image is available for execution\nhint", ResourceError),
        ("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED", MemoryError),
        ("mat1 and mat2 shapes cannot be multiplied", RuntimeError),
    ],
)
def test_errors_of_a_gpu_say_what_they_mean(text, expected):
    with pytest.raises(expected) as caught, _naming(torch.device("cuda:1")):
        raise RuntimeError(text)
    assert type(caught.value) is expected
    assert "\n" not in str(caught.value)
