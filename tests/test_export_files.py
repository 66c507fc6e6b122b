"""Models as files of other tools: what they compute, carry and refuse."""

import copy
import importlib.util
import json
import pickle
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from networks import make_model
from rasters import read_raster, write_raster
from test_inference_predict import make_pixels

from geounet.cli.app import app
from geounet.cli.boundary import run
from geounet.errors import ModelError, ResourceError, UsageError
from geounet.evaluation import export, exporting
from geounet.inference import PredictOptions, predict
from geounet.models import (
    ExportOptions,
    build_network,
    choose_tiling,
    load_model,
    make_export_form,
    read_spec,
    save_model,
    trace_form,
)
from geounet.raster import locked_folder

PACKAGES = ("onnx", "onnxruntime", "onnxscript", "openvino")
pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in PACKAGES),
    reason="the extras onnx and openvino are not installed",
)
SUFFIXES = ("onnx", "pt2", "xml")

DEEPNESS = {
    "model_type": str,
    "class_names": dict,
    "resolution": (int, float),
    "tiles_size": int,
    "tiles_overlap": int,
    "seg_thresh": (int, float),
    "seg_small_segment": int,
}
"""Keys and types that the plugin documents for segmentation ("Adding metadata to ONNX model");
those of regression and detection are reg_*, det_*."""

DEEPNESS_READS = {"tile_size": int, "standardization_mean": list, "standardization_std": list}
"""What its source (model_base.py) reads beyond its documentation."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("export")


@pytest.fixture(scope="module")
def model(folder):
    return make_model(folder, depth=2, width=4)[1]


@pytest.fixture(scope="module")
def source(folder, model):
    return folder / f"{model.name}.safetensors"


@pytest.fixture(scope="module", params=["onnx", "pt2", pytest.param("xml", marks=pytest.mark.slow)])
def exported(request, folder, source):
    output = folder / f"net.{request.param}"
    summary = export(source, output)
    assert 0 <= summary.random_difference <= 1e-4
    return output


def run_openvino(path, images):
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    return openvino.Core().compile_model(path, "CPU", settings)(images)[0]


def run_elsewhere(path, images):
    """What other tools make of a file, none of geounet's code."""
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path)
        return session.run(None, {session.get_inputs()[0].name: images})[0]
    if path.suffix == ".xml":
        return run_openvino(path, images)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own making
        return torch.export.load(path).module()(torch.from_numpy(images)).detach().numpy()


def probabilities(model, images):
    """By the trained network, normalised by hand."""
    bands = model.spec.bands
    offset, scale = (np.array([getattr(b, n) for b in bands]) for n in ("offset", "scale"))
    x = (images - offset[:, None, None]) / scale[:, None, None]
    with torch.inference_mode():
        return model.network(torch.from_numpy(x.astype("f4"))).softmax(dim=1).numpy()


def make_images(*shape):
    return make_pixels(shape[2], shape[3] * shape[0], shape[1]).reshape(
        shape[1], shape[2], shape[0], shape[3]
    ).transpose(2, 0, 1, 3).astype("f4")  # fmt: skip


def test_a_file_computes_what_the_network_computes(model, exported):
    for shape in [(1, 3, 64, 64), (2, 3, 8, 100)]:
        images = make_images(*shape)
        expected, got = probabilities(model, images), run_elsewhere(exported, images)
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, atol=1e-4)
        if exported.suffix == ".onnx":
            np.testing.assert_allclose(run_openvino(exported, images), expected, atol=1e-4)


def test_predict_runs_a_file_back_exactly(tmp_path, source, exported):
    pixels = make_pixels(150, 170)
    pixels[:, :30, :40] = 0
    scene = write_raster(tmp_path / "scene.tif", pixels, nodata=0)
    predict(scene, source, tmp_path / "model.tif", PredictOptions(precision="float32"))
    for tile in (32, 96):
        options = PredictOptions(tile=tile, scores=tmp_path / f"scores-{tile}.tif")
        predict(scene, exported, tmp_path / f"{tile}.tif", options)
    masks = [read_raster(tmp_path / f"{name}.tif")[0] for name in ("model", 32, 96)]
    assert (masks[1] != masks[2]).sum() <= 2  # a runtime may compute another shape otherwise
    assert (masks[0] != masks[1]).sum() <= 2
    scores = [read_raster(tmp_path / f"scores-{tile}.tif").astype(int) for tile in (32, 96)]
    assert abs(scores[0] - scores[1]).max() <= 1
    with rasterio.open(tmp_path / "32.tif") as file:
        tags = file.tags()
    engines = {".onnx": "onnxruntime", ".pt2": "torch", ".xml": "openvino"}
    assert tags["GEOUNET_ENGINE"] == engines[exported.suffix]
    assert tags["GEOUNET_TILING"].startswith("exact")


