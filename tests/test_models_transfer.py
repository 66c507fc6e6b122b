"""Fine-tuning begins with the weights of another model: bands and classes by name."""

import pytest
import torch

from geounet.classes import ClassInfo
from geounet.errors import ModelError
from geounet.models import Band, Model, ModelSpec, build_network, transfer_weights

ARGUMENTS = {
    "unet": {"width": 4, "depth": 2, "norm": "batch", "padding": "same"},
    "lightunet": {"width": 8, "depth": 1},
    "resunet": {"width": 4},
    "fcn8s": {"width": 2},
}


def make_classes(names):
    return tuple(ClassInfo(i, name, "#000000") for i, name in enumerate(names))


def make_model(architecture, bands, classes):
    spec = ModelSpec(
        architecture=architecture,
        arguments=ARGUMENTS[architecture],
        bands=tuple(Band(name, "uint8", 0.0, 1.0) for name in bands),
        classes=make_classes(classes),
        pixel_size_m=None,
        margin=1,
        stride=1,
    )
    network = build_network(architecture, len(bands), len(classes), spec.arguments)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
    return Model(spec, network.eval(), "before", "digest")


def begin(model, bands, classes):
    spec = model.spec
    network = build_network(spec.architecture, len(bands), len(classes), spec.arguments).eval()
    transfer_weights(network, bands, make_classes(classes), model)
    return network


@pytest.mark.parametrize("architecture", ARGUMENTS)
def test_the_same_task_gets_the_same_network(architecture):
    model = make_model(architecture, ["red", "green"], ["a", "b", "c"])
    network = begin(model, ["red", "green"], ["a", "b", "c"])
    x = torch.randn(1, 2, 64, 64)
    assert torch.equal(network(x), model.network(x))


@pytest.mark.parametrize("architecture", ARGUMENTS)
def test_classes_in_another_order_give_the_same_scores(architecture):
    model = make_model(architecture, ["red"], ["a", "b", "c"])
    network = begin(model, ["red"], ["c", "a", "b"])
    x = torch.randn(1, 1, 64, 64)
    torch.testing.assert_close(network(x), model.network(x)[:, [2, 0, 1]])


@pytest.mark.parametrize("architecture", ["unet", "resunet", "lightunet"])
def test_known_classes_are_kept_and_new_ones_fresh(architecture):
    model = make_model(architecture, ["red"], ["a", "b"])
    network = begin(model, ["red"], ["a", "new", "b"])
    x = torch.randn(1, 1, 64, 64)
    torch.testing.assert_close(network(x)[:, [0, 2]], model.network(x))
    assert not torch.isclose(network(x)[:, 1], model.network(x)[:, 1]).any()


@pytest.mark.parametrize("architecture", ARGUMENTS)
def test_bands_in_another_order_see_the_same_scene(architecture):
    model = make_model(architecture, ["red", "green", "blue"], ["a", "b"])
    network = begin(model, ["blue", "green", "red"], ["a", "b"])
    x = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(network(x.flip(1)), model.network(x), rtol=1e-4, atol=1e-4)


def test_a_new_band_begins_as_the_mean_of_the_others():
    model = make_model("unet", ["red", "green"], ["a", "b"])
    first = begin(model, ["red", "green", "nir"], ["a", "b"]).down[0][0].weight
    before = model.network.down[0][0].weight
    torch.testing.assert_close(first[:, :2], before)
    torch.testing.assert_close(first[:, 2], before.mean(dim=1))


def test_bands_without_names_are_matched_by_position():
    model = make_model("unet", [None, None], ["a", "b"])
    first = begin(model, ["red", "green"], ["a", "b"]).down[0][0].weight
    assert torch.equal(first, model.network.down[0][0].weight)


def test_another_architecture_is_refused():
    model = make_model("unet", ["red"], ["a", "b"])
    other = build_network("unet", 1, 2, {**ARGUMENTS["unet"], "width": 8})
    with pytest.raises(ModelError, match="another unet"):
        transfer_weights(other, ["red"], make_classes(["a", "b"]), model)
