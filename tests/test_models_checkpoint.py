"""Model files: what goes in comes out, and nothing else is loaded."""

import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from geounet.classes import make_classes
from geounet.errors import ModelError, ResourceError
from geounet.models import (
    Band,
    ModelSpec,
    UNet,
    describe_model_item,
    load_model,
    read_spec,
    save_model,
)


def make_spec(**changes):
    spec = ModelSpec(
        architecture="unet",
        arguments={"width": 4, "depth": 2, "padding": "same", "norm": "batch"},
        bands=(Band("red", "uint8", 100.5, 20.25), Band(None, "uint8", 3.0, 1.0)),
        classes=make_classes(["ground", "building"]),
        pixel_size_m=0.5,
        margin=20,
        stride=4,
        training={"seed": 0, "miou": None},
    )
    return replace(spec, **changes)


def make_network():
    torch.manual_seed(0)
    return UNet(2, 2, width=4, depth=2, padding="same", norm="batch")


def test_round_trip(tmp_path):
    path, network, spec = tmp_path / "m.safetensors", make_network(), make_spec()
    save_model(path, network, spec)
    model = load_model(path)
    assert model.spec == spec
    assert not model.network.training
    loaded = model.network.state_dict()
    assert all(torch.equal(v, loaded[k]) for k, v in network.state_dict().items())
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


def test_models_of_runs_are_called_as_their_folder(tmp_path, monkeypatch):
    (tmp_path / "roofs").mkdir()
    monkeypatch.chdir(tmp_path / "roofs")
    for name in ("model.safetensors", "best.safetensors"):
        save_model(Path(name), make_network(), make_spec())
    assert load_model(tmp_path / "roofs/model.safetensors").name == "roofs"
    assert load_model(Path("model.safetensors")).name == "roofs"
    assert load_model(Path("best.safetensors")).name == "best"
    item = describe_model_item(Path("model.safetensors"), make_spec(), tmp_path)
    assert (item["id"], item["properties"]["mlm:name"]) == ("roofs", "roofs")


def test_spec_is_json_with_version_first(tmp_path):
    text = make_spec().to_json()
    assert next(iter(json.loads(text))) == "format_version"
    assert ModelSpec.from_json(text) == make_spec()


def test_spec_is_read_without_torch(tmp_path):
    path = tmp_path / "m.safetensors"
    save_model(path, make_network(), make_spec())
    code = (
        "import sys; from pathlib import Path; from geounet.models import read_spec;"
        f"spec = read_spec(Path({str(path)!r})); assert spec.margin == 20;"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class Bomb:
    """Would make a file when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("kind", ["pickle", "torch"])
def test_pickle_is_refused_and_not_loaded(tmp_path, kind):
    path, trap = tmp_path / "m.pth", tmp_path / "exploded"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Bomb(str(trap)), protocol=2))
    else:
        torch.save({"x": Bomb(str(trap))}, path)
    with pytest.raises(ModelError, match="pickle"):
        load_model(path)
    assert not trap.exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"\x08\0\0\0\0\0\0\0{}      ", b"\xff" * 64])
def test_damaged_files_are_refused(tmp_path, content):
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"m\.safetensors"):
        load_model(path)


def test_truncated_file_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    save_model(path, make_network(), make_spec())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"m\.safetensors"):
        load_model(path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        load_model(tmp_path / "none.safetensors")
    with pytest.raises(ModelError, match="is a folder"):
        load_model(tmp_path)


def test_safetensors_without_spec_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    save_file(make_network().state_dict(), path)
    with pytest.raises(ModelError, match="without a geounet spec"):
        read_spec(path)


def test_weights_of_another_network_are_refused(tmp_path):
    """A renamed key must not give a silent map of random weights."""
    path = tmp_path / "m.safetensors"
    state = make_network().state_dict()
    state["head2.weight"] = state.pop("head.weight")
    save_file(state, path, metadata={"geounet": make_spec().to_json()})
    with pytest.raises(ModelError, match=r"head\.weight"):
        load_model(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 99}, "newer"),
        ({"architecture": "vnet"}, "unknown architecture"),
        ({"arguments": {"wdith": 3}}, "wdith"),
        ({"bands": []}, "no band"),
        ({"bands": [{"name": None, "dtype": "uint8", "offset": 0, "scale": 0}]}, "scale"),
        ({"classes": [{"value": 0, "name": "a", "colour": "#000000"}]}, "needs two"),
        ({"surprise": 1}, "damaged"),
        ({"stride": 0}, "stride"),
        ({"stride": "8"}, "stride"),
        ({"pixel_size_m": 0}, "pixel size"),
        ({"architecture": ["unet"]}, "architecture"),
        ({"bands": [{"name": None, "dtype": "foo", "offset": 0, "scale": 1}]}, "dtype"),
    ],
)
def test_specs_that_cannot_be_are_refused(tmp_path, change, message):
    path = tmp_path / "m.safetensors"
    content = {**json.loads(make_spec().to_json()), **change}
    save_file(make_network().state_dict(), path, metadata={"geounet": json.dumps(content)})
    with pytest.raises(ModelError, match=message):
        load_model(path)


def test_unwritable_folder(tmp_path):
    with pytest.raises(ResourceError, match="cannot be written"):
        save_model(tmp_path / "none" / "m.safetensors", make_network(), make_spec())
