"""Engines: a batch of raw tiles in, class values out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from geounet.errors import ResourceError
from geounet.heap import keep_freed, trim_memory
from geounet.inference.engines.predictor import Predictor, Request
from geounet.inference.engines.runtime import Runtime
from geounet.models import Geometry

Outputs = dict[str, NDArray[Any]]
"""What an engine makes of a batch of N tiles; H and W are those of the covers.

mask: uint8 (N, H, W) class values; 255 where not valid.
confidence: uint8 (N, H, W) probability of the winning class in 1/254, 255 where not valid.
scores: (N, K, H, W) class probabilities, uint8 in 1/254 or floats; 255 or NaN where not valid.
sound: bool (N,), whether all scores are finite: float16 may overflow.
"""

Pending = Callable[[], Outputs]
"""A batch that was begun: calling it waits for the outputs. MemoryError: it did not fit."""


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

    @property
    def ahead(self) -> int:
        """Batches that are worth beginning before the first is waited for; 0: none."""

    def submit(self, image: NDArray[np.generic], valid: NDArray[np.bool_]) -> Pending:
        """Begin a batch.

        Args:
            image: (N, bands, h, w), the scene's values as they are.
            valid: (N, h, w), True = data.

        Raises:
            MemoryError: the batch does not fit the device.
        """

    def __call__(self, image: NDArray[np.generic], valid: NDArray[np.bool_]) -> Outputs:
        """The outputs of a batch, as `submit`."""

    def rest(self) -> None:
        """Give back the memory that is kept for the next batch."""


class TorchEngine:
    """PyTorch on the CPU or on MPS. A CUDA device is better served by `CudaEngine`."""

    name = "torch"
    ahead = 0

    def __init__(self, predictor: Predictor, runtime: Runtime) -> None:
        self.geometry, self.request = predictor.geometry, predictor.request
        self.classes = len(predictor.values)
        self.runtime = runtime
        if runtime.device.type == "mps":  # has no float64
            predictor.float()
        predictor.set_precision(runtime.dtype)
        self.predictor = predictor.eval()
        if runtime.device.type != "cpu":
            move_checked(self.predictor, runtime.device)

    def submit(self, image: NDArray[np.generic], valid: NDArray[np.bool_]) -> Pending:
        """See `Engine`."""
        return partial(self, image, valid)

    @torch.inference_mode()
    def __call__(self, image: NDArray[np.generic], valid: NDArray[np.bool_]) -> Outputs:
        """See `Engine`."""
        device = self.runtime.device
        if device.type == "mps" and image.dtype not in (np.uint8, np.float32):
            image = image.astype(np.float32)  # wide integers would be normalised in float64
        try:
            with keep_freed():
                outputs = self.predictor(
                    torch.from_numpy(image).to(device), torch.from_numpy(valid).to(device)
                )
            return {kind: x.cpu().numpy() for kind, x in outputs.items()}
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise MemoryError(str(error)) from error

    def rest(self) -> None:
        """See `Engine`."""
        trim_memory()


CHECKED_SIDE = 128
"""Pixels, or a stride."""

MOST_DIFFERENCE = 0.05
"""Of the largest score: float16 stays far below, what is wrong far above."""


@torch.inference_mode()
def move_checked(predictor: Predictor, device: torch.device) -> None:
    """Move a predictor from the CPU, and see that it computes there what it did.

    Some releases of torch compute convolutions wrong on Apple's GPUs, without a word, where weights
    or images do not lie in memory channel after channel (pytorch issues 180984 and 192212).

    Raises:
        ResourceError: it does not.
    """
    geometry = predictor.geometry
    side = -(-CHECKED_SIDE // geometry.stride) * geometry.stride + 2 * geometry.read_margin
    image = predictor.draw_noise(side)
    valid = torch.ones((1, side, side), dtype=torch.bool)
    expected = predictor.score(image, valid).float()
    predictor.to(device)
    found = predictor.score(image.to(device), valid.to(device)).float().cpu()
    if not (found - expected).abs().max() <= MOST_DIFFERENCE * expected.abs().max():
        raise ResourceError(
            f"torch {torch.__version__} computes this network wrong on {device}; use --device cpu, "
            "or another release of torch"
        )


WANT_OF_MEMORY = (
    "allocate memory",
    "out of memory",
    "bad alloc",
    "ALLOC_FAILED",  # cuDNN and cuBLAS
    "ALLOCATION_FAILED",  # cuDNN 9
    "unable to find an engine",  # cuDNN, if the workspace of none can be had
)
"""What libraries say who raise plain RuntimeErrors."""


def count_changes(weight: torch.Tensor) -> int:
    """How often a weight was changed in place: training does so."""
    return 0 if weight.is_inference() else weight._version


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether it was raised for want of memory: on the CPU that is a plain RuntimeError."""
    is_told = any(text in str(error) for text in WANT_OF_MEMORY)
    return is_told or isinstance(error, torch.cuda.OutOfMemoryError)
