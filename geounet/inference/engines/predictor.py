"""What happens between the raw pixels of a tile and its classes, as one torch module.

Engines run this module or compile it: normalisation, network, test-time augmentation, the mean
over an ensemble, argmax and confidence are inside, so that the scene's own dtype goes to the device
and a byte per pixel comes back.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geounet.classes import NODATA
from geounet.errors import ModelError
from geounet.inference.options import ScoresDtype, Tta
from geounet.models import Geometry, ModelSpec, find_geometry, to_inference_form

TURNS: dict[Tta, tuple[int, ...]] = {"none": (0,), "flip": (0, 2, 4, 6), "d4": tuple(range(8))}
"""Symmetries of the square by number: quarter turns 0-3, then the same of the mirror image."""

STEPS = 254
"""Probabilities are kept in 1/254, rounded to the nearest, so that 255 can be no data."""


SOUND = "sound"
"""The output that tells whether a tile's scores are numbers; no kind of output of a run."""

LARGEST = torch.finfo(torch.float32).max


@dataclass(frozen=True, slots=True)
class Request:
    """What a prediction is to give beside the mask.

    Attributes:
        confidence: the winning class's probability.
        scores: all classes' probabilities: "uint8" in 1/254, "float16", "float32", or None.
        tta: symmetries over which probabilities are averaged.
    """

    confidence: bool = False
    scores: ScoresDtype | None = None
    tta: Tta = "none"

    @property
    def kinds(self) -> tuple[str, ...]:
        """The outputs, the mask last."""
        wanted = {"confidence": self.confidence, "scores": self.scores is not None, "mask": True}
        return tuple(kind for kind, is_wanted in wanted.items() if is_wanted)

    def make_blank(self, kind: str, classes: int, shape: tuple[int, int]) -> NDArray[Any]:
        """An output without data: (H, W), scores (classes, H, W)."""
        if kind != "scores":
            return np.full(shape, NODATA, np.uint8)
        dtype = np.dtype(self.scores or "uint8")
        return np.full((classes, *shape), nodata_of(dtype), dtype)


def nodata_of(dtype: np.dtype[Any]) -> float:
    """The value of an output where there is no data: NaN in floats, else 255."""
    return math.nan if dtype.kind == "f" else NODATA


class Predictor(nn.Module):
    """Raw pixels -> mask, and what else is requested.

    Args:
        members: networks with their specs.
        request: what to give.
        tile: side of the tiles of networks that have no exact tiling; None: all have.

    Attributes:
        geometry: of all networks together: the largest read margin, a common stride.
    """

    values: Tensor

    def __init__(
        self,
        members: Sequence[tuple[nn.Module, ModelSpec]],
        request: Request,
        tile: int | None = None,
    ) -> None:
        super().__init__()
        self.request = request
        self.members = nn.ModuleList(Member(network, spec, tile) for network, spec in members)
        self.geometry = _combine([member.geometry for member in self._members])
        classes = [c.value for c in members[0][1].classes]
        self.register_buffer("values", torch.tensor(classes, dtype=torch.uint8))

    def forward(self, image: Tensor, valid: Tensor) -> dict[str, Tensor]:
        """Predict a batch.

        Args:
            image: (N, B, h, w), the scene's values as they are.
            valid: bool (N, h, w), True = data.

        Returns:
            mask uint8 (N, H, W); if requested confidence uint8 (N, H, W) and scores
            (N, K, H, W); 255 (or NaN in scores of floats) where not valid. Also sound, bool (N,):
            whether all scores are finite.
        """
        kept = trim(valid, self.geometry.read_margin)  # (N, H, W)
        scores = self.score(image, valid)
        # argmax on the device: 1 byte per pixel comes back instead of 4 * K; on the CPU it takes
        # ten times as long where a pixel's scores do not lie side by side
        side_by_side = scores.contiguous(memory_format=torch.channels_last)
        mask = self.values[side_by_side.argmax(dim=1)]
        outputs = {"mask": mask.masked_fill(~kept, NODATA), SOUND: _are_finite(scores)}
        if self.request.confidence or self.request.scores:
            probability = scores if self._is_mean else scores.float().softmax(dim=1)
            if self.request.confidence:
                outputs["confidence"] = _quantise(probability.amax(dim=1), kept)
            if self.request.scores == "uint8":
                outputs["scores"] = _quantise(probability, kept[:, None])
            elif self.request.scores is not None:
                dtype = torch.float16 if self.request.scores == "float16" else torch.float32
                outputs["scores"] = probability.masked_fill(~kept[:, None], math.nan).to(dtype)
        return outputs

    def draw_noise(self, side: int) -> Tensor:
        """float32 (1, B, side, side), spread as training pixels are; always the same."""
        first = self._members[0]
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn((1, len(first.offset), side, side), generator=generator)
        return (first.offset + first.scale * noise).float()

    def set_precision(self, dtype: torch.dtype) -> None:
        """Let the networks, not the normalisation, compute in this dtype."""
        for member in self._members:
            member.network.to(dtype)

    @property
    def _members(self) -> list[Member]:
        return cast(list[Member], list(self.members))

    @property
    def _is_mean(self) -> bool:
        return len(self.members) * len(TURNS[self.request.tta]) > 1

    def score(self, image: Tensor, valid: Tensor) -> Tensor:
        """(N, K, H, W): scores before softmax of a single pass; else the mean of probabilities."""
        turns = TURNS[self.request.tta]
        total: Tensor | None = None
        for member in self._members:
            x = member.normalise(image, valid)
            x = trim(x, self.geometry.read_margin - member.geometry.read_margin)
            for turn in turns:
                scores = turn_back(member(turn_square(x, turn)), turn)
                if not self._is_mean:
                    return scores
                probability = scores.float().softmax(dim=1)
                total = probability if total is None else total + probability
        if total is None:
            raise ModelError("an ensemble needs a model")
        return total / (len(self.members) * len(turns))


