from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasters import read_raster, write_raster

from geounet.raster.overviews import reduce_average, reduce_mode, write_overviews

even = st.tuples(st.integers(1, 5), st.integers(1, 5)).map(lambda s: (2 * s[0], 2 * s[1]))
masks = even.flatmap(lambda s: arrays(np.uint8, s, elements=st.sampled_from([0, 1, 2, 3, 255])))


def squares(pixels):
    """((row, col) of the result, its four pixels row by row)."""
    for row, col in np.ndindex(pixels.shape[0] // 2, pixels.shape[1] // 2):
        yield (row, col), pixels[2 * row : 2 * row + 2, 2 * col : 2 * col + 2].ravel().tolist()


@given(masks)
def test_mode_is_the_commonest_value_that_is_data(mask):
    before = mask.copy()
    reduced = reduce_mode(mask, 255)
    for place, values in squares(mask):
        data = [value for value in values if value != 255]
        expected = Counter(data).most_common(1)[0][0] if data else 255  # the first of equals
        assert reduced[place] == expected
    np.testing.assert_array_equal(mask, before)


@given(masks)
def test_mode_without_nodata_takes_all_values_alike(mask):
    reduced = reduce_mode(mask, None)
    for place, values in squares(mask):
        assert reduced[place] == Counter(values).most_common(1)[0][0]


@given(masks)
def test_average_is_the_mean_of_data(mask):
    reduced = reduce_average(mask, 255)
    assert reduced.dtype == np.uint8
    for place, values in squares(mask):
        data = [value for value in values if value != 255]
        assert reduced[place] == (np.rint(np.mean(data)) if data else 255)


@pytest.mark.parametrize("nodata", [np.nan, -1.0])
def test_average_of_floats(nodata):
    pixels = np.random.default_rng(0).random((2, 6, 8)).astype("float32")
    pixels[0, :3, :3] = nodata
    reduced = reduce_average(pixels, nodata)
    assert reduced.dtype == np.float32
    data = np.where(pixels == nodata, np.nan, pixels).astype("float64")
    blocks = data.reshape(2, 3, 2, 4, 2).transpose(0, 1, 3, 2, 4).reshape(2, 3, 4, 4)
    counts = np.isfinite(blocks).sum(axis=-1)
    expected = np.nansum(blocks, axis=-1) / np.where(counts, counts, 1)
    expected[counts == 0] = nodata
    np.testing.assert_allclose(reduced, expected, rtol=1e-6)


def test_overviews_halve_down_to_one_block(tmp_path):
    mask = np.random.default_rng(0).integers(0, 4, (1, 1500, 2049)).astype("uint8")
    path = write_raster(tmp_path / "a.tif", mask, nodata=255)
    paths = write_overviews(path, tmp_path, "mode")
    assert len(paths) == 3
    expected = mask
    for made in paths:
        odd = [(0, 0)] + [(0, size % 2) for size in expected.shape[1:]]
        expected = reduce_mode(np.pad(expected, odd, "edge"), 255)
        np.testing.assert_array_equal(read_raster(made), expected)
    assert expected.shape == (1, 188, 257)
