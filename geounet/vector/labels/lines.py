"""Lines drawn as wide as they are on the ground."""

from __future__ import annotations

import numpy as np
import shapely
from geopandas import GeoSeries
from numpy.typing import NDArray
from pyproj import CRS

from geounet.raster import geod_of


def widen_lines(geometries: GeoSeries, width_m: float) -> GeoSeries:
    """Lines as polygons `width_m` wide with round ends; other geometries as they are.

    Metres are true metres on the ground, in any CRS: every line is widened in a plane that is
    true to scale at the latitude of its middle (within 1 % for lines that span less than half a
    degree of latitude below 60 degrees). Without a CRS a metre counts as a pixel; in one that is
    nowhere on Earth, of a building site, lengths are as they are.
    """
    lines = np.isin(geometries.geom_type, ["LineString", "LinearRing"])
    if not lines.any():
        return geometries
    widened = geometries.copy()
    widened[lines] = _widen(geometries[lines], width_m)
    return widened


def _widen(lines: GeoSeries, width_m: float) -> GeoSeries:
    if lines.crs is None:
        return lines.buffer(width_m / 2)
    geographic = lines.crs.geodetic_crs
    if geographic is None:
        metres = lines.crs.axis_info[0].unit_conversion_factor or 1.0
        return lines.buffer(width_m / 2 / metres)
    degrees = lines.to_crs(geographic)
    flat = np.array(degrees.array)
    scale = _metres_per_degree(flat, geographic)
    buffered = shapely.buffer(_scale(flat, scale), width_m / 2)
    polygons = GeoSeries(_scale(buffered, 1 / scale), index=lines.index, crs=geographic)
    return polygons.to_crs(lines.crs)


def _metres_per_degree(geometries: NDArray[np.object_], crs: CRS) -> NDArray[np.float64]:
    """Metres per degree (east, north) at the middle latitude of each geometry, (N, 2)."""
    bounds = shapely.bounds(geometries)
    latitude = np.radians((bounds[:, 1] + bounds[:, 3]) / 2)
    geod = geod_of(crs)
    bend = 1 - geod.es * np.sin(latitude) ** 2
    east = geod.a / np.sqrt(bend) * np.cos(latitude)
    north = geod.a * (1 - geod.es) / bend**1.5
    metres: NDArray[np.float64] = np.radians(np.column_stack([east, north]))
    return metres


def _scale(geometries: NDArray[np.object_], factors: NDArray[np.float64]) -> NDArray[np.object_]:
    """Each geometry with its coordinates times its own (x, y) factors."""
    coordinates, owners = shapely.get_coordinates(geometries, return_index=True)
    scaled: NDArray[np.object_] = shapely.set_coordinates(
        geometries.copy(), coordinates * factors[owners]
    )
    return scaled
