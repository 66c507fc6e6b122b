"""Engines agree, and each keeps its promise by itself."""

import importlib.util

import numpy as np
import pytest
from networks import make_model
from rasters import read_raster, write_raster
from test_inference_predict import make_pixels

from geounet.errors import ResourceError, UsageError
from geounet.inference import PredictOptions, TorchEngine, predict

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="the extra openvino is not installed"
)


@needs_openvino
@pytest.mark.filterwarnings("ignore")  # openvino's and torch.export's own deprecations
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
@pytest.mark.filterwarnings("ignore")
def test_openvino_does_not_show_the_tiling(tmp_path):
    _, model = make_model(tmp_path)
    scene = write_raster(tmp_path / "scene.tif", make_pixels(150, 130))
    for tile in (32, 512):
        options = PredictOptions(engine="openvino", precision="float32", tile=tile)
        predict(scene, model, tmp_path / f"{tile}.tif", options)
    masks = [(tmp_path / f"{tile}.tif").read_bytes() for tile in (32, 512)]
    assert masks[0] == masks[1]


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