def test_the_spec_travels_inside(tmp_path, model, exported):
    for file in exported.parent.glob("net.*"):
        shutil.copy(file, tmp_path)
    spec = read_spec(tmp_path / exported.name)
    assert (spec.bands, spec.classes) == (model.spec.bands, model.spec.classes)
    assert (spec.margin, spec.stride) == (model.spec.margin + 2, model.spec.stride)
    assert spec.training["exported_from"]["sha256"] == model.digest
    digest = load_model(tmp_path / exported.name).digest
    (tmp_path / "net.json").write_text("of another file")
    assert load_model(tmp_path / exported.name).digest == digest


@pytest.fixture(scope="module")
def onnx_file(folder, source):
    if not (folder / "net.onnx").exists():
        export(source, folder / "net.onnx")
    return folder / "net.onnx"


def read_metadata(path):
    import onnx

    model = onnx.load(path)
    assert model.opset_import[0].version >= 17
    return {entry.key: entry.value for entry in model.metadata_props}


def read_deepness(path):
    told = read_metadata(path)
    return {key: json.loads(value) for key, value in told.items() if key != "geounet"}


def test_deepness_is_told_all_that_it_documents(model, onnx_file):
    known = DEEPNESS | DEEPNESS_READS
    content = read_deepness(onnx_file)
    assert set(content) == set(known)
    assert all(isinstance(content[key], kind) for key, kind in known.items())
    assert content["model_type"] == "Segmentor"
    assert content["class_names"] == {"0": "class 0", "1": "class 1", "2": "class 2"}
    assert content["resolution"] == 50  # cm
    assert content["tile_size"] == content["tiles_size"] == 512
    assert content["seg_thresh"] == content["seg_small_segment"] == 0
    assert len(content["standardization_mean"]) == len(content["standardization_std"]) == 3
    half = 512 * content["tiles_overlap"] // 100 // 2
    assert half >= model.spec.margin + 2


def check_in_deepness(path, model, sides):
    """As it documents: tiles uint8 (N, H, W, C) in RGB, divided by 255, standardised."""
    import onnxruntime

    told = read_deepness(path)
    session = onnxruntime.InferenceSession(path)
    given = session.get_inputs()[0]
    assert given.shape == ["batch", 3, *sides]
    assert session.get_outputs()[0].shape == ["batch", 3, *sides]
    pixels = make_pixels(64, 64)
    tile = np.float32(pixels.transpose(1, 2, 0)[None] * 1.0 / 255.0)
    mean, std = (np.array(told[f"standardization_{n}"], "f4") for n in ("mean", "std"))
    images = np.transpose((tile - mean) / std, (0, 3, 1, 2))
    got = session.run(None, {given.name: images})[0]
    np.testing.assert_allclose(got, probabilities(model, pixels[None].astype("f4")), atol=1e-4)
    np.testing.assert_allclose(got.sum(axis=1), 1, atol=1e-5)


def test_deepness_gets_the_networks_probabilities(model, onnx_file):
    check_in_deepness(onnx_file, model, ["height", "width"])


@pytest.mark.slow
def test_deepness_gets_them_of_fixed_sides(tmp_path, model, source):
    options = ExportOptions(tile=64, normalisation="outside")
    assert export(source, tmp_path / "net.onnx", options).notes == ()
    check_in_deepness(tmp_path / "net.onnx", model, [64, 64])
    (note,) = export(source, tmp_path / "small.onnx", ExportOptions(tile=32)).notes
    assert "22 pixels" in note


