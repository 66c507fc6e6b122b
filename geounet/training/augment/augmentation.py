"""Chips varied at random, in batches on the device."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from geounet.classes import NODATA
from geounet.training.augment.augment_options import AugmentOptions
from geounet.training.augment.deformation import draw_positions, find_nearest, interpolate
from geounet.training.augment.radiometry import vary_tones
from geounet.training.learning.seeds import Dice


@dataclass(frozen=True)
class Pixels:
    """What is known of the pixels of N chips, on the device.

    Attributes:
        image: float32 (N, B, h, w), normalised; 0 where not valid.
        valid: bool (N, h, w), True = data.
        labels: uint8 (N, H, W) channel indices, 255 is ignored; the image's central pixels.
        others: more that lies on the labels' pixels, (N, H, W) of any dtype: instances, weights.
    """

    image: Tensor
    valid: Tensor
    labels: Tensor
    others: tuple[Tensor, ...] = ()


def augment(options: AugmentOptions, chip: int, pixels: Pixels, dice: Dice) -> Pixels:
    """Each chip varied in its own way; what was not valid is still 0, and not valid.

    Args:
        options: how far to vary them.
        chip: side of the labels to return; the image keeps its context around them.
        pixels: chips with `options.overscan(chip)` pixels more on each side.
        dice: decide all.
    """
    if not options.varies:
        return pixels
    if options.moves:
        pixels = move(options, chip, pixels, dice)
    image = vary_tones(pixels.image, options, dice)
    return replace(pixels, image=image.masked_fill(~pixels.valid[:, None], 0.0))


def move(options: AugmentOptions, chip: int, pixels: Pixels, dice: Dice) -> Pixels:
    """Each chip turned and deformed, all that lies on its pixels alike.

    What comes in from beyond the chips that were read is not valid and ignored; 0 in `others`.
    Pixels beside those not valid are interpolated between data and the training mean.
    """
    image, side, inner = pixels.image, pixels.image.shape[-1], pixels.labels.shape[-1]
    context = (side - inner) // 2
    positions = draw_positions(options, len(image), chip + 2 * context, dice, image.device)
    places = find_nearest(positions, side)
    centre = slice(context, context + chip)
    on_labels = find_nearest(positions[..., centre, centre], inner) if context else places
    moved = interpolate(image, positions) if options.interpolates else places.carry(image, fill=0)
    return Pixels(
        image=moved,
        valid=places.carry(pixels.valid, fill=False),
        labels=on_labels.carry(pixels.labels, fill=NODATA),
        others=tuple(on_labels.carry(plane, fill=0) for plane in pixels.others),
    )
