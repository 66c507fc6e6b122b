"""Areas and perimeters on the ground, of many polygons at once; names of columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from geounet.raster import Grid, geod_of, to_lonlat
from geounet.vector.compiling import compiled

GAUSS = (0.5 - np.sqrt(1 / 12), 0.5 + np.sqrt(1 / 12))
"""Nodes of the Gauss-Legendre rule of two points on 0-1, exact for cubic polynomials."""


class Measures(NamedTuple):
    """Of polygons, float64 (N,)."""

    area_m2: NDArray[np.float64]
    perimeter_m: NDArray[np.float64]  # of shell and holes


def measure_polygons(geometries: NDArray[np.object_], grid: Grid) -> Measures:
    """Areas in square metres and perimeters in metres of polygons in the CRS of a grid.

    Where the CRS is true to scale, those of the plane. Otherwise (geographic, Mercator) those on
    the CRS's ellipsoid, with every edge as it is drawn in longitude and latitude: the edges of
    pixels run along parallels and meridians, and neighbours leave no gap to a great circle.
    Without a CRS, in the unit of the coordinates: pixels.
    """
    crs, scale = grid.crs, grid.metres_per_unit
    if crs is not None and scale is None:
        return _measure_on_ellipsoid(geometries, crs)
    scale = 1.0 if scale is None else scale
    return Measures(shapely.area(geometries) * scale**2, shapely.length(geometries) * scale)


def measure_pixels(grid: Grid) -> NDArray[np.float64]:
    """Area of a pixel in each row, square metres (H,), as in `measure_polygons`.

    Where it depends on more than the row (rotated grids in degrees), that of the middle column.
    """
    if grid.crs is None or grid.metres_per_unit is not None:
        scale = 1.0 if grid.metres_per_unit is None else grid.metres_per_unit
        return np.full(grid.height, abs(grid.transform.determinant) * scale**2)
    rows, col = np.arange(grid.height), grid.width // 2
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)])  # column, row
    cols, rows = col + corners[:, 0], rows[:, None] + corners[:, 1]
    a, b, c, d, e, f = grid.transform[:6]
    x, y = a * cols + b * rows + c, d * cols + e * rows + f
    pixels = shapely.polygons(np.stack([x, y], axis=-1))
    return measure_polygons(np.asarray(pixels, np.object_), grid).area_m2


def name_scores(classes: Sequence[str]) -> list[str]:
    """A column for the score of each class, `score_water`.

    SQL knows no capitals in names: of `Water` and `water`, the second is `score_water_2`.
    """
    names: list[str] = []
    for number, name in enumerate(classes, start=1):
        column = f"score_{name}"
        is_taken = column.lower() in map(str.lower, names)
        names.append(f"{column}_{number}" if is_taken else column)
    return names


def _measure_on_ellipsoid(geometries: NDArray[np.object_], crs: CRS) -> Measures:
    polygons, polygon_owner = shapely.get_parts(geometries, return_index=True)
    rings, ring_owner = shapely.get_rings(polygons, return_index=True)
    points, point_owner = shapely.get_coordinates(rings, return_index=True)
    geod, areas, lengths = geod_of(crs), np.zeros(len(rings)), np.zeros(len(rings))
    _measure_rings(_to_radians(points, crs), point_owner, (geod.a, geod.es), areas, lengths)
    is_shell = np.diff(ring_owner, prepend=-1) > 0
    measures = Measures(np.zeros(len(geometries)), np.zeros(len(geometries)))
    owner = polygon_owner[ring_owner]
    np.add.at(measures.area_m2, owner, np.where(is_shell, 1.0, -1.0) * np.abs(areas))
    np.add.at(measures.perimeter_m, owner, lengths)
    return measures


def _to_radians(points: NDArray[np.float64], crs: CRS) -> NDArray[np.float64]:
    """Longitudes and latitudes (N, 2)."""
    geographic = crs if crs.is_geographic else crs.geodetic_crs
    unit = geographic.axis_info[0].unit_conversion_factor if geographic is not None else np.pi / 180
    return np.column_stack(to_lonlat(crs, points[:, 0], points[:, 1])) * unit


@compiled
def _measure_rings(
    points: NDArray[np.float64],
    owner: NDArray[np.int64],
    ellipsoid: tuple[float, float],
    areas: NDArray[np.float64],
    lengths: NDArray[np.float64],
) -> None:
    """Add up areas, signed, and lengths of rings from their points (N, 2) and the ring of each.

    The area between an edge and the equator is an integral over longitude, the length one over
    longitude and latitude; both by Gauss, two nodes an edge (one is exact along a parallel).
    """
    for index in range(1, len(points)):
        ring = owner[index]
        if owner[index - 1] != ring:
            continue
        lat = points[index - 1, 1]
        width, height = points[index, 0] - points[index - 1, 0], points[index, 1] - lat
        nodes = 1 if height == 0 else 2
        for node in range(nodes):
            area, across, along = _at_latitude(np.sin(lat + GAUSS[node] * height), ellipsoid)
            areas[ring] += width * area / nodes
            lengths[ring] += np.hypot(width * across, height * along) / nodes


@compiled
def _at_latitude(sine: float, ellipsoid: tuple[float, float]) -> tuple[float, float, float]:
    """Per radian: square metres from the equator to here (of longitude), metres across and along.

    Snyder, Map Projections (1987), formulas 3-12, 4-20 and 4-18.
    """
    radius, es = ellipsoid
    squash = 1 - es * sine**2
    across = radius * np.sqrt((1 - sine**2) / squash)
    along = radius * (1 - es) / (squash * np.sqrt(squash))
    authalic = 2 * sine
    if es > 0:
        e = np.sqrt(es)
        authalic = (1 - es) * (sine / squash + np.arctanh(e * sine) / e)
    return radius**2 * authalic / 2, across, along