MARGINS = [(px, None) for px in (0, 22, 94, 191, 543)]


@pytest.mark.parametrize(
    ("margin", "tile"), [*MARGINS, (22, 512), (94, 512), (191, 512), (280, 1024)]
)
def test_tiles_of_deepness_hide_the_padding(model, margin, tile):
    spec = replace(model.spec, margin=margin, stride=32)
    side, percent = choose_tiling(spec, tile)
    overlap = side * percent // 100
    assert overlap // 2 >= margin
    if tile is None:
        assert (side - overlap) % 32 == 0


def test_scores_of_normalised_pixels(tmp_path, model, source):
    options = ExportOptions(activation="none", normalisation="outside", tile=32)
    export(source, tmp_path / "net.pt2", options)
    x = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        expected = model.network(x).numpy()
    np.testing.assert_allclose(run_elsewhere(tmp_path / "net.pt2", x.numpy()), expected, atol=1e-4)


def test_a_file_that_differs_is_not_kept(tmp_path, source, monkeypatch):
    def trace_another(form, model, options):
        another = copy.deepcopy(form)
        another.network.head.bias += 0.01 * torch.arange(3)
        return trace_form(another, model, options)

    (tmp_path / "net.pt2").write_text("an older one")
    monkeypatch.setattr("geounet.evaluation.exporting.trace_form", trace_another)
    options = ExportOptions(tile=32, overwrite=True)
    with pytest.raises(ModelError, match="differ from torch's"):
        export(source, tmp_path / "net.pt2", options)
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt2"]
    assert (tmp_path / "net.pt2").read_text() == "an older one"


def test_what_a_killed_export_has_left_is_cleared(tmp_path, source):
    left = tmp_path / ".net.pt2.export"
    (left / "int8").mkdir(parents=True)
    for file in (left / "lock", left / "net.pt2", left / "int8" / "net.pt2"):
        file.write_text("half")
    export(source, tmp_path / "net.pt2", ExportOptions(tile=32))
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt2"]


def test_two_exports_of_one_file_keep_out_of_each_other_s_way(tmp_path, source):
    output = tmp_path / "net.pt2"
    with (
        locked_folder(tmp_path / ".net.pt2.export", output),
        pytest.raises(ResourceError, match="is being written by another run"),
    ):
        export(source, output, ExportOptions(tile=32))


def test_no_graph_lies_beside_weights_of_another(tmp_path, monkeypatch):
    """Wherever a kill comes while an export of OpenVINO replaces another: seen at each move."""
    made, output = tmp_path / "made", tmp_path / "net.xml"
    made.mkdir()
    for folder, text in ((made, "new"), (tmp_path, "old")):
        for name in ("net.xml", "net.bin"):
            (folder / name).write_text(text)
    pairs, replace_file = [], Path.replace

    def move(file, target):
        replace_file(file, target)
        found = [output, output.with_suffix(".bin")]
        pairs.append([path.read_text() if path.exists() else None for path in found])

    monkeypatch.setattr(Path, "replace", move)
    assert exporting._publish(made / "net.xml", output) == 6
    assert pairs == [[None, "new"], ["new", "new"]]


def test_a_network_of_no_numbers_is_refused(tmp_path, model):
    broken = load_model(save_broken(tmp_path, model))
    with pytest.raises(ModelError, match="nan"):
        export(tmp_path / "nan.safetensors", tmp_path / "net.pt2", ExportOptions(tile=32))
    assert broken.spec.margin == model.spec.margin
    assert [path.name for path in tmp_path.iterdir()] == ["nan.safetensors"]


def save_broken(folder, model):
    network = build_network("unet", 3, 3, model.spec.arguments)
    network.load_state_dict(model.network.state_dict())
    network.head.bias.data[0] = torch.nan
    save_model(folder / "nan.safetensors", network, model.spec)
    return folder / "nan.safetensors"


