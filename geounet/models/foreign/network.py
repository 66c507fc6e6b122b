"""The network of a `.onnx`, `.pt2` or `.xml` file, made to give what all networks give."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from geounet.errors import ModelError
from geounet.models.foreign.exported import ExportedNetwork
from geounet.models.foreign.file import find_spec_file
from geounet.models.foreign.onnx_network import OnnxNetwork
from geounet.models.foreign.openvino_network import OpenVinoNetwork
from geounet.models.geometry import OffLatticeError, Span
from geounet.models.spec import ModelSpec
from geounet.wording import counted

Runner = OnnxNetwork | ExportedNetwork | OpenVinoNetwork

RUNNERS: dict[str, Callable[[Path], Runner]] = {
    ".onnx": OnnxNetwork,
    ".pt2": ExportedNetwork,
    ".xml": OpenVinoNetwork,
}
"""What runs a file, by its suffix."""

SMALLEST = 1e-30
"""Least probability: softmax gives it back from its logarithm, which 0 has not."""


class ForeignNetwork(nn.Module):
    """Normalised (N, bands, H, W) float32 -> (N, classes, H', W') scores before softmax.

    H' = H, or H - 2 * margin where the spec says how far the padding of the file's network reaches:
    then its tiles are exact, as those of the network that it was exported from.

    Attributes:
        runner: what runs the file, in the precision in which it was exported.
        side: height and width of the input if the file fixes them, else None.
        margin: pixels cut off on each side; None: none, and the tiles are blended.
    """

    offset: Tensor
    scale: Tensor

    def __init__(self, runner: Runner, spec: ModelSpec) -> None:
        super().__init__()
        self.runner = runner
        self.side = runner.side
        self.margin = spec.margin if runner.side is None else None
        self._stride = spec.stride
        self._classes = len(spec.classes)
        self._is_probability = spec.arguments.get("output") == "probabilities"
        self._is_normalising = spec.arguments.get("normalisation") == "inside"
        for name in ("offset", "scale"):
            numbers = [getattr(band, name) for band in spec.bands]
            self.register_buffer(name, torch.tensor(numbers, dtype=torch.float32)[:, None, None])

    @property
    def path(self) -> Path:
        """The file."""
        return self.runner.path

    @property
    def takes_channels_last(self) -> bool:
        """Whether images and weights may lie in memory channel by channel, which is faster."""
        return isinstance(self.runner, ExportedNetwork) and not self.runner.has_views

    @property
    def engine(self) -> str | None:
        """The package that computes it; None: torch."""
        return {OnnxNetwork: "onnxruntime", OpenVinoNetwork: "openvino"}.get(type(self.runner))

    @property
    def trace(self) -> Callable[[Span], Span] | None:
        """The file's layers on the cells of one axis; None: they have no exact tiling."""
        return None if self.margin is None else self._trace

    def forward(self, x: Tensor) -> Tensor:
        """Run the file; a single output channel of two classes is the second's, as of a sigmoid."""
        scores = self._read(self.run(x))
        if not self.margin:
            return scores
        return scores[..., self.margin : -self.margin, self.margin : -self.margin]

    def run(self, x: Tensor) -> Tensor:
        """What the file itself gives, float32."""
        x = x.float()
        if self._is_normalising:
            x = x * self.scale + self.offset
        order = torch.channels_last if self.takes_channels_last else torch.contiguous_format
        return cast(Tensor, self.runner(x.contiguous(memory_format=order)).float())

    def _read(self, scores: Tensor) -> Tensor:
        if self._is_probability:
            if self._is_second_only(scores):
                scores = torch.cat([1 - scores, scores], dim=1)
            return scores.clamp_min(SMALLEST).log()
        if self._is_second_only(scores):
            return torch.cat([torch.zeros_like(scores), scores], dim=1)
        return scores

    def _trace(self, span: Span) -> Span:
        if span.first % self._stride or span.size % self._stride:
            raise OffLatticeError(f"{span} begins or ends between multiples of {self._stride}")
        margin = self.margin or 0
        if span.size <= 2 * margin:
            raise OffLatticeError(f"{span.size} pixels are too few for a margin of {margin}")
        return Span(span.first + margin, span.size - 2 * margin)

    def _is_second_only(self, scores: Tensor) -> bool:
        return self._classes == 2 and scores.shape[1] == 1


def open_foreign(path: Path, spec: ModelSpec) -> ForeignNetwork:
    """The network of a foreign file.

    Raises:
        ModelError: it cannot be read, or its input is not what the spec says.
    """
    runner = RUNNERS[path.suffix.lower()](path)
    if runner.bands not in (None, len(spec.bands)):
        raise ModelError(
            f"{path} takes {counted(runner.bands or 0, 'band')}, its spec names {len(spec.bands)}; "
            f"describe each band of its input in {find_spec_file(path).name}"
        )
    return ForeignNetwork(runner, spec)
