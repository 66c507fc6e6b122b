"""Radiometric variation: blur, gamma, contrast, brightness, noise, bands dropped.

In normalised units: 0 is the mean of a band over the training pixels, 1 its standard deviation. So
the same amplitudes suit 8-bit colours and 16-bit reflectance.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

from geounet.training.augment_options import AugmentOptions

PER_BAND = 0.3
"""How much of a shift, factor or exponent is drawn for each band rather than for all together."""

SPAN = 3.0
"""Standard deviations from the mean to what gamma takes for black and for white."""

REACH = 3
"""Standard deviations of the blur to where its kernel ends."""


def vary_tones(image: Tensor, options: AugmentOptions, generator: Generator) -> Tensor:
    """Each chip of (N, B, H, W) in other tones; what is not varied costs nothing."""
    if options.blur_px:
        image = blur(image, options.blur_px, generator)
    if options.gamma:
        image = bend(image, (options.gamma * draw(image, generator)).exp())
    if options.brightness or options.contrast:
        factor = (options.contrast * draw(image, generator)).exp()
        image = torch.addcmul(options.brightness * draw(image, generator), image, factor)
    if options.noise:
        image = add_noise(image, options.noise, generator)
    if options.band_dropout:
        image = image * choose_bands(image, options.band_dropout, generator)
    return image


def draw(image: Tensor, generator: Generator) -> Tensor:
    """Normal numbers (N, B, 1, 1), mostly alike for all bands of a chip."""
    # drawn on the CPU, whatever the device: the same seed gives the same tones everywhere
    jointly = torch.randn(len(image), 1, 1, 1, generator=generator)
    apart = torch.randn(*image.shape[:2], 1, 1, generator=generator)
    return (jointly + PER_BAND * apart).to(image.device, non_blocking=True)


def bend(image: Tensor, exponent: Tensor) -> Tensor:
    """Gamma between black and white, which stay where they are; beyond them values stay, too."""
    share = ((image + SPAN) / (2 * SPAN)).clamp_(0, 1)
    return torch.add(image, share.pow(exponent).sub_(share), alpha=2 * SPAN)


def blur(image: Tensor, largest_px: float, generator: Generator) -> Tensor:
    """Gaussian blur of a standard deviation drawn for each chip from 0 to the largest."""
    sigma = largest_px * torch.rand(len(image), 1, generator=generator)
    reach = math.ceil(REACH * largest_px)
    # at 1e-3 px the kernel is 1 in the middle and 0 elsewhere, exactly
    offsets = torch.arange(-reach, reach + 1) / sigma.clamp(min=1e-3)
    kernel = functional.softmax(-(offsets**2) / 2, dim=1).to(image.device)  # (N, taps)
    count, bands, height, width = image.shape
    kernels = kernel.repeat_interleave(bands, dim=0)[:, None, None]  # (N * B, 1, 1, taps)
    flat = image.reshape(1, count * bands, height, width)
    flat = functional.pad(flat, [reach] * 4, mode="replicate")
    flat = functional.conv2d(flat, kernels, groups=count * bands)
    flat = functional.conv2d(flat, kernels.transpose(2, 3), groups=count * bands)
    return flat.view(image.shape)


def add_noise(image: Tensor, largest: float, generator: Generator) -> Tensor:
    """White noise of a standard deviation drawn for each chip from 0 to the largest."""
    sigma = largest * torch.rand(len(image), 1, 1, 1, generator=generator)
    seed = int(torch.randint(2**62, (), generator=generator))
    # on the device: as many numbers as the image has
    local = Generator(image.device).manual_seed(seed)
    noise = torch.randn(image.shape, generator=local, device=image.device)
    return torch.addcmul(image, noise, sigma.to(image.device, non_blocking=True))


def choose_bands(image: Tensor, dropout: float, generator: Generator) -> Tensor:
    """(N, B, 1, 1): 0 with the given probability, else 1; one of each chip at least is 1."""
    luck = torch.rand(*image.shape[:2], 1, 1, generator=generator)
    kept = (luck >= dropout) | (luck == luck.amax(dim=1, keepdim=True))
    return kept.to(image.device, image.dtype, non_blocking=True)
