"""Virtual rasters that GDAL would read wrongly, without a word, until the process ends.

GDAL (3.10) keeps a source that it could not open in its pool of datasets. The first read of it is
an error; after one in a nested VRT a later read of the same source gives zeros and no message,
even if the source is back, and rasterio raises for messages only.
"""

from __future__ import annotations

import os
from pathlib import Path

from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT

from geounet.errors import InputError

_failed: set[str] = set()
"""Absolute paths of virtual rasters that could not be read; of this process, as GDAL's pool is."""


def remember_failure(dataset: DatasetReader, path: str | Path) -> None:
    """Note that a read has failed, if it is of a virtual raster."""
    if dataset.driver == "VRT" and not isinstance(dataset, WarpedVRT):
        _failed.add(os.path.abspath(path))  # noqa: PTH100 - may be a URL


def refuse_failed(path: str | Path) -> None:
    """Refuse a virtual raster of which a read has failed.

    Raises:
        InputError: says to start anew.
    """
    if os.path.abspath(path) in _failed:  # noqa: PTH100 - may be a URL
        raise InputError(
            f"{path} could not be read before, and GDAL would now give zeros for what was missing; "
            "mend its sources and start this program anew"
        )