def test_real_input_is_compared_too(tmp_path, source):
    scene = write_raster(tmp_path / "scene.tif", make_pixels(70, 60), nodata=0)
    summary = export(source, tmp_path / "a.pt2", ExportOptions(tile=32, scenes=(str(scene),)))
    assert 0 <= summary.real_difference <= 1e-4
    other = write_raster(tmp_path / "other.tif", make_pixels(70, 60, 5))
    with pytest.raises(ModelError, match="gives 5 bands"):
        export(source, tmp_path / "b.pt2", ExportOptions(tile=32, scenes=(str(other),)))
    options = ExportOptions(tile=32, scenes=(str(other),), bands=(1, 2, 3))
    assert export(source, tmp_path / "b.pt2", options).real_difference <= 1e-4


@pytest.mark.parametrize(
    ("output", "options", "message"),
    [
        ("net.tflite", {}, "no format"),
        ("net", {}, "no format"),
        ("none/net.onnx", {}, "no folder"),
        ("taken.onnx", {}, "--overwrite"),
        ("taken.xml", {}, r"taken\.bin exists"),
        ("folder.onnx", {"overwrite": True}, "is a folder"),
        ("net.onnx", {"tile": 30}, "multiple of 4"),
        ("net.onnx", {"int8": True}, "give --scene"),
        ("net.pt2", {"int8": True, "scenes": ("scene.tif",)}, "for .onnx and .xml"),
        ("net.onnx", {"labels": ("labels.tif",)}, "give both"),
        ("net.onnx", {"tolerance": -1.0}, "positive"),
        ("net.onnx", {"tolerance": float("nan")}, "positive"),
    ],
)
def test_what_cannot_be_meant(tmp_path, source, output, options, message):
    for name in ("taken.onnx", "taken.bin"):
        (tmp_path / name).write_text("taken")
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(UsageError, match=message):
        export(source, tmp_path / output, ExportOptions(**options))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "folder.onnx", "taken.bin", "taken.onnx"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("dtype", "offset", "scale", "is_refused"),
    [
        ("int32", 1e9, 5.0, True),  # 1,000,000,007 is 1,000,000,000 in float32: another map
        ("float64", -5e6, 1.0, True),
        ("float64", 2000.0, 300.0, False),
        ("float32", 5e6, 1.0, False),  # as coarse in the scene itself
        ("uint16", 60000.0, 2.0, False),
    ],
)
def test_values_that_float32_cannot_tell_apart(model, dtype, offset, scale, is_refused):
    bands = (replace(model.spec.bands[0], dtype=dtype, offset=offset, scale=scale),)
    altered = replace(model, spec=replace(model.spec, bands=bands * 3))
    make_export_form(altered, ExportOptions(normalisation="outside"))
    if not is_refused:
        make_export_form(altered, ExportOptions())
        return
    with pytest.raises(UsageError, match="--normalisation outside"):
        make_export_form(altered, ExportOptions())


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", pickle.dumps([1]), b"text"])
def test_what_is_no_model(tmp_path, content):
    for name in ("m.safetensors", "m.onnx", "m.pt2"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelError, match=name):
            export(tmp_path / name, tmp_path / "net.xml")
    with pytest.raises(ModelError, match="no such file"):
        export(tmp_path / "none.safetensors", tmp_path / "net.onnx")


def test_an_exported_file_is_not_exported_again(tmp_path, exported):
    with pytest.raises(ModelError, match="exported file itself"):
        export(exported, tmp_path / "again.onnx")


def test_a_suffix_that_lies(tmp_path, exported):
    wrong = tmp_path / {"net.onnx": "x.pt2", "net.pt2": "x.xml", "net.xml": "x.onnx"}[exported.name]
    shutil.copy(exported, wrong)
    with pytest.raises(ModelError, match=wrong.name):
        load_model(wrong)


def test_an_openvino_file_needs_its_weights(tmp_path, model):
    spec = replace(model.spec, architecture="xml", arguments={}).to_json().replace('"', "&quot;")
    content = f'<net><rt_info><geounet value="{spec}"/></rt_info></net>'
    (tmp_path / "net.xml").write_text(content)
    assert read_spec(tmp_path / "net.xml").classes == model.spec.classes
    with pytest.raises(ModelError, match=r"net\.bin"):
        load_model(tmp_path / "net.xml")


