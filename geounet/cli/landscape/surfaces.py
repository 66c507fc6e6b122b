"""The ground and what stands on it, painted as seen at noon without shadows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize
from shapely.geometry.base import BaseGeometry

from geounet.cli.landscape.buildings import Building
from geounet.cli.landscape.land import ROAD_WIDTH_M, Border
from geounet.cli.landscape.noise import Image, fractal_noise, smooth_noise
from geounet.cli.landscape.plan import Plan, Use

PIXEL_M = 0.5
OPEN_LAND, BUILDING, ROAD, WATER, TREES = range(5)
"""Mask values of the classes."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a parcel looks: reflectance of red, green, blue, near infrared, rows and blotches."""

    colour: tuple[float, float, float, float]
    period_m: float = 3.0
    rows: float = 0.0
    blotches: float = 0.06
    wheel_tracks: float = 0.0


LOOKS = {
    Use.WOOD: Look((0.20, 0.24, 0.15, 0.50), blotches=0.15),
    Use.ORCHARD: Look((0.44, 0.49, 0.32, 0.68), blotches=0.10),
    Use.GARDEN: Look((0.43, 0.48, 0.33, 0.66), blotches=0.13),
    Use.MEADOW: Look((0.41, 0.48, 0.30, 0.72), 7.0, 0.02, 0.12),
    Use.PLOUGHED: Look((0.50, 0.44, 0.38, 0.46), 2.6, 0.06, 0.08),
    Use.WHEAT: Look((0.72, 0.65, 0.47, 0.58), 3.1, 0.03, 0.05, 0.16),
    Use.GREEN_CEREAL: Look((0.37, 0.44, 0.27, 0.78), 2.9, 0.03, 0.06, 0.22),
    Use.RAPE: Look((0.74, 0.71, 0.37, 0.74), 3.5, 0.03, 0.05, 0.18),
    Use.MAIZE: Look((0.30, 0.38, 0.22, 0.82), 2.4, 0.09, 0.05),
    Use.STUBBLE: Look((0.67, 0.60, 0.50, 0.56), 5.5, 0.05, 0.06),
    Use.CLOVER: Look((0.47, 0.54, 0.36, 0.76), 9.0, 0.05, 0.07),
}


@dataclass(frozen=True)
class Canvas:
    """A landscape being painted.

    Attributes:
        colour: float32 (4, H, W), reflectance 0-1.
        height: float32 (H, W), metres above the ground.
        labels: uint8 (H, W), class of what is seen.
    """

    colour: NDArray[np.float32]
    height: Image
    labels: NDArray[np.uint8]

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        rows, cols = self.height.shape
        return rows, cols

    def lay(self, where: NDArray[np.bool_], colour: NDArray[np.float32], cover: float = 1) -> None:
        """Paint over the pixels `where`: colour is (4,), (4, 1) or (4, n) for the n pixels."""
        for band, value in zip(self.colour, colour, strict=True):
            band[where] += np.float32(cover) * (value - band[where])


def paint(rng: np.random.Generator, plan: Plan) -> Canvas:
    """The plan as a picture of evenly lit surfaces, with heights and labels."""
    shape = round(plan.height_m / PIXEL_M), round(plan.width_m / PIXEL_M)
    canvas = Canvas(
        colour=np.empty((4, *shape), np.float32),
        height=np.zeros(shape, np.float32),
        labels=np.full(shape, OPEN_LAND, np.uint8),
    )
    grain = smooth_noise(rng, shape, 2.0)
    _paint_parcels(rng, canvas, plan, grain)
    _paint_yards(rng, canvas, plan.buildings, grain)
    _paint_water(rng, canvas, plan.water)
    _paint_roads(rng, canvas, plan.borders, grain)
    return canvas


def burn(
    shapes: Sequence[BaseGeometry], shape: tuple[int, int], all_touched: bool = False
) -> NDArray[np.int32]:
    """Number of the last shape over each pixel's centre, from 1; 0 where none is: (H, W)."""
    numbered = [(item, i) for i, item in enumerate(shapes, 1) if not item.is_empty]
    if not numbered:
        return np.zeros(shape, np.int32)
    transform = Affine.scale(PIXEL_M)
    burnt = rasterize(numbered, shape, transform=transform, all_touched=all_touched, dtype="int32")
    return np.asarray(burnt)


def _paint_parcels(rng: np.random.Generator, canvas: Canvas, plan: Plan, grain: Image) -> None:
    shapes = [parcel.shape for parcel in plan.parcels]
    parcel = np.maximum(burn(shapes, canvas.shape), 1) - 1
    # On the headland the tractor turns: rows run along the field's short side
    inside = burn([shape.buffer(-8) for shape in shapes], canvas.shape) > 0
    looks = [LOOKS[use] for use in plan.uses]
    base = _vary(rng, np.array([look.colour for look in looks], np.float32))
    rows = _rows(rng, canvas.shape, parcel, inside, plan, looks)
    blotches = fractal_noise(rng, canvas.shape, 90)
    strength = np.array([look.blotches for look in looks], np.float32)[parcel]
    light = 1 + rows + strength * blotches + 0.035 * grain
    dryness = np.float32(0.03) * fractal_noise(rng, canvas.shape, 160)
    tint = np.array([1.0, 0.2, 0.3, -1.2], np.float32)
    for band in range(4):
        canvas.colour[band] = base[parcel, band] * light + tint[band] * dryness


