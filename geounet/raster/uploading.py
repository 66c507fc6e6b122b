"""Finished rasters copied to object storage (S3), byte by byte."""

from __future__ import annotations

from pathlib import Path

import rasterio.shutil
from rasterio._err import CPLE_BaseError
from rasterio.env import ensure_env_with_credentials
from rasterio.errors import RasterioError, RasterioIOError

from geounet.errors import InputError, ResourceError
from geounet.raster.cog import read_tags
from geounet.raster.dataset import find_last_block, one_line, open_dataset
from geounet.raster.remote import configure_remote

SCHEME = "s3://"


def find_s3(path: str | Path) -> str | None:
    """The address that a path means, `s3://bucket/key`; None if it means something else.

    pathlib makes `s3:/bucket/key` of it.
    """
    text = str(path)
    for start in (SCHEME, "s3:/", "/vsis3/"):
        if text.startswith(start):
            return SCHEME + text.removeprefix(start).strip("/")
    return None


def exists_remote(url: str) -> bool:
    """Whether there is a raster at an address."""
    try:
        open_dataset(url).close()
    except InputError as error:
        if "does not exist" in str(error):
            return False
        raise
    return True


def is_uploaded(file: Path, url: str) -> bool:
    """Whether the raster at an address is a copy of this one, by its tags and its end.

    The tags of our outputs name the job that has made them.
    """
    try:
        is_same_job = read_tags(url) == read_tags(file)
        return is_same_job and find_last_block(url) == find_last_block(file)
    except InputError:  # one is not there, or no raster
        return False


def upload(file: Path, url: str) -> None:
    """Copy a GeoTIFF of ours, and its sidecar with the names of classes, to `s3://bucket/key`.

    An object in S3 appears whole or not at all. The copy is then opened, and its end compared.

    Raises:
        ResourceError: it cannot be written, or is not the same.
    """
    configure_remote()
    try:
        _copy(url, file)
        if find_last_block(url) != find_last_block(file):
            raise RasterioIOError("the copy is not as long as the file")
    except (OSError, RasterioError, CPLE_BaseError, SystemError, InputError) as error:
        raise ResourceError(
            f"{url} cannot be written ({one_line(error)}); {file} is finished: check bucket and "
            "credentials (AWS_ACCESS_KEY_ID ...), and the same command uploads it"
        ) from error


@ensure_env_with_credentials  # type: ignore[untyped-decorator]
def _copy(url: str, file: Path) -> None:
    rasterio.shutil.copyfiles(str(file), "/vsis3/" + url.removeprefix(SCHEME))
