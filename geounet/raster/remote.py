"""Rasters on servers and in object storage: how GDAL asks for them, and asks again.

Credentials are GDAL's affair: it finds them in the environment (AWS_ACCESS_KEY_ID and so on) and
in the files of the cloud's own tools. Nothing here reads, keeps or prints them.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rasterio.errors import RasterioIOError

from geounet.raster.paths import find_stored

SETTINGS = {
    "GDAL_HTTP_MAX_RETRY": "3",  # of 429, 500, 502, 503, 504, time-outs and lost connections
    "GDAL_HTTP_RETRY_DELAY": "1",  # seconds, about twice as long each time
    "GDAL_HTTP_CONNECTTIMEOUT": "10",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1000",  # bytes per second: slower than this
    "GDAL_HTTP_LOW_SPEED_TIME": "30",  # for so many seconds is no answer
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",  # one request for blocks side by side
    "GDAL_HTTP_MULTIPLEX": "YES",
    "GDAL_DISABLE_READDIR_ON_OPEN": "TRUE",  # ask for .msk, .ovr: no listing of a whole bucket
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",  # the header of a COG in one request
    "CPL_VSIL_CURL_CHUNK_SIZE": "65536",  # readahead: 16 kB are few blocks of 512 x 512
    # GDAL keeps what a broken answer has brought; without this a second try would read that
    "CPL_VSIL_CURL_NON_CACHED": "/vsicurl/:/vsis3/:/vsigs/:/vsiaz/",
}
"""For GDAL, that of rasterio and that of pyogrio; what the environment says comes first."""

ATTEMPTS = 3
"""What is cut off or too slow, GDAL does not ask for again: so often, with growing pauses."""

_FINAL = re.compile(r"No such file|does not exist|response code: 40\d|AccessDenied|InvalidAccess")
"""What servers say that say the same again."""

T = TypeVar("T")


def configure_remote() -> None:
    """Have GDAL use `SETTINGS` in this process and those that it starts."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)


def is_remote(path: str | Path) -> bool:
    """Whether a path means something that is on no disk of this machine."""
    text = os.fspath(path)
    return ("://" in text or text.startswith("/vsi")) and find_stored(path) is None


def try_again(path: str | Path, work: Callable[[], T], prepare: Callable[[], None]) -> T:
    """Do work on a remote raster, up to `ATTEMPTS` times; on another one, once.

    Args:
        path: Of the raster.
        work: What may fail for want of a whole answer.
        prepare: Done before each further attempt.

    Raises:
        RasterioIOError: the last attempt failed, or one in a way that is final.
    """
    attempts = ATTEMPTS if is_remote(path) else 1
    for attempt in range(1, attempts):
        try:
            return work()
        except RasterioIOError as error:
            if _FINAL.search(f"{error} {error.__cause__}"):
                raise
            time.sleep(attempt * float(os.environ.get("GDAL_HTTP_RETRY_DELAY", "1")))
            prepare()
    return work()
