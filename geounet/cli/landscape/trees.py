"""Trees: woods, hedges, banks, gardens and orchards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
import shapely.affinity
from numpy.typing import NDArray
from shapely import LineString
from shapely.geometry.base import BaseGeometry

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Trees:
    """Crowns: centre, radius and height in metres, and tone 0 (dark conifer) to 1 (light)."""

    x: Floats
    y: Floats
    radius: Floats
    height: Floats
    tone: Floats

    def __len__(self) -> int:
        return len(self.x)

    def select(self, keep: NDArray[np.bool_]) -> Trees:
        """The trees for which `keep`, bool (n,), is True."""
        columns = (self.x, self.y, self.radius, self.height, self.tone)
        return Trees(*(column[keep] for column in columns))

    def clear_of(self, shapes: Sequence[BaseGeometry], overhang: float) -> Trees:
        """The trees that reach over these shapes by at most `overhang` of their radius."""
        if not shapes:
            return self
        tree = shapely.STRtree(list(shapes))
        points = shapely.points(self.x, self.y)
        reach = self.radius * (1 - overhang)
        hits, _ = tree.query(points, predicate="dwithin", distance=reach)
        return self.select(~np.isin(np.arange(len(self)), hits))


def join_trees(groups: Sequence[Trees]) -> Trees:
    """All trees of the groups."""
    names = ("x", "y", "radius", "height", "tone")
    return Trees(*(np.concatenate([getattr(group, name) for group in groups]) for name in names))


def plant_wood(rng: np.random.Generator, shape: BaseGeometry) -> Trees:
    """Crown beside crown, of two tones: patches of conifers among broad leaves."""
    points = _grid(rng, shape, 4.3, 1.5)
    tone = 0.42 + 0.28 * np.sin(points[:, 0] / 31) * np.sin(points[:, 1] / 23)
    return _grow(rng, points, (2.2, 4.3), tone)


def plant_orchard(rng: np.random.Generator, shape: BaseGeometry, angle: float) -> Trees:
    """Equal small trees in straight rows 6 m apart."""
    turned = shapely.affinity.rotate(shape, -angle, origin=(0, 0), use_radians=True)
    points = _grid(rng, turned.buffer(-3), 6.0, 0.25)
    cos, sin = np.cos(angle), np.sin(angle)
    points = points @ np.array([[cos, sin], [-sin, cos]])
    return _grow(rng, points, (1.5, 2.0), np.full(len(points), rng.uniform(0.4, 0.8)))


def plant_garden(rng: np.random.Generator, shape: BaseGeometry, spacing_m: float) -> Trees:
    """Single trees and bushes, anywhere."""
    points = _grid(rng, shape, spacing_m, spacing_m / 2)
    points = points[rng.random(len(points)) < 0.55]
    return _grow(rng, points, (0.9, 3.6), rng.uniform(0.3, 1.0, len(points)))


def plant_line(rng: np.random.Generator, line: LineString, spacing_m: float, gaps: float) -> Trees:
    """A hedge or an avenue; `gaps` is the share of it that is missing."""
    at = np.arange(0, line.length, spacing_m)
    there = np.sin(at / 11 + rng.uniform(0, 6)) * 0.5 + 0.5 > gaps * rng.uniform(0.5, 1.5)
    points = shapely.get_coordinates(shapely.line_interpolate_point(line, at[there]))
    points += rng.normal(0, spacing_m / 5, points.shape)
    trees = _grow(rng, points, (1.0, 1.9), rng.uniform(0.35, 0.75, len(points)))
    tall = rng.random(len(points)) < 0.12
    grown = np.where(tall, 2.0, 1.0)
    return Trees(trees.x, trees.y, trees.radius * grown, trees.height * grown, trees.tone)


def _grow(
    rng: np.random.Generator, points: Floats, radius: tuple[float, float], tone: Floats
) -> Trees:
    size = rng.uniform(*radius, len(points))
    height = 1.5 + size * rng.uniform(1.7, 2.6, len(points))
    mixed = np.clip(tone + rng.normal(0, 0.12, len(points)), 0, 1)
    return Trees(points[:, 0], points[:, 1], size, height, mixed)


def _grid(
    rng: np.random.Generator, shape: BaseGeometry, spacing_m: float, jitter_m: float
) -> Floats:
    """Points of a square lattice, moved at random, inside the shape: (n, 2)."""
    if shape.is_empty:
        return np.empty((0, 2))
    west, north, east, south = shape.bounds
    xs, ys = np.meshgrid(np.arange(west, east, spacing_m), np.arange(north, south, spacing_m))
    points = np.column_stack([xs.ravel(), ys.ravel()])
    points += rng.uniform(-jitter_m, jitter_m, points.shape)
    shapely.prepare(shape)
    return np.asarray(points[shapely.contains_xy(shape, points[:, 0], points[:, 1])])
