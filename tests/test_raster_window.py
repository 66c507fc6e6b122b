import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geounet.raster import Window, mirror_indices

offsets = st.integers(-50, 50)
sizes = st.integers(0, 40)
windows = st.builds(Window, row_off=offsets, col_off=offsets, height=sizes, width=sizes)


def pixels(window):
    return {
        (row, col)
        for row in range(window.row_off, window.row_end)
        for col in range(window.col_off, window.col_end)
    }


@given(windows, windows)
def test_intersection_is_the_pixels_in_both(one, other):
    assert pixels(one.intersect(other)) == pixels(one) & pixels(other)
    assert one.contains(other) == (pixels(other) <= pixels(one))


@given(windows, windows)
def test_relative_windows_hold_the_same_pixels(one, origin):
    shifted = {(r - origin.row_off, c - origin.col_off) for r, c in pixels(one)}
    assert pixels(one.relative_to(origin)) == shifted


@given(windows, st.integers(0, 9))
def test_pad_is_undone_by_its_negative(window, by):
    padded = window.pad(by)
    assert padded.contains(window)
    assert padded.shape == (window.height + 2 * by, window.width + 2 * by)
    assert padded.pad(-by) == window


@given(windows, st.integers(1, 20))
def test_aligned_is_the_smallest_window_on_multiples(window, multiple):
    aligned = window.aligned(multiple)
    edges = np.array([aligned.row_off, aligned.row_end, aligned.col_off, aligned.col_end])
    assert (edges % multiple == 0).all()
    outside = [
        window.row_off - aligned.row_off,
        aligned.row_end - window.row_end,
        window.col_off - aligned.col_off,
        aligned.col_end - window.col_end,
    ]
    assert all(0 <= distance < multiple for distance in outside)


@given(windows, st.integers(1, 25), st.integers(1, 25))
def test_blocks_partition_the_window(window, height, width):
    hits = np.zeros(window.shape, int)
    for block in window.blocks(height, width):
        assert 0 < block.height <= height
        assert 0 < block.width <= width
        hits[block.relative_to(window).slices()] += 1
    assert (hits == 1).all()


@given(st.integers(2, 30), st.integers(0, 100), st.integers(0, 100))
def test_mirror_indices_are_numpy_reflect(size, before, after):
    expected = np.pad(np.arange(size), (before, after), mode="reflect")
    np.testing.assert_array_equal(mirror_indices(-before, size + after, size), expected)


@given(st.integers(-30, 30), st.integers(0, 30), st.integers(1, 12))
def test_mirror_indices_of_any_stretch_are_a_stretch_of_the_mirrored_axis(start, length, size):
    whole = mirror_indices(-30, 60, size)
    stretch = mirror_indices(start, start + length, size)
    np.testing.assert_array_equal(stretch, whole[start + 30 : start + 30 + length])
    assert ((stretch >= 0) & (stretch < size)).all()


@pytest.mark.parametrize("shape", [(-1, 3), (3, -1)])
def test_no_negative_size(shape):
    with pytest.raises(ValueError, match="cannot be"):
        Window(row_off=0, col_off=0, height=shape[0], width=shape[1])
