"""What a raster is read from: its files, and of virtual rasters those of their sources."""

from __future__ import annotations

import os
from collections import deque

from rasterio.io import DatasetReader

from geounet.raster.dataset import open_dataset
from geounet.raster.paths import find_local

HEADER_BYTES = 1024
"""In which GDAL looks for what makes a file a virtual raster."""


def list_files(dataset: DatasetReader) -> list[str]:
    """Files of a dataset and, of virtual rasters among them, all that those are made of.

    GDAL names the sources of one VRT: neither theirs, nor the masks beside them.

    Raises:
        InputError: a virtual raster among them cannot be opened.
    """
    found: dict[str, None] = {}
    waiting = deque(dataset.files)
    while waiting:
        file = waiting.popleft()
        if file in found:
            continue
        found[file] = None
        if find_local(mask := f"{file}.msk"):
            waiting.append(mask)
        if _is_virtual(file):
            with open_dataset(file) as virtual:
                waiting += virtual.files
    return list(found)


def _is_virtual(path: str) -> bool:
    """Whether it is a VRT: by its beginning, as to GDAL; by its name if it is on no local disk."""
    file = find_local(path)
    if file is None:
        return path.partition("?")[0].lower().endswith(".vrt")
    if not file.is_file() or not os.access(file, os.R_OK):
        return False
    with file.open("rb") as content:
        return b"<VRTDataset" in content.read(HEADER_BYTES)
