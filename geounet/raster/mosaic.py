"""Parts read as the raster that they are of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rasterio.windows
from numpy.typing import NDArray
from rasterio.errors import RasterioIOError

from geounet.errors import InputError
from geounet.raster.dataset import one_line, open_dataset
from geounet.raster.window import Window


def read_parts(
    parts: Sequence[tuple[Path, Window]], window: Window, pixels: NDArray[Any]
) -> NDArray[Any]:
    """Fill the pixels (H, W) or (bands, H, W) of a window from the parts that lie in it.

    Args:
        parts: each a file of `write_part`, and the window that it is.
        window: counted as theirs.
        pixels: what is there without any part; changed in place, and returned.

    Raises:
        InputError: a part cannot be read.
    """
    for path, place in parts:
        shared = place.intersect(window)
        if shared.area:
            rows, cols = shared.relative_to(window).slices()
            target = pixels[None, rows, cols] if pixels.ndim == 2 else pixels[:, rows, cols]
            target[:] = _read(path, shared.relative_to(place))
    return pixels


def _read(path: Path, window: Window) -> NDArray[Any]:
    inside = rasterio.windows.Window(window.col_off, window.row_off, window.width, window.height)
    try:
        with open_dataset(path) as dataset:
            pixels: NDArray[Any] = dataset.read(window=inside)
    except RasterioIOError as error:
        raise InputError(
            f"{path} cannot be read ({one_line(error)}); remove it, and run the same command again"
        ) from error
    return pixels
