"""Radiometric variation: blur, gamma, contrast, brightness, noise, bands dropped.

In normalised units: 0 is the mean of a band over the training pixels, 1 its standard deviation. So
the same amplitudes suit 8-bit colours and 16-bit reflectance.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from geounet.training.augment.augment_options import AugmentOptions
from geounet.training.learning.seeds import Dice

PER_BAND = 0.3
"""How much of a shift, factor or exponent is drawn for each band rather than for all together."""

SPAN = 3.0
"""Standard deviations from the mean to what gamma takes for black and for white."""

REACH = 3
"""Standard deviations of the blur to where its kernel ends."""


def vary_tones(image: Tensor, options: AugmentOptions, dice: Dice) -> Tensor:
    """Each chip of (N, B, H, W) in other tones; what is not varied costs nothing."""
    if options.blur_px:
        image = blur(image, options.blur_px, dice)
    if options.gamma:
        image = bend(image, (options.gamma * draw(image, dice)).exp())
    if options.brightness or options.contrast:
        factor = (options.contrast * draw(image, dice)).exp()
        image = torch.addcmul(options.brightness * draw(image, dice), image, factor)
    if options.noise:
        image = add_noise(image, options.noise, dice)
    if options.band_dropout:
        image = image * choose_bands(image, options.band_dropout, dice)
    return image


def draw(image: Tensor, dice: Dice) -> Tensor:
    """Normal numbers (N, B, 1, 1), mostly alike for all bands of a chip."""
    jointly = dice.normal(len(image), 1, 1, 1)
    apart = dice.normal(*image.shape[:2], 1, 1)
    return (jointly + PER_BAND * apart).to(image.device, non_blocking=True)


def bend(image: Tensor, exponent: Tensor) -> Tensor:
    """Gamma between black and white, which stay where they are; beyond them values stay, too."""
    share = ((image + SPAN) / (2 * SPAN)).clamp_(0, 1)
    return torch.add(image, share.pow(exponent).sub_(share), alpha=2 * SPAN)


def blur(image: Tensor, largest_px: float, dice: Dice) -> Tensor:
    """Gaussian blur of a standard deviation drawn for each chip from 0 to the largest."""
    sigma = largest_px * dice.uniform(len(image), 1)
    reach = math.ceil(REACH * largest_px)
    # at 1e-3 px the kernel is 1 in the middle and 0 elsewhere, exactly
    offsets = torch.arange(-reach, reach + 1) / sigma.clamp(min=1e-3)
    kernel = functional.softmax(-(offsets**2) / 2, dim=1)  # (N, taps)
    kernel = kernel.to(image.device, non_blocking=True)
    count, bands, height, width = image.shape
    kernels = kernel.repeat_interleave(bands, dim=0)[:, None, None]  # (N * B, 1, 1, taps)
    flat = image.reshape(1, count * bands, height, width)
    flat = functional.pad(flat, [reach] * 4, mode="replicate")
    flat = functional.conv2d(flat, kernels, groups=count * bands)
    flat = functional.conv2d(flat, kernels.transpose(2, 3), groups=count * bands)
    return flat.view(image.shape)


def add_noise(image: Tensor, largest: float, dice: Dice) -> Tensor:
    """White noise of a standard deviation drawn for each chip from 0 to the largest."""
    sigma = largest * dice.uniform(len(image), 1, 1, 1)
    return torch.addcmul(image, dice.noise(image), sigma.to(image.device, non_blocking=True))


def choose_bands(image: Tensor, dropout: float, dice: Dice) -> Tensor:
    """(N, B, 1, 1): 0 with the given probability, else 1; one of each chip at least is 1."""
    luck = dice.uniform(*image.shape[:2], 1, 1)
    kept = (luck >= dropout) | (luck == luck.amax(dim=1, keepdim=True))
    return kept.to(image.device, image.dtype, non_blocking=True)
