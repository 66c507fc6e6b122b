"""What a network consists of, and what it costs: for `geounet info`."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from geounet.models.architectures import ARCHITECTURES, build_empty
from geounet.models.networks.unet import UNet
from geounet.models.spec import ModelSpec

SIDE = 512
"""Pixels of the square whose arithmetic is counted."""


@dataclass(frozen=True)
class Layer:
    """A module with weights.

    Attributes:
        name: as in the model file.
        kind: its class.
        shape: of its weights.
        parameters: how many it has.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int


@dataclass(frozen=True)
class Anatomy:
    """A network's layers and costs.

    Attributes:
        layers: the modules with weights, in the order of the model file.
        parameters: in all.
        macs_per_pixel: multiplications of a pixel, the context of tiles not counted.
    """

    layers: tuple[Layer, ...]
    parameters: int
    macs_per_pixel: float


def describe_network(spec: ModelSpec) -> Anatomy:
    """The anatomy of a network of this geounet or of segmentation_models_pytorch.

    Raises:
        ModelError: there is no such network.
    """
    arguments = dict(spec.arguments)
    kind = ARCHITECTURES.get(spec.architecture)
    if isinstance(kind, type) and issubclass(kind, UNet):
        arguments["padding"] = "same"  # so that all of the square's pixels are computed
    bands = len(spec.bands)
    network = build_empty(spec.architecture, bands, len(spec.classes), arguments).eval()
    layers = tuple(
        Layer(name, type(module).__name__, tuple(module.weight.shape), _count(module))
        for name, module in network.named_modules()
        if isinstance(getattr(module, "weight", None), torch.Tensor)
    )
    return Anatomy(layers, _count(network), _count_products(network, bands) / SIDE**2)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _count_products(network: nn.Module, bands: int) -> float:
    """Multiplications of convolutions and matrix products in one square; nothing is computed."""
    empty = copy.deepcopy(network).to("meta")
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        empty(torch.empty((1, bands, SIDE, SIDE), device="meta"))
    return float(counter.get_total_flops()) / 2
