"""Engines: a batch of raw tiles in, class values out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from geounet.inference.predictor import Predictor, Request
from geounet.inference.runtime import Runtime
from geounet.models import Geometry, ModelSpec

Outputs = dict[str, NDArray[Any]]
"""What an engine makes of a batch of N tiles; H and W are those of the covers.

mask: uint8 (N, H, W) class values; 255 where not valid.
confidence: uint8 (N, H, W) probability of the winning class in 1/254, 255 where not valid.
scores: (N, K, H, W) class probabilities, uint8 in 1/254 or float32; 255 or NaN where not valid.
"""


class Engine(Protocol):
    """Runs networks on batches of tiles of any one shape."""

    @property
    def name(self) -> str:
        """The word of `--engine`."""

    @property
    def geometry(self) -> Geometry:
        """Stride and margins of the networks together."""

    @property
    def runtime(self) -> Runtime:
        """Where and in which arithmetic it runs."""

    @property
    def request(self) -> Request:
        """Which outputs it gives."""

    @property
    def classes(self) -> int:
        """How many classes it tells apart."""

    def __call__(self, image: NDArray[np.generic], valid: NDArray[np.bool_]) -> Outputs:
        """Predict a batch: the outputs of its request.

        Args:
            image: (N, bands, h, w), the scene's values as they are.
            valid: (N, h, w), True = data.

        Raises:
            MemoryError: the batch does not fit the device.
        """


class TorchEngine:
    """PyTorch on any of its devices."""

    name = "torch"

    def __init__(self, predictor: Predictor, runtime: Runtime) -> None:
        self.geometry, self.request = predictor.geometry, predictor.request
        self.classes = len(predictor.values)
        self.runtime = runtime
        predictor.set_precision(runtime.dtype)
        if runtime.device.type == "mps":  # has no float64
            predictor.float()
        self.predictor = predictor.to(runtime.device).eval()

    @torch.inference_mode()
    def __call__(self, image: NDArray[np.generic], valid: NDArray[np.bool_]) -> Outputs:
        """See `Engine`."""
        device = self.runtime.device
        if device.type == "mps" and image.dtype.itemsize > 4:
            image = image.astype(np.float32)
        try:
            outputs = self.predictor(
                torch.from_numpy(image).to(device, non_blocking=True),
                torch.from_numpy(valid).to(device, non_blocking=True),
            )
            return {kind: x.cpu().numpy() for kind, x in outputs.items()}
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if device.type == "cuda":
                torch.cuda.empty_cache()
            raise MemoryError(str(error)) from error


def make_engine(
    network: nn.Module, spec: ModelSpec, runtime: Runtime, request: Request | None = None
) -> Engine:
    """An engine for one trained network, which is left as it is.

    Raises:
        ModelError: the network cannot be tiled exactly.
    """
    return make_ensemble([(network, spec)], runtime, request or Request())


def make_ensemble(
    members: Sequence[tuple[nn.Module, ModelSpec]], runtime: Runtime, request: Request
) -> Engine:
    """An engine that averages the probabilities of several networks of the same classes.

    Raises:
        ModelError: a network cannot be tiled exactly.
    """
    return TorchEngine(Predictor(members, request), runtime)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch raised it for want of memory: on the CPU that is a plain RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)
