"""Quantisation to int8: what is quantised, what it costs, and what is said of it."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from networks import make_model
from rasters import read_raster, write_raster
from test_inference_predict import make_pixels

from geounet.cli.app import app
from geounet.cli.boundary import run
from geounet.evaluation import ConfusionMatrix, export, int8_loss
from geounet.inference import PredictOptions, Sample, predict, read_samples
from geounet.models import ExportOptions, as_input, load_model

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(n) is None for n in ("onnx", "onnxruntime", "onnxscript")),
    reason="the extra onnx is not installed",
)
SIDE = 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("int8")


@pytest.fixture(scope="module")
def model(folder):
    return make_model(folder, depth=1, width=4)[1]


@pytest.fixture(scope="module")
def source(folder, model):
    return folder / f"{model.name}.safetensors"


@pytest.fixture(scope="module")
def pixels():
    return make_pixels(4 * SIDE, 5 * SIDE)


@pytest.fixture(scope="module")
def scene(folder, pixels):
    return write_raster(folder / "scene.tif", pixels)


@pytest.fixture(scope="module")
def labels(folder, source, scene):
    predict(scene, source, folder / "mask.tif", PredictOptions(precision="float32"))
    mask = read_raster(folder / "mask.tif")[0]
    mask[:, ::7] = 0
    mask[:10] = 255
    return write_raster(folder / "labels.tif", mask, nodata=255)


@pytest.fixture(scope="module")
def made(folder, source, scene, labels):
    options = ExportOptions(int8=True, tile=SIDE, scenes=(str(scene),), labels=(str(labels),))
    return export(source, folder / "net.onnx", options)


def test_weights_have_a_scale_per_channel_and_the_head_none(folder, model, made):
    import onnx

    graph = onnx.load(folder / "net.onnx").graph
    weights = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
    from_int8 = {node.output[0]: node.input for node in graph.node if "Dequ" in node.op_type}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    quantised = [node for node in convolutions if node.input[1] in from_int8]
    assert len(quantised) == len(convolutions) - 1
    assert convolutions[-1] not in quantised
    for node in quantised:
        values, scales = (weights[name] for name in from_int8[node.input[1]][:2])
        assert values.dtype == np.int8
        assert scales.shape == values.shape[:1]


def window_list(scene_shape):
    height, width = scene_shape
    return [(r, c) for r in range(0, height, SIDE) for c in range(0, width, SIDE)]


def test_the_loss_is_that_of_the_windows_that_did_not_calibrate(folder, model, made, pixels):
    """The IoU of both files by hand: a session of onnxruntime, a confusion of numpy."""
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "net.onnx")
    truth = read_raster(folder / "labels.tif")[0]
    matrix = np.zeros((3, 3), int)
    windows = window_list(pixels.shape[1:])[1::2]
    for row, col in windows:
        cut = np.s_[row : row + SIDE, col : col + SIDE]
        image = pixels[(slice(None), *cut)][None].astype("f4")
        mask = session.run(None, {"image": image})[0][0].argmax(axis=0)
        known = truth[cut] != 255
        np.add.at(matrix, (truth[cut][known], mask[known]), 1)
    hits = np.diag(matrix)
    iou = hits / (matrix.sum(0) + matrix.sum(1) - hits)
    assert made.int8.windows == len(windows) == 10
    assert made.int8.int8_iou == pytest.approx(iou.mean(), abs=1e-9)
    assert made.int8.loss == pytest.approx(made.int8.float_iou - iou.mean(), abs=1e-9)
    assert 0 < made.int8.labels_changed < 0.1
    assert made.int8.float_mpx_per_s > 0
    assert made.int8.int8_mpx_per_s > 0


@pytest.mark.slow
def test_without_labels_the_float_mask_is_the_measure(tmp_path, source, scene, monkeypatch, capsys):
    output = tmp_path / "net.onnx"
    arguments = [source, output, "--int8", "--scene", scene, "--tile", SIDE, "--json"]
    monkeypatch.setattr("sys.argv", ["geounet", "export", *map(str, arguments)])
    assert run(app) == 0
    told = capsys.readouterr()
    loss = json.loads(told.out)["int8"]
    assert loss["float_iou"] is None
    assert 0.8 < loss["int8_iou"] < 1
    assert f"instead of 1.0000 (loss {1 - loss['int8_iou']:+.4f})" in told.err
    assert "; before int8 its probabilities differ from torch's by " in told.err
    assert f"probabilities by {loss['mean_difference']:.1e} on average" in told.err


def test_predict_runs_it(tmp_path, folder, source, scene, made):
    predict(scene, source, tmp_path / "a.tif", PredictOptions(precision="float32"))
    predict(scene, folder / "net.onnx", tmp_path / "b.tif")
    masks = [read_raster(tmp_path / f"{name}.tif")[0] for name in "ab"]
    confusion = ConfusionMatrix(load_model(source).spec.classes)
    confusion.add(*masks)
    assert confusion.metrics().mean_iou > 0.8


def test_pixels_without_data_are_no_share(model, monkeypatch):
    """Half of a window is no data: what changes is a share of the other half."""
    found = [np.zeros((3, 4, 8), np.float32) for _ in range(2)]
    found[0][0], found[1][0] = 1, 1 - np.eye(4, 8)
    found[1][1] = np.eye(4, 8)
    found[1][2, :, 4:] = 0.25  # where there is no data
    files = iter(found)
    monkeypatch.setattr(int8_loss, "load_model", lambda _: model)
    monkeypatch.setattr(int8_loss, "_predict", lambda *_: (next(files), 1.0))
    valid = np.ones((4, 8), bool)
    valid[:, 4:] = False
    sample = Sample(np.zeros((3, 4, 8), np.float32), valid, None)
    loss = int8_loss.measure_loss(Path("float.onnx"), Path("int8.onnx"), [sample])
    assert loss.labels_changed == 4 / 16
    assert loss.mean_difference == pytest.approx(2 * 4 / 16 / 3)  # of two classes of three


def test_values_of_32_bits_keep_their_digits(tmp_path):
    """Of float32 the values would be 8 apart, where the model's deviation is 4."""
    model = make_model(tmp_path, bands=1, depth=1, width=4, dtype="int32")[1]
    band = replace(model.spec.bands[0], offset=100_000_003.0, scale=4.0)
    spec = replace(model.spec, bands=(band,))
    values = 100_000_000 + np.arange(SIDE * SIDE, dtype=np.int32).reshape(SIDE, SIDE) % 17
    scene = write_raster(tmp_path / "scene.tif", values)
    samples = read_samples(spec, [str(scene)], None, None, (1, SIDE))
    options = ExportOptions(normalisation="outside")
    (made,) = as_input([sample.image for sample in samples], spec, options)
    assert made.dtype == np.float32
    assert np.abs(made[0, 0] - (values - band.offset) / band.scale).max() < 1e-6
