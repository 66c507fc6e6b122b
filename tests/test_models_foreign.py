"""Networks of others: built by name, or read from files that cannot run code."""

import importlib.util
import json
import pickle
import shutil
import sys
import warnings
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import make_model
from rasters import read_raster, write_raster
from test_inference_predict import make_pixels, predict_untiled
from torch import nn

from geounet.classes import make_classes
from geounet.cli.app import app
from geounet.cli.boundary import run
from geounet.errors import ModelError, UsageError
from geounet.inference import PredictOptions, predict
from geounet.models import Band, ModelSpec, build_network, load_model, read_spec, save_model
from geounet.models.foreign.operations import call_operation, find_operation

needs_smp = pytest.mark.skipif(
    importlib.util.find_spec("segmentation_models_pytorch") is None,
    reason="the extra smp is not installed",
)
needs_onnx = pytest.mark.skipif(
    any(importlib.util.find_spec(n) is None for n in ("onnx", "onnxruntime", "onnxscript")),
    reason="the extra onnx, or onnxscript, is not installed",
)
BAND = {"name": None, "dtype": "uint8", "offset": 1, "scale": 2}
SMALL = {"decoder_channels": [16, 8, 8, 8, 8]}


def make_spec(architecture, arguments=None, bands=3, **changes):
    spec = ModelSpec(
        architecture=architecture,
        arguments=arguments or {},
        bands=tuple(Band(None, "uint8", 120.0 + i, 60.0) for i in range(bands)),
        classes=make_classes(["a", "b", "c"]),
        pixel_size_m=0.5,
        margin=None,
        stride=32,
    )
    return replace(spec, **changes)


def write_spec(path, **changes):
    content = {**json.loads(make_spec(path.suffix[1:], stride=8).to_json()), **changes}
    path.with_suffix(".json").write_text(json.dumps(content))
    return path


def export(path, network, side=None, **changes):
    """A .pt2 or .onnx of a network, its sides dynamic unless one is given, and its spec."""
    example = torch.randn(1, 3, side or 64, side or 64)
    free = {} if side else {2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own making
        exported = torch.export.export(network.eval(), (example,), dynamic_shapes=(free,))
        if path.suffix == ".onnx":
            torch.onnx.export(exported, (), path, dynamo=True, verbose=False)
        else:
            torch.export.save(exported, path)
    return write_spec(path, **changes)


@pytest.fixture(scope="module")
def unet(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("unet"))[1]


@pytest.fixture(scope="module", params=["pt2", pytest.param("onnx", marks=needs_onnx)])
def exported(request, tmp_path_factory, unet):
    path = tmp_path_factory.mktemp("exported") / f"net.{request.param}"
    return export(path, unet.network, arguments={"tile": 256})


@pytest.fixture(scope="module")
def graph_file(tmp_path_factory, unet):
    return export(tmp_path_factory.mktemp("graph") / "net.pt2", unet.network)


@pytest.fixture
def copied(tmp_path, graph_file):
    """A .pt2 and its spec, to be changed."""
    for suffix in (".pt2", ".json"):
        shutil.copy(graph_file.with_suffix(suffix), tmp_path)
    return tmp_path / "net.pt2"


@needs_smp
def test_smp_round_trip(tmp_path):
    arguments = {**SMALL, "tile": 64}
    network = build_network("smp:unet:resnet18", 4, 3, arguments)
    network(torch.randn(2, 4, 64, 64))
    # weights by name are for the beginning of training: loading must not fetch them
    spec = make_spec("smp:unet:resnet18", {**arguments, "encoder_weights": "imagenet"}, bands=4)
    save_model(tmp_path / "m.safetensors", network, spec)
    state = torch.random.get_rng_state()
    model = load_model(tmp_path / "m.safetensors")
    assert torch.equal(torch.random.get_rng_state(), state)
    assert model.spec.margin is None
    assert not model.network.training
    loaded, saved = model.network.state_dict(), network.state_dict()
    assert loaded.keys() == saved.keys()
    assert all(torch.equal(loaded[name], saved[name]) for name in saved)
    x = torch.randn(1, 4, 64, 96)
    with torch.inference_mode():
        assert model.network(x).shape == (1, 3, 64, 96)
        assert torch.equal(model.network(x), network.eval()(x))


@needs_smp
@pytest.mark.parametrize(
    ("architecture", "arguments", "message"),
    [
        ("smp:Vnet:resnet18", {}, "no Vnet; it has: Unet"),
        ("smp:Unet:resnet17", {}, "resnet17"),
        ("smp:Unet", {}, "write smp:Unet:resnet34"),
        ("smp:Unet:tu-hf-hub:someone/else", {}, "write smp:Unet:resnet34"),
        ("smp:from_pretrained:x", {}, "no from_pretrained"),
        ("smp:Unet:tu-resnet18", {"checkpoint_path": "evil.pth"}, "takes no checkpoint_path"),
        ("smp:Unet:resnet18", {"activation": "softmax"}, "takes no activation"),
        ("smp:Unet:resnet18", {"decoder_channels": [4]}, "cannot be built"),
    ],
)
def test_what_smp_cannot_build(architecture, arguments, message):
    with pytest.raises(ModelError, match=message):
        build_network(architecture, 3, 2, arguments)


def test_missing_packages_name_the_extra(tmp_path, monkeypatch):
    path = write_spec(tmp_path / "net.onnx")
    path.write_bytes(b"anything")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"pip install 'geounet\[smp\]'"):
        build_network("smp:Unet:resnet18", 3, 2, {})
    with pytest.raises(ModelError, match=r"pip install 'geounet\[onnx\]'"):
        load_model(path)


