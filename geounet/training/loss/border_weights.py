"""The paper's border weights: narrow gaps between instances count more (equation 2).

    border(x) = w0 exp(-(d1(x) + d2(x))^2 / (2 sigma^2))

d1 and d2 are the distances of a background pixel to the nearest pixel of the nearest and of the
second nearest instance, from centre to centre. Pixels of instances have none of this weight: the
paper's figure 3 shows it in the gaps, and so its authors put it later (Falk et al. 2019,
doi:10.1038/s41592-018-0261-2, online methods). Where d1 + d2 is more than `REACH` sigma, and the
equation has less than 1e-6 w0, the weight is 0. So the weights of a window follow from the
instances in it and so far around it: there is no pass over the scene.

Weights are computed where the scene has its instances, and moved by augmentation with the labels,
pixel by pixel: each keeps the weight of the gap that it showed before it was deformed.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from geounet.raster import Window
from geounet.training.loss.loss_options import BorderWeights
from geounet.vector import compiled

Nearest = tuple[int, int, int, int]
"""The nearest instance and the square of its distance, then the second nearest and its."""

NONE: Nearest = (0, 2**30, 0, 2**30)
"""Nothing is known yet: two instances without a number, farther than anything in a window."""


def weigh_borders(
    ids: NDArray[np.int32], window: Window, constants: BorderWeights
) -> NDArray[np.float32]:
    """Border weights of a window, float32 (H, W).

    `weigh_borders(ids, window) == weigh_borders(ids, whole)[window.slices()]`, and the same if ids
    end `reach_px` pixels around the window.

    Args:
        ids: which instance each pixel is of, from 1; 0: none.
        window: the pixels wanted, in ids.
        constants: w0 and sigma.
    """
    nearest = np.empty((window.height, ids.shape[1], 4), np.int32)
    nearest[:] = NONE
    _search_columns(ids, window.row_off, nearest)
    weights = np.zeros(window.shape, np.float32)
    scale = constants.weight, -0.5 / constants.sigma_px**2
    _search_rows(nearest, window.col_off, constants.reach_px, scale, weights)
    return weights


@compiled
def _search_columns(ids: NDArray[np.int32], first: int, nearest: NDArray[np.int32]) -> None:
    """The two nearest instances of each pixel in its own column.

    Args:
        ids: (h, w), which instance each pixel is of.
        first: row of ids that is the first of the results.
        nearest: (H, w, 4), as `Nearest`; filled in.
    """
    height, width = ids.shape
    for step in (1, -1):  # downwards, so that those above are met; then upwards
        met = np.zeros((width, 2), np.int32)  # the last instance met, and the last other one
        where = np.zeros((width, 2), np.int32)
        for i in range(height):
            row = i if step > 0 else height - 1 - i
            out = row - first
            for col in range(width):
                own = ids[row, col]
                if own > 0:
                    if own != met[col, 0]:
                        met[col, 1], where[col, 1] = met[col, 0], where[col, 0]
                    met[col, 0], where[col, 0] = own, row
                if 0 <= out < nearest.shape[0]:
                    cell = nearest[out, col]
                    best = (cell[0], cell[1], cell[2], cell[3])
                    for k in range(2):
                        if met[col, k] > 0:
                            best = _insert(best, met[col, k], (row - where[col, k]) ** 2)
                    cell[0], cell[1], cell[2], cell[3] = best


@compiled
def _search_rows(
    nearest: NDArray[np.int32],
    first: int,
    reach: int,
    scale: tuple[float, float],
    weights: NDArray[np.float32],
) -> None:
    """The weight of each pixel, from the two nearest instances of all columns in its reach.

    That is enough: an instance nearest in a column, but after two others, is after them for all
    pixels of the row.

    Args:
        nearest: (H, w, 4), as from `_search_columns`.
        first: column of these that is the first of the weights.
        reach: pixels.
        scale: factor of the weight, and of the squared distance in the exponent.
        weights: (H, W), filled in.
    """
    width = nearest.shape[1]
    for row in range(weights.shape[0]):
        for col in range(weights.shape[1]):
            best, offset = NONE, 0
            # columns beyond are farther than the second, or the two are too far together
            while offset * offset < best[3]:
                if offset + min(math.sqrt(best[1]), offset) > reach:
                    break
                for x in (first + col - offset, first + col + offset):
                    if 0 <= x < width:
                        for k in (0, 2):
                            if nearest[row, x, k] > 0:
                                square = offset * offset + nearest[row, x, k + 1]
                                best = _insert(best, nearest[row, x, k], square)
                offset += 1
            distance = math.sqrt(best[1]) + math.sqrt(best[3])
            if best[1] > 0 and distance <= reach:  # nearest at 0: a pixel of an instance
                weights[row, col] = scale[0] * math.exp(scale[1] * distance**2)


@compiled
def _insert(best: Nearest, label: int, square: int) -> Nearest:
    """Take account of an instance at a distance, if it is one of the two nearest."""
    first, first_square, second, second_square = best
    if square >= second_square:
        return best
    if label == first:
        return first, min(square, first_square), second, second_square
    if square < first_square:
        return label, square, first, first_square
    return first, first_square, label, square