def _rows(
    rng: np.random.Generator,
    shape: tuple[int, int],
    parcel: NDArray[np.int32],
    inside: NDArray[np.bool_],
    plan: Plan,
    looks: Sequence[Look],
) -> Image:
    """Drill rows and wheel tracks: relative brightness, float32 (H, W), about 0."""
    angle = np.array([p.angle for p in plan.parcels], np.float32)[parcel]
    angle += np.float32(np.pi / 2) * ~inside
    y, x = (np.arange(n, dtype=np.float32) * np.float32(PIXEL_M) for n in shape)
    across = y[:, None] * np.cos(angle) - x[None, :] * np.sin(angle)
    period = np.array([look.period_m for look in looks], np.float32)[parcel]
    contrast = np.array([look.rows for look in looks], np.float32)[parcel]
    tracks = np.array([look.wheel_tracks for look in looks], np.float32)[parcel]
    wobble = smooth_noise(rng, shape, 40) * np.float32(0.12) * period
    rows = contrast * np.sin(np.float32(2 * np.pi) * (across + wobble) / period)
    offset = across % 21
    track = (offset < 0.6) | ((offset > 2.0) & (offset < 2.6))
    return np.asarray(rows - tracks * track, dtype=np.float32)


def _paint_yards(
    rng: np.random.Generator, canvas: Canvas, buildings: Sequence[Building], grain: Image
) -> None:
    """Grass around every house, gravel and paving around some and around every barn."""
    grounds = [b.footprint.buffer(9, join_style="mitre") for b in buildings if b.depth > 4]
    grass = np.array([0.43, 0.48, 0.31, 0.66], np.float32)
    canvas.lay(burn(grounds, canvas.shape) > 0, grass, 0.75)
    paved = [b for b in buildings if b.length > 17 or rng.random() < 0.25]
    where = burn([b.footprint.buffer(rng.uniform(1.5, 5)) for b in paved], canvas.shape) > 0
    gravel = np.array([[0.60], [0.57], [0.53], [0.50]], np.float32)
    canvas.lay(where, gravel * (1 + 0.06 * grain[where]), 0.85)


def _paint_water(rng: np.random.Generator, canvas: Canvas, water: BaseGeometry) -> None:
    """A wet bank, a shallow edge and a darker middle, with faint ripples."""
    bank = burn([water.buffer(3.0)], canvas.shape) > 0
    canvas.lay(bank, np.array([0.33, 0.37, 0.22, 0.52], np.float32), 0.7)
    wet = burn([water], canvas.shape) > 0
    ripples = 1 + 0.05 * fractal_noise(rng, canvas.shape, 30)[wet]
    canvas.lay(wet, np.array([[0.24], [0.29], [0.25], [0.12]], np.float32) * ripples)
    for inset in (1.5, 3.0):
        deep = burn([water.buffer(-inset)], canvas.shape) > 0
        canvas.lay(deep, np.array([0.15, 0.23, 0.24, 0.05], np.float32), 0.45)
    canvas.labels[wet] = WATER


def _paint_roads(
    rng: np.random.Generator, canvas: Canvas, borders: Sequence[Border], grain: Image
) -> None:
    roads = [border for border in borders if border.kind in ROAD_WIDTH_M]
    verges = [road.line.buffer(ROAD_WIDTH_M[road.kind] / 2 + 1.6) for road in roads]
    canvas.lay(burn(verges, canvas.shape) > 0, np.array([0.50, 0.50, 0.34, 0.60], np.float32), 0.6)
    # Narrow first: at a junction the wider road goes through
    roads.sort(key=lambda road: ROAD_WIDTH_M[road.kind])
    surface = burn([r.line.buffer(ROAD_WIDTH_M[r.kind] / 2) for r in roads], canvas.shape)
    where = surface > 0
    colours = np.array([_surface(rng, road) for road in roads], np.float32).reshape(-1, 4)
    worn = 1 + 0.05 * grain[where] + 0.04 * fractal_noise(rng, canvas.shape, 25)[where]
    canvas.lay(where, colours[surface[where] - 1].T * worn)
    _paint_markings(canvas, roads)
    bridge = where & (canvas.labels == WATER)
    canvas.height[bridge] = 2.0
    canvas.labels[where] = ROAD


def _surface(rng: np.random.Generator, road: Border) -> NDArray[np.float64]:
    base = (0.62, 0.57, 0.48, 0.52) if road.kind == "track" else (0.48, 0.48, 0.47, 0.42)
    return np.array(base) * rng.uniform(0.88, 1.14)


def _paint_markings(canvas: Canvas, roads: Sequence[Border]) -> None:
    """A dashed white line on the main road, a green strip between the ruts of a track."""
    dashes = [dash for road in roads if road.kind == "main" for dash in _dashes(road.line)]
    white = np.array([0.85, 0.85, 0.84, 0.75], np.float32)
    canvas.lay(burn(dashes, canvas.shape) > 0, white, 0.45)
    strips = burn([r.line.buffer(0.45) for r in roads if r.kind == "track"], canvas.shape) > 0
    canvas.lay(strips, np.array([0.44, 0.47, 0.30, 0.58], np.float32), 0.55)


def _dashes(line: shapely.LineString) -> list[BaseGeometry]:
    starts = np.arange(0, line.length - 3, 9.0)
    ends = shapely.line_interpolate_point(line, starts + 3)
    begins = shapely.line_interpolate_point(line, starts)
    return [shapely.LineString(pair) for pair in zip(begins, ends, strict=True)]


def _vary(rng: np.random.Generator, colours: NDArray[np.float32]) -> NDArray[np.float32]:
    """No two fields of one crop have quite the same colour."""
    count = len(colours)
    light = rng.normal(1, 0.07, (count, 1)) * rng.normal(1, 0.022, (count, 4))
    return np.asarray(colours * light, dtype=np.float32)
