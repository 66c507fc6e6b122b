"""How chips are varied. Each amplitude is written here and nowhere else. Pure: no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from geounet.errors import UsageError

Augment = Literal["none", "light", "standard", "strong"]

OVERSCAN = 4
"""A chip is read with at most 1 / OVERSCAN of its side more on each side: what that costs in
reading is little, and next to nothing would be won by more."""

FOLDING = 12
"""Displacements of more than 1 / FOLDING of a chip's side would now and then fold it over."""

LIMITS = {"rotate_deg": 180.0, "scale": 4.0, "band_dropout": 0.9}
"""Largest amplitudes; the others have none."""


@dataclass(frozen=True, kw_only=True)
class AugmentOptions:
    """How far chips are varied; as it stands, not at all.

    Brightness, contrast, gamma and noise are measured in standard deviations of the training
    pixels of a band, whatever the unit of its values: 8-bit colours, reflectance or degrees.

    Attributes:
        turn: flips and quarter turns, each of the 8 equally often.
        rotate_deg: largest angle of a rotation, either way.
        scale: largest factor of magnification and of reduction, from 1.
        shift_px: largest shift along either axis; of use where scenes are no larger than chips.
        elastic_px: standard deviation of the displacements of a 3 x 3 grid over the chip, bicubic
            between (Ronneberger 2015, section 3.1); at most 1 / 12 of the chip's side is used.
        brightness: standard deviation of the shift, in standard deviations of the band.
        contrast: standard deviation of the logarithm of the factor about the band's mean.
        gamma: standard deviation of the logarithm of the exponent; black and white are 3 standard
            deviations below and above the band's mean.
        noise: largest standard deviation of the noise, in standard deviations of the band.
        blur_px: largest standard deviation of the blur.
        band_dropout: probability that a band of a chip becomes its mean; one band is always left.
    """

    turn: bool = False
    rotate_deg: float = 0.0
    scale: float = 1.0
    shift_px: float = 0.0
    elastic_px: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    gamma: float = 0.0
    noise: float = 0.0
    blur_px: float = 0.0
    band_dropout: float = 0.0

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self) if field.name != "turn"):
            value, least = getattr(self, name), 1.0 if name == "scale" else 0.0
            most = LIMITS.get(name, math.inf)
            if not (least <= value <= most and math.isfinite(value)):
                option = name.removesuffix("_deg").removesuffix("_px").replace("_", "-")
                wanted = f"{least:g} or more" if most == math.inf else f"{least:g} to {most:g}"
                raise UsageError(f"--{option} is {value:g}; give {wanted}")

    @property
    def varies(self) -> bool:
        """Whether anything is varied."""
        return self != AugmentOptions()

    @property
    def interpolates(self) -> bool:
        """Whether pixels come to lie between those of the image."""
        return self.scale > 1 or max(self.rotate_deg, self.shift_px, self.elastic_px) > 0

    @property
    def moves(self) -> bool:
        """Whether pixels move at all."""
        return self.turn or self.interpolates

    def overscan(self, chip: int) -> int:
        """Pixels to read around a chip on each side, so that what comes into it is real."""
        if not self.interpolates:
            return 0
        angle = math.radians(min(self.rotate_deg, 45.0))
        corner = chip / 2 * (math.cos(angle) + math.sin(angle)) * self.scale
        reach = corner + self.shift_px + 2 * self.limit_elastic(chip) - chip / 2
        return min(math.ceil(reach), chip // OVERSCAN)

    def limit_elastic(self, side: int) -> float:
        """`elastic_px`, as far as a square of this side bears it."""
        return min(self.elastic_px, side / FOLDING)


PRESETS: dict[Augment, AugmentOptions] = {
    "none": AugmentOptions(),
    "light": AugmentOptions(turn=True, brightness=0.1, contrast=0.1),
    "standard": AugmentOptions(
        turn=True, rotate_deg=45, scale=1.5, brightness=0.1, contrast=0.1, gamma=0.1
    ),
    "strong": AugmentOptions(
        turn=True,
        rotate_deg=45,
        scale=1.5,
        shift_px=16,
        elastic_px=10,
        brightness=0.3,
        contrast=0.2,
        gamma=0.2,
        noise=0.1,
        blur_px=0.8,
    ),
}


def choose_augmentation(preset: Augment, **amplitudes: float | None) -> AugmentOptions:
    """A preset, with the amplitudes that are not None in place of its own."""
    given: dict[str, Any] = {name: value for name, value in amplitudes.items() if value is not None}
    return replace(PRESETS[preset], **given)
