"""Engines: a batch of raw tiles in, class values out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geounet.classes import NODATA
from geounet.errors import ModelError
from geounet.inference.runtime import Runtime
from geounet.models import Geometry, ModelSpec, find_geometry, to_inference_form


@dataclass(frozen=True, slots=True)
class Prediction:
    """What an engine makes of a batch of N tiles; H and W are those of the covers.

    Attributes:
        mask: uint8 (N, H, W) class values; 255 where not valid.
        confidence: uint8 (N, H, W) probability of the winning class in 1/254, rounded to the
            nearest; 255 where not valid; None if not asked for.
    """

    mask: NDArray[np.uint8]
    confidence: NDArray[np.uint8] | None


class Engine(Protocol):
    """Runs a network on batches of tiles of any one shape."""

    @property
    def geometry(self) -> Geometry:
        """Stride and margins of the network."""

    @property
    def runtime(self) -> Runtime:
        """Where and in which arithmetic it runs."""

    def __call__(
        self, image: NDArray[np.generic], valid: NDArray[np.bool_], *, confidence: bool = False
    ) -> Prediction:
        """Predict a batch.

        Args:
            image: (N, bands, h, w), the scene's values as they are.
            valid: (N, h, w), True = data.
            confidence: whether the confidence is wanted.
        """


class TorchEngine:
    """PyTorch on any of its devices.

    Normalisation, argmax and confidence happen on the device, so that the scene's own dtype goes
    there and one byte per pixel comes back.
    """

    def __init__(self, network: nn.Module, spec: ModelSpec, runtime: Runtime) -> None:
        trace = getattr(network, "trace", None)
        if trace is None:
            raise ModelError(f"{spec.architecture} has no exact tiling")
        self.geometry = find_geometry(trace, spec.stride)
        self.runtime = runtime
        inference_form = to_inference_form(network).to(runtime.device, runtime.dtype)
        self.network = inference_form.to(memory_format=torch.channels_last)
        self.offset = torch.tensor([b.offset for b in spec.bands], dtype=torch.float64)
        self.scale = torch.tensor([b.scale for b in spec.bands], dtype=torch.float64)
        self.values = torch.tensor(
            [c.value for c in spec.classes], dtype=torch.uint8, device=runtime.device
        )

    @torch.inference_mode()
    def __call__(
        self, image: NDArray[np.generic], valid: NDArray[np.bool_], *, confidence: bool = False
    ) -> Prediction:
        """See `Engine`."""
        data = torch.from_numpy(valid).to(self.runtime.device, non_blocking=True)
        x = self.normalise(torch.from_numpy(image), data)  # (N, B, h, w)
        data = _trim(data, self.geometry.read_margin)  # (N, H, W)
        spare, (height, width) = self.geometry.spare, data.shape[-2:]
        scores = self.network(x)  # (N, K, >= H + spare, >= W + spare)
        scores = scores[..., spare : spare + height, spare : spare + width]  # (N, K, H, W)
        # argmax on the device: 1 byte per pixel comes back instead of 4 * K
        mask = self.values[scores.argmax(dim=1)].masked_fill_(~data, NODATA)
        sure = _winning_probability(scores, data).cpu().numpy() if confidence else None
        return Prediction(mask.cpu().numpy(), sure)

    def normalise(self, image: Tensor, valid: Tensor) -> Tensor:
        """Subtract the offset, divide by the scale; 0 where not valid; the engine's dtype."""
        # float32 cannot hold wide integers or float64 with a large offset
        is_narrow = image.dtype.itemsize <= 2 or image.dtype == torch.float32
        working = torch.float32 if is_narrow else torch.float64
        device = self.runtime.device if is_narrow else torch.device("cpu")
        x = image.to(device, non_blocking=True).to(working, memory_format=torch.channels_last)
        offset, scale = (
            v.to(device=device, dtype=working)[:, None, None] for v in (self.offset, self.scale)
        )
        x = (x - offset).div_(scale).to(self.runtime.device, self.runtime.dtype)
        # not a product: NaN and infinity are among the invalid
        return x.masked_fill_(~valid[:, None], 0.0)


def make_engine(network: nn.Module, spec: ModelSpec, runtime: Runtime) -> Engine:
    """An engine for a trained network, which is left as it is.

    Raises:
        ModelError: the network cannot be tiled exactly.
    """
    return TorchEngine(network, spec, runtime)


def _trim(x: Tensor, pixels: int) -> Tensor:
    return x[..., pixels : x.shape[-2] - pixels, pixels : x.shape[-1] - pixels]


def _winning_probability(scores: Tensor, valid: Tensor) -> Tensor:
    probability = scores.float().softmax(dim=1).amax(dim=1)
    return (probability * 254).round_().to(torch.uint8).masked_fill_(~valid, NODATA)
