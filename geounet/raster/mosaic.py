"""Parts read as the raster that they are of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio.windows
from numpy.typing import NDArray
from rasterio.errors import RasterioIOError
from rasterio.io import MemoryFile

from geounet.errors import InputError
from geounet.raster.dataset import grid_of, one_line, open_dataset
from geounet.raster.grid import Grid
from geounet.raster.window import Window
from geounet.raster.writing import BLOCK, create_tiled


@dataclass(frozen=True)
class Mosaic:
    """The raster that parts are of, read as one while they come. It can be sent to a process.

    Attributes:
        path: what it is called in messages.
        grid: all pixels.
        dtype: as the parts are read.
        band_names: of its bands.
        nodata: where there is no part, and no data in one; NaN in floats.
        parts: each a file, and the window that it is; read once a window meets it.
    """

    path: Path
    grid: Grid
    dtype: np.dtype[Any]
    band_names: tuple[str, ...]
    nodata: float
    parts: Sequence[tuple[Path, Window]]

    @property
    def count(self) -> int:
        """Number of bands."""
        return len(self.band_names)

    @property
    def block_shape(self) -> tuple[int, int]:
        """(height, width) of the storage blocks of parts."""
        return BLOCK, BLOCK

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Pixels (count, H, W), and whether they are data in every band (H, W).

        Raises:
            InputError: a part that the window meets cannot be read.
        """
        blank = np.full((self.count, *window.shape), self.nodata, self.dtype)
        pixels = read_parts(self.parts, window, blank)
        is_data = pixels != self.nodata if self.nodata == self.nodata else ~np.isnan(pixels)
        return pixels, is_data.all(axis=0)


def store_grid(grid: Grid) -> Grid:
    """The grid as a GeoTIFF on it gives it back: there are many ways to write one CRS."""
    pixel = grid.crop(Window(row_off=0, col_off=0, height=1, width=1))
    with MemoryFile(ext=".tif") as memory:
        with create_tiled(memory.name, pixel, 1, np.uint8, None):
            pass
        with open_dataset(memory.name) as dataset:
            stored = grid_of(dataset, memory.name)
    return replace(grid, transform=stored.transform, crs=stored.crs)


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
