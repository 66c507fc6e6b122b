"""What a path is that GDAL opens: a file of this machine, a URL, or part of an archive."""

from __future__ import annotations

import os
import re
from pathlib import Path

_ARCHIVE = re.compile(r"^(/vsi(zip|tar|gzip|7z|rar)/|(zip|tar|gzip)://)\{?")


def find_local(path: str | Path) -> Path | None:
    """The file or folder of this machine that a path means; None if there is none."""
    file = Path(path)
    try:
        return file if file.exists() else None
    except OSError:  # a URL with a long signature: no file system takes such names
        return None


def find_stored(path: str | Path) -> Path | None:
    """The file of this machine that holds what a path means: itself, or an archive it is in."""
    found = find_local(path)
    text, archives = _ARCHIVE.subn("", os.fspath(path))
    if found is not None or not archives:
        return found
    inside = Path(text.replace("}", "").replace("!", "/"))
    return next((file for file in inside.parents if file.is_file()), None)


def name_of(path: str | Path) -> str:
    """Its name without folders and suffix; of a URL without the query, too."""
    text = os.fspath(path)
    if "://" in text:
        text = text.partition("?")[0].rpartition("!")[2]
    return Path(text).stem
