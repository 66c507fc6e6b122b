"""The networks by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from torch import Tensor, nn

from geounet.errors import ModelError
from geounet.models.geometry import Geometry
from geounet.models.resunet import ResUNet
from geounet.models.unet import UNet


class Network(Protocol):
    """What an in-house network offers beside `nn.Module`."""

    @property
    def geometry(self) -> Geometry:
        """Stride and margin of the unpadded network."""

    def __call__(self, x: Tensor) -> Tensor:
        """(N, bands, H, W) -> (N, classes, H', W') scores before softmax."""


ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {"unet": UNet, "resunet": ResUNet}


def build_network(
    architecture: str, bands: int, classes: int, arguments: Mapping[str, Any]
) -> nn.Module:
    """A network with fresh weights.

    Raises:
        ModelError: unknown architecture, or arguments it does not take.
    """
    if architecture not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise ModelError(f"unknown architecture {architecture!r}; this geounet has: {known}")
    try:
        return ARCHITECTURES[architecture](bands=bands, classes=classes, **arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"{architecture} cannot be built with {dict(arguments)}: {error}"
        ) from error
