"""What `geounet info` says of a network, against the arithmetic of the papers."""

import pytest

from geounet.classes import ClassInfo
from geounet.models import Band, ModelSpec, describe_network


def describe(architecture, bands=3, **arguments):
    classes = (ClassInfo(0, "a", "#000000"), ClassInfo(1, "b", "#ffffff"))
    all_bands = (Band(None, "uint8", 0.0, 1.0),) * bands
    return describe_network(ModelSpec(architecture, arguments, all_bands, classes, None, 1, 1))


def test_the_paper():
    """31.0 M parameters in 23 convolutions; counted by hand, level by level."""
    anatomy = describe("unet", bands=1, width=64)
    assert anatomy.parameters == 31_030_658
    assert len(anatomy.layers) == 23
    by_hand = 9 * (64 + 64 * 64) + 64 * 2
    for level, channels in enumerate([64, 128, 256, 512]):
        twice = 2 * channels
        by_hand += 9 * (channels * twice + twice**2) / 4 ** (level + 1)  # the way down
        by_hand += 9 * (twice * channels + channels**2) / 4**level  # the way up
        by_hand += twice * channels / 4**level  # transposed convolutions
    assert anatomy.macs_per_pixel == pytest.approx(by_hand)


def test_a_residual_encoder_costs_what_others_measured():
    """64 and 119 kMAC per pixel, less the two convolutions at full resolution and a head there.

    Of 9 products of a map enlarged by nearest neighbour, 4 are left.
    """
    spared = 9 * (32 * 16 + 16 * 16 + 16 * 2) - 9 * 32 * 2 / 4
    enlarged = [(512, 256, 16), (256, 128, 8), (128, 64, 4), (64, 32, 2)]
    spared += sum(5 * before * after / size**2 for before, after, size in enlarged)
    shallow, deep = describe("resunet", width=64), describe("resunet", blocks=(3, 4, 6, 3))
    assert shallow.macs_per_pixel + spared == pytest.approx(64_000, rel=0.01)
    assert deep.macs_per_pixel + spared == pytest.approx(119_000, rel=0.01)
    assert sum(layer.parameters for layer in deep.layers) == deep.parameters


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_padding_does_not_change_the_cost(padding):
    costs = {p: describe("lightunet", width=8, padding=p).macs_per_pixel for p in ("same", padding)}
    assert len(set(costs.values())) == 1
