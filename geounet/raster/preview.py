"""Small pictures of rasters and masks, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geounet.classes import NODATA, ClassInfo
from geounet.raster.scene import Scene, open_scene

STRETCH = (2.0, 98.0)
"""Percentiles of a band's valid pixels that become black and full brightness."""

NODATA_RGB = (255, 255, 255)

HATCH = (235, 130)
"""Grey of what is hidden, and of the lines over it."""


def read_preview(
    scene: Scene | str | Path, max_size: int = 1024, bands: Sequence[int] | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A picture (H, W, 3) of a whole raster, and its validity (H, W); invalid pixels are black.

    Bands of 8 bits are shown as they are, others stretched between percentiles.

    Args:
        scene: An open scene, or where to find one.
        max_size: Pixels of the longer side at most.
        bands: Red, green and blue, or one for grey, counted from 1 in the file; None: the first
            three of the scene, or the first.

    Raises:
        InputError: it cannot be read.
    """
    if isinstance(scene, Scene):
        order = [scene.bands.index(band) for band in bands or _choose_bands(scene)]
        pixels, valid = read_small(scene, max_size)
        return _render(pixels[order], valid), valid
    with open_scene(scene, bands) as opened:
        chosen = bands or _choose_bands(opened)
    with open_scene(scene, chosen) as opened:
        return read_preview(opened, max_size, chosen)


def read_small(scene: Scene, max_size: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The whole scene (count, H, W) and its validity (H, W), longer side at most `max_size`.

    Nearest pixels, of overviews where there are some: then large files take no longer.
    """
    factor = max(1.0, max(scene.grid.shape) / max_size)
    height, width = (max(1, round(size / factor)) for size in scene.grid.shape)
    return scene.read_scaled(scene.grid.extent, (height, width))


def colour_mask(mask: NDArray[np.uint8], classes: Sequence[ClassInfo]) -> NDArray[np.uint8]:
    """A mask (H, W) in the colours of its classes, (H, W, 3); no data white, other values black."""
    colours = np.zeros((256, 3), np.uint8)
    colours[NODATA] = NODATA_RGB
    for item in classes:
        colours[item.value] = item.rgb
    return colours[mask]


def measure_stretch(
    image: NDArray[np.generic], valid: NDArray[np.bool_]
) -> list[tuple[float, float]]:
    """What becomes black and full brightness in each band (bands, H, W)."""
    if not valid.any():
        return [(0.0, 1.0)] * len(image)
    return [_measure_band(band[valid]) for band in image]


def stretch(
    image: NDArray[np.generic],
    valid: NDArray[np.bool_],
    limits: Sequence[tuple[float, float]] | None = None,
    blank: int = 255,
) -> NDArray[np.uint8]:
    """RGB (H, W, 3) of the first three bands (or the first, grey).

    Args:
        image: (bands, H, W).
        valid: bool (H, W), True = data.
        limits: black and full brightness of each band; None: as measured.
        blank: shade where not valid.
    """
    shown = image[:3] if len(image) >= 3 else image[:1]
    limits = limits or measure_stretch(shown, valid)
    bands = [_stretch_band(*pair, valid, blank) for pair in zip(shown, limits, strict=False)]
    return np.stack(bands * (3 // len(bands)), axis=-1)


def hatch(picture: NDArray[np.uint8], hidden: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A picture (H, W, 3) hatched in grey where it is hidden (H, W)."""
    line = max(1, len(hidden) // 128)  # as wide in all pictures
    diagonal = np.add.outer(*(np.arange(side) for side in hidden.shape))
    is_line = diagonal // line % 6 == 0
    stripes = np.where(is_line, HATCH[1], HATCH[0]).astype(np.uint8)
    return np.where(hidden[..., None], stripes[..., None], picture)


def _choose_bands(scene: Scene) -> tuple[int, ...]:
    return scene.bands[:3] if scene.count >= 3 else scene.bands[:1]


def _render(pixels: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Bands (1 or 3, H, W) as (H, W, 3)."""
    if pixels.dtype != np.uint8:
        return stretch(pixels, valid, blank=0)
    picture = np.stack([*np.where(valid, pixels, np.uint8(0))] * (3 // len(pixels)), axis=-1)
    return picture.astype(np.uint8, copy=False)


def _measure_band(values: NDArray[np.generic]) -> tuple[float, float]:
    low, high = np.percentile(values.astype(np.float64), STRETCH)
    return float(low), float(high)


def _stretch_band(
    band: NDArray[np.generic], limits: tuple[float, float], valid: NDArray[np.bool_], blank: int
) -> NDArray[np.uint8]:
    low, high = limits
    values = np.where(valid, band, low).astype(np.float64)
    shades = np.rint((values - low) * (255 / (high - low) if high > low else 255.0))
    return np.where(valid, np.clip(shades, 0, 255), blank).astype(np.uint8)
