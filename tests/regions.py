"""Random masks, and their polygons in strips of any height."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rasters import UTM
from scipy import ndimage

from geounet.vector import Polygonizer


def make_mask(seed: int, height: int, width: int, classes: int, smoothing: float) -> np.ndarray:
    """Blobs of classes 0 ... with some no data: from pure noise to a few large regions."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.standard_normal((height, width)), smoothing, mode="wrap")
    ranks = noise.ravel().argsort().argsort().reshape(noise.shape)
    mask = (ranks * classes // noise.size).astype(np.uint8)
    mask[rng.random(mask.shape) < rng.choice([0.0, 0.02, 0.3])] = 255
    return mask


sizes = st.integers(1, 64)
masks = st.one_of(
    hnp.arrays(
        np.uint8,
        st.tuples(st.integers(1, 8), st.integers(1, 8)),
        elements=st.sampled_from([0, 1, 2, 255]),
    ),
    st.builds(
        make_mask,
        st.integers(0, 2**32 - 1),
        sizes,
        sizes,
        st.integers(1, 6),
        st.sampled_from([0.0, 0.7, 2.0]),
    ),
)
connectivities = st.sampled_from([4, 8])
heights = st.lists(st.integers(1, 64), min_size=1, max_size=12)


def polygonize(
    mask,
    connectivity=4,
    values=(1, 2, 3, 4, 5),
    heights=(10_000,),
    transform=UTM,
    confidence=None,
    **options,
):
    """Feed a mask in strips of these heights, again and again; all regions, joined, and batches."""
    options["connectivity"] = connectivity
    polygonizer = Polygonizer(mask.shape[1], transform, values, **options)
    batches, row = [], 0
    while row < len(mask):
        height = heights[len(batches) % len(heights)]
        rows = slice(row, row + height)
        batches.append(
            polygonizer.add(mask[rows], None if confidence is None else confidence[rows])
        )
        row += height
    return [*batches, polygonizer.finish()]


def join(batches, name):
    return np.concatenate([getattr(batch, name) for batch in batches])
