"""Exact Euclidean distances between pixels, from centre to centre, up to a limit.

As in the distance transform of Meijster et al. 2000 (A general algorithm for computing distance
transforms in linear time) columns come first, then rows; but rows are looked through only from the
pixels that ask, outwards until nothing nearer can come: contours are few, and near each other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geounet.classes import NODATA
from geounet.vector import compiled


@compiled
def mark_contour(values: NDArray[np.uint8], value: int) -> NDArray[np.bool_]:
    """Pixels (H, W) of a value that share an edge with one of another value, 255 not counted."""
    height, width = values.shape
    contour = np.zeros(values.shape, np.bool_)
    for row in range(height):
        for col in range(width):
            if values[row, col] != value:
                continue
            for step in range(4):
                y, x = row + (step == 0) - (step == 1), col + (step == 2) - (step == 3)
                if 0 <= y < height and 0 <= x < width:
                    other = values[y, x]
                    if other != value and other != NODATA:
                        contour[row, col] = True
    return contour


@compiled
def measure_columns(targets: NDArray[np.bool_], most: int) -> NDArray[np.uint16]:
    """Pixels (H, W) up or down to the nearest target, or `most` + 1 if there is none so near."""
    height, width = targets.shape
    steps = np.empty(targets.shape, np.uint16)
    for col in range(width):
        steps[0, col] = 0 if targets[0, col] else most + 1
    for row in range(1, height):
        for col in range(width):
            far = min(steps[row - 1, col] + 1, most + 1)
            steps[row, col] = 0 if targets[row, col] else far
    for row in range(height - 2, -1, -1):
        for col in range(width):
            steps[row, col] = min(steps[row, col], steps[row + 1, col] + 1)
    return steps


@compiled
def find_nearest(steps: NDArray[np.uint16], row: int, col: int, limit: int) -> int:
    """Square of the distance of a pixel from the nearest target; `limit` + 1 if it is more.

    Args:
        steps: as from `measure_columns`, with `most` * `most` <= `limit` < (`most` + 1)^2.
        row: of the pixel.
        col: of the pixel.
        limit: square of the longest distance.
    """
    best = min(int(steps[row, col]) ** 2, limit + 1)
    across = 1
    while across * across < best:
        for x in (col - across, col + across):
            if 0 <= x < steps.shape[1]:
                best = min(best, int(steps[row, x]) ** 2 + across * across)
        across += 1
    return best


@compiled
def mark_near(
    values: NDArray[np.uint8], value: int, limit: int, inner: tuple[int, int, int, int]
) -> NDArray[np.bool_]:
    """Pixels (H, W) of a value within a distance of any other value, 255 not counted.

    Args:
        values: with all around the inner window that may be so near.
        value: which one.
        limit: square of the distance.
        inner: first row and column, height and width of the window that is wanted.
    """
    row_off, col_off, height, width = inner
    others = (values != value) & (values != NODATA)
    steps = measure_columns(others, int(np.sqrt(limit)))
    near = np.zeros((height, width), np.bool_)
    for row in range(height):
        for col in range(width):
            if values[row + row_off, col + col_off] == value:
                square = find_nearest(steps, row + row_off, col + col_off, limit)
                near[row, col] = square <= limit
    return near


@compiled
def measure_distances(
    contour: NDArray[np.bool_],
    targets: NDArray[np.bool_],
    limit: int,
    inner: tuple[int, int, int, int],
) -> NDArray[np.int32]:
    """Squares (H, W) of the distances of a contour to the nearest target; -1 elsewhere.

    Args:
        contour: (H + 2h, W + 2h), the pixels that ask.
        targets: likewise.
        limit: square of the longest distance; `limit` + 1 stands for all longer ones.
        inner: first row and column, height and width of the window that is wanted.
    """
    row_off, col_off, height, width = inner
    steps = measure_columns(targets, int(np.sqrt(limit)))
    squares = np.full((height, width), -1, np.int32)
    for row in range(height):
        for col in range(width):
            if contour[row + row_off, col + col_off]:
                squares[row, col] = find_nearest(steps, row + row_off, col + col_off, limit)
    return squares
