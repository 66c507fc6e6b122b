"""The land divided: parcels, and the roads, tracks and hedges between them.

Coordinates of a landscape are metres: x to the right, y down, (0, 0) the scene's upper left.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import shapely
import shapely.ops
from numpy.typing import NDArray
from shapely import LineString, Polygon
from shapely.geometry import box

MARGIN_M = 45.0
"""The land goes on this far beyond the scene, so that the scene's edge is nothing special."""

BorderKind = Literal["main", "street", "track", "hedge", "open"]
ROAD_WIDTH_M: dict[BorderKind, float] = {"main": 8.0, "street": 5.5, "track": 3.4}

Shape = TypeVar("Shape", Polygon, LineString)
Bend = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Border:
    """What was drawn where land was divided."""

    line: LineString
    kind: BorderKind


@dataclass(frozen=True, slots=True)
class Parcel:
    """One piece of land under one use; `angle` is the direction of its long side in radians."""

    shape: Polygon
    angle: float
    village: bool


@dataclass(frozen=True, slots=True)
class Village:
    """A round settlement."""

    x: float
    y: float
    radius_m: float

    def closeness(self, x: float, y: float) -> float:
        """1 in the centre, 0.37 at the radius, towards 0 beyond."""
        return math.exp(-((x - self.x) ** 2 + (y - self.y) ** 2) / self.radius_m**2)


def place_villages(
    rng: np.random.Generator, height_m: float, width_m: float
) -> tuple[Village, ...]:
    """One village for every 450 m square, or one, each near the middle of its cell."""
    rows, cols = (max(1, round(v / 450)) for v in (height_m, width_m))
    cell_y, cell_x = height_m / rows, width_m / cols
    radius = min(120.0, 0.24 * min(cell_x, cell_y))
    return tuple(
        Village(
            x=(col + 0.5 + rng.uniform(-0.15, 0.15)) * cell_x,
            y=(row + 0.5 + rng.uniform(-0.15, 0.15)) * cell_y,
            radius_m=radius * rng.uniform(0.9, 1.15),
        )
        for row in range(rows)
        for col in range(cols)
    )


def divide_land(
    rng: np.random.Generator, height_m: float, width_m: float, villages: tuple[Village, ...]
) -> tuple[list[Parcel], list[Border]]:
    """Parcels that partition the scene and its surroundings, and the borders between them.

    Land is halved across its long side until the pieces are fields or gardens; the larger the
    piece that is halved, the wider the road between the halves.
    """
    whole = box(-MARGIN_M, -MARGIN_M, width_m + MARGIN_M, height_m + MARGIN_M)
    pieces, parcels, borders = [(whole, True)], [], []
    bend = _make_bend(rng)
    while pieces:
        piece, first = pieces.pop()
        village = any(v.closeness(piece.centroid.x, piece.centroid.y) > 0.3 for v in villages)
        if not first and piece.area < (520 if village else rng.uniform(6000, 13000)):
            parcels.append(Parcel(_bent(piece, bend), _direction(piece), village))
            continue
        halves, cut = _halve(rng, piece)
        pieces.extend((half, False) for half in halves)
        kind: BorderKind = "main" if first else _border_kind(rng, piece.area, village)
        borders.append(Border(_bent(cut, bend), kind))
    return parcels, borders


def _border_kind(rng: np.random.Generator, area_m2: float, village: bool) -> BorderKind:
    if village:
        return "street" if area_m2 > 5200 else "hedge" if rng.random() < 0.3 else "open"
    if area_m2 > 100_000:
        return "street"
    if area_m2 > 38_000:
        return "track"
    return "hedge" if rng.random() < 0.45 else "open"


def _halve(rng: np.random.Generator, piece: Polygon) -> tuple[list[Polygon], LineString]:
    """Two pieces, cut across the long side near its middle, and the cut."""
    angle = _direction(piece)
    at = shapely.centroid(piece)
    shift = rng.uniform(-0.12, 0.12) * math.sqrt(piece.area)
    x, y = at.x + shift * math.cos(angle), at.y + shift * math.sin(angle)
    across = angle + math.pi / 2 + rng.uniform(-0.13, 0.13)
    reach = 2 * piece.length
    dx, dy = reach * math.cos(across), reach * math.sin(across)
    line = LineString([(x - dx, y - dy), (x + dx, y + dy)])
    first, second = shapely.get_parts(shapely.ops.split(piece, line))
    return [first, second], LineString(shapely.get_coordinates(piece.intersection(line)))


def _direction(piece: Polygon) -> float:
    """Direction of the long side of the rectangle around a piece, in radians."""
    corners = shapely.get_coordinates(piece.minimum_rotated_rectangle)
    sides = np.diff(corners, axis=0)[:2]
    dx, dy = sides[int(np.argmax(np.hypot(sides[:, 0], sides[:, 1])))]
    return math.atan2(dy, dx)


def _make_bend(rng: np.random.Generator) -> Bend:
    """A gentle displacement of the plane: nothing on the land is quite straight."""
    directions = rng.uniform(0, 2 * math.pi, 4)
    waves = np.stack([np.cos(directions), np.sin(directions)]) * 2 * math.pi
    waves /= rng.uniform(160, 420, 4)
    phases = rng.uniform(0, 2 * math.pi, 4)
    amplitudes = rng.uniform(-5, 5, (4, 2))

    def bend(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return points + np.sin(points @ waves + phases) @ amplitudes

    return bend


def _bent(shape: Shape, bend: Bend) -> Shape:
    return shapely.transform(shapely.segmentize(shape, 5.0), bend)