def test_missing_packages_name_the_extras(tmp_path, source, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'geounet\[onnx\]'"):
        export(source, tmp_path / "net.onnx")
    with pytest.raises(UsageError, match=r"pip install 'geounet\[onnx,openvino\]'"):
        export(source, tmp_path / "net.xml")


def call(*arguments, monkeypatch):
    monkeypatch.setattr("sys.argv", ["geounet", *map(str, arguments)])
    return run(app)


def test_sides_that_no_memory_holds(tmp_path, source):
    with pytest.raises(ResourceError, match=r"--tile 1000000: .* GB .* give a smaller --tile"):
        export(source, tmp_path / "net.onnx", ExportOptions(tile=1_000_000))
    assert not list(tmp_path.iterdir())


def test_the_command_says_what_it_made(tmp_path, source, monkeypatch, capsys):
    output = tmp_path / "net.pt2"
    assert call("export", source, output, "--tile", "32", "--json", monkeypatch=monkeypatch) == 0
    told = capsys.readouterr()
    summary = json.loads(told.out)
    assert summary["size_bytes"] == output.stat().st_size
    assert f"{summary['random_difference']:.1e}" in told.err
    assert call("info", output, "--json", monkeypatch=monkeypatch) == 0  # its own facts
    assert json.loads(capsys.readouterr().out)["normalisation"] == "inside"
    assert call("export", source, output, monkeypatch=monkeypatch) == 2
    assert capsys.readouterr().err.count("\n") == 1


def build_lively(architecture, arguments):
    """Random weights, with scores as far apart as a trained network's."""
    torch.manual_seed(0)
    network = build_network(architecture, 3, 3, arguments).eval()
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
        heads = [m for m in convolutions if m.out_channels == 3]
        for head in heads:
            if not head.weight.any():  # FCN's scores begin at zero
                head.weight.normal_(0, 0.1)
        spread = network(torch.randn(1, 3, 256, 256)).std()
        for head in heads:
            head.weight /= spread / 2
            head.bias /= spread / 2
    return network


ARCHITECTURES = [
    ("unet", {"width": 8, "depth": 4, "padding": "valid", "norm": "none"}),
    ("unet", {"width": 8, "depth": 3, "padding": "same", "norm": "batch"}),
    ("lightunet", {"width": 8, "depth": 3, "padding": "same", "norm": "batch"}),
    ("resunet", {"width": 8, "blocks": (3, 4, 6, 3)}),
    ("fcn32s", {"width": 8}),
    ("fcn16s", {"width": 8}),
    ("fcn8s", {"width": 8}),
    ("smp:Unet:resnet18", {}),
    ("smp:DeepLabV3Plus:resnet18", {}),
    ("smp:Segformer:mit_b0", {}),
]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("architecture", "arguments"),
    [("resunet", {"width": 8}), *(pytest.param(*c, marks=pytest.mark.slow) for c in ARCHITECTURES)],
)
def test_every_architecture(tmp_path, model, architecture, arguments, suffix):
    network = build_lively(architecture, arguments)
    geometry = getattr(network, "geometry", None)
    spec = replace(
        model.spec,
        architecture=architecture,
        arguments=arguments,
        margin=geometry and geometry.margin,
        stride=geometry.stride if geometry else 32,
    )
    save_model(tmp_path / "m.safetensors", network, spec)
    output = tmp_path / f"net.{suffix}"
    assert export(tmp_path / "m.safetensors", output).random_difference <= 1e-4
    side = 4 * spec.stride
    images = make_images(2, 3, side, side + spec.stride)
    loaded = load_model(tmp_path / "m.safetensors")
    if arguments.get("padding") != "valid":
        expected = probabilities(loaded, images)
        np.testing.assert_allclose(run_elsewhere(output, images), expected, atol=1e-4)
    if geometry is None:
        return
    scene = write_raster(tmp_path / "scene.tif", make_pixels(300, 260))
    masks = []
    for name, path in (("model", tmp_path / "m.safetensors"), ("file", output)):
        options = PredictOptions(precision="float32", tile=128)
        predict(scene, path, tmp_path / f"{name}.tif", options)
        masks.append(read_raster(tmp_path / f"{name}.tif"))
    assert (masks[0] != masks[1]).mean() < 1e-4
