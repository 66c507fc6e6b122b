"""Overviews: ever smaller copies of a raster, each pixel made of 2 x 2 of the one before.

GDAL's own majority takes longer than all the rest of assembling a mask.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rasterio.io import DatasetReader

from geounet.raster.dataset import open_dataset
from geounet.raster.grid import pixel_grid
from geounet.raster.window import Window
from geounet.raster.writing import BLOCK, check_blocks, create_tiled, to_rasterio

Reduction = Literal["mode", "average"]
"""What becomes of 2 x 2 pixels: the commonest value, or the mean of those with data."""

_BLOCKS = 16
"""Bytes of an overview's pixels computed at a time, in blocks of bytes."""


_STRIP = 32
"""Rows reduced at a time, so that what is compared stays in the processor's cache."""


def write_overviews(source: Path, folder: Path, reduction: Reduction) -> list[Path]:
    """Write the overviews of a raster, down to one block, into a folder; the largest first."""
    paths: list[Path] = []
    while True:
        with open_dataset(source) as dataset:
            if max(dataset.shape) <= BLOCK:
                return paths
            target = folder / f"overview{len(paths) + 1}.tif"
            _write_half(dataset, target, reduction)
        check_blocks(target)
        paths.append(target)
        source = target


def reduce_mode(pixels: NDArray[Any], nodata: float | None) -> NDArray[Any]:
    """The commonest value of each 2 x 2 pixels of (..., 2 H, 2 W) as (..., H, W).

    Of two that are equally common, the one met first, row by row. Nodata only where there is
    nothing else.
    """
    a, b, c, d = _split(pixels)
    pair_a, pair_b, pair_c = (a == b) | (a == c) | (a == d), (b == c) | (b == d), c == d
    chosen = a
    if nodata is not None:
        missing = pixels.dtype.type(nodata)  # compared in the pixels' own type: 8 times as fast
        has_a, has_b, has_c = a != missing, b != missing, c != missing
        chosen = _select(has_a, a, _select(has_b, b, _select(has_c, c, d)))
        pair_a, pair_b, pair_c = pair_a & has_a, pair_b & has_b, pair_c & has_c
    return _select(pair_a, a, _select(pair_b, b, _select(pair_c, c, chosen)))


def reduce_average(pixels: NDArray[Any], nodata: float | None) -> NDArray[Any]:
    """The mean of those with data of each 2 x 2 pixels of (..., 2 H, 2 W) as (..., H, W).

    Rounded if the pixels are integers; nodata where none has data.
    """
    total, count = np.zeros(1, np.float64), np.zeros(1, np.uint8)
    for quarter in _split(pixels):
        data = (
            np.isfinite(quarter) if nodata is None else np.isfinite(quarter) & (quarter != nodata)
        )
        total = total + np.where(data, quarter, 0)
        count = count + data
    mean = np.divide(total, count, out=np.full_like(total, nodata or 0), where=count > 0)
    return (
        mean.astype(pixels.dtype)
        if pixels.dtype.kind == "f"
        else np.rint(mean).astype(pixels.dtype)
    )


def _select(condition: NDArray[np.bool_], yes: NDArray[Any], no: NDArray[Any]) -> NDArray[Any]:
    """`np.where`, for bytes by bit masks: 5 times as fast."""
    if yes.dtype != np.uint8:
        return np.where(condition, yes, no)
    mask = np.negative(condition.view(np.uint8))
    chosen: NDArray[Any] = no ^ ((yes ^ no) & mask)
    return chosen


def _split(pixels: NDArray[Any]) -> list[NDArray[Any]]:
    """The four pixels of each 2 x 2, row by row, as arrays of their own: compared faster so."""
    return [pixels[..., row::2, col::2].copy() for row in (0, 1) for col in (0, 1)]


def _write_half(dataset: DatasetReader, target: Path, reduction: Reduction) -> None:
    """Write the next overview of a raster; an odd last row or column counts twice."""
    reduce = reduce_mode if reduction == "mode" else reduce_average
    height, width = dataset.shape
    dtype = np.dtype(dataset.dtypes[0])
    grid = pixel_grid(-(-height // 2), -(-width // 2))
    with create_tiled(target, grid, dataset.count, dtype, dataset.nodata) as overview:
        windows = grid.extent.blocks(BLOCK, max(1, _BLOCKS // dtype.itemsize) * BLOCK)
        for window, band in product(windows, dataset.indexes):
            rows, cols = 2 * window.row_off, 2 * window.col_off
            inside = Window(
                row_off=rows,
                col_off=cols,
                height=min(2 * window.height, height - rows),
                width=min(2 * window.width, width - cols),
            )
            pixels = dataset.read(band, window=to_rasterio(inside))
            padding = ((0, inside.height % 2), (0, inside.width % 2))
            if np.any(padding):
                pixels = np.pad(pixels, padding, mode="edge")
            strips = [
                reduce(pixels[row : row + _STRIP], dataset.nodata)
                for row in range(0, len(pixels), _STRIP)
            ]
            overview.write(np.concatenate(strips), band, window=to_rasterio(window))
