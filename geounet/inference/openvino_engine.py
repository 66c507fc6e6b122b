"""OpenVINO on the CPU: the predictor compiled for each shape of batches."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from geounet.errors import UsageError
from geounet.inference.engine import Outputs
from geounet.inference.predictor import Predictor
from geounet.inference.runtime import Runtime

DTYPES = ("uint8", "int8", "uint16", "int16", "float32")
"""Scenes that it computes as exactly as torch: it has no float64 on the CPU."""


class OpenVinoEngine:
    """OpenVINO on the CPU. The first batch of a shape takes seconds longer: it is compiled."""

    name = "openvino"

    def __init__(self, predictor: Predictor, runtime: Runtime) -> None:
        self.geometry, self.request = predictor.geometry, predictor.request
        self.classes = len(predictor.values)
        self.runtime = runtime
        self.predictor = predictor.eval()
        self._compiled: dict[tuple[int, ...], Any] = {}

    def __call__(self, image: NDArray[np.generic], valid: NDArray[np.bool_]) -> Outputs:
        """See `Engine`."""
        if image.dtype == np.uint16:  # which its converter does not know; float32 holds all of them
            image = image.astype(np.float32)
        if image.shape not in self._compiled:
            self._compiled[image.shape] = self._compile(image, valid)
        results = self._compiled[image.shape]([image, valid])
        return {kind: results[i] for i, kind in enumerate(self._order)}

    def _compile(self, image: NDArray[np.generic], valid: NDArray[np.bool_]) -> Any:  # noqa: ANN401
        """The compiled model; openvino has no types."""
        import openvino

        example = (torch.from_numpy(image), torch.from_numpy(valid))
        with torch.inference_mode():
            exported = torch.export.export(self.predictor, example)
        model = openvino.convert_model(exported)
        model.reshape({0: list(image.shape), 1: list(valid.shape)})
        precision = "bf16" if self.runtime.precision == "bfloat16" else "f32"
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
        return openvino.Core().compile_model(model, "CPU", settings)

    @property
    def _order(self) -> tuple[str, ...]:
        """The outputs in the order in which the predictor makes them."""
        return ("mask", *(kind for kind in ("confidence", "scores") if kind in self.request.kinds))


def fits_openvino(runtime: Runtime, dtype: np.dtype[Any]) -> bool:
    """Whether OpenVINO is installed and can run this."""
    return (
        runtime.device.type == "cpu"
        and dtype.name in DTYPES
        and importlib.util.find_spec("openvino") is not None
    )


def check_openvino(runtime: Runtime, dtype: np.dtype[Any]) -> None:
    """Say why OpenVINO cannot run this.

    Raises:
        UsageError: it is not installed, or has no such device or dtype.
    """
    if importlib.util.find_spec("openvino") is None:
        raise UsageError("--engine openvino is not installed; pip install 'geounet[openvino]'")
    if runtime.device.type != "cpu":
        raise UsageError(f"--engine openvino runs on the CPU, not on {runtime.device}")
    if dtype.name not in DTYPES:
        raise UsageError(f"--engine openvino cannot read {dtype}; use --engine torch")
