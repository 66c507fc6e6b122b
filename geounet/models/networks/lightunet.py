"""The U-Net with depthwise-separable convolutions: an eighth of the arithmetic.

A 3x3 convolution becomes one per channel (depthwise) and a 1x1 convolution across channels
(pointwise), as in MobileNet (Howard et al. 2017, arXiv:1704.04861) without the activation between;
a 2x2 transposed convolution becomes a 1x1 convolution and nearest upsampling.
"""

from __future__ import annotations

from torch import nn

from geounet.models.networks.unet import Norm, Padding, UNet, make_convolution


class LightUNet(UNet):
    """`UNet` with the same levels, margin and arguments, and separable convolutions."""

    @classmethod
    def _make_first(cls, bands: int, after: int, padding: Padding, norm: Norm) -> nn.Sequential:
        """Bands are few: a convolution of each alone would give too few features."""
        return nn.Sequential(
            *make_convolution(bands, after, 3, padding, norm),
            *_make_separable(after, after, padding, norm),
        )

    @staticmethod
    def _make_level(before: int, after: int, padding: Padding, norm: Norm) -> nn.Sequential:
        steps = [(before, after), (after, after)]
        return nn.Sequential(*(m for step in steps for m in _make_separable(*step, padding, norm)))

    @staticmethod
    def _make_up(before: int, after: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(before, after, 1), nn.Upsample(scale_factor=2))


def _make_separable(before: int, after: int, padding: Padding, norm: Norm) -> list[nn.Module]:
    width = 1 if padding == "same" else 0
    depthwise = nn.Conv2d(before, before, 3, padding=width, groups=before, bias=False)
    return [depthwise, *make_convolution(before, after, 1, padding, norm)]
