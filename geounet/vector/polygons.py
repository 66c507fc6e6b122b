"""Polygons of any vector file as arrays: valid, single, two-dimensional."""

from __future__ import annotations

import numpy as np
import pyogrio.raw
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from shapely import GeometryType, GEOSException

from geounet.errors import InputError
from geounet.raster import Bounds
from geounet.vector.source import VectorSource
from geounet.wording import counted

POINTS = (GeometryType.POINT, GeometryType.MULTIPOINT)
LINES = (GeometryType.LINESTRING, GeometryType.LINEARRING, GeometryType.MULTILINESTRING)

ROOMS = (1.0, 1 / 64)
"""Around a raster polygons are kept, so many of its sizes far; by the next where a CRS ends."""

PIECES = 64
"""Edges are projected in pieces no longer than this part of a raster's size."""


def read_geometries(source: VectorSource) -> NDArray[np.object_]:
    """The parts of all geometries (N,) as they are in the file, without height.

    Raises:
        InputError: there is none, or one is of a kind that GEOS does not know.
    """
    wkb = pyogrio.raw.read(source.path, layer=source.layer, columns=[], force_2d=True)[2]
    try:
        found = split_parts(np.asarray(shapely.from_wkb(wkb), np.object_))[0]
    except GEOSException as error:
        raise refuse_geometry(source, error) from error
    require_any(len(found), source)
    return found


def split_parts(
    geometries: NDArray[np.object_],
) -> tuple[NDArray[np.object_], NDArray[np.intp]]:
    """Single geometries, and the number of the one that each is a part of, however deep.

    Empty and missing ones are left out.
    """
    parts, owners = geometries, np.arange(len(geometries))
    while (shapely.get_type_id(parts) >= GeometryType.MULTIPOINT).any():
        parts, numbers = shapely.get_parts(parts, return_index=True)
        owners = owners[numbers]
    is_kept = ~(shapely.is_missing(parts) | shapely.is_empty(parts))
    return parts[is_kept], owners[is_kept]


def refuse_geometry(source: VectorSource, error: GEOSException) -> InputError:
    """The error that says that a file has shapes such as a TIN or a polyhedral surface."""
    return InputError(
        f"{source} has a geometry that cannot be read ({' '.join(str(error).split())}); make it "
        f"one of polygons: ogr2ogr -nlt MULTIPOLYGON polygons.gpkg {source}"
    )


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
    found, numbers = _keep_polygons(found)
    return found, owners[numbers]


def project_polygons(
    polygons: NDArray[np.object_], crs: CRS | None, target: CRS | None, box: Bounds | None
) -> tuple[NDArray[np.object_], NDArray[np.intp]]:
    """Valid polygons (N,) in another CRS, and the number of the one that each comes from.

    Far from where a CRS is used its coordinates are anything: what reaches far beyond the box is
    cut before. Edges stay straight in their own CRS, so that neighbours keep shared ones.

    Args:
        polygons: single and valid.
        crs: theirs.
        target: the other one.
        box: bounds of a raster in `crs`, as from `search_box`; None: everything is projected,
            vertex by vertex.
    """
    if crs is None or target is None or crs == target:
        return polygons, np.arange(len(polygons))
    if box is None:
        return repair_polygons(project_geometries(polygons, crs, target))
    found, owners = [polygons[:0]], [np.arange(0)]
    rest = np.arange(len(polygons))
    for room in ROOMS:
        cut, numbers = _cut_far_ones(polygons[rest], box, room)
        projected = project_geometries(cut, crs, target)
        is_shown = np.isfinite(shapely.bounds(projected)).all(axis=1)
        is_lost = np.isin(numbers, numbers[~is_shown])
        parts, of_parts = repair_polygons(projected[~is_lost])
        found.append(parts)
        owners.append(rest[numbers[~is_lost][of_parts]])
        rest = rest[np.unique(numbers[is_lost])]
    order = np.argsort(np.concatenate(owners), kind="stable")
    return np.concatenate(found)[order], np.concatenate(owners)[order]


def widen_box(box: Bounds, share: float = ROOMS[0]) -> Bounds:
    """Bounds with a share of their larger side more on each side."""
    west, south, east, north = box
    room = share * max(east - west, north - south)
    return west - room, south - room, east + room, north + room


def _cut_far_ones(
    polygons: NDArray[np.object_], box: Bounds, room: float
) -> tuple[NDArray[np.object_], NDArray[np.intp]]:
    """Polygons with short edges, those not within room around the box cut; whose each is."""
    near = shapely.box(*widen_box(box, room))
    shapely.prepare(near)
    is_far = ~shapely.within(polygons, near)
    cut, numbers = _keep_polygons(shapely.intersection(polygons[is_far], near))
    owners = np.concatenate([np.flatnonzero(~is_far), np.flatnonzero(is_far)[numbers]])
    found = np.concatenate([polygons[~is_far], cut])
    longest = max(box[2] - box[0], box[3] - box[1]) / PIECES
    return shapely.segmentize(found, longest), owners


def _keep_polygons(
    geometries: NDArray[np.object_],
) -> tuple[NDArray[np.object_], NDArray[np.intp]]:
    """Their parts that are polygons, and the number of the geometry that each comes from."""
    parts, numbers = split_parts(geometries)
    is_kept = shapely.get_type_id(parts) == GeometryType.POLYGON
    return parts[is_kept], numbers[is_kept]