def test_files_give_the_values_of_the_network(unet, exported):
    model = load_model(exported)
    x = torch.randn(2, 3, 72, 104)
    with torch.inference_mode():
        expected, got = unet.network(x), model.network(x)
    np.testing.assert_allclose(got, expected, atol=1e-4)
    assert model.name == "net"
    assert [c.name for c in model.spec.classes] == ["a", "b", "c"]


@needs_onnx
def test_onnx_on_cuda_is_float32_on_the_device_of_the_tiles(tmp_path, monkeypatch):
    """A session for each device, without TF32 and without timing algorithms."""
    import onnxruntime

    path = export(tmp_path / "net.onnx", nn.Conv2d(3, 3, 1))
    runner = load_model(path).network.runner
    asked = []

    def open_session(name, options, providers):
        asked.append(providers)
        return object()

    gpu = "CUDAExecutionProvider"
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [gpu])
    monkeypatch.setattr(onnxruntime, "InferenceSession", open_session)
    first, plain, second = (runner._open(torch.device(d)) for d in ("cuda:0", "cuda", "cuda:1"))
    assert first is plain
    assert first is not second
    runner._open(torch.device("cpu"))  # open since it was loaded
    fixed = {"use_tf32": 0, "cudnn_conv_algo_search": "HEURISTIC"}
    assert asked == [[(gpu, {"device_id": i, **fixed}), "CPUExecutionProvider"] for i in (0, 1)]


def test_a_file_gives_the_in_house_mask(tmp_path, unet, exported):
    pixels = make_pixels(200, 260)
    pixels[:, :30, :40] = 0
    scene = write_raster(tmp_path / "scene.tif", pixels, nodata=0)
    predict(scene, exported, tmp_path / "mask.tif", PredictOptions(readers=2))
    mask = read_raster(tmp_path / "mask.tif")[0]
    expected = predict_untiled(unet, pixels, valid=(pixels != 0).all(axis=0))
    assert (mask == expected).mean() > 0.9995
    assert ((mask == 255) == (expected == 255)).all()
    predict(scene, exported, tmp_path / "again.tif", PredictOptions(batch=3))
    assert (tmp_path / "again.tif").read_bytes() == (tmp_path / "mask.tif").read_bytes()
    import rasterio

    with rasterio.open(tmp_path / "mask.tif") as file:
        tags = file.tags()
    assert tags["GEOUNET_TILING"].startswith("blend, tile 256")
    assert tags["GEOUNET_ENGINE"] == {".onnx": "onnxruntime", ".pt2": "torch"}[exported.suffix]
    assert tags["GEOUNET_PRECISION"] == "float32"


def test_precision_and_engine_of_a_file(tmp_path, exported):
    scene = write_raster(tmp_path / "scene.tif", make_pixels(40, 40))
    for options in ({"precision": "bfloat16"}, {"engine": "openvino"}):
        with pytest.raises(UsageError, match="exported file"):
            predict(scene, exported, tmp_path / "mask.tif", PredictOptions(**options))


