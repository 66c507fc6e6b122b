"""Small rasters for tests, written with nothing but rasterio."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import rasterio.shutil
from affine import Affine
from numpy.typing import ArrayLike, NDArray
from rasterio.errors import NotGeoreferencedWarning

from geounet.raster import Grid

UTM = Affine(0.5, 0.0, 500_000.0, 0.0, -0.5, 5_000_000.0)
"""Half-metre pixels somewhere in EPSG:32633, north up."""


def write_raster(
    path: str | Path,
    array: ArrayLike,
    *,
    grid: Grid | None = None,
    transform: Affine | None = UTM,
    crs: Any = "EPSG:32633",
    nodata: float | None = None,
    descriptions: Sequence[str] | None = None,
    mask: ArrayLike | None = None,
    **profile: Any,
) -> Path:
    """Write an array (H, W) or (bands, H, W) as a raster, by default a GeoTIFF.

    `grid` stands for transform and crs; `transform=None` leaves out the georeference
    (but with `gcps=[...]`, crs is theirs). `mask` (H, W)
    becomes the dataset mask: True (or not 0) is data. The rest goes to GDAL: `driver="PNG"`,
    `tiled=True`, `blockxsize=256`, `compress="deflate"`, `photometric="rgb"` ...
    """
    pixels = np.asarray(array)
    bands = pixels[None] if pixels.ndim == 2 else pixels
    if grid is not None:
        transform, crs = grid.transform, grid.crs and grid.crs.to_wkt()
    options = {"driver": "GTiff", "nodata": nodata, **profile}
    if transform is not None:
        options["transform"] = transform
    if transform is not None or "gcps" in options:
        options["crs"] = crs
    count, height, width = bands.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(
                path, "w", count=count, height=height, width=width, dtype=bands.dtype, **options
            ) as target,
        ):
            target.write(bands)
            if mask is not None:
                target.write_mask(np.asarray(mask) != 0)
            for band, text in enumerate(descriptions or (), start=1):
                target.set_band_description(band, text)
    return Path(path)


def write_vrt(path: str | Path, source: Path) -> Path:
    """A virtual raster beside its source, all of which it shows; the source may be virtual."""
    rasterio.shutil.copy(source, path, driver="VRT")  # flattens a source that is virtual
    root = ElementTree.parse(path)
    for name in root.iter("SourceFilename"):
        name.text = source.name
    root.write(path)
    return Path(path)


def read_raster(path: str | Path) -> NDArray[Any]:
    """All bands (bands, H, W), straight from rasterio."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as source:
            pixels: NDArray[Any] = source.read()
    return pixels
