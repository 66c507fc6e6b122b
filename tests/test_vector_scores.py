"""Mean scores of polygons: against plain sums over the pixels they burn to, whatever the strips."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio.features
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from geounet.vector import Polygonizer

BANDS = 3

masks = hnp.arrays(
    np.uint8,
    st.tuples(st.integers(1, 24), st.integers(1, 24)),
    elements=st.sampled_from([0, 1, 1, 1, 2, 2, 255]),
)
heights = st.lists(st.integers(1, 9), min_size=1, max_size=6)


def make_scores(shape, kind):
    scores = np.random.default_rng(shape).random((BANDS, *shape))
    return np.rint(scores * 254).astype(kind) if kind == "uint8" else scores.astype(kind)


def polygonize(mask, scores, heights, connectivity=4):
    width = mask.shape[1]
    polygonizer = Polygonizer(
        width, Affine.identity(), [1, 2], connectivity=connectivity, bands=len(scores)
    )
    found, row = [], 0
    while row < len(mask):
        rows = slice(row, row + heights[len(found) % len(heights)])
        found.append(polygonizer.add(mask[rows], None, scores[:, rows]))
        row = rows.stop
    found.append(polygonizer.finish())
    means = np.concatenate([regions.scores for regions in found])
    return means, np.concatenate([regions.geometries for regions in found])


@settings(deadline=None, max_examples=100)
@given(masks, heights, st.sampled_from(["uint8", "float16", "float32"]), st.sampled_from([4, 8]))
def test_scores_are_means_over_the_pixels_of_each_polygon(mask, heights, kind, connectivity):
    scores = make_scores(mask.shape, kind)
    means, geometries = polygonize(mask, scores, heights, connectivity)
    assert means.shape == (len(geometries), BANDS)
    expected = scores.astype(float) / (254 if kind == "uint8" else 1)
    for geometry, mean in zip(geometries, means, strict=True):
        inside = rasterio.features.rasterize([geometry], mask.shape) == 1
        assert mean == pytest.approx(expected[:, inside].mean(axis=1), abs=1e-7)


@settings(deadline=None, max_examples=100)
@given(masks, heights)
def test_strips_do_not_change_a_bit_of_the_sums(mask, heights):
    scores = make_scores(mask.shape, "float32")
    whole, strips = polygonize(mask, scores, [1000])[0], polygonize(mask, scores, heights)[0]
    assert whole.tobytes() == strips.tobytes()


def test_scores_must_have_the_bands_that_were_said():
    polygonizer = Polygonizer(4, Affine.identity(), [1], bands=2)
    with pytest.raises(ValueError, match=r"scores are \(2, H, 4\)"):
        polygonizer.add(np.ones((1, 4), np.uint8))
