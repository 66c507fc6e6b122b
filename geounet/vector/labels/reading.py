"""Polygons of any vector file, in the CRS of a raster."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyogrio
import shapely
from geopandas import GeoDataFrame
from numpy.typing import NDArray
from pyproj import CRS
from shapely import GEOSException

from geounet.errors import InputError
from geounet.raster import Bounds
from geounet.vector.labels.label_options import LabelOptions
from geounet.vector.labels.lines import widen_lines
from geounet.vector.polygons import (
    project_polygons,
    refuse_geometry,
    repair_polygons,
    require_any,
    require_areas,
    split_parts,
    widen_box,
)
from geounet.vector.source import VectorSource, open_vectors, require_same_world, search_box
from geounet.wording import counted


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
        the number of the feature in the file. No row if nothing lies in the bounds, or the file
        has no feature.

    Raises:
        InputError: the file cannot be used; the message says why.
    """
    return project_frame(read_own_polygons(path, crs, options, bounds), crs, bounds)


def read_own_polygons(
    path: str | Path, crs: CRS | None, options: LabelOptions, bounds: Bounds | None
) -> GeoDataFrame:
    """What `read_polygons` returns, but in the file's own CRS."""
    source = open_vectors(path, may_be_empty=True)
    if not source.features:  # its CRS and columns may be missing: some formats write neither
        columns = () if options.class_field is None else (options.class_field,)
        return GeoDataFrame({column: [] for column in columns}, geometry=[], crs=crs)
    require_same_world(source, crs)
    if options.class_field is not None:
        source.require_column(options.class_field)
    frame = _read(source, crs, options, bounds)
    frame = _take(frame, *split_parts(np.array(frame.geometry.array)))
    if bounds is None:
        require_any(len(frame), source)
    is_wide = options.line_width_m is not None
    require_areas(np.array(frame.geometry.array), source, may_be_lines=is_wide)
    _require_classes(frame, source, options)
    if options.line_width_m is not None:
        frame.geometry = widen_lines(frame.geometry, options.line_width_m)
    return _take(frame, *repair_polygons(np.array(frame.geometry.array)))


def project_frame(frame: GeoDataFrame, crs: CRS | None, bounds: Bounds | None) -> GeoDataFrame:
    """Polygons in a raster's CRS; given its bounds, those near it, cut where they reach far away.

    Args:
        frame: as from `read_own_polygons`.
        crs: the raster's.
        bounds: in `crs`; None: everything, vertex by vertex.
    """
    box = search_box(frame.crs, crs, bounds)
    if box is not None:
        near = shapely.box(*widen_box(box))
        frame = frame.iloc[np.sort(frame.sindex.query(near))]
    polygons, rows = project_polygons(np.array(frame.geometry.array), frame.crs, crs, box)
    return _take(frame, polygons, rows, crs)


def _take(
    frame: GeoDataFrame,
    geometries: NDArray[np.object_],
    rows: NDArray[np.intp],
    crs: CRS | None = None,
) -> GeoDataFrame:
    """These rows of a frame with other geometries, in another CRS if one is given."""
    return GeoDataFrame(frame.iloc[rows].set_geometry(geometries, crs=crs or frame.crs))


def read_class_column(
    path: str | Path, options: LabelOptions, crs: CRS | None = None, bounds: Bounds | None = None
) -> list[object]:
    """Distinct values of the class column, missing ones left out; all, or those in bounds.

    Raises:
        InputError: the file cannot be used, has no such column, or lists in it.
    """
    column = str(options.class_field)
    source = open_vectors(path, may_be_empty=True)
    if not source.features:
        return []
    source.require_column(column)
    if bounds is not None:
        require_same_world(source, crs)
    box = search_box(source.crs, crs, bounds, options.line_width_m or 0.0)
    frame = pyogrio.read_dataframe(
        source.path, layer=source.layer, columns=[column], bbox=box, read_geometry=False
    )
    _refuse_lists(frame[column], source)
    return list(frame[column].dropna().unique())


def _read(
    source: VectorSource, crs: CRS | None, options: LabelOptions, bounds: Bounds | None
) -> GeoDataFrame:
    """All columns and features needed, as they are in the file."""
    box = search_box(source.crs, crs, bounds, options.line_width_m or 0.0)
    columns = [] if options.class_field is None else [options.class_field]
    try:
        frame = pyogrio.read_dataframe(
            source.path,
            layer=source.layer,
            columns=columns,
            bbox=box,
            force_2d=True,
            fid_as_index=True,
        )
    except GEOSException as error:
        raise refuse_geometry(source, error) from error
    return GeoDataFrame(frame.sort_index(kind="stable"))  # an index of space has its own order


def _require_classes(frame: GeoDataFrame, source: VectorSource, options: LabelOptions) -> None:
    if options.class_field is None:
        return
    values = frame[options.class_field]
    _refuse_lists(values, source)
    missing = int((values.isna() | (values.astype(str).str.strip() == "")).sum())
    if missing:
        raise InputError(
            f"{source} has no value in column {options.class_field!r} for {missing} of "
            f"{counted(len(frame), 'shape')}; fill them in or delete them"
        )


def _refuse_lists(column: pd.Series, source: VectorSource) -> None:
    """Nothing, unless a feature has several values in one column, as JSON allows."""
    if column.dtype == object and any(isinstance(v, list | dict | np.ndarray) for v in column):
        raise InputError(
            f"{source} holds lists in column {column.name!r}; labels have one class per feature: "
            "write one number or text"
        )
