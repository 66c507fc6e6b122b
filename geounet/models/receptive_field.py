"""How far a network's border reaches into its output, measured.

The margin of an in-house network follows from its layers. That of a foreign one (padded encoders,
attention, an ONNX file) may be the whole input in theory; what matters is how far from the border
of its input a result still changes with what lies beyond. No gradients: an ONNX file has none.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

TOLERANCE = 1 / 254
"""Probabilities that differ by less are equal: it is the step in which they are kept."""

SHARE = 99
"""Percentile of the pixels at a distance that must be equal."""

BINS = 32
"""Distances are told in 1/32 of the tile, up to a quarter of it."""


def measure_reach(network: Callable[[Tensor], Tensor], bands: int, tile: int, stride: int) -> int:
    """Pixels from the border of a tile beyond which the network does not see that border.

    Two tiles that share half their pixels see the same scene, smooth noise of normalised bands.
    Where their probabilities differ, the border of one of them is the reason. This is done along
    columns and along rows.

    Args:
        network: float32 (1, bands, tile, tile) normalised -> (1, classes, tile, tile) scores
            before softmax.
        bands: its input bands.
        tile: side of its input.
        stride: the other tile lies at a multiple of it, so that poolings fall alike.

    Returns:
        A multiple of tile / 32; a quarter of the tile if it sees further than that.
    """
    shift = tile // 2 // stride * stride
    if shift == 0:  # too small to compare two
        return tile // 4
    scene = torch.from_numpy(make_noise(bands, tile + shift))[None]

    def predict(row: int, col: int) -> NDArray[np.float32]:
        scores = network(scene[..., row : row + tile, col : col + tile].contiguous())
        probability: NDArray[np.float32] = scores.float().softmax(dim=1)[0].numpy()
        return probability

    first = predict(0, 0)
    shared = tile - shift
    gaps = [
        np.abs(first[..., shift:] - predict(0, shift)[..., :shared]).max(axis=0),
        np.abs(first[:, shift:] - predict(shift, 0)[:, :shared]).max(axis=0).T,
    ]
    return _find_reach(np.concatenate(gaps), tile)


def make_noise(bands: int, side: int) -> NDArray[np.float32]:
    """A scene of blobs of several sizes, mean 0 and deviation 1, float32 (bands, side, side)."""
    from scipy import ndimage  # only foreign networks need it

    generator = np.random.default_rng(0)
    noise = generator.standard_normal((bands, side, side), np.float32)
    blobs = [s * ndimage.gaussian_filter(noise, (0, s, s), mode="wrap") for s in (0.5, 2, 8)]
    scene = np.sum(blobs, axis=0)
    scene -= scene.mean()
    return np.asarray(scene / scene.std(), np.float32)


def _find_reach(gaps: NDArray[np.float32], tile: int) -> int:
    """The first of the distances from which on all are within the tolerance.

    Column i of the gaps is i pixels from the border of one tile, and as many from its right end
    to that of the other.
    """
    width = max(tile // BINS, 1)
    columns = gaps.shape[1]
    distance = np.minimum(np.arange(columns), columns - 1 - np.arange(columns)) // width
    reach = min(tile // 4, columns // 2) // width
    for index in reversed(range(reach)):
        if np.percentile(gaps[:, distance == index], SHARE) > TOLERANCE:
            return (index + 1) * width
    return 0
