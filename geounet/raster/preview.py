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


def _choose_bands(scene: Scene) -> tuple[int, ...]:
    return scene.bands[:3] if scene.count >= 3 else scene.bands[:1]


def _render(pixels: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Bands (1 or 3, H, W) as (H, W, 3)."""
    layers = [np.where(valid, band, 0) for band in pixels]
    if pixels.dtype != np.uint8:
        layers = [_stretch(band, valid) for band in layers]
    picture = np.stack(layers * (3 // len(layers)), axis=-1)
    return picture.astype(np.uint8, copy=False)


def _stretch(band: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A band between its percentiles as 0-255; 0 where invalid."""
    if not valid.any():
        return np.zeros(band.shape, np.uint8)
    values = band.astype(np.float64)
    low, high = np.percentile(values[valid], STRETCH)
    scaled = np.clip(values, low, high) - low
    picture = np.rint(scaled * (255 / (high - low))) if high > low else np.zeros(band.shape)
    return np.where(valid, picture, 0).astype(np.uint8)
