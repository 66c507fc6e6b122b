"""A landscape written as files that QGIS opens and `geounet train` reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import rasterio
from rasterio.enums import ColorInterp

from geounet.classes import NODATA
from geounet.cli.landscape.scene import BAND_NAMES, CLASSES, Landscape
from geounet.cli.landscape.surfaces import BUILDING
from geounet.errors import ResourceError
from geounet.raster import CLASSES_TAG, Grid, dump_classes


@dataclass(frozen=True, slots=True)
class LandscapeFiles:
    """The files of one landscape.

    Attributes:
        image: GeoTIFF, uint16, bands red, green, blue, nir, nodata 0.
        labels: GeoTIFF, uint8, with the classes' names and colours, nodata 255.
        buildings: GeoPackage of footprints with columns `class_id` and `class`.
    """

    image: Path
    labels: Path
    buildings: Path


def write_landscape(folder: Path, name: str, landscape: Landscape) -> LandscapeFiles:
    """Write `name.tif`, `name_labels.tif` and `name_buildings.gpkg`, replacing what is there.

    Raises:
        ResourceError: the folder cannot be made or written.
    """
    files = LandscapeFiles(
        image=folder / f"{name}.tif",
        labels=folder / f"{name}_labels.tif",
        buildings=folder / f"{name}_buildings.gpkg",
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in (files.image, files.labels, files.buildings):
            path.unlink(missing_ok=True)
        _write_image(files.image, landscape)
        _write_labels(files.labels, landscape)
        _write_buildings(files.buildings, landscape)
    except OSError as error:
        reason = error.strerror or error
        raise ResourceError(f"cannot write in {folder} ({reason}); give another folder") from error
    return files


def _write_image(path: Path, landscape: Landscape) -> None:
    profile = _profile(landscape.grid, count=4, dtype="uint16", nodata=0, predictor=2)
    with rasterio.open(path, "w", photometric="rgb", **profile) as target:
        target.colorinterp = [
            ColorInterp.red,
            ColorInterp.green,
            ColorInterp.blue,
            ColorInterp.undefined,
        ]
        target.descriptions = BAND_NAMES
        target.write(landscape.image)


def _write_labels(path: Path, landscape: Landscape) -> None:
    profile = _profile(landscape.grid, count=1, dtype="uint8", nodata=NODATA)
    with rasterio.open(path, "w", **profile) as target:
        target.write_colormap(1, {item.value: item.rgb for item in CLASSES})
        target.update_tags(**{CLASSES_TAG: dump_classes(CLASSES)})
        target.write(landscape.labels, 1)


def _write_buildings(path: Path, landscape: Landscape) -> None:
    table = geopandas.GeoDataFrame(
        {"class_id": BUILDING, "class": CLASSES[BUILDING].name},
        geometry=list(landscape.buildings),
        crs=landscape.grid.crs,
        index=range(len(landscape.buildings)),
    )
    table.to_file(path, driver="GPKG")


def _profile(grid: Grid, **options: str | int) -> dict[str, Any]:
    place = {"height": grid.height, "width": grid.width, "transform": grid.transform}
    crs = grid.crs.to_wkt() if grid.crs else None
    tiling = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate"}
    return {"driver": "GTiff", "crs": crs, **place, **tiling, **options}
