"""The pixels that an AOI and a bbox leave of a grid: the same ones in every command."""

from __future__ import annotations

from pathlib import Path

import shapely
from shapely.geometry.base import BaseGeometry

from geounet.errors import InputError
from geounet.raster import Bounds, Grid, Window


def limit_grid(
    grid: Grid, bbox: Bounds | None, aoi: str | Path | None, name: str | Path
) -> tuple[Window, BaseGeometry | None]:
    """The pixels that --aoi and --bbox leave: a window, and the polygons that hold their centres.

    On a grid that is not rotated, --bbox leaves the pixels that it touches; on one that is, those
    whose centres are inside, as --aoi does everywhere.

    Args:
        grid: of a raster.
        bbox: in the grid's CRS; None: no such limit.
        aoi: vector file; None: likewise.
        name: what messages call the raster.

    Raises:
        InputError: they leave none, or the file cannot be used.
    """
    extent = grid.extent
    limits: list[BaseGeometry] = []
    if bbox is not None:
        extent = grid.window_of(bbox)
        if is_rotated(grid):
            limits.append(shapely.box(*bbox))
    if aoi is not None:
        from geounet.vector.aoi import read_aoi  # brings another GDAL: 100 MB

        limits.append(read_aoi(aoi, grid))
        extent = extent.intersect(grid.window_of(limits[-1].bounds))
    area = _intersect(limits)
    if extent.area == 0 or (area is not None and area.is_empty):
        raise InputError(f"{aoi} and --bbox have no pixel of {name} in common")
    return extent, area


def is_rotated(grid: Grid) -> bool:
    """Whether its rows run along no axis of the CRS, by 1/1000 of a pixel over its length."""
    t, slack = grid.transform, 1e-3 * grid.pixel_size / max(grid.shape)
    return max(abs(t.b), abs(t.d)) > slack and max(abs(t.a), abs(t.e)) > slack


def _intersect(limits: list[BaseGeometry]) -> BaseGeometry | None:
    """The polygons that all limits have in common; None: there is no limit."""
    if len(limits) < 2:
        return limits[0] if limits else None
    parts = shapely.get_parts(shapely.intersection_all(limits))
    return shapely.union_all(parts[shapely.get_dimensions(parts) == 2])
