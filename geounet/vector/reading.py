"""Polygons of any vector file, in the CRS of a raster."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import shapely
from geopandas import GeoDataFrame, GeoSeries
from pyproj import CRS
from shapely.geometry.base import BaseGeometry

from geounet.errors import InputError
from geounet.raster import Bounds, Grid
from geounet.vector.label_options import LabelOptions
from geounet.vector.lines import widen_lines
from geounet.vector.source import (
    VectorSource,
    modified_at,
    open_vectors,
    require_same_world,
    search_box,
)


def read_polygons(
    path: str | Path,
    crs: CRS | None,
    options: LabelOptions = LabelOptions(),  # noqa: B008  frozen
    bounds: Bounds | None = None,
) -> GeoDataFrame:
    """The polygons of a vector file, single-part, valid and two-dimensional, in a raster's CRS.

    Invalid ones are repaired, empty and missing ones left out. In the order of the features.

    Args:
        path: the file, or `FILE|layername=NAME`.
        crs: wanted CRS; None for a raster without one: coordinates are pixels.
        options: class column to keep, width of lines.
        bounds: what to read, in `crs`; None: everything.

    Returns:
        `geometry` and the class column, if one is asked for, without missing values; the index is
        the number of the feature in the file. No row if nothing lies in the bounds.

    Raises:
        InputError: the file cannot be used; the message says why.
    """
    source = open_vectors(path)
    require_same_world(source, crs)
    if options.class_field is not None:
        source.require_column(options.class_field)
    frame = _read(source, crs, options, bounds)
    frame = frame[~(frame.geometry.isna() | frame.geometry.is_empty)].explode()
    if not len(frame) and bounds is None:
        raise InputError(f"{source} has no geometry in any feature; give a file with polygons")
    _require_areas(frame, source, options)
    _require_classes(frame, source, options)
    if options.line_width_m is not None:
        frame.geometry = widen_lines(frame.geometry, options.line_width_m)
    return _repair(frame if crs is None else frame.to_crs(crs))


def read_aoi(path: str | Path, grid: Grid) -> BaseGeometry:
    """The area that the polygons of a file cover together, in the grid's CRS.

    Raises:
        InputError: the file cannot be used, or no polygon touches the grid.
    """
    area = _read_area(path, modified_at(path), grid.crs)
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


@lru_cache(maxsize=16)
def _read_area(path: str | Path, modified_at: float, crs: CRS | None) -> BaseGeometry:
    """Read once for all scenes that it limits."""
    return shapely.union_all(np.array(read_polygons(path, crs).geometry.array))


def read_class_column(
    path: str | Path, options: LabelOptions, crs: CRS | None = None, bounds: Bounds | None = None
) -> list[object]:
    """Distinct values of the class column, missing ones left out; all, or those in bounds.

    Raises:
        InputError: the file cannot be used, or has no such column.
    """
    column = str(options.class_field)
    source = open_vectors(path)
    source.require_column(column)
    box = search_box(source, crs, bounds, options.line_width_m or 0.0)
    frame = pyogrio.read_dataframe(
        source.path, layer=source.layer, columns=[column], bbox=box, read_geometry=False
    )
    return list(frame[column].dropna().unique())


def format_bounds(bounds: Bounds) -> str:
    """Bounds as a person reads them: `(85.518, 27.629, 85.523, 27.634)`."""
    return f"({', '.join(f'{v:.8g}' for v in bounds)})"


def _read(
    source: VectorSource, crs: CRS | None, options: LabelOptions, bounds: Bounds | None
) -> GeoDataFrame:
    """All columns and features needed, as they are in the file."""
    box = search_box(source, crs, bounds, options.line_width_m or 0.0)
    columns = [] if options.class_field is None else [options.class_field]
    frame = pyogrio.read_dataframe(
        source.path,
        layer=source.layer,
        columns=columns,
        bbox=box,
        force_2d=True,
        fid_as_index=True,
    )
    return GeoDataFrame(frame.sort_index(kind="stable"))  # an index of space has its own order


def _require_areas(frame: GeoDataFrame, source: VectorSource, options: LabelOptions) -> None:
    kinds = frame.geom_type
    points, lines = (int(kinds.str.endswith(k).sum()) for k in ("Point", "String"))
    if points:
        raise InputError(f"{source} has {points} points; labels and areas are polygons or lines")
    if lines and options.line_width_m is None:
        raise InputError(
            f"{source} has {lines} lines; labels need their width on the ground (--line-width), "
            "areas need polygons"
        )


def _require_classes(frame: GeoDataFrame, source: VectorSource, options: LabelOptions) -> None:
    if options.class_field is None:
        return
    values = frame[options.class_field]
    missing = int((values.isna() | (values.astype(str).str.strip() == "")).sum())
    if missing:
        raise InputError(
            f"{source} has no value in column {options.class_field!r} for {missing} of "
            f"{len(frame)} geometries; fill them in or delete them"
        )


def _repair(frame: GeoDataFrame) -> GeoDataFrame:
    """Valid single polygons. Those that the CRS cannot show are nowhere on a raster in it."""
    frame = frame[np.isfinite(frame.bounds).all(axis=1)]
    geometries = np.array(frame.geometry.array)
    broken = ~shapely.is_valid(geometries)
    if not broken.any():
        return frame
    geometries[broken] = shapely.make_valid(
        geometries[broken], method="structure", keep_collapsed=False
    )
    repaired = frame.set_geometry(GeoSeries(geometries, index=frame.index, crs=frame.crs))
    repaired = repaired[~repaired.is_empty].explode()
    return geopandas.GeoDataFrame(repaired[repaired.geom_type == "Polygon"])
