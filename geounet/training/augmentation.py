"""Chips varied at random, in batches on the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

from geounet.training.options import Augment

Augmentation = Callable[[Tensor, Tensor, Tensor, Generator], tuple[Tensor, Tensor]]
"""Image (N, B, h, w), 0 where not valid (N, h, w), and labels (N, H, W) of a batch -> image and
labels varied, the image still 0 where not valid."""

BRIGHTNESS = 0.1
"""Standard deviation of the shift, in standard deviations of the training pixels."""

CONTRAST = 0.1
"""Standard deviation of the logarithm of the factor."""

PER_BAND = 0.3
"""How much of either is drawn for each band rather than for all together."""


def augment_standard(
    image: Tensor, valid: Tensor, labels: Tensor, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Flips and quarter turns, each of the 8 equally often, then brightness and contrast."""
    image, valid, labels = turn((image, valid, labels), generator)
    return vary_tones(image, generator).masked_fill_(~valid[:, None], 0.0), labels


def leave_alone(
    image: Tensor, valid: Tensor, labels: Tensor, generator: Generator
) -> tuple[Tensor, Tensor]:
    """No augmentation."""
    return image, labels


AUGMENTATIONS: dict[Augment, Augmentation] = {"none": leave_alone, "standard": augment_standard}


def turn(batch: Sequence[Tensor], generator: Generator) -> list[Tensor]:
    """Each chip in one of the 8 orientations of the square, in all of (N, ..., H, W) alike."""
    orientations = torch.randint(8, (len(batch[0]),), generator=generator).tolist()
    turned = [
        torch.stack([orient(chip, k) for chip, k in zip(chips, orientations, strict=True)])
        for chips in batch
    ]
    return [x.to(memory_format=torch.channels_last) if x.ndim == 4 else x for x in turned]


def orient(chip: Tensor, orientation: int) -> Tensor:
    """A square (..., H, W) turned by `orientation % 4` quarters, mirrored first from 4 on."""
    if orientation >= 4:
        chip = chip.flip(-1)
    return chip.rot90(orientation % 4, dims=(-2, -1))


def vary_tones(image: Tensor, generator: Generator) -> Tensor:
    """Contrast * x + brightness, drawn for each chip, partly for each band.

    In normalised units, so contrast turns about the training mean.
    """
    shape = (2, len(image), image.shape[1])
    jointly = torch.randn(shape[:2], generator=generator)[..., None]
    apart = torch.randn(shape, generator=generator)
    drawn = (jointly + PER_BAND * apart)[..., None, None]
    # drawn on the CPU, whatever the device: the same seed gives the same chips everywhere
    contrast, brightness = drawn.to(image.device, image.dtype, non_blocking=True)
    return torch.addcmul(BRIGHTNESS * brightness, image, (CONTRAST * contrast).exp())
