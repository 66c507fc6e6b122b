"""Polygons burnt into windows: the same pixels whatever the window."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from shapely import Polygon
from shapely.geometry.base import BaseGeometry

from geounet.raster import Grid, Window

STEPS_PER_PIXEL = 2**20
"""Vertices are rounded to these steps: then moving them by whole pixels, as another window does,
changes no bit of them, and an edge through a pixel's centre decides alike in every window."""

MAX_VERTICES = 1000
"""Larger polygons are cut: a window pays about 1 microsecond for each vertex of what it touches."""

CUT = 256
"""Cuts lie on multiples of this many pixels: never on a centre, the same for all windows."""


class Burner:
    """Polygons with values, ready to be burnt. Where they overlap, the last wins."""

    def __init__(
        self, geometries: NDArray[np.object_], values: NDArray[np.uint8], grid: Grid
    ) -> None:
        """Take polygons (N,) in the grid's CRS, and a value (N,) for each."""
        pieces = [list(_cut(polygon)) for polygon in to_pixels(geometries, grid)]
        self._geometries = _snap(np.array([p for parts in pieces for p in parts], object))
        self._values = np.repeat(values, [len(parts) for parts in pieces])
        self._tree = shapely.STRtree(self._geometries)

    def burn(self, window: Window, fill: int = 0) -> NDArray[np.uint8]:
        """Values (H, W) of the polygons that hold each pixel's centre, `fill` where none does.

        The window may reach beyond the grid. `burn(w) == burn(whole)[w.slices()]`.
        """
        box = shapely.box(window.col_off, window.row_off, window.col_end, window.row_end)
        found = np.sort(self._tree.query(box))
        if not found.size or not window.area:
            return np.full(window.shape, fill, np.uint8)
        burnt: NDArray[np.uint8] = rasterio.features.rasterize(
            zip(self._geometries[found], self._values[found].tolist(), strict=True),
            out_shape=window.shape,
            transform=Affine.translation(window.col_off, window.row_off),
            fill=fill,
            dtype=np.uint8,
        )
        return burnt


def rasterize_inside(geometry: BaseGeometry, grid: Grid, window: Window) -> NDArray[np.bool_]:
    """Whether each pixel's centre lies in a geometry in the grid's CRS, bool (H, W)."""
    inside: NDArray[np.bool_] = _burner_of(geometry, grid).burn(window) != 0
    return inside


def to_pixels(geometries: NDArray[np.object_], grid: Grid) -> NDArray[np.object_]:
    """Geometries in the grid's CRS as (column, row) of the grid, in steps of `STEPS_PER_PIXEL`."""
    t = ~grid.transform
    matrix = np.array([[t.a, t.b], [t.d, t.e]])
    offset = np.array([t.c, t.f])
    pixels: NDArray[np.object_] = shapely.transform(geometries, lambda xy: xy @ matrix.T + offset)
    return _snap(pixels)


@lru_cache(maxsize=8)
def _burner_of(geometry: BaseGeometry, grid: Grid) -> Burner:
    """One AOI is asked for in thousands of windows."""
    parts = shapely.get_parts(geometry)
    return Burner(parts, np.ones(len(parts), np.uint8), grid)


def _snap(geometries: NDArray[np.object_]) -> NDArray[np.object_]:
    snapped: NDArray[np.object_] = shapely.transform(
        geometries, lambda xy: np.round(xy * STEPS_PER_PIXEL) / STEPS_PER_PIXEL
    )
    return snapped


def _cut(polygon: Polygon) -> Iterator[Polygon]:
    """The polygon in pieces of few vertices, cut along multiples of `CUT`."""
    if shapely.get_num_coordinates(polygon) <= MAX_VERTICES:
        yield polygon
        return
    west, north, east, south = polygon.bounds
    middle_col, middle_row = (
        round((a + b) / 2 / CUT) * CUT for a, b in ((west, east), (north, south))
    )
    if east - west >= south - north:
        halves = [(west, north, middle_col, south), (middle_col, north, east, south)]
    else:
        halves = [(west, north, east, middle_row), (west, middle_row, east, south)]
    if any(right <= left or bottom <= top for left, top, right, bottom in halves):
        yield polygon  # all in one cell
        return
    for half in halves:
        for piece in shapely.get_parts(shapely.get_parts(shapely.clip_by_rect(polygon, *half))):
            if piece.geom_type == "Polygon":
                yield from _cut(piece)


def _nearest_cut(start: float, end: float) -> int:
    return round((start + end) / 2 / CUT) * CUT
