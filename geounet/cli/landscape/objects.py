"""Roofs, cars and crowns: what rises above the ground, with its height."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from shapely import LineString
from shapely.geometry.base import BaseGeometry

from geounet.cli.landscape.buildings import Building
from geounet.cli.landscape.land import Border
from geounet.cli.landscape.light import Sun
from geounet.cli.landscape.noise import Image, smooth_noise
from geounet.cli.landscape.surfaces import BUILDING, OPEN_LAND, PIXEL_M, ROAD, TREES, Canvas, burn
from geounet.cli.landscape.trees import Trees

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
ROOF_PITCH = 0.65
"""Metres up per metre from the eaves: 33 degrees."""


@dataclass(frozen=True, slots=True)
class _Roofs:
    """The roof over each of n pixels: figures of its building, and the place on it in metres."""

    length: Floats
    depth: Floats
    eaves: Floats
    angle: Floats
    is_hip: Bools
    is_flat: Bools
    along: Floats
    across: Floats

    def slopes(self) -> tuple[Floats, Floats, Floats]:
        """Metres above the eaves, and metres up per metre to the right and down."""
        from_side = self.depth / 2 - np.abs(self.across)
        from_end = np.where(self.is_hip, self.length / 2 - np.abs(self.along), np.inf)
        pitch = np.where(self.is_flat, 0, ROOF_PITCH).astype(np.float32)
        across = -np.sign(self.across) * pitch * (from_side <= from_end)
        along = -np.sign(self.along) * pitch * (from_side > from_end)
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        rise = pitch * np.minimum(from_side, from_end)
        return rise, along * cos - across * sin, along * sin + across * cos

    def texture(self) -> Floats:
        """Rows of tiles and a light ridge: relative brightness about 0."""
        tiles = 0.05 * np.sin(self.across * 4.8) + 0.03 * np.sin(self.along * 3.7)
        ridge = 0.10 * (np.abs(self.across) < 0.3)
        return np.where(self.is_flat, 0, tiles + ridge).astype(np.float32)


def paint_buildings(
    rng: np.random.Generator, canvas: Canvas, buildings: Sequence[Building], sun: Sun
) -> None:
    """Roofs whose sides are lit by their slope."""
    number = burn([b.footprint for b in buildings], canvas.shape)
    where = number > 0
    if not where.any():
        return
    index = number[where] - 1
    roofs = _measure_roofs(buildings, index, *np.nonzero(where))
    rise, right, down = roofs.slopes()
    weather = 0.06 * smooth_noise(rng, canvas.shape, 5)[where]
    colour = np.array([b.colour for b in buildings], np.float32)[index].T
    canvas.lay(where, colour * sun.light(right, down) * (1 + roofs.texture() + weather))
    canvas.height[where] = roofs.eaves + rise
    canvas.labels[where] = BUILDING


def _measure_roofs(
    buildings: Sequence[Building],
    index: NDArray[np.int32],
    rows: NDArray[np.intp],
    cols: NDArray[np.intp],
) -> _Roofs:
    """The roofs over pixels (rows, cols), which belong to the buildings `index`."""
    names = ("x", "y", "length", "depth", "eaves", "angle")
    table = np.array([[getattr(b, name) for name in names] for b in buildings], np.float32)
    x, y, length, depth, eaves, angle = table[index].T
    kinds = np.array([b.roof for b in buildings])[index]
    dx = (cols.astype(np.float32) + 0.5) * PIXEL_M - x
    dy = (rows.astype(np.float32) + 0.5) * PIXEL_M - y
    cos, sin = np.cos(angle), np.sin(angle)
    along, across = dx * cos + dy * sin, dy * cos - dx * sin
    return _Roofs(length, depth, eaves, angle, kinds == "hip", kinds == "flat", along, across)


def paint_cars(rng: np.random.Generator, canvas: Canvas, borders: Sequence[Border]) -> None:
    """A car for every 70 m of road, in its lane; the label stays road."""
    cars = [
        _car(rng, border)
        for border in borders
        if border.kind in ("main", "street")
        for _ in range(rng.poisson(border.line.length / 70))
    ]
    number = burn(cars, canvas.shape)
    where = (number > 0) & (canvas.labels == ROAD)
    paints = np.array([(0.85, 0.85, 0.86), (0.2, 0.2, 0.22), (0.55, 0.15, 0.15), (0.25, 0.32, 0.5)])
    chosen = paints[rng.integers(len(paints), size=len(cars))]
    colours = np.column_stack([chosen, chosen.mean(axis=1)]).astype(np.float32)
    canvas.lay(where, colours[number[where] - 1].T)
    canvas.height[where] += 1.5


def _car(rng: np.random.Generator, border: Border) -> BaseGeometry:
    """4.4 m by 1.9 m, in one of the two lanes."""
    at, lane = rng.uniform(0, border.line.length), rng.choice([-1, 1])
    start, end = border.line.interpolate(at), border.line.interpolate(at + 4.4)
    along = np.array([end.x - start.x, end.y - start.y])
    offset = along[::-1] / (np.hypot(*along) + 1e-9) * [-1, 1] * lane * 1.5
    ends = np.array([start.coords[0], end.coords[0]]) + offset
    return LineString(ends).buffer(0.95, cap_style="flat")


def paint_trees(rng: np.random.Generator, canvas: Canvas, trees: Trees, sun: Sun) -> None:
    """Crowns as ragged domes, lit by their slope."""
    ragged = smooth_noise(rng, canvas.shape, 2.5)
    top, number = _crowns(canvas.shape, trees, ragged)
    where = (number >= 0) & (top > canvas.height) & (canvas.labels != BUILDING)
    lit = sun.light(*_slopes(top + 0.45 * ragged, where))
    tone = trees.tone[number[where]].astype(np.float32)
    dark = np.array([[0.15], [0.22], [0.13], [0.58]], np.float32)
    light = np.array([[0.36], [0.44], [0.23], [0.86]], np.float32)
    colour = (dark + (light - dark) * tone) * (0.55 + 0.5 * lit) * (1 + 0.07 * ragged[where])
    canvas.lay(where, colour.astype(np.float32))
    canvas.height[where] = top[where]
    # Ground seen through a gap of a metre between crowns still counts as trees
    closed = ndimage.binary_closing(where, iterations=2)
    canvas.labels[where | closed & (canvas.labels == OPEN_LAND)] = TREES


def _crowns(shape: tuple[int, int], trees: Trees, ragged: Image) -> tuple[Image, NDArray[np.intp]]:
    """Height of the highest crown at each pixel, and which tree it is (-1: none)."""
    top = np.zeros(shape, np.float32)
    number = np.full(shape, -1, np.intp)
    for reach in range(1, 20):
        chosen = np.flatnonzero(np.ceil(trees.radius * 1.15 / PIXEL_M) == reach)
        rows, cols, z, index = _domes(shape, trees, chosen, reach, ragged)
        np.maximum.at(top, (rows, cols), z)
        highest = top[rows, cols] == z
        number[rows[highest], cols[highest]] = index[highest]
    return top, number


def _domes(
    shape: tuple[int, int], trees: Trees, chosen: NDArray[np.intp], reach: int, ragged: Image
) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats, NDArray[np.intp]]:
    """Rows, columns, heights and tree numbers of the pixels of crowns of one size."""
    steps = np.arange(-reach, reach + 1)
    x, y, radius = (v[chosen, None, None] for v in (trees.x, trees.y, trees.radius))
    rows = (np.floor(y / PIXEL_M).astype(np.intp) + steps[:, None]) + 0 * steps[None, :]
    cols = (np.floor(x / PIXEL_M).astype(np.intp) + steps[None, :]) + 0 * steps[:, None]
    inside = (rows >= 0) & (rows < shape[0]) & (cols >= 0) & (cols < shape[1])
    distance = np.hypot((cols + 0.5) * PIXEL_M - x, (rows + 0.5) * PIXEL_M - y) / radius
    rough = ragged[np.clip(rows, 0, shape[0] - 1), np.clip(cols, 0, shape[1] - 1)]
    inside &= distance < 1 + 0.12 * rough
    dome = 1 - np.sqrt(np.clip(1 - distance**2, 0, 1))
    height = trees.height[chosen, None, None] - radius * dome
    index = np.broadcast_to(chosen[:, None, None], rows.shape)
    return rows[inside], cols[inside], height[inside].astype(np.float32), index[inside]


def _slopes(height: Image, where: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Metres up per metre to the right and down, at most 2, at the pixels `where`."""
    down, right = (np.gradient(height, PIXEL_M, axis=axis)[where] for axis in (0, 1))
    return np.clip(right, -2, 2), np.clip(down, -2, 2)
