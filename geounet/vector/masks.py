"""Masks and confidences as files, read in strips."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geounet.classes import NODATA
from geounet.errors import InputError
from geounet.raster import Scene, Window, open_scene

STRIP_PIXELS = 32 << 20
"""Pixels read at once, in whole rows of storage blocks: no block is decoded twice."""


@dataclass(frozen=True)
class Strip:
    """Whole rows of a mask.

    Attributes:
        window: where they are.
        values: class values, uint8 (H, W), 255 where there is no data.
        confidence: uint8 0-254 or float 0-1 (H, W); None if there is none.
    """

    window: Window
    values: NDArray[np.uint8]
    confidence: NDArray[Any] | None


def open_mask(path: str | Path) -> Scene:
    """Open a mask.

    Raises:
        InputError: it is not one band of integers.
    """
    scene = open_scene(path, allow_palette=True)
    if scene.count != 1 or scene.dtype.kind not in "iu":
        found = f"{scene.count} bands of {scene.dtype}" if scene.count > 1 else f"{scene.dtype}"
        scene.close()
        raise InputError(f"{path} is no mask: {found}; give one band of integer class values")
    return scene


def open_confidence(path: str | Path, mask: Scene) -> Scene:
    """Open the confidence that belongs to a mask.

    Raises:
        InputError: it is not one band of uint8 or floats, or not on the mask's grid.
    """
    scene = open_scene(path)
    problem = None
    if scene.count != 1 or not (scene.dtype == np.uint8 or scene.dtype.kind == "f"):
        problem = f"has {scene.count} bands of {scene.dtype}"
    elif not scene.grid.matches(mask.grid):
        problem = f"is not on the grid of {mask.path}"
    if problem is not None:
        scene.close()
        raise InputError(f"{path} {problem}; give the confidence that predict wrote with the mask")
    return scene


def read_strips(mask: Scene, confidence: Scene | None, wanted: Collection[int]) -> Iterator[Strip]:
    """A mask from top to bottom, with the confidence of the wanted classes' pixels.

    Raises:
        InputError: it has values over 255 or under 0, or a wanted pixel has no confidence.
    """
    block = mask.block_shape[0]
    rows = max(1, STRIP_PIXELS // (mask.grid.width * block)) * block
    is_wanted = np.isin(np.arange(NODATA + 1), list(wanted))
    for window in mask.grid.extent.blocks(rows, mask.grid.width):
        values = _read_values(mask, window)
        if confidence is None:
            yield Strip(window, values, None)
        else:
            yield Strip(window, values, _read_confidence(confidence, window, is_wanted[values]))


def _read_values(mask: Scene, window: Window) -> NDArray[np.uint8]:
    pixels, valid = mask.read(window)
    values = np.where(valid, pixels[0], NODATA)
    if mask.dtype != np.uint8 and values.size:
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > NODATA:
            wrong = low if low < 0 else high
            raise InputError(f"{mask.path} has the value {wrong}; a mask has classes 0 to 254")
    return values.astype(np.uint8)


def _read_confidence(scene: Scene, window: Window, wanted: NDArray[np.bool_]) -> NDArray[Any]:
    pixels, valid = scene.read(window)
    confidence = pixels[0]
    full = NODATA - 1 if confidence.dtype == np.uint8 else 1
    usable = valid & (confidence >= 0) & (confidence <= full)
    if (wanted & ~usable).any():
        row, col = np.argwhere(wanted & ~usable)[0]
        raise InputError(
            f"{scene.path} has no confidence in row {window.row_off + row}, column {col}, but the "
            "mask has a class there; give the confidence that predict wrote with the mask"
        )
    return np.where(wanted, confidence, 0)
