"""Lengths and areas that may be given in pixels or on the ground. Pure: no rasterio."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from geounet.errors import InputError, UsageError

if TYPE_CHECKING:
    from geounet.raster import Grid

LENGTH = ("px", "m")
AREA = ("px", "m2")
"""Units; what has none is in the first."""

Size = tuple[float, str]
"""A number and its unit."""


def parse_size(text: str, option: str, units: tuple[str, str]) -> Size:
    """A positive number with one of the units, as `3px`, `3` or `1.5m`.

    Raises:
        UsageError: it is none.
    """
    match = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*([a-z]\w*)?\s*", text)
    number = float(match[1]) if match else 0.0
    unit = (match[2] if match else None) or units[0]
    if not number or unit not in units:
        raise UsageError(
            f"{option} is {text!r}; give a number above 0 with {' or '.join(units)}, as 3{units[0]}"
        )
    return number, unit


def parse_bounds(text: str, option: str) -> tuple[Size, Size]:
    """Two areas in one unit, the smaller one first, as `100m2,1000m2`.

    Raises:
        UsageError: they are none.
    """
    sizes = [parse_size(part, option, AREA) for part in text.split(",")]
    if len(sizes) != 2 or sizes[0][1] != sizes[1][1] or not sizes[0][0] < sizes[1][0]:
        raise UsageError(
            f"{option} is {text!r}; give two areas in one unit, the smaller first, as 100m2,1000m2"
        )
    return sizes[0], sizes[1]


def to_pixels(size: Size, grid: Grid, option: str) -> float:
    """A length or an area in pixels, by the area of the central pixel.

    Raises:
        InputError: it is on the ground, and the grid is not.
    """
    number, unit = size
    if unit == "px":
        return number
    if grid.pixel_size_m is None:
        raise InputError(
            f"{option} is {number:g} {unit}, but a mask has no CRS to tell the size of its pixels; "
            f"give it in px"
        )
    return number / (grid.pixel_size_m if unit == "m" else grid.pixel_size_m**2)


def to_square(length_px: float) -> int:
    """The square of a length, rounded down to a whole number: d <= length <=> d^2 <= this.

    Rounding before may neither add nor lose a pixel: 1 m is 2 px of 0.5 m.
    """
    return math.floor(length_px**2 * (1 + 1e-9))
