"""Rivers and ponds, as polygons with smooth banks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import LineString, Polygon
from shapely.geometry.base import BaseGeometry

from geounet.cli.landscape.land import MARGIN_M, Village

Floats = NDArray[np.float64]


def place_water(
    rng: np.random.Generator,
    size_m: tuple[float, float],
    villages: tuple[Village, ...],
    roads: Sequence[LineString],
) -> BaseGeometry:
    """One river past a village for every 900 m of the scene, and one pond for every 12 ha.

    Rivers run aslant to the first road and so to most others; ponds keep off the roads.
    """
    height_m, width_m = size_m
    reach = math.hypot(height_m, width_m) + 2 * MARGIN_M
    count = max(1, round(min(size_m) / 900))
    passed = rng.choice(len(villages), count, replace=False)
    heading = _heading(roads[0]) + rng.choice([-1, 1]) * rng.uniform(0.55, 1.0)
    rivers = [_river(rng, villages[i], heading, reach) for i in passed]
    network = shapely.union_all(list(roads))
    ponds = []
    for _ in range(max(1, round(height_m * width_m / 120_000))):
        for _ in range(8):
            pond = _pond(rng, rng.uniform(0, width_m), rng.uniform(0, height_m))
            if pond.distance(network) > 8:
                ponds.append(pond)
                break
    return shapely.union_all([*rivers, *ponds])


def _heading(road: LineString) -> float:
    (x, y), (end_x, end_y) = road.coords[0], road.coords[-1]
    return math.atan2(end_y - y, end_x - x)


def _river(rng: np.random.Generator, village: Village, heading: float, reach: float) -> Polygon:
    """A band that meanders past a village, 10 to 16 m wide."""
    along = np.arange(-reach, reach, 2.0)
    middle = 0.85 * village.radius_m * rng.choice([-1, 1]) + _waves(rng, along, 190) * 11
    half = rng.uniform(5.0, 7.0) + _waves(rng, along, 70) * 0.9
    u = np.concatenate([along, along[::-1]])
    v = np.concatenate([middle - half, (middle + half)[::-1]])
    cos, sin = math.cos(heading), math.sin(heading)
    return Polygon(np.column_stack([village.x + u * cos - v * sin, village.y + u * sin + v * cos]))


def _pond(rng: np.random.Generator, x: float, y: float) -> Polygon:
    """A smooth blob of 25 to 50 m."""
    turn = np.linspace(0, 2 * math.pi, 90, endpoint=False)
    radius = np.full_like(turn, rng.uniform(12, 24))
    for k in (2, 3, 4):
        radius *= 1 + 0.35 / k * np.sin(k * turn + rng.uniform(0, 2 * math.pi))
    return Polygon(np.column_stack([x + radius * np.cos(turn), y + radius * np.sin(turn)]))


def _waves(rng: np.random.Generator, along: Floats, length_m: float) -> Floats:
    """Three sines of nearly that wavelength, deviation about 1."""
    lengths = length_m * rng.uniform(0.6, 1.6, 3)
    phases = rng.uniform(0, 2 * math.pi, 3)
    turns = 2 * math.pi * along[:, None] / lengths + phases
    return np.asarray(0.8 * np.sin(turns).sum(axis=1))
