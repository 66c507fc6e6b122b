"""The networks by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from geounet.errors import ModelError
from geounet.models.foreign.smp import PREFIX, build_smp, build_smp_to_load
from geounet.models.geometry import Geometry
from geounet.models.networks.fcn import FCN
from geounet.models.networks.lightunet import LightUNet
from geounet.models.networks.resunet import ResUNet
from geounet.models.networks.unet import UNet


class Network(Protocol):
    """What an in-house network offers beside `nn.Module`."""

    @property
    def geometry(self) -> Geometry:
        """Stride and margin of the unpadded network."""

    def __call__(self, x: Tensor) -> Tensor:
        """(N, bands, H, W) -> (N, classes, H', W') scores before softmax."""


ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "unet": UNet,
    "resunet": ResUNet,
    "lightunet": LightUNet,
    **{f"fcn{finest}s": partial(FCN, finest=finest) for finest in (32, 16, 8)},
}


def build_network(
    architecture: str, bands: int, classes: int, arguments: Mapping[str, Any]
) -> nn.Module:
    """A network with fresh weights.

    Args:
        architecture: key of `ARCHITECTURES`, or `smp:<Name>:<encoder>`.
        bands: input bands.
        classes: output classes.
        arguments: what else the architecture takes.

    Raises:
        ModelError: unknown architecture, or arguments it does not take.
        ResourceError: weights that the arguments name cannot be fetched.
    """
    if architecture.startswith(PREFIX):
        return build_smp(architecture, bands, classes, arguments)
    if architecture not in ARCHITECTURES:
        known = ", ".join([*sorted(ARCHITECTURES), f"{PREFIX}Unet:resnet34 and its like"])
        raise ModelError(f"unknown architecture {architecture!r}; this geounet has: {known}")
    try:
        return ARCHITECTURES[architecture](bands=bands, classes=classes, **arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"{architecture} cannot be built with {dict(arguments)}: {error}"
        ) from error


def build_empty(
    architecture: str, bands: int, classes: int, arguments: Mapping[str, Any]
) -> nn.Module:
    """A network whose weights are to be loaded; nothing is fetched, no random number drawn.

    Raises:
        ModelError: as `build_network`.
    """
    if architecture.startswith(PREFIX):  # some of its encoders compute tables that no file holds
        return build_smp_to_load(architecture, bands, classes, arguments)
    with torch.device("meta"):
        return build_network(architecture, bands, classes, arguments)
