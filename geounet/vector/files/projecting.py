"""Polygons of a grid in another CRS, without gaps between neighbours.

A straight edge is a curve in another CRS, and where a corner of one polygon lies on the edge of
another, just one of the two would bend there. So edges along pixels get a point at every pixel
corner first: neighbours share all points, and a border is nowhere further from where it was than
the bend of one pixel's edge.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from geounet.errors import InputError, UsageError
from geounet.raster import Grid
from geounet.vector.source import project_bounds

WGS84 = CRS.from_user_input("OGC:CRS84")
"""Longitude and latitude, in this order: the CRS of GeoJSON."""

NEAR = 1e-6
"""Pixels within which a point counts as a pixel's corner."""


class Projection:
    """Brings polygons on a grid into another CRS.

    Attributes:
        crs: the other CRS.
        is_cut: whether the grid lies across the 180th meridian of a geographic CRS, where polygons
            are cut in parts on either side.
    """

    def __init__(self, grid: Grid, crs: CRS) -> None:
        """From a grid that has a CRS, into this one."""
        self.crs = crs
        west, _, east, _ = project_bounds(grid.bounds(), grid.crs, crs)
        self.is_cut = bool(crs.is_geographic and east - west > 180) or west > east
        self._grid = grid
        self._transformer = Transformer.from_crs(grid.crs, crs, always_xy=True)

    def apply(self, geometries: NDArray[np.object_]) -> NDArray[np.object_]:
        """Polygons and multipolygons (N,), valid as they were before.

        Raises:
            InputError: the CRS cannot show them.
        """
        if not len(geometries):
            return geometries
        kind, points, offsets = shapely.to_ragged_array(geometries)
        dense, rings = add_corners(points, offsets[0], self._grid)
        moved = np.column_stack(self._transformer.transform(dense[:, 0], dense[:, 1]))
        if not np.isfinite(moved).all():
            raise self._refuse("lie where it is not defined")
        nested = (rings, *(np.asarray(level, np.int64) for level in offsets[1:]))
        placed = np.asarray(shapely.from_ragged_array(kind, moved, nested), np.object_)
        if self.is_cut:
            placed = cut_at_180(placed)
        if not shapely.is_valid(placed).all():
            raise self._refuse("overlap themselves in it")
        return placed

    def _refuse(self, problem: str) -> InputError:
        return InputError(
            f"{self.crs.name} cannot show all polygons: some {problem}; "
            "choose a CRS made for the place with --crs"
        )


def choose_projection(text: str | None, grid: Grid, *, is_geojson: bool) -> Projection | None:
    """The projection that the user asks for, or that GeoJSON needs; None: coordinates as they are.

    Raises:
        UsageError: there is no such CRS, or GeoJSON cannot be in it.
        InputError: the grid has no CRS.
    """
    crs = WGS84 if text is None and is_geojson else parse_crs(text)
    if crs is None or (text is None and grid.crs is None):
        return None
    if is_geojson and not WGS84.equals(crs, ignore_axis_order=True):
        raise UsageError(f"--crs is {text}, but GeoJSON is always in EPSG:4326; write .gpkg")
    if grid.crs is None:
        raise InputError(
            f"the mask has no CRS, so that it cannot be brought to {text}; leave out --crs, or "
            "assign the CRS that it was made in"
        )
    return None if crs.equals(grid.crs, ignore_axis_order=True) else Projection(grid, crs)


def parse_crs(text: str | None) -> CRS | None:
    """A CRS as the user writes it, `EPSG:32645`, PROJ or WKT; without heights.

    Raises:
        UsageError: there is none of that name, or no map can be drawn in it.
    """
    if text is None:
        return None
    try:
        crs = CRS.from_user_input(text).to_2d()
    except CRSError as error:
        raise UsageError(f"--crs {text!r} is no known CRS; write one like EPSG:4326") from error
    if not (crs.is_geographic or crs.is_projected):
        raise UsageError(f"--crs {text} is {crs.type_name}; give a geographic or projected CRS")
    return crs


def add_corners(
    points: NDArray[np.float64], rings: NDArray[np.integer], grid: Grid
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Rings (N, 2) and their offsets (R + 1), with a point at every pixel corner along pixel edges.

    Edges that run otherwise stay as they are.
    """
    t = grid.transform
    pixels = np.column_stack(~t @ (points[:, 0], points[:, 1]))
    corners = pixels.round()
    is_corner = (np.abs(pixels - corners) < NEAR).all(axis=1)
    steps = np.diff(corners, axis=0, append=corners[-1:])
    lengths = np.abs(steps).max(axis=1).astype(np.int64)
    is_along = is_corner & np.roll(is_corner, -1) & (steps == 0).any(axis=1) & (lengths > 0)
    is_along[rings[1:] - 1] = False  # from the end of a ring to the next ring is no edge
    counts = np.where(is_along, lengths, 1)
    ends = np.cumsum(counts)
    number = np.arange(ends[-1]) - np.repeat(ends - counts, counts)  # along its edge
    added = number > 0
    owner = np.repeat(np.arange(len(points)), counts)
    dense = points[owner]
    unit = steps[owner[added]] / counts[owner[added]][:, None]
    col, row = (corners[owner[added]] + number[added][:, None] * unit).round().T
    dense[added] = np.column_stack([t.a * col + t.b * row + t.c, t.d * col + t.e * row + t.f])
    return dense, np.concatenate([[0], ends])[rings]


def cut_at_180(geometries: NDArray[np.object_], *, may_jump: bool = True) -> NDArray[np.object_]:
    """Polygons in degrees; those beyond the 180th meridian, as parts on either side of it.

    Longitudes may go on beyond 180, or, if they `may_jump`, from there to -180: where two points of
    a ring are more than half the Earth apart.
    """
    west, _, east, _ = shapely.bounds(geometries).T
    beyond = (west < -180) | (east > 180)
    for index in np.flatnonzero(beyond | (may_jump & (east - west > 180))):
        if beyond[index]:
            geometries[index] = _cut(geometries[index])
        elif _jumps(geometries[index]):
            whole = shapely.transform(
                geometries[index], lambda xy: np.column_stack([xy[:, 0] % 360, xy[:, 1]])
            )
            geometries[index] = _cut(whole)
    return geometries


def _jumps(polygon: shapely.Geometry) -> bool:
    rings = shapely.get_rings(shapely.get_parts(polygon))
    points, owner = shapely.get_coordinates(rings, return_index=True)
    return bool(((np.abs(np.diff(points[:, 0])) > 180) & (np.diff(owner) == 0)).any())


def _cut(polygon: shapely.Geometry) -> shapely.Geometry:
    """The parts of a polygon whose longitudes go on from -540 to 540, each where it belongs."""
    found = []
    for turn in (-360.0, 0.0, 360.0):
        part = shapely.intersection(polygon, shapely.box(turn - 180, -90, turn + 180, 90))
        found.append(_shift(part, -turn))
    whole = shapely.union_all(found)  # those around the whole Earth meet again at their ends
    parts = shapely.get_parts(whole)
    areas = parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON]
    return shapely.MultiPolygon(shapely.orient_polygons(areas).tolist())


def _shift(geometry: shapely.Geometry, degrees: float) -> shapely.Geometry:
    return shapely.transform(geometry, lambda xy: np.add(xy, (degrees, 0)))
