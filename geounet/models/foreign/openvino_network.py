"""An OpenVINO file (`.xml`, weights in the `.bin` beside it) as a network, on the CPU."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from geounet.errors import ModelError
from geounet.models.foreign.file import check_input

SHAPES_KEPT = 2
"""Shapes of tiles for which the compiled model is kept."""

SETTINGS = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
"""By default it would compute in bfloat16 where the hardware has it."""


class OpenVinoNetwork(nn.Module):
    """(N, bands, H, W) float32 -> the first output of the file, in float32.

    Tiles are computed one by one, whatever the batch, as those of an ONNX file.

    Attributes:
        side: height and width of the input if the file fixes them, else None.
        bands: input bands, if the file fixes them.
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        _check_installed(path)
        self.path = path
        self._model = _read(path)
        if len(self._model.inputs) != 1:
            raise ModelError(f"{path} takes {len(self._model.inputs)} inputs; a model takes one")
        shape = self._model.input(0).get_partial_shape()
        sizes = [size.get_length() if size.is_static else None for size in shape]
        self.bands, self.side = check_input(path, sizes)
        self._compiled = lru_cache(SHAPES_KEPT)(self._compile)

    def forward(self, x: Tensor) -> Tensor:
        """Run the file on each tile."""
        images = x.detach().cpu().numpy().astype(np.float32)
        try:
            run = self._compiled((1, *images.shape[1:]))
            results = [run(images[i : i + 1])[0] for i in range(len(images))]
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:300]
            if "allocate" in reason or "bad alloc" in reason:
                raise MemoryError(reason) from error
            raise ModelError(f"{self.path} fails on {tuple(images.shape[1:])}: {reason}") from error
        return torch.from_numpy(np.concatenate(results)).to(x.device)

    def __deepcopy__(self, memo: dict[int, Any]) -> OpenVinoNetwork:
        """Itself: nothing in it ever changes."""
        return self

    def _compile(self, shape: tuple[int, ...]) -> Any:  # noqa: ANN401 - has no types
        import openvino

        fixed = self._model.clone()
        fixed.reshape(list(shape))
        return openvino.Core().compile_model(fixed, "CPU", SETTINGS)


def find_weights(path: Path) -> Path:
    """Where the weights of an OpenVINO file are."""
    return path.with_suffix(".bin")


def _read(path: Path) -> Any:  # noqa: ANN401 - has no types
    import openvino

    weights = find_weights(path)
    if not weights.is_file():
        raise ModelError(f"{path} has no {weights.name} beside it, where its weights belong")
    try:
        return openvino.Core().read_model(str(path), str(weights))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"{path} is no OpenVINO model that can be read: {reason}") from error


def _check_installed(path: Path) -> None:
    if importlib.util.find_spec("openvino") is None:
        raise ModelError(
            f"{path} needs a package that is not installed; pip install 'geounet[openvino]'"
        )
