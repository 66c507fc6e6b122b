"""The parts of a result: tiled GeoTIFFs that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import DTypeLike, NDArray
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError, RasterioIOError
from rasterio.io import DatasetWriter, MemoryFile
from rasterio.windows import Window as RasterioWindow

from geounet.errors import InputError
from geounet.files import guard_file, name_partial, publish, write_whole
from geounet.raster.dataset import one_line, open_dataset
from geounet.raster.grid import Grid
from geounet.raster.window import Window

BLOCK = 512
"""Side in pixels of the storage blocks of all that geounet writes."""


class _Writer(DatasetWriter):  # type: ignore[misc]
    """A writer that does not warn about grids without georeference; compare `dataset._Reader`."""

    def _has_gcps_or_rpcs(self) -> bool:
        return True


MEMORY_BYTES = 32 * 2**20
"""Bytes of pixels up to which a part is made in memory. A larger one is made on disk and read back,
since GDAL reports a full disk late, or not at all."""

PART_TAG = "GEOUNET_PART"
"""Dataset tag of a part: its name."""

HALF_BITS = 16
"""GDAL's NBITS of float16: the creation option, and the metadata item of the band."""

WriteWindow = Callable[[Window, NDArray[Any]], None]
"""Writes the pixels (H, W) or (bands, H, W) of a window."""


def write_part(
    path: Path,
    grid: Grid,
    array: NDArray[Any],
    nodata: float | None = None,
    band_names: Sequence[str] = (),
) -> None:
    """Write an array (H, W) or (bands, H, W) as `open_part` does.

    Raises:
        ResourceError: it cannot be written.
    """
    count = 1 if array.ndim == 2 else len(array)
    with open_part(path, grid, count, array.dtype, nodata, band_names) as write:
        write(grid.extent, array)


@contextmanager
def open_part(
    path: Path,
    grid: Grid,
    count: int,
    dtype: DTypeLike,
    nodata: float | None = None,
    band_names: Sequence[str] = (),
) -> Iterator[WriteWindow]:
    """Write a tiled GeoTIFF window by window; it appears whole at the end, or not at all.

    Windows partition the grid; cut at multiples of `BLOCK`, every block is compressed once. The
    same pixels by the same name give the same bytes.

    Raises:
        ResourceError: it cannot be written.
    """
    is_small = count * grid.extent.area * np.dtype(dtype).itemsize <= MEMORY_BYTES
    temporary = name_partial(path)
    try:
        with ExitStack() as closing:  # guarded by itself: what fails inside is not this file's
            with guard_writing(path):
                memory = closing.enter_context(MemoryFile(ext=".tif")) if is_small else None
                name = temporary if memory is None else memory.name
                creating = create_tiled(name, grid, count, dtype, nodata)
                target = closing.enter_context(creating)
                target.update_tags(**{PART_TAG: _name_part(path)})
                for number, band_name in enumerate(band_names, start=1):
                    target.set_band_description(number, band_name)

            def write(window: Window, array: NDArray[Any]) -> None:
                with guard_writing(path):
                    pixels = array[None] if array.ndim == 2 else array
                    inside = to_rasterio(window)
                    target.write(pixels.astype(target.dtypes[0], copy=False), window=inside)

            yield write
            with guard_writing(path):
                target.close()
                if memory is not None:
                    write_whole(path, memory.getbuffer())
                else:
                    check_blocks(temporary)
                    publish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def create_tiled(
    path: str | Path, grid: Grid, count: int, dtype: DTypeLike, nodata: float | None
) -> Iterator[DatasetWriter]:
    """Create an intermediate GeoTIFF and open it for writing.

    Nothing is inherited from the scene's file: its JPEG, YCbCr or WEBP would spoil a mask. float16
    is stored as GDAL does, which shows it as float32.
    """
    options: dict[str, Any] = {}
    if np.dtype(dtype) == np.float16:
        dtype, options["nbits"] = np.float32, HALF_BITS
    if not grid.transform.is_identity:
        options["transform"] = grid.transform
    if grid.crs is not None:
        options["crs"] = grid.crs.to_wkt()
    with (
        rasterio.Env(),
        _Writer(
            path,
            "w",
            driver="GTiff",
            count=count,
            height=grid.height,
            width=grid.width,
            dtype=dtype,
            nodata=nodata,
            tiled=True,
            blockxsize=BLOCK,
            blockysize=BLOCK,
            interleave="band",
            compress="deflate",
            zlevel=3,  # three times as fast as 6, for files that are soon gone
            predictor=choose_predictor(np.dtype(dtype)),
            bigtiff="if_safer",
            **options,
        ) as target,
    ):
        yield target


_CHECKED = 32
"""Bytes that are decoded at a time, in blocks of bytes."""


def check_blocks(path: Path, overview: int | None = None) -> None:
    """Decode all blocks of a tiled GeoTIFF that GDAL has written, or of one of its overviews.

    A write that fails for want of space passes unnoticed if the next one succeeds: the block is
    then missing, which reads as nodata, or cannot be decoded.

    Raises:
        RasterioIOError: a block is missing or broken.
    """
    options = {} if overview is None else {"overview_level": overview}
    with open_dataset(path, num_threads="all_cpus", **options) as dataset:
        pixel_bytes = dataset.count * np.dtype(dataset.dtypes[0]).itemsize
        extent = Window(row_off=0, col_off=0, height=dataset.height, width=dataset.width)
        for window in extent.blocks(BLOCK, max(1, _CHECKED // pixel_bytes) * BLOCK):
            dataset.read(window=to_rasterio(window))  # all bands, which may share blocks
            row, cols = window.row_off // BLOCK, range(window.col_off, window.col_end, BLOCK)
            for band, col in product(dataset.indexes, (off // BLOCK for off in cols)):
                item = f"BLOCK_OFFSET_{col}_{row}"
                if dataset.get_tag_item(item, "TIFF", bidx=band, ovr=None) is None:
                    raise RasterioIOError(f"block {col}, {row} is missing")


def is_whole(path: Path, shape: tuple[int, int]) -> bool:
    """Whether a part is there, of this (height, width), and whole: not cut off or damaged.

    Nor another one by this name, as a clumsy copy leaves it.
    """
    try:
        with open_dataset(path) as dataset:
            if dataset.shape != shape or dataset.tags().get(PART_TAG) != _name_part(path):
                return False
        check_blocks(path)
    except (InputError, RasterioError):
        return False
    return True


def _name_part(path: Path) -> str:
    """What a part is called, also while its file is a draft: `mask-000000512`."""
    return path.name.lstrip(".").partition(".")[0]


@contextmanager
def guard_writing(path: Path) -> Iterator[None]:
    """Turn what goes wrong while writing a file into a ResourceError that names it."""
    with guard_file(path):
        try:
            yield
        except (RasterioError, CPLE_BaseError, SystemError, InputError) as error:
            # GDAL's failures come as any of these, InputError if it cannot read what it wrote
            raise OSError(one_line(error)) from error


def to_rasterio(window: Window) -> RasterioWindow:
    """The window in rasterio's terms."""
    return RasterioWindow(window.col_off, window.row_off, window.width, window.height)


def choose_predictor(dtype: np.dtype[Any]) -> int:
    """TIFF's predictor: floats compress better by 3, wide integers by 2, class values by none."""
    if dtype.kind == "f":
        return 3
    return 2 if dtype.itemsize > 1 else 1
