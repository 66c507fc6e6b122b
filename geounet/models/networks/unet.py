"""The U-Net of Ronneberger, Fischer and Brox (2015), arXiv:1505.04597."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from geounet.models.geometry import Geometry, Span, find_geometry

Padding = Literal["same", "valid"]
Norm = Literal["batch", "none"]


class UNet(nn.Module):
    """Contracting and expanding path with crop-and-concatenate skips (figure 1).

    Each level applies two 3x3 convolutions with ReLU; going down, 2x2 max pooling halves the
    resolution and the next level doubles the channels; going up, a 2x2 transposed convolution
    does the reverse and the cropped skip is concatenated. A 1x1 convolution maps to class scores.
    Without padding (`padding="valid"`, the paper) 572 x 572 pixels give 388 x 388 at depth 4.

    Args:
        bands: input bands.
        classes: output classes, at least 2.
        width: channels of the first level (64 in the paper).
        depth: number of poolings (4 in the paper).
        padding: "valid" as in the paper, or "same": zero padding, output as large as the input.
        norm: "batch" puts BatchNorm between convolution and ReLU; "none" as in the paper.
        dropout: probability of dropping channels at the end of the contracting path.
    """

    scoring = ("head",)

    def __init__(  # noqa: PLR0913 - the paper's hyperparameters
        self,
        bands: int,
        classes: int,
        width: int = 64,
        depth: int = 4,
        padding: Padding = "valid",
        norm: Norm = "none",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.depth = depth
        channels = [width * 2**level for level in range(depth + 1)]
        self.down = nn.ModuleList([self._make_first(bands, width, padding, norm)])
        for before, after in pairwise(channels):
            self.down.append(self._make_level(before, after, padding, norm))
        self.pool = nn.MaxPool2d(2)
        self.drop = nn.Dropout2d(dropout)
        self.up = nn.ModuleList(self._make_up(2 * c, c) for c in reversed(channels[:-1]))
        self.merge = nn.ModuleList(
            self._make_level(2 * c, c, padding, norm) for c in reversed(channels[:-1])
        )
        self.head = nn.Conv2d(width, classes, kernel_size=1)
        initialise_he(self)

    @classmethod
    def _make_first(cls, bands: int, after: int, padding: Padding, norm: Norm) -> nn.Sequential:
        """The level that sees the bands."""
        return cls._make_level(bands, after, padding, norm)

    @staticmethod
    def _make_level(before: int, after: int, padding: Padding, norm: Norm) -> nn.Sequential:
        """Two 3x3 convolutions, each with ReLU."""
        steps = [(before, after), (after, after)]
        return nn.Sequential(
            *(m for step in steps for m in make_convolution(*step, 3, padding, norm))
        )

    @staticmethod
    def _make_up(before: int, after: int) -> nn.Module:
        """Twice the resolution."""
        return nn.ConvTranspose2d(before, after, kernel_size=2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Scores before softmax: (N, bands, H, W) -> (N, classes, H', W').

        H' = H with padding (H a multiple of 2^depth), H - 2 * margin without.
        """
        skips = []
        for level in self.down[:-1]:
            x = level(x)  # (N, width * 2^l, H / 2^l, W / 2^l)
            skips.append(x)
            x = self.pool(x)
        x = self.drop(self.down[-1](x))  # (N, width * 2^depth, H / 2^depth, W / 2^depth)
        for up, merge, skip in zip(self.up, self.merge, reversed(skips), strict=True):
            x = up(x)
            x = merge(torch.cat([crop_centre(skip, x.shape[-2:]), x], dim=1))
        return self.head(x)  # type: ignore[no-any-return]

    def trace(self, span: Span) -> Span:
        """The same layers on the cells of one axis, without padding."""
        skips = []
        for _ in range(self.depth):
            span = span.convolve(3).convolve(3)
            skips.append(span)
            span = span.pool()
        span = span.convolve(3).convolve(3)
        for skip in reversed(skips):
            span = span.upsample()
            skip.crop_to(span)
            span = span.convolve(3).convolve(3)
        return span

    @property
    def geometry(self) -> Geometry:
        """Stride 2^depth; margin 92 at depth 4."""
        return find_geometry(self.trace, stride=2**self.depth)


def crop_centre(x: Tensor, size: torch.Size) -> Tensor:
    """The central `size` (height, width) of (N, C, H, W)."""
    top, left = ((have - want) // 2 for have, want in zip(x.shape[-2:], size, strict=True))
    return x[..., top : top + size[0], left : left + size[1]]


def initialise_he(network: nn.Module) -> None:
    """He et al. (2015), as the paper: normal weights of variance 2 / fan-in, biases zero."""
    if is_without_weights(network):
        return
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, nn.ConvTranspose2d):
            # each output pixel of a 2x2 stride-2 transposed convolution has in_channels inputs
            nn.init.normal_(module.weight, std=math.sqrt(2 / module.in_channels))
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)) and module.bias is not None:
            nn.init.zeros_(module.bias)


def is_without_weights(network: nn.Module) -> bool:
    """Whether it is on the meta device, where drawing numbers imports torch's compiler: 180 MB."""
    return any(parameter.is_meta for parameter in network.parameters())


def make_convolution(
    before: int, after: int, kernel: int, padding: Padding, norm: Norm
) -> list[nn.Module]:
    """A convolution, BatchNorm if wanted, ReLU."""
    width = kernel // 2 if padding == "same" else 0
    convolution = nn.Conv2d(before, after, kernel, padding=width, bias=norm == "none")
    norms = [nn.BatchNorm2d(after)] if norm == "batch" else []
    return [convolution, *norms, nn.ReLU(inplace=True)]
