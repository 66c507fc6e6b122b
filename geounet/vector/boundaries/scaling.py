"""How long a pixel is on the ground."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geounet.raster import Grid, geod_of, to_lonlat

SAMPLES = 33
"""Rows and columns at which pixels are measured where they differ."""


def ground_matrices(grid: Grid, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Metres on the ground per pixel (N, 2, 2) at points (N, 2) of rows and columns.

    A step of one row and one of one column are the columns of each matrix; its rows are metres
    east and north, or along the axes of the CRS where that is true to scale. Without a CRS a pixel
    is a metre long.
    """
    a, b, _, d, e, _ = grid.transform[:6]
    steps = np.array([[b, a], [e, d]], np.float64)
    crs = grid.crs
    if crs is None or grid.metres_per_unit is not None:
        matrix = steps * (grid.metres_per_unit or 1.0)
        return np.broadcast_to(matrix, (len(points), 2, 2))
    geod = geod_of(crs)

    def to_degrees(offset: tuple[float, float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        rows, cols = (points + offset).T
        x, y = a * cols + b * rows, d * cols + e * rows
        return to_lonlat(crs, x + grid.transform.c, y + grid.transform.f)

    matrices = np.empty((len(points), 2, 2))
    for axis, (before, after) in enumerate((((-0.5, 0), (0.5, 0)), ((0, -0.5), (0, 0.5)))):
        (west, south), (east, north) = to_degrees(before), to_degrees(after)
        azimuth, _, length = geod.inv(west, south, east, north)
        azimuth = np.radians(azimuth)
        matrices[:, 0, axis] = length * np.sin(azimuth)
        matrices[:, 1, axis] = length * np.cos(azimuth)
    return matrices


def longest_pixel_m(grid: Grid) -> float:
    """The most metres on the ground that a step of one pixel may be, in any direction.

    Where pixels differ in size, of the largest: a distance of M metres is at least M over this
    many pixels everywhere.
    """
    rows = np.linspace(0.5, grid.height - 0.5, min(grid.height, SAMPLES))
    cols = np.linspace(0.5, grid.width - 0.5, min(grid.width, SAMPLES))
    points = np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1).reshape(-1, 2)
    matrices = ground_matrices(grid, points)
    return float(np.linalg.norm(matrices, ord=2, axis=(1, 2)).max())
