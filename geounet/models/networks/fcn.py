"""The fully convolutional networks that the U-Net paper improved on: FCN-32s, FCN-16s, FCN-8s.

Long, Shelhamer, Darrell (2015), arXiv:1411.4038: the trunk of VGG-16, a 7x7 and a 1x1 convolution
in place of its dense layers, class scores at 1/32 of the resolution, added to those of earlier
poolings on the way up by transposed convolutions that begin as bilinear interpolation.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from geounet.models.geometry import Geometry, Span, find_geometry
from geounet.models.networks.resunet import crop_lead
from geounet.models.networks.unet import Norm, initialise_he, is_without_weights, make_convolution

COUNTS = (2, 2, 3, 3, 3)
"""Convolutions before each pooling, of VGG-16."""


class FCN(nn.Module):
    """FCN with BatchNorm after the convolutions of its trunk.

    Args:
        bands: input bands.
        classes: output classes, at least 2.
        width: channels of the first level (64 in the paper); the dense layers have 16 times as many
            (64 times in the paper).
        finest: 32, 16 or 8: the resolution whose scores come last, in pixels.
        dropout: probability of dropping channels of the dense layers.

    Raises:
        ValueError: another `finest`.
    """

    scoring = ("scores", "up", "last")

    def __init__(
        self, bands: int, classes: int, width: int = 64, finest: int = 8, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if finest not in (8, 16, 32):
            raise ValueError(f"finest is {finest}; it must be 8, 16 or 32")
        channels = [width, 2 * width, 4 * width, 8 * width, 8 * width]
        dense = 16 * width
        self.finest = finest
        self.stages = nn.ModuleList(
            _make_stage(before, after, count)
            for before, after, count in zip([bands, *channels], channels, COUNTS, strict=False)
        )
        self.pool = nn.MaxPool2d(2)
        self.dense = nn.Sequential(
            *make_convolution(channels[-1], dense, 7, "same", "batch"),
            nn.Dropout2d(dropout),
            *make_convolution(dense, dense, 1, "same", "batch"),
            nn.Dropout2d(dropout),
        )
        skips = 5 - int(math.log2(finest))
        scored = [dense, channels[3], channels[2]][: skips + 1]
        self.scores = nn.ModuleList(nn.Conv2d(before, classes, 1) for before in scored)
        self.up = nn.ModuleList(_make_up(classes, 2) for _ in range(skips))
        self.last = _make_up(classes, finest)
        self.leads = [0] * skips
        initialise_he(self)
        self._initialise()

    def _initialise(self) -> None:
        """As in the paper: scores begin at zero, transposed convolutions bilinear."""
        if is_without_weights(self):
            return
        for score in self.scores:
            nn.init.zeros_(score.weight)  # type: ignore[arg-type]
        for up in [*self.up, self.last]:
            _fill_bilinear(up.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Scores before softmax: (N, bands, H, W) -> (N, classes, H', W').

        H' = H with padding (H a multiple of 32), H - 2 * margin at most without.
        """
        pooled = []
        for stage in self.stages:
            x = self.pool(stage(x))  # (N, channels, H / 2^s, W / 2^s)
            pooled.append(x)
        skips = [pooled[3], pooled[2]]
        x = self.scores[0](self.dense(x))  # (N, classes, H / 32, W / 32)
        for up, score, skip, lead in zip(self.up, self.scores[1:], skips, self.leads, strict=False):
            x = up(x)
            x = x + crop_lead(score(skip), lead, x)
        return self.last(x)  # type: ignore[no-any-return]

    def trace(self, span: Span) -> Span:
        """The same layers on the cells of one axis, without padding."""
        return self._trace(span)[0]

    def unpad(self) -> None:
        """Take the skips' crops of the unpadded network."""
        margin = self.geometry.read_margin
        self.leads = self._trace(Span(-margin, 32 + 2 * margin))[1]

    @property
    def geometry(self) -> Geometry:
        """Stride 32; margin by the finest scores."""
        return find_geometry(self.trace, stride=32)

    def _trace(self, span: Span) -> tuple[Span, list[int]]:
        pooled = []
        for count in COUNTS:
            for _ in range(count):
                span = span.convolve(3)
            span = span.pool()
            pooled.append(span)
        span, leads = span.convolve(7), []
        for skip in [pooled[3], pooled[2]][: len(self.up)]:
            span = span.interpolate(2)
            leads.append(skip.crop_to(span))
        return span.interpolate(self.finest), leads


def _make_stage(before: int, after: int, count: int) -> nn.Sequential:
    norm: Norm = "batch"
    steps = [(before, after), *[(after, after)] * (count - 1)]
    return nn.Sequential(*(m for step in steps for m in make_convolution(*step, 3, "same", norm)))


def _make_up(classes: int, factor: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(
        classes, classes, 2 * factor, stride=factor, padding=factor // 2, bias=False
    )


def _fill_bilinear(weight: Tensor) -> None:
    """Each class is interpolated on its own: (classes, classes, 2 * factor, 2 * factor)."""
    size = weight.shape[-1]
    tent = 1 - (torch.arange(size) + 0.5 - size / 2).abs() / (size / 2)
    with torch.no_grad():
        weight.zero_()
        weight[range(len(weight)), range(len(weight))] = torch.outer(tent, tent)
