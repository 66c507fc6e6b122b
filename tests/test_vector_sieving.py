"""Small regions and holes against a whole-array reference by scipy, whatever the strips."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from geounet.raster import Window
from geounet.vector.boundaries import sieving
from geounet.vector.boundaries.sieving import Sieve, SieveCounts, sieve_strips
from geounet.vector.masks import Strip

EIGHT = np.ones((3, 3), int)
VALUES = (1, 2, 3)

moderate = settings(deadline=None, max_examples=200)
heights = st.lists(st.integers(1, 20), min_size=1, max_size=8)


def make_mask(seed: int, height: int, width: int, smoothing: float) -> np.ndarray:
    """Blobs of classes 0-3, of 4 (not wanted) and no data."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.standard_normal((height, width)), smoothing, mode="wrap")
    ranks = noise.ravel().argsort().argsort().reshape(noise.shape)
    mask = (ranks * 5 // noise.size).astype(np.uint8)
    salt = rng.random(mask.shape) < rng.choice([0.0, 0.1, 0.5])
    mask[salt] = rng.integers(0, 5, salt.sum())
    mask[rng.random(mask.shape) < rng.choice([0.0, 0.03])] = 255
    return mask


masks = st.one_of(
    hnp.arrays(
        np.uint8,
        st.tuples(st.integers(1, 8), st.integers(1, 8)),
        elements=st.sampled_from([0, 1, 2, 255]),
    ),
    st.builds(
        make_mask,
        st.integers(0, 2**32 - 1),
        st.integers(1, 50),
        st.integers(1, 50),
        st.sampled_from([0.0, 0.7, 1.5]),
    ),
)
sieves = st.builds(
    lambda area, hole, drop, eight: (area, hole, drop, eight),
    st.integers(0, 30),
    st.integers(0, 15),
    st.booleans(),
    st.booleans(),
)


def label_all(mask, values, eight):
    """Numbers of the regions (0: none), their values and areas by number."""
    labels, found = np.zeros(mask.shape, int), [-1]
    for value in values:
        some, count = ndimage.label(mask == value, EIGHT if eight else None)
        labels[some > 0] = some[some > 0] + len(found) - 1
        found += [value] * count
    return labels, found


def neighbour_pairs(array):
    yield from zip(array[:, 1:].ravel(), array[:, :-1].ravel(), strict=True)
    yield from zip(array[1:].ravel(), array[:-1].ravel(), strict=True)


def find_borders(mask, labels):
    """By number of a region, what lies beyond each edge of its pixels; -1 is background."""
    codes = np.where((labels == 0) & (mask == 0), -1, labels)  # 0 is no data
    borders: dict[int, list] = {n: [] for n in range(labels.max() + 1)}
    for one, other in neighbour_pairs(codes):
        if one != other and 0 not in (one, other):
            borders[max(one, 0)].append(other)
            borders[max(other, 0)].append(one)
    return borders


def dissolve(mask, area, drop, eight, row_areas):
    """The definition, on the whole array: rounds, each from the results of those before."""
    mask = np.where(np.isin(mask, [*VALUES, 255]), mask, 0)
    labels, values = label_all(mask, VALUES, eight)
    sizes = np.bincount(labels.ravel(), np.repeat(row_areas, mask.shape[1]), len(values))
    small = [n for n in range(1, len(values)) if sizes[n] < area]
    fates = {n: values[n] for n in range(1, len(values)) if sizes[n] >= area}
    borders = find_borders(mask, labels)
    for _ in range(0 if drop else sieving.ROUNDS):
        known = {**fates, -1: 0}
        for n in set(small) - set(known):
            lengths = Counter(known[b] for b in borders[n] if b in known)
            if lengths:
                fates[n] = max(lengths, key=lambda v: (lengths[v], v != 0, -v))
    table = np.array([0] + [fates.get(n, 0) for n in range(1, len(values))])
    return np.where(labels > 0, table[labels], mask).astype(np.uint8), len(small)


def fill(mask, hole, row_areas):
    mask = mask.copy()
    labels, count = ndimage.label(mask == 0)
    padded = np.pad(mask, 1, constant_values=255)
    filled = 0
    sizes = np.bincount(labels.ravel(), np.repeat(row_areas, mask.shape[1]), count + 1)
    for n in range(1, count + 1):
        inside = np.pad(labels == n, 1)
        around = np.unique(padded[ndimage.binary_dilation(inside) & ~inside])
        if sizes[n] < hole and len(around) == 1 and around[0] != 255:
            mask[labels == n] = around[0]
            filled += 1
    return mask, filled


def sieve_mask(mask, sieve, heights=(10_000,), confidence=None):
    def cut():
        row = index = 0
        while row < len(mask):
            rows = slice(row, row + heights[index % len(heights)])
            window = Window(row_off=row, col_off=0, height=len(mask[rows]), width=mask.shape[1])
            some = None if confidence is None else confidence[rows].copy()
            yield Strip(window, mask[rows], some, None if some is None else some[None])
            row, index = rows.stop, index + 1

    counts = SieveCounts()
    strips = list(sieve_strips(cut(), sieve, counts))
    assert [s.window.row_off for s in strips] == [
        sum(len(s.values) for s in strips[:i]) for i in range(len(strips))
    ]
    return strips, counts


def join(strips):
    return np.concatenate([strip.values for strip in strips])


@moderate
@given(masks, sieves, heights, st.booleans())
def test_the_mask_is_that_of_the_reference(mask, options, heights, stretched):
    area, hole, drop, eight = options
    row_areas = np.arange(len(mask)) % 3 + 1 if stretched else np.ones(len(mask), int)
    sieve = Sieve(VALUES, row_areas, area, hole, drop, eight)
    strips, counts = sieve_mask(mask, sieve, heights)
    expected, small = dissolve(mask, area, drop, eight, row_areas)
    expected, holes = fill(expected, hole, row_areas)
    assert (join(strips) == expected).all()
    assert (counts.small, counts.holes) == (small, holes)


@moderate
@given(masks, sieves, heights)
def test_confidence_stays_with_the_pixels_that_kept_their_class(mask, options, heights):
    confidence = np.random.default_rng(mask.size).integers(0, 255, mask.shape, np.uint8)
    for scale in (1, np.float32(1 / 254)):
        given_ = confidence * scale if scale != 1 else confidence
        area, hole, drop, eight = options  # with both, a pixel may get its class back
        sieve = Sieve(VALUES, np.ones(len(mask), int), area, 0 if area else hole, drop, eight)
        strips, _ = sieve_mask(mask, sieve, heights, given_)
        same = join(strips) == np.where(np.isin(mask, [*VALUES, 255]), mask, 0)
        found = np.concatenate([strip.confidence for strip in strips])
        scores = np.concatenate([strip.scores for strip in strips], axis=1)
        assert (scores == found).all()
        assert found.dtype == given_.dtype
        assert (found[same] == given_[same]).all()
        assert (found[~same] == (255 if scale == 1 else -1)).all()
