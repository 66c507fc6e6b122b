"""Opening files with GDAL, and saying in one line why one cannot be read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import rasterio
from pyproj import CRS
from pyproj.exceptions import CRSError
from rasterio.env import (
    ensure_env_with_credentials,
    get_gdal_config,
    set_gdal_config,
)
from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader

from geounet.errors import InputError
from geounet.raster.grid import Grid
from geounet.raster.paths import find_local
from geounet.raster.remote import configure_remote, try_again
from geounet.raster.sensor import SensorModel
from geounet.raster.vrt import find_missing_source
from geounet.wording import counted

if TYPE_CHECKING:
    import rasterio.crs


class _Reader(DatasetReader):  # type: ignore[misc]
    """A reader that does not warn about images without georeference: they are no surprise here.

    rasterio asks this before it warns. Filters of `warnings` belong to the whole process and are
    neither safe in threads nor ours to change.
    """

    def _has_gcps_or_rpcs(self) -> bool:
        return True


def open_dataset(path: str | Path, **options: object) -> DatasetReader:
    """The rasterio dataset of anything that GDAL opens, with options of its driver.

    Raises:
        InputError: there is no such file, or GDAL does not read it as a raster with bands.
    """
    configure_remote()
    try:
        dataset = try_again(path, lambda: _open(os.fspath(path), **options), lambda: None)
    except RasterioIOError as error:
        raise InputError(_explain(path, error)) from error
    if dataset.count == 0:
        listed = dataset.subdatasets
        dataset.close()
        raise InputError(_no_bands(path, listed))
    return dataset


def grid_of(dataset: DatasetReader, path: str | Path) -> Grid:
    """The dataset's grid; rotated and south-up transforms are kept as they are.

    Ground control points and RPCs become its sensor model if the file has nothing better.

    Raises:
        InputError: the transform has no inverse, or PROJ does not know the CRS.
    """
    transform = dataset.transform
    if not transform.determinant:
        raise InputError(
            f"{path} has a geotransform without extent {transform.to_gdal()}; georeference it anew"
        )
    crs = _convert_crs(dataset.crs, path)
    sensor = _read_sensor(dataset, path) if transform.is_identity and crs is None else None
    return Grid(dataset.height, dataset.width, transform, crs, sensor)


def _read_sensor(dataset: DatasetReader, path: str | Path) -> SensorModel | None:
    gcps, crs = dataset.gcps
    rpcs = tuple(sorted(dataset.tags(ns="RPC").items()))
    if not gcps and not rpcs:
        return None
    points = tuple((p.col, p.row, p.x, p.y, p.z or 0.0) for p in gcps)
    return SensorModel(gcps=points, gcps_crs=_convert_crs(crs, path), rpcs=rpcs)


def _convert_crs(crs: rasterio.crs.CRS | None, path: str | Path) -> CRS | None:
    if not crs:
        return None
    try:
        return _parse_wkt(crs.to_wkt(version="WKT2_2019"))
    except CRSError as error:
        raise InputError(f"{path} has a CRS that PROJ cannot use; {one_line(error)}") from error


@contextmanager
def limit_cache(size: int, *, may_grow: bool = False) -> Iterator[None]:
    """Let GDAL's block cache, which is the whole process's, take at most `size` bytes meanwhile.

    By default it takes 5 % of the machine's memory; more only if it `may_grow`.
    """
    with rasterio.Env():
        before = get_gdal_config("GDAL_CACHEMAX")
        set_gdal_config("GDAL_CACHEMAX", size if may_grow else min(size, before))
        try:
            yield
        finally:
            set_gdal_config("GDAL_CACHEMAX", before)


def find_last_block(path: str | Path) -> list[int] | None:
    """Offset and size in bytes of a TIFF's last block; None of other files.

    Of a compressed file on a server this is what GDAL knows of its size: other pixels compress to
    other sizes.

    Raises:
        InputError: it is no raster.
    """
    with open_dataset(path) as dataset:
        rows, cols = dataset.block_shapes[-1]
        row, col = (dataset.height - 1) // rows, (dataset.width - 1) // cols
        found = [
            dataset.get_tag_item(f"BLOCK_{what}_{col}_{row}", "TIFF", bidx=dataset.count)
            for what in ("OFFSET", "SIZE")
        ]
    return [int(number) for number in found if number is not None] or None


def one_line(error: BaseException) -> str:
    """What GDAL said: the message of the error behind rasterio's, in one line."""
    cause = error.__cause__ or error
    text = str(getattr(cause, "errmsg", cause)).partition("To debug:")[0]  # rasterio's advice
    return " ".join(text.split())


@ensure_env_with_credentials  # type: ignore[untyped-decorator]
def _open(path: str, **options: object) -> DatasetReader:
    return _Reader(path, **options)


@lru_cache(maxsize=64)
def _parse_wkt(wkt: str) -> CRS:
    return CRS.from_wkt(wkt)  # some milliseconds, and every thread opens every scene


def _explain(path: str | Path, error: RasterioIOError) -> str:
    said = one_line(error)
    local = find_local(path)
    if local is not None and local.is_file() and (source := find_missing_source(local)):
        return f"{path} is made of {source}, and that does not exist; put it there again"
    if local is not None:
        return f"{path} is not a raster that GDAL can open; {said}"
    if any(text in said for text in ("No such file", "does not exist", "response code: 404")):
        return f"{path} does not exist; check the path"
    return f"{path} cannot be opened; {said}"


def _no_bands(path: str | Path, subdatasets: list[str]) -> str:
    if not subdatasets:
        return f"{path} has no raster bands; give a raster"
    more = f" and {len(subdatasets) - 3} more" if len(subdatasets) > 3 else ""
    return (
        f"{path} is a container of {counted(len(subdatasets), 'raster')}; "
        f"give one of them as the path: {', '.join(subdatasets[:3])}{more}"
    )
