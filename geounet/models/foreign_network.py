"""The network of a `.onnx` or `.pt2` file, made to give what all networks give."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from geounet.errors import ModelError
from geounet.models.exported import ExportedNetwork
from geounet.models.foreign_file import find_spec_file
from geounet.models.onnx_network import OnnxNetwork
from geounet.models.spec import ModelSpec

SMALLEST = 1e-30
"""Least probability: softmax gives it back from its logarithm, which 0 has not."""


class ForeignNetwork(nn.Module):
    """Normalised (N, bands, H, W) float32 -> (N, classes, H, W) scores before softmax.

    Attributes:
        runner: what runs the file, in the precision in which it was exported.
        side: height and width of the input if the file fixes them, else None.
    """

    def __init__(self, runner: OnnxNetwork | ExportedNetwork, spec: ModelSpec) -> None:
        super().__init__()
        self.runner = runner
        self.side = runner.side
        self._classes = len(spec.classes)
        self._is_probability = spec.arguments.get("output") == "probabilities"

    @property
    def path(self) -> Path:
        """The file."""
        return self.runner.path

    @property
    def takes_channels_last(self) -> bool:
        """Whether images and weights may lie in memory channel by channel, which is faster."""
        return isinstance(self.runner, ExportedNetwork) and not self.runner.has_views

    @property
    def needs_onnxruntime(self) -> bool:
        """Whether torch is not what computes it."""
        return isinstance(self.runner, OnnxNetwork)

    def forward(self, x: Tensor) -> Tensor:
        """Run the file; a single output channel of two classes is the second's, as of a sigmoid."""
        order = torch.channels_last if self.takes_channels_last else torch.contiguous_format
        scores: Tensor = self.runner(x.float().contiguous(memory_format=order)).float()
        if self._is_probability:
            if self._is_second_only(scores):
                scores = torch.cat([1 - scores, scores], dim=1)
            return scores.clamp_min(SMALLEST).log()
        if self._is_second_only(scores):
            return torch.cat([torch.zeros_like(scores), scores], dim=1)
        return scores

    def _is_second_only(self, scores: Tensor) -> bool:
        return self._classes == 2 and scores.shape[1] == 1


def open_foreign(path: Path, spec: ModelSpec) -> ForeignNetwork:
    """The network of a foreign file.

    Raises:
        ModelError: it cannot be read, or its input is not what the spec says.
    """
    runner = OnnxNetwork(path) if path.suffix.lower() == ".onnx" else ExportedNetwork(path)
    if runner.bands not in (None, len(spec.bands)):
        raise ModelError(
            f"{path} takes {runner.bands} bands, {find_spec_file(path).name} names "
            f"{len(spec.bands)}; describe each band of its input"
        )
    return ForeignNetwork(runner, spec)
