"""Polygons burnt into windows: the same pixels whatever the window.

GDAL's rasterizer works in coordinates of the window, so that rounding may differ from one window to
the next; this one works in those of the scene. It needs no Python object per polygon and window,
and releases the GIL.
"""

from __future__ import annotations

import math
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from geounet.raster import Grid, Window
from geounet.vector.compiling import compiled

T = TypeVar("T", np.uint8, np.int32)


class Shapes(NamedTuple):
    """Polygons as flat arrays, in pixels of a grid.

    Attributes:
        vertices: float64 (V, 2), column and row, of all rings; each ring ends where it begins.
        rings: int64, where each ring begins in `vertices`, and the end of the last.
        polygons: int64, where each polygon begins in `rings`, and the end of the last.
    """

    vertices: NDArray[np.float64]
    rings: NDArray[np.int64]
    polygons: NDArray[np.int64]


class Burner(Generic[T]):
    """Polygons with values, ready to be burnt. Where they overlap, the last wins."""

    def __init__(self, geometries: NDArray[np.object_], values: NDArray[T], grid: Grid) -> None:
        """Take polygons (N,) in the grid's CRS, and a value (N,) for each: uint8 or int32."""
        pixels = shapely.transform(geometries, lambda xy: _transform(xy, ~grid.transform))
        self._values: NDArray[T] = values
        self._tree = shapely.STRtree(pixels)
        self._shapes = _flatten(pixels)

    def burn(self, window: Window, fill: int = 0) -> NDArray[T]:
        """Values (H, W) of the polygons that hold each pixel's centre, `fill` where none does.

        A centre exactly on an edge is in the polygon to the right of it or below, so that of two
        neighbours just one has it. The window may reach beyond the grid.
        `burn(w) == burn(whole)[w.slices()]`.
        """
        burnt: NDArray[T] = np.full(window.shape, fill, self._values.dtype)
        box = shapely.box(window.col_off, window.row_off, window.col_end, window.row_end)
        found = np.sort(self._tree.query(box))
        origin = window.row_off, window.col_off
        if found.size:
            _burn_polygons(self._shapes, found, self._values[found], origin, burnt)
        return burnt


def _transform(points: NDArray[np.float64], transform: Affine) -> NDArray[np.float64]:
    """Points (N, 2) transformed."""
    t = transform
    moved: NDArray[np.float64] = points @ np.array([[t.a, t.d], [t.b, t.e]]) + (t.c, t.f)
    return moved


def _flatten(polygons: NDArray[np.object_]) -> Shapes:
    if not len(polygons):
        return Shapes(np.empty((0, 2)), np.zeros(1, np.int64), np.zeros(1, np.int64))
    kind, vertices, offsets = shapely.to_ragged_array(polygons)
    if kind is not shapely.GeometryType.POLYGON:  # its offsets would mean something else
        raise ValueError(f"{kind.name} cannot be burnt; give single polygons")
    return Shapes(vertices, *(o.astype(np.int64) for o in offsets))


@compiled
def _burn_polygons(
    shapes: Shapes,
    chosen: NDArray[np.intp],
    values: NDArray[T],
    origin: tuple[int, int],
    out: NDArray[T],
) -> None:
    """Write the value of each chosen polygon where it holds the centre of a pixel.

    Args:
        shapes: all polygons.
        chosen: which of them, in the order of burning.
        values: for each chosen one.
        origin: row and column of the first pixel of `out`.
        out: (H, W).
    """
    height, width = out.shape
    crossed = np.zeros((height, width + 1), np.bool_)
    for index in range(chosen.size):
        box = _mark_crossings(shapes, chosen[index], origin, crossed)
        _fill_between(crossed, box, values[index], out)


@compiled
def _mark_crossings(
    shapes: Shapes, polygon: int, origin: tuple[int, int], crossed: NDArray[np.bool_]
) -> tuple[int, int, int, int]:
    """Mark where an odd number of edges lie between a pixel's centre and the one left of it.

    Edges beyond the left or right end count at the first pixel or after the last one. Returns the
    first row and the end, the first column and the last that were touched.
    """
    height, width = crossed.shape[0], crossed.shape[1] - 1
    row_off, col_off = origin
    top, bottom, left, right = height, 0, width, 0
    for ring in range(shapes.polygons[polygon], shapes.polygons[polygon + 1]):
        for i in range(shapes.rings[ring], shapes.rings[ring + 1] - 1):
            x, y = shapes.vertices[i]
            x_end, y_end = shapes.vertices[i + 1]
            if y > y_end:  # from the upper end, so that neighbours compute the same crossings
                x, y, x_end, y_end = x_end, y_end, x, y
            first = max(math.ceil(y - 0.5) - row_off, 0)
            end = min(math.ceil(y_end - 0.5) - row_off, height)
            for row in range(first, end):
                crossing = x + (row + row_off + 0.5 - y) * ((x_end - x) / (y_end - y))
                col = min(max(math.ceil(crossing - 0.5) - col_off, 0), width)
                crossed[row, col] = not crossed[row, col]
                left, right = min(left, col), max(right, col)
            if first < end:
                top, bottom = min(top, first), max(bottom, end)
    return top, bottom, left, right


@compiled
def _fill_between(
    crossed: NDArray[np.bool_], box: tuple[int, int, int, int], value: T, out: NDArray[T]
) -> None:
    """Write the value between odd and even marks, row by row, and wipe the marks."""
    top, bottom, left, right = box
    for row in range(top, bottom):
        is_inside = False
        for col in range(left, right + 1):
            is_inside ^= crossed[row, col]
            crossed[row, col] = False
            if is_inside:  # never after the last mark, so never beyond the last column
                out[row, col] = value
