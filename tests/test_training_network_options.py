"""Which network `geounet train` builds."""

import pytest

from geounet.classes import ClassInfo
from geounet.errors import ModelError, UsageError
from geounet.models import ARCHITECTURES, Band, ModelSpec, build_network, save_model
from geounet.training.learning.network_options import NETWORK_ARGUMENTS, resolve_network


@pytest.fixture
def model(tmp_path):
    arguments = {"width": 4, "depth": 1, "padding": "same", "norm": "batch", "dropout": 0.0}
    classes = (ClassInfo(0, "a", "#000000"), ClassInfo(1, "b", "#ffffff"))
    spec = ModelSpec("lightunet", arguments, (Band(None, "uint8", 0, 1),), classes, None, 8, 2)
    save_model(tmp_path / "m.safetensors", build_network("lightunet", 1, 2, arguments), spec)
    return tmp_path / "m.safetensors"


def test_every_architecture_has_defaults():
    assert set(NETWORK_ARGUMENTS) == set(ARCHITECTURES)
    for name, arguments in NETWORK_ARGUMENTS.items():
        build_network(name, 1, 2, {**arguments, "width": 4})


def test_what_is_not_given_is_the_default():
    assert resolve_network(None, None, {})[0] == "resunet"
    assert resolve_network("fcn8s", None, {"width": 8}) == ("fcn8s", {"width": 8, "dropout": 0.0})
    smp = resolve_network("smp:Unet:resnet18", None, {})
    assert smp == ("smp:Unet:resnet18", {"encoder_weights": None})


def test_a_model_to_begin_with_brings_its_network(model):
    name, arguments = resolve_network(None, model, {"dropout": 0.1, "width": 4})
    assert name == "lightunet"
    assert arguments["width"] == 4
    assert arguments["dropout"] == 0.1


@pytest.mark.parametrize(
    ("architecture", "given", "message"),
    [
        ("unet", {}, "is a lightunet, --architecture says unet; leave one"),
        (None, {"width": 8}, "has width 4, --width says 8; leave --width out"),
        (None, {"blocks": (1, 1, 1, 1)}, "--blocks does not go with --architecture lightunet"),
        (None, {"encoder_weights": "imagenet"}, "--encoder-weights does not go"),
    ],
)
def test_it_cannot_be_another(model, architecture, given, message):
    with pytest.raises(UsageError, match=message):
        resolve_network(architecture, model, given)


def test_what_cannot_be_trained(tmp_path):
    with pytest.raises(UsageError, match="cannot be trained"):
        resolve_network(None, tmp_path / "m.onnx", {})
    with pytest.raises(ModelError, match="no such file"):
        resolve_network(None, tmp_path / "m.safetensors", {})
    with pytest.raises(UsageError, match="choose from: resunet, unet"):
        resolve_network("vgg", None, {})
    with pytest.raises(UsageError, match="--depth does not go with --architecture fcn8s"):
        resolve_network("fcn8s", None, {"depth": 3})
