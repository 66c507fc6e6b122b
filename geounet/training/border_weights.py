"""The paper's border weights: narrow gaps between instances count more (equation 2).

    border(x) = w0 exp(-(d1(x) + d2(x))^2 / (2 sigma^2))

d1 and d2 are the distances of a pixel to the nearest pixel of the nearest and of the second nearest
instance, from centre to centre; d1 is 0 inside of an instance. Of instances farther than `REACH`
sigma nothing is known and the weight is 0, where the equation has less than 1e-6 w0. So the weights
of a window follow from the instances in it and so far around it: there is no pass over the scene.

Weights are computed where the scene has its instances, and moved by augmentation with the labels,
pixel by pixel: each keeps the weight of the gap that it showed before it was deformed.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from geounet.raster import Window
from geounet.training.loss_options import BorderWeights
from geounet.vector import compiled

FAR = 2**15
"""Pixels; farther than anything in a window."""


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
    shape = window.height, ids.shape[1], 2
    labels, distances = np.zeros(shape, np.int32), np.full(shape, FAR, np.int32)
    _search_columns(ids, window.row_off, labels, distances)
    weights = np.zeros(window.shape, np.float32)
    scale = constants.weight, -0.5 / constants.sigma_px**2
    _search_rows(labels, distances, window.col_off, constants.reach_px, scale, weights)
    return weights


@compiled
def _search_columns(
    ids: NDArray[np.int32], first: int, labels: NDArray[np.int32], distances: NDArray[np.int32]
) -> None:
    """The two nearest instances of each pixel in its own column.

    Args:
        ids: (h, w), which instance each pixel is of.
        first: row of ids that is the first of the results.
        labels: (H, w, 2), the nearest instance and the next, 0 for none; filled in.
        distances: (H, w, 2), how far they are, in pixels; filled in.
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
                if 0 <= out < labels.shape[0]:
                    for k in range(2):
                        if met[col, k] > 0:
                            distance = abs(row - where[col, k])
                            _insert(met[col, k], distance, labels[out, col], distances[out, col])


@compiled
def _search_rows(
    labels: NDArray[np.int32],
    distances: NDArray[np.int32],
    first: int,
    reach: int,
    scale: tuple[float, float],
    weights: NDArray[np.float32],
) -> None:
    """The weight of each pixel, from the two nearest instances of all columns in its reach.

    That is enough: an instance nearest in a column, but after two others, is after them for all
    pixels of the row.

    Args:
        labels: (H, w, 2), as from `_search_columns`.
        distances: (H, w, 2), the same.
        first: column of these that is the first of the weights.
        reach: pixels.
        scale: factor of the weight, and of the squared distance in the exponent.
        weights: (H, W), filled in.
    """
    width = labels.shape[1]
    nearest, squared = np.zeros(2, np.int32), np.zeros(2, np.int32)
    for row in range(weights.shape[0]):
        for col in range(weights.shape[1]):
            nearest[:] = 0
            squared[:] = reach * reach + 1
            offset = 0
            while offset * offset < squared[1]:
                for x in (first + col - offset, first + col + offset):
                    if 0 <= x < width:
                        for i in range(2):
                            if labels[row, x, i] > 0:
                                square = offset * offset + distances[row, x, i] ** 2
                                _insert(labels[row, x, i], square, nearest, squared)
                offset += 1
            if nearest[1] > 0:
                distance = math.sqrt(squared[0]) + math.sqrt(squared[1])
                weights[row, col] = scale[0] * math.exp(scale[1] * distance**2)


@compiled
def _insert(
    label: int, distance: int, labels: NDArray[np.int32], distances: NDArray[np.int32]
) -> None:
    """Take account of an instance in the two nearest ones, if it is nearer than these."""
    if distance >= distances[1]:
        return
    if label == labels[0]:
        distances[0] = min(distance, distances[0])
    elif distance < distances[0]:
        labels[1], distances[1] = labels[0], distances[0]
        labels[0], distances[0] = label, distance
    else:
        labels[1], distances[1] = label, distance
