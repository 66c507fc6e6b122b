"""Smooth random fields: what makes soil, crops and water look grown rather than drawn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

Image = NDArray[np.float32]
"""float32 (height, width)."""


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], size_px: float) -> Image:
    """Blobs about `size_px` across: float32 (height, width), mean about 0, deviation about 1."""
    down, across = (_spline_weights(n, size_px) for n in shape)
    knots = rng.standard_normal((down.shape[1], across.shape[1]), dtype=np.float32) * 1.5
    return np.ascontiguousarray((across @ (down @ knots).T).T)


def fractal_noise(rng: np.random.Generator, shape: tuple[int, int], size_px: float) -> Image:
    """Noise of four octaves, each half as large and 0.6 times as strong: deviation about 1."""
    octaves = [0.6**k * smooth_noise(rng, shape, max(2.0, size_px / 2**k)) for k in range(4)]
    return np.asarray(sum(octaves) * 0.8, dtype=np.float32)


def blur(image: Image, sigma_px: float) -> Image:
    """The image as through a lens: Gaussian, mirrored at the edges."""
    smoothed = ndimage.gaussian_filter(image, sigma_px, mode="mirror", truncate=3)
    return np.asarray(smoothed, dtype=np.float32)


def _spline_weights(size: int, step_px: float) -> sparse.csr_array:
    """Weights of a cubic B-spline with a knot every `step_px`, float32 (size, knots)."""
    position = np.arange(size, dtype=np.float32) / np.float32(step_px)
    first = position.astype(np.intp)
    t = position - first.astype(np.float32)
    weights = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, 1 + 3 * t * (1 + t - t**2), t**3]
    pixels = np.repeat(np.arange(size), 4)
    knots = (first[:, None] + np.arange(4)).ravel()
    values = np.column_stack(weights).ravel() / np.float32(6)
    return sparse.csr_array((values, (pixels, knots)), shape=(size, int(first[-1]) + 4))
