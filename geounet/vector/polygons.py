"""Polygons of any vector file as arrays: valid, single, two-dimensional."""

from __future__ import annotations

import numpy as np
import pyogrio.raw
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from shapely import GeometryType

from geounet.errors import InputError
from geounet.vector.source import VectorSource
from geounet.wording import counted

POINTS = (GeometryType.POINT, GeometryType.MULTIPOINT)
LINES = (GeometryType.LINESTRING, GeometryType.LINEARRING, GeometryType.MULTILINESTRING)


def read_geometries(source: VectorSource) -> NDArray[np.object_]:
    """The parts of all geometries (N,) as they are in the file, without height.

    Raises:
        InputError: there is none.
    """
    wkb = pyogrio.raw.read(source.path, layer=source.layer, columns=[], force_2d=True)[2]
    found = shapely.get_parts(np.asarray(shapely.from_wkb(wkb), np.object_))
    found = found[~shapely.is_empty(found)]
    require_any(len(found), source)
    return found


def require_any(count: int, source: VectorSource) -> None:
    """Nothing, if there are geometries.

    Raises:
        InputError: there are none.
    """
    if not count:
        raise InputError(f"{source} has no geometry in any feature; give a file with polygons")


def require_areas(
    geometries: NDArray[np.object_],
    source: VectorSource,
    *,
    may_be_lines: bool = False,
    are_labels: bool = True,
) -> None:
    """Nothing, if geometries, of labels or of an area, are polygons.

    Raises:
        InputError: there are points, or lines where they may not be.
    """
    kinds = shapely.get_type_id(geometries)
    points, lines = (int(np.isin(kinds, some).sum()) for some in (POINTS, LINES))
    if points:
        wanted = "labels are polygons or lines" if are_labels else "an area is made of polygons"
        raise InputError(f"{source} has {counted(points, 'point')}; {wanted}")
    if lines and not may_be_lines:
        raise InputError(
            f"{source} has {counted(lines, 'line')}; "
            + ("say how wide on the ground: --line-width" if are_labels else "give polygons")
        )


def project_geometries(
    geometries: NDArray[np.object_], crs: CRS | None, target: CRS | None
) -> NDArray[np.object_]:
    """Geometries in another CRS, vertex by vertex; infinite where that cannot show them."""
    if crs is None or target is None or crs == target:
        return geometries
    move = Transformer.from_crs(crs, target, always_xy=True).transform
    projected: NDArray[np.object_] = shapely.transform(
        geometries, lambda points: np.column_stack(move(*points.T))
    )
    return projected


def repair_polygons(
    geometries: NDArray[np.object_],
) -> tuple[NDArray[np.object_], NDArray[np.intp]]:
    """Valid single polygons, and the number of the geometry that each comes from.

    Those that the CRS cannot show are left out: they are nowhere on a raster in it.
    """
    owners = np.flatnonzero(np.isfinite(shapely.bounds(geometries)).all(axis=1))
    found = geometries[owners]
    broken = ~shapely.is_valid(found)
    if not broken.any():
        return found, owners
    found[broken] = shapely.make_valid(found[broken], method="structure", keep_collapsed=False)
    found, numbers = shapely.get_parts(found, return_index=True)
    is_kept = (shapely.get_type_id(found) == GeometryType.POLYGON) & ~shapely.is_empty(found)
    return found[is_kept], owners[numbers[is_kept]]
