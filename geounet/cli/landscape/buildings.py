"""Buildings along the roads: terraces that share walls, houses, sheds and barns."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import shapely
from shapely import LineString, Polygon
from shapely.geometry.base import BaseGeometry

from geounet.cli.landscape.land import ROAD_WIDTH_M, Border, Village

RoofKind = Literal["gable", "hip", "flat"]
Colour = tuple[float, float, float, float]
"""Reflectance 0-1: red, green, blue, near infrared."""

TILES: tuple[Colour, ...] = (
    (0.62, 0.38, 0.30, 0.55), (0.54, 0.34, 0.28, 0.50), (0.67, 0.46, 0.37, 0.60),
    (0.48, 0.35, 0.30, 0.44), (0.42, 0.41, 0.42, 0.38), (0.55, 0.47, 0.42, 0.50),
)  # fmt: skip
SHEETS: tuple[Colour, ...] = (
    (0.76, 0.77, 0.77, 0.66), (0.64, 0.66, 0.68, 0.56), (0.55, 0.55, 0.53, 0.47),
    (0.49, 0.31, 0.28, 0.40), (0.41, 0.46, 0.49, 0.36),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Building:
    """A rectangle with a roof: centre, sides and heights in metres, `angle` of the ridge."""

    x: float
    y: float
    angle: float
    length: float
    depth: float
    eaves: float
    roof: RoofKind
    colour: Colour

    @property
    def footprint(self) -> Polygon:
        """The outline of the walls."""
        along, across = self._axes()
        corners = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
        return Polygon([(self.x, self.y) + a * along + b * across for a, b in corners])

    def moved(self, along: float, across: float) -> Building:
        """The building shifted in its own directions, in metres."""
        x = self.x + along * math.cos(self.angle) - across * math.sin(self.angle)
        y = self.y + along * math.sin(self.angle) + across * math.cos(self.angle)
        return replace(self, x=x, y=y)

    def _axes(self) -> tuple[np.ndarray, np.ndarray]:
        direction = np.array([math.cos(self.angle), math.sin(self.angle)])
        return direction * self.length / 2, direction[::-1] * [-1, 1] * self.depth / 2


def place_buildings(
    rng: np.random.Generator,
    borders: list[Border],
    villages: tuple[Village, ...],
    obstacles: BaseGeometry,
) -> list[Building]:
    """Rows of houses along village roads, farms along the others; no two overlap.

    Houses of one row share walls. Rows keep 2 m from each other and 1 m from the obstacles.
    """
    placed: list[Building] = []
    shapes: list[Polygon] = []
    shapely.prepare(obstacles)
    for border in borders:
        if border.kind not in ROAD_WIDTH_M:
            continue
        for side in (-1, 1):
            for row in _rows(rng, border, side, villages):
                free = [b for b in row if _is_free(b.footprint, shapes, obstacles)]
                placed += free
                shapes += [b.footprint for b in free]
    return placed


def _is_free(shape: Polygon, taken: list[Polygon], obstacles: BaseGeometry) -> bool:
    if shapely.dwithin(obstacles, shape, 1.0):
        return False
    return not (taken and bool(shapely.dwithin(taken, shape, 2.0).any()))


def _rows(
    rng: np.random.Generator, border: Border, side: int, villages: tuple[Village, ...]
) -> Iterator[list[Building]]:
    """Rows along one side of a road, from its start to its end."""
    at = rng.uniform(4, 12)
    while at < border.line.length - 12:
        here = border.line.interpolate(at)
        density = max(v.closeness(here.x, here.y) for v in villages)
        if rng.random() < density**1.2:
            row = _terrace(rng)
        elif rng.random() < 0.045 and border.kind != "main":
            row = _farm(rng)
        else:
            at += 14
            continue
        length = sum(b.length for b in row if b.y == 0)
        setback = ROAD_WIDTH_M[border.kind] / 2 + rng.uniform(2.0, 5.5)
        yield [_along(border.line, at, side, setback, building) for building in row]
        at += length + rng.uniform(3, 11)


def _along(line: LineString, at: float, side: int, setback: float, local: Building) -> Building:
    """A building whose x runs from `at` along the line and whose y is depth behind the front."""
    start, ahead = line.interpolate(at), line.interpolate(min(at + 20, line.length))
    angle = math.atan2(ahead.y - start.y, ahead.x - start.x)
    placed = replace(local, x=start.x, y=start.y, angle=angle)
    return placed.moved(local.x, side * (setback + local.y + local.depth / 2))


def _terrace(rng: np.random.Generator) -> list[Building]:
    """One to six houses wall to wall; some have an extension behind, some a shed in the yard.

    In coordinates of the row: x from its start to the house's middle, y from its front.
    """
    houses: list[Building] = []
    x, depth, eaves = 0.0, rng.uniform(8.5, 11.5), rng.uniform(3.5, 6.5)
    roof: RoofKind = "gable" if rng.random() < 0.75 else "hip"
    for _ in range(rng.choice([1, 1, 1, 2, 2, 3, 4, 6])):
        length = rng.uniform(7.5, 13)
        own_depth = depth + rng.uniform(-0.8, 1.6)
        tiles = _vary(rng, TILES[rng.integers(len(TILES))])
        own_eaves = eaves + rng.uniform(-0.6, 0.6)
        middle = x + length / 2
        houses.append(Building(middle, 0, 0, length, own_depth, own_eaves, roof, tiles))
        if rng.random() < 0.3:
            wide, deep = rng.uniform(3.5, length - 3), rng.uniform(3.5, 6)
            houses.append(Building(middle, own_depth, 0, wide, deep, 2.8, "flat", _sheet(rng)))
        elif rng.random() < 0.4:
            behind = own_depth + rng.uniform(5, 14)
            houses.append(Building(middle, behind, 0, 4.5, 3.5, 2.3, "gable", _sheet(rng)))
        x += length
    return houses


def _farm(rng: np.random.Generator) -> list[Building]:
    """A house beside a barn, with another barn touching it at the back."""
    wide, deep = rng.uniform(18, 32), rng.uniform(11, 15)
    barn = Building(14 + wide / 2, 0, 0, wide, deep, 5.0, "gable", _sheet(rng))
    back = Building(
        14 + wide / 2, deep, 0, wide * 0.6, rng.uniform(9, 13), 4.5, "gable", _sheet(rng)
    )
    tiles = _vary(rng, TILES[rng.integers(len(TILES))])
    return [Building(5.5, 0, 0, 11, 9.5, 4.5, "hip", tiles), barn, back]


def _sheet(rng: np.random.Generator) -> Colour:
    return _vary(rng, SHEETS[rng.integers(len(SHEETS))])


def _vary(rng: np.random.Generator, colour: Colour) -> Colour:
    red, green, blue, nir = np.array(colour) * rng.normal(1, 0.07) * rng.normal(1, 0.02, 4)
    return red, green, blue, nir