class Member(nn.Module):
    """One network with its normalisation."""

    offset: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, spec: ModelSpec, tile: int | None = None) -> None:
        super().__init__()
        if tile is None:
            self.geometry = _find_exact(network, spec)
            self.network = _lay_out(to_inference_form(network))
        else:  # it pads on its own, and takes whole tiles only
            self.geometry = Geometry(stride=tile, margin=0, read_margin=0, spare=0)
            self.network = to_blended_form(network)
        for name in ("offset", "scale"):
            numbers = [getattr(band, name) for band in spec.bands]
            # float64: float32 cannot hold wide integers with a large offset
            self.register_buffer(name, torch.tensor(numbers, dtype=torch.float64)[:, None, None])

    @property
    def dtype(self) -> torch.dtype:
        """Of the network's arithmetic."""
        first = next(self.network.parameters(), None)
        return torch.float32 if first is None else first.dtype

    def normalise(self, image: Tensor, valid: Tensor) -> Tensor:
        """Subtract the offset, divide by the scale; 0 where not valid; the network's dtype."""
        is_narrow = image.dtype.itemsize <= 2 or image.dtype == torch.float32
        working = torch.float32 if is_narrow else torch.float64
        x = (image.to(working) - self.offset.to(working)) / self.scale.to(working)
        # not a product: NaN and infinity are among the invalid
        x = x.to(self.dtype).masked_fill(~valid[:, None], 0.0)
        # last: band by band all of it is twice as fast
        return x.contiguous(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """(N, B, h, w) normalised -> (N, K, h - 2 * read margin, w - 2 * read margin) scores."""
        margin, spare = self.geometry.read_margin, self.geometry.spare
        scores = self.network(x)
        height, width = x.shape[-2] - 2 * margin, x.shape[-1] - 2 * margin
        return scores[..., spare : spare + height, spare : spare + width]  # type: ignore[no-any-return]


def to_blended_form(network: nn.Module) -> nn.Module:
    """A copy of a network that is used as it is."""
    return _lay_out(copy.deepcopy(network).eval().requires_grad_(False))


def _lay_out(network: nn.Module) -> nn.Module:
    """In memory channel by channel, which is faster, unless an exported graph fixes the order."""
    if getattr(network, "takes_channels_last", True):
        return network.to(memory_format=torch.channels_last)
    return network


def turn_square(x: Tensor, turn: int) -> Tensor:
    """Symmetry number `turn` of (..., H, W): quarter turns, from 4 on after mirroring."""
    if turn >= 4:
        x = x.flip(-1)
    return x.rot90(turn % 4, dims=(-2, -1))


def turn_back(x: Tensor, turn: int) -> Tensor:
    """The inverse of `turn_square`."""
    x = x.rot90(-(turn % 4), dims=(-2, -1))
    return x.flip(-1) if turn >= 4 else x


def trim(x: Tensor, pixels: int) -> Tensor:
    """(..., H, W) without `pixels` on each side."""
    return x[..., pixels : x.shape[-2] - pixels, pixels : x.shape[-1] - pixels]


def _find_exact(network: nn.Module, spec: ModelSpec) -> Geometry:
    trace: Callable[..., object] | None = getattr(network, "trace", None)
    if trace is None:
        raise ModelError(f"{spec.architecture} has no exact tiling")
    return find_geometry(trace, spec.stride)  # type: ignore[arg-type]


def _combine(geometries: Sequence[Geometry]) -> Geometry:
    return Geometry(
        stride=math.lcm(*(g.stride for g in geometries)),
        margin=max(g.margin for g in geometries),
        read_margin=max(g.read_margin for g in geometries),
        spare=0,
    )


def _are_finite(scores: Tensor) -> Tensor:
    """Of each image of (N, K, H, W) whether all scores are, bool (N,).

    One sum of all: a fifth of what looking at each pixel takes. It is infinite or no number if any
    score is, and scores that are near 1e30 are none.
    """
    total = scores.sum(dim=(1, 2, 3), dtype=torch.float32)
    return total.abs() < LARGEST


def _quantise(probability: Tensor, valid: Tensor) -> Tensor:
    steps = (probability.float() * STEPS).round().to(torch.uint8)
    return steps.masked_fill(~valid, NODATA)
