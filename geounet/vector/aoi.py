"""Areas that limit the work: their polygons, and the pixels in them.

Without geopandas and numba, which would take 150 MB of a prediction's memory and a second.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from shapely.geometry.base import BaseGeometry

from geounet.errors import InputError
from geounet.raster import Bounds, Grid, Window
from geounet.vector.polygons import (
    project_polygons,
    read_geometries,
    repair_polygons,
    require_areas,
)
from geounet.vector.source import (
    VectorSource,
    format_bounds,
    modified_at,
    open_vectors,
    require_same_world,
    search_box,
)


def read_aoi(path: str | Path, grid: Grid) -> BaseGeometry:
    """The area that the polygons of a file cover together, in the grid's CRS.

    Raises:
        InputError: the file cannot be used, or no polygon touches the grid.
    """
    area = _read_area(path, modified_at(path), grid.crs, grid.bounds())
    if area.is_empty and grid.crs is not None:
        raise InputError(
            f"the area in {path} cannot be expressed in the raster's CRS ({grid.crs.name}), so far "
            "is it from the raster; give an area that overlaps it"
        )
    if not shapely.box(*grid.bounds()).intersects(area):
        raise InputError(
            f"the area in {path} lies outside the raster, {format_bounds(area.bounds)} against "
            f"{format_bounds(grid.bounds())}; give an area that overlaps it"
        )
    return area


def rasterize_inside(geometry: BaseGeometry, grid: Grid, window: Window) -> NDArray[np.bool_]:
    """Whether each pixel's centre lies in polygons that do not overlap, bool (H, W).

    A centre exactly on an edge is in the polygon to the right of it or below, as in `Burner`. The
    geometry is in the grid's CRS. `inside(w) == inside(whole)[w.slices()]`.
    """
    marks = np.zeros((window.height, window.width + 1), np.uint8)
    rows, cols = _find_crossings(*_list_edges(geometry, grid), window)
    # where an odd number of edges lie between a pixel's centre and the one left of it
    np.add.at(marks.reshape(-1), rows * marks.shape[1] + cols, 1)
    inside: NDArray[np.bool_] = np.bitwise_xor.accumulate(marks & 1, axis=1)[:, :-1].view(np.bool_)
    return inside


@lru_cache(maxsize=16)
def _read_area(
    path: str | Path, modified_at: float, crs: CRS | None, bounds: Bounds
) -> BaseGeometry:
    source, polygons = _read_polygons(path, modified_at, crs)
    found, _ = project_polygons(polygons, source.crs, crs, search_box(source.crs, crs, bounds))
    if not len(found):  # where they are instead
        found, _ = project_polygons(polygons, source.crs, crs, None)
    return shapely.union_all(found)


@lru_cache(maxsize=16)
def _read_polygons(
    path: str | Path, modified_at: float, crs: CRS | None
) -> tuple[VectorSource, NDArray[np.object_]]:
    """Read once for all scenes that they limit."""
    source = open_vectors(path)
    require_same_world(source, crs)
    geometries = read_geometries(source)
    require_areas(geometries, source, are_labels=False)
    return source, repair_polygons(geometries)[0]


@lru_cache(maxsize=64)
def _list_edges(
    geometry: BaseGeometry, grid: Grid
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Upper and lower ends of all edges, column and row (N, 2): an AOI has thousands of windows."""
    rings = shapely.get_rings(shapely.get_parts(geometry))
    points, owners = shapely.get_coordinates(rings, return_index=True)
    t, (x, y) = ~grid.transform, points.T
    places = np.column_stack([t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f])
    is_edge = owners[1:] == owners[:-1]
    begin, end = places[:-1][is_edge], places[1:][is_edge]
    # from the upper end, so that neighbours compute the same crossings
    is_upwards = (begin[:, 1] > end[:, 1])[:, None]
    return np.where(is_upwards, end, begin), np.where(is_upwards, begin, end)


def _find_crossings(
    upper: NDArray[np.float64], lower: NDArray[np.float64], window: Window
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where edges cross the centre lines of a window's rows: row, and the next pixel's column.

    Counted from the window's corner. Those left of it count at the first pixel, those right of it
    after the last one.
    """
    first = np.maximum(np.ceil(upper[:, 1] - 0.5), window.row_off)
    end = np.minimum(np.ceil(lower[:, 1] - 0.5), window.row_end)
    counts = np.maximum(end - first, 0).astype(np.int64)
    edge = np.repeat(np.arange(len(counts)), counts)
    begin = np.cumsum(counts) - counts
    rows = first[edge] + (np.arange(len(edge)) - begin[edge])
    (x, y), (x_end, y_end) = upper[edge].T, lower[edge].T
    crossings = x + (rows + 0.5 - y) * ((x_end - x) / (y_end - y))
    cols = np.clip(np.ceil(crossings - 0.5) - window.col_off, 0, window.width)
    return (rows - window.row_off).astype(np.int64), cols.astype(np.int64)
