"""The dry run tells what will happen; verify finds a mask that is not the network's."""

import numpy as np
import pytest
import rasterio
from networks import make_model
from rasters import write_raster
from test_inference_predict import make_pixels

from geounet.errors import UsageError
from geounet.inference import PredictOptions, foresee, predict, verify


@pytest.fixture
def scene(tmp_path):
    return write_raster(tmp_path / "scene.tif", make_pixels(300, 280))


@pytest.fixture
def model(tmp_path):
    return make_model(tmp_path)[1]


def test_outlook_is_what_then_happens(tmp_path, scene, model):
    options = PredictOptions(tile=64, precision="float32", confidence=tmp_path / "c.tif")
    before = set(tmp_path.iterdir())
    outlook = foresee(scene, model, tmp_path / "mask.tif", options)
    assert set(tmp_path.iterdir()) == before  # nothing is written
    summary = predict(scene, model, tmp_path / "mask.tif", options)
    assert outlook.tiles == summary.tiles
    assert (outlook.height, outlook.width) == (300, 280)
    assert outlook.tile_shape == summary.tile_shape
    assert outlook.output_bytes == {"confidence": 300 * 280, "mask": 300 * 280}
    assert outlook.margin == model.network.geometry.read_margin
    assert outlook.expected_s > 0


def test_outlook_refuses_what_predict_would(tmp_path, scene, model):
    (tmp_path / "mask.tif").touch()
    with pytest.raises(UsageError, match="--overwrite"):
        foresee(scene, model, tmp_path / "mask.tif")


def test_verify_agrees_with_a_true_mask(tmp_path, scene, model):
    options = PredictOptions(tile=64, precision="float32")
    predict(scene, model, tmp_path / "mask.tif", options)
    check = verify(scene, model, tmp_path / "mask.tif", options, windows=3)
    assert (check.windows, check.labels_changed) == (3, 0)
    assert check.pixels == 3 * 256 * 256
    assert check.largest_score_difference < 1e-4


def test_verify_finds_a_false_mask(tmp_path, scene, model):
    options = PredictOptions(tile=64, precision="float32")
    predict(scene, model, tmp_path / "mask.tif", options)
    with rasterio.open(tmp_path / "mask.tif") as source:
        mask = source.read(1)
    write_raster(tmp_path / "false.tif", np.roll(mask, 1, axis=0))
    assert verify(scene, model, tmp_path / "false.tif", options, windows=2).labels_changed > 100