@pytest.mark.parametrize("suffix", ["pt2", pytest.param("onnx", marks=needs_onnx)])
def test_fixed_sides_decide_the_tile(tmp_path, unet, suffix):
    path = export(tmp_path / f"net.{suffix}", unet.network, side=64)
    scene = write_raster(tmp_path / "scene.tif", make_pixels(90, 100))
    summary = predict(scene, path, tmp_path / "mask.tif")
    assert summary.tile_shape == (64, 64)
    with pytest.raises(UsageError, match="tiles of 64 only"):
        predict(scene, path, tmp_path / "other.tif", PredictOptions(tile=128))


class Head(nn.Module):
    """Of three bands: the first as it is, through `function`."""

    def __init__(self, function, channels=1):
        super().__init__()
        self.function, self.channels = function, channels

    def forward(self, x):
        return self.function(x[:, : self.channels])


@pytest.mark.parametrize(
    ("head", "output", "classes", "reference"),
    [
        (Head(torch.sigmoid), "probabilities", 2, torch.sigmoid),
        (Head(torch.neg), "scores", 2, lambda x: torch.sigmoid(-x)),
        (Head(lambda x: x.softmax(1), 3), "probabilities", 3, None),
    ],
)
def test_outputs_of_several_kinds(tmp_path, head, output, classes, reference):
    named = json.loads(make_spec("pt2").to_json())["classes"][:classes]
    path = export(tmp_path / "net.pt2", head, arguments={"output": output}, classes=named)
    x = torch.randn(1, 3, 16, 16)
    got = load_model(path).network(x).softmax(1)
    if reference is None:
        np.testing.assert_allclose(got, x.softmax(1), atol=1e-6)
    else:
        np.testing.assert_allclose(got[:, 1], reference(x[:, 0]), atol=1e-6)


def test_a_spec_may_be_short(copied):
    path = copied
    short = {"bands": [BAND] * 3, "classes": ["water", "land", "ice"]}
    path.with_suffix(".json").write_text(json.dumps(short))
    spec = read_spec(path)
    assert [c.name for c in spec.classes] == ["water", "land", "ice"]
    assert (spec.architecture, spec.margin, spec.stride) == ("pt2", None, 32)
    first = load_model(path).digest
    short["bands"] = [{**BAND, "offset": 5}] * 3
    path.with_suffix(".json").write_text(json.dumps(short))
    assert load_model(path).digest != first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "unet"}, "architecture is 'unet'"),
        ({"bands": []}, "no band"),
        ({"bands": [BAND] * 4}, "takes 3 bands"),
        ({"classes": ["one"]}, "needs two"),
        ({"arguments": {"tiles": 5}}, "there is no argument tiles"),
        ({"arguments": {"output": "logits"}}, "its output is 'logits'"),
        ({"format_version": 7}, "newer"),
        ({"stride": 0}, "stride"),
        ({"surprise": 1}, "damaged"),
    ],
)  # fmt: skip
def test_specs_that_cannot_be(tmp_path, exported, change, message):
    path = tmp_path / exported.name
    path.write_bytes(exported.read_bytes())
    for beside in exported.parent.glob("*.data"):
        (tmp_path / beside.name).write_bytes(beside.read_bytes())
    write_spec(path, **change)
    with pytest.raises(ModelError, match=message):
        load_model(path)


def test_a_file_without_a_spec_says_what_to_write(tmp_path):
    for name in ("net.onnx", "net.pt2"):
        (tmp_path / name).write_bytes(b"anything")
        with pytest.raises(ModelError, match=r"write net\.json with the keys bands"):
            load_model(tmp_path / name)
    (tmp_path / "net.json").write_text("[]")
    with pytest.raises(ModelError, match=r"net\.json"):
        load_model(tmp_path / "net.pt2")
    with pytest.raises(ModelError, match="no such file"):
        load_model(tmp_path / "none.onnx")


