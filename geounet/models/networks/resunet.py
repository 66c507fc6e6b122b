"""A U-Net whose arithmetic is at low resolution: residual encoder, nearest-neighbour decoder.

The encoder is that of He et al. (2016), arXiv:1512.03385: a 7x7 convolution with stride 2, 3x3 max
pooling, four stages of basic blocks. The decoder is the expanding path of the U-Net with nearest
upsampling instead of transposed convolutions, computed where the cells that it repeats are still
one (`MergingConv`). It ends at half resolution, and the scores are interpolated. Weights of their
own for each of the 2 x 2 pixels of a cell would cost no more, but leave combs along undecided
borders.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geounet.models.geometry import Geometry, Span, find_geometry
from geounet.models.networks.unet import is_without_weights

STRIDE = 32

LEAST = 16
"""Channels of the decoder's last level. With 8, a class may show in none of them when training
begins: no gradient reaches it through their ReLUs, and it stays unseen for long."""


class ResUNet(nn.Module):
    """Residual encoder behind a strided stem, nearest-neighbour decoder.

    Args:
        bands: input bands.
        classes: output classes, at least 2.
        width: channels of the first stage; each next stage has twice as many.
        blocks: basic blocks of each of the four stages; (3, 4, 6, 3) is the encoder of ResNet-34.
        dropout: probability of dropping channels at the lowest level.
    """

    scoring = ("head", "sides")

    def __init__(
        self,
        bands: int,
        classes: int,
        width: int = 64,
        blocks: Sequence[int] = (1, 1, 1, 1),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        encoder = [width, 2 * width, 4 * width, 8 * width]
        decoder = [4 * width, 2 * width, width, max(LEAST, width // 2)]
        self.stem = _norm_relu(nn.Conv2d(bands, width, 7, stride=2, padding=3, bias=False))
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.stages = nn.ModuleList(
            _make_stage(before, after, count, stride)
            for before, after, count, stride in zip(
                [width, *encoder[:-1]], encoder, blocks, (1, 2, 2, 2), strict=True
            )
        )
        self.drop = nn.Dropout2d(dropout)
        skips = [encoder[2], encoder[1], encoder[0], width]
        self.merge = nn.ModuleList(
            _make_merge(before, skip, after)
            for before, skip, after in zip([encoder[3], *decoder[:-1]], skips, decoder, strict=True)
        )
        self.head = nn.Conv2d(decoder[-1], classes, 3, padding=1)
        self.sides = nn.ModuleList(nn.Conv2d(here, classes, 1) for here in decoder[:-1])
        self.leads, self.rim = [0] * len(self.merge), 0
        self._initialise()

    def _initialise(self) -> None:
        """He et al. (2015) by fan-out: normal weights of variance 2 / fan-out.

        The head too: where scores begin near 0, a rare class may stay unseen for epochs.
        """
        if is_without_weights(self):
            return
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(
                    module.weight,
                    mode="fan_in" if module in self.sides else "fan_out",
                    nonlinearity="relu",
                )
        for head in (self.head, *self.sides):
            nn.init.zeros_(head.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Scores before softmax: (N, bands, H, W) -> (N, classes, H', W').

        H' = H with padding (H a multiple of 32), H - 2 * margin at most without.
        """
        return self._score(x)

    def score_levels(self, x: Tensor) -> list[Tensor]:
        """`forward`, then scores of the decoder's lower levels, for training.

        (N, classes, H / 16, W / 16), H / 8 and H / 4: what their own 1x1 convolutions make of them.
        """
        sides: list[Tensor] = []
        return [self._score(x, sides), *sides]

    def _score(self, x: Tensor, sides: list[Tensor] | None = None) -> Tensor:
        x = self.stem(x)  # (N, width, H/2, W/2)
        skips = [x]
        x = self.pool(x)
        for stage in self.stages:
            x = stage(x)  # (N, width * 2^s, H / 2^(s+2), W / 2^(s+2))
            skips.append(x)
        x = self.drop(skips.pop())
        for level, (merge, lead) in enumerate(zip(self.merge, self.leads, strict=True)):
            rows, cols = (slice(lead, lead + 2 * size) for size in x.shape[-2:])
            x = merge((x, skips.pop()[..., rows, cols]))
            if sides is not None and level < len(self.sides):
                sides.append(self.sides[level](x))
        scores = self.head(x)
        if scores.dtype.itemsize < 4:
            scores = scores.float()
        # few channels, each a plane: five times as fast as channels last
        x = F.interpolate(scores.contiguous(), scale_factor=2.0, mode="bilinear")
        return x[..., self.rim : x.shape[-2] - self.rim, self.rim : x.shape[-1] - self.rim]

    def trace(self, span: Span) -> Span:
        """The same layers on the cells of one axis, without padding."""
        return self._trace(span)[0]

    def unpad(self) -> None:
        """Take the crops of the unpadded network: of skips, and of pixels that lack a neighbour."""
        margin = self.geometry.read_margin
        self.leads = self._trace(Span(-margin, STRIDE + 2 * margin))[1]
        self.rim = 1

    @property
    def geometry(self) -> Geometry:
        """Stride 32; margin by the number of blocks."""
        return find_geometry(self.trace, STRIDE)

    def _trace(self, span: Span) -> tuple[Span, list[int]]:
        span = span.convolve(7, 2)
        skips = [span]
        span = span.convolve(3, 2)
        for stage in self.stages:
            for block in stage.modules():
                if isinstance(block, BasicBlock):
                    span = span.convolve(3, block.stride).convolve(3)
            skips.append(span)
        span, leads = skips.pop(), []
        for _ in self.merge:
            span = span.upsample()
            leads.append(skips.pop().crop_to(span))
            span = span.convolve(3).convolve(3)
        return span.convolve(3).interpolate(2), leads


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al. 2016, figure 2)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.lead = 0
        first = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        second = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.path = nn.Sequential(*_norm_relu(first), second, nn.BatchNorm2d(after))
        self.shortcut = nn.Sequential()
        if stride > 1 or before != after:
            project = nn.Conv2d(before, after, 1, bias=False)
            self.shortcut = nn.Sequential(project, nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) -> (N, after, H / stride, W / stride)."""
        y = self.path(x)
        # cell i of the path is centred on cell stride * i, so the shortcut starts `lead` cells in;
        # it takes every stride-th cell first: torch 2.15 on the CPU crashes in the backward pass of
        # strided 1x1 convolutions of few channels
        x = self.shortcut(x[..., self.lead :: self.stride, self.lead :: self.stride])
        return torch.relu_(y + crop_lead(x, 0, y))

    def unpad(self) -> None:
        """Shift the shortcut: the path loses a cell of its input, then one of its output."""
        self.lead = 1 + self.stride


class MergingConv(nn.Conv2d):
    """A 3x3 convolution of a map, twice as large by nearest neighbour, concatenated with a skip.

    In the enlarged map the 3 x 3 cells under the kernel are 2 x 2 cells repeated. So the weights
    of those that are one are added up, which makes a transposed convolution of 4 x 4 with stride 2
    that gives the same values: 4 products for each pixel and channel instead of 9, and neither the
    enlarged map nor the concatenation is ever made.

    Args:
        before: channels of the map.
        skip: channels of the skip.
        after: channels of the result.
    """

    folded: Tensor | None

    def __init__(self, before: int, skip: int, after: int) -> None:
        super().__init__(before + skip, after, 3, padding=1, bias=False)
        self.before = before
        self.register_buffer("folded", None, persistent=False)

    def forward(self, pair: tuple[Tensor, Tensor]) -> Tensor:  # type: ignore[override]
        """Map (N, before, H, W), skip (N, skip, 2H, 2W) -> (N, after, 2H, 2W), 2 less unpadded."""
        x, skip = pair
        folded = self.fold_weight() if self.folded is None else self.folded
        padding = int(self.padding != (0, 0))
        y = F.conv2d(skip, self.weight[:, self.before :], self.bias, padding=padding)
        return y.add_(F.conv_transpose2d(x, folded, stride=2, padding=2 - padding))

    def fold_weight(self) -> Tensor:
        """Of the transposed convolution: (before, after, 4, 4)."""
        weight = self.weight[:, : self.before].transpose(0, 1)
        for axis in (2, 3):
            first, middle, last = weight.unbind(axis)
            weight = torch.stack([last, middle + last, first + middle, first], axis)
        return weight

    def freeze(self) -> None:
        """Add up the weights once and for all: they change no more."""
        self.folded = self.fold_weight().detach()


def crop_lead(x: Tensor, lead: int, like: Tensor) -> Tensor:
    """The cells of (N, C, H, W) from `lead` on, as many as `like` has."""
    return x[..., lead : lead + like.shape[-2], lead : lead + like.shape[-1]]


def _make_stage(before: int, after: int, count: int, stride: int) -> nn.Sequential:
    blocks = [BasicBlock(before, after, stride)]
    return nn.Sequential(*blocks, *(BasicBlock(after, after, 1) for _ in range(count - 1)))


def _make_merge(before: int, skip: int, after: int) -> nn.Sequential:
    first = MergingConv(before, skip, after)
    second = nn.Conv2d(after, after, 3, padding=1, bias=False)
    return nn.Sequential(*_norm_relu(first), *_norm_relu(second))


def _norm_relu(convolution: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(
        convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU(inplace=True)
    )