class Bomb:
    """Would make a file when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("kind", ["pickle", "torch", "garbage", "empty", "zip"])
@pytest.mark.parametrize("suffix", ["pt2", pytest.param("onnx", marks=needs_onnx)])
def test_what_is_no_such_file_is_refused_and_not_run(tmp_path, kind, suffix):
    path, trap = write_spec(tmp_path / f"net.{suffix}"), tmp_path / "exploded"
    if kind == "torch":
        torch.save({"x": Bomb(str(trap))}, path)
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("net/models/model.json", "{}")
    else:
        contents = {"pickle": pickle.dumps(Bomb(str(trap))), "garbage": b"\xff" * 99, "empty": b""}
        path.write_bytes(contents[kind])
    with pytest.raises(ModelError, match=rf"net\.{suffix}"):
        load_model(path)
    assert not trap.exists()


def tamper(path, name, change):
    """Rewrite one JSON file of a .pt2."""
    with zipfile.ZipFile(path) as archive:
        files = {one: archive.read(one) for one in archive.namelist()}
    (key,) = (one for one in files if one.endswith(name))
    content = json.loads(files[key])
    change(content)
    files[key] = json.dumps(content).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for one, data in files.items():
            archive.writestr(one, data)


@pytest.mark.parametrize(
    "target",
    [
        "torch.ops.aten.from_file.default", "torch.ops.aten.save.default", "os.system",
        "builtins.eval", "torch.ops.prim.Print.default", "_operator.attrgetter",
        "torch.ops.aten.__class__.default", "torch.ops.aten.relu.__call__",
    ],
)  # fmt: skip
def test_a_graph_does_arithmetic_only(copied, target):
    def change(content):
        content["graph_module"]["graph"]["nodes"][-1]["target"] = target

    tamper(copied, "models/model.json", change)
    with pytest.raises(ModelError, match=r"net\.pt2 is no graph"):
        load_model(copied)


def test_a_pickled_weight_is_not_loaded(tmp_path, copied):
    path, trap = copied, tmp_path / "exploded"

    def change(content):
        next(iter(content["config"].values()))["use_pickle"] = True

    tamper(path, "model_weights_config.json", change)
    with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the name that is there twice
        archive.writestr("net/data/weights/weight_0", pickle.dumps(Bomb(str(trap))))
    with pytest.raises(ModelError, match="pickled"):
        load_model(path)
    assert not trap.exists()


@needs_onnx
@pytest.mark.parametrize("location", ["../secret", "/etc/hostname", "*/_ORT_MEM_ADDR_/*", "none"])
def test_onnx_weights_elsewhere_are_not_read(tmp_path, location):
    import onnx
    from onnx import TensorProto, helper

    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"\0" * 12)
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1, 3, 1, 1])
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, "h", "w"]) for name in "xy"
    ]
    node = helper.make_node("Mul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "g", values[:1], values[1:], [weight])
    path = write_spec(folder / "net.onnx")
    path.write_bytes(onnx.ModelProto.SerializeToString(helper.make_model(graph)))
    with pytest.raises(ModelError, match="no file beside it"):
        load_model(path)


def test_the_command_line_says_it_in_a_line(tmp_path, capsys, monkeypatch, exported):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["geounet", *map(str, arguments)])
        code = run(app)
        return code, *capsys.readouterr()

    scene = write_raster(tmp_path / "scene.tif", make_pixels(40, 50))
    (tmp_path / "net.onnx").write_bytes(b"anything")
    code, _, err = call("predict", scene, "-m", tmp_path / "net.onnx", "-o", tmp_path / "m.tif")
    assert code == 4
    assert err.count("\n") == 1
    assert err.startswith("error: ")
    code, out, _ = call("info", exported, "--json")
    assert code == 0
    assert json.loads(out)["architecture"] == exported.suffix[1:]
    code, out, err = call(
        "predict", scene, "-m", exported, "-o", tmp_path / "m.tif", "--dry-run", "--json"
    )
    assert code == 0, err
    assert "blend, tile 256" in out


def test_memory_of_a_file_is_never_that_of_something_else():
    for _ in range(3):
        torch.full((300, 300), 7.0)  # freed at once: where the next one would look
        for name, arguments in (
            ("empty.memory_format", {"size": [300, 300]}),
            ("new_empty.default", {"self": torch.zeros(1), "size": [300, 300]}),
        ):
            made = call_operation(find_operation(f"torch.ops.aten.{name}"), arguments)
            assert made.shape == (300, 300) and not made.any()
