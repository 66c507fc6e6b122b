"""Room for chips, against the same question asked of every pixel."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from geounet.raster import Window
from geounet.training.data.room import find_room, subtract


def windows(low=-3, high=14, least=0, most=12):
    return st.builds(
        Window,
        row_off=st.integers(low, high),
        col_off=st.integers(low, high),
        height=st.integers(least, most),
        width=st.integers(least, most),
    )


def paint(pieces, size=32, offset=5):
    hits = np.zeros((size, size), int)
    for piece in pieces:
        rows, cols = piece.slices()
        hits[
            rows.start + offset : rows.stop + offset, cols.start + offset : cols.stop + offset
        ] += 1
    return hits


@settings(deadline=None, max_examples=150)
@given(windows(), st.lists(windows(), max_size=4))
def test_subtract_leaves_each_pixel_outside_the_holes_once(window, holes):
    expected = (paint([window]) > 0) & (paint(holes) == 0)
    assert (paint(subtract(window, holes)) == expected).all()


@settings(deadline=None, max_examples=100)
@given(windows(least=1), st.lists(windows(), max_size=3), st.integers(1, 8), st.integers(0, 10**6))
def test_each_pixel_that_trains_is_the_centre_of_a_chip(area, holes, chip, number):
    free = (paint([area]) > 0) & (paint(holes) == 0)
    room = find_room(3, area, holes, chip, hidden=holes)
    if room is None:
        assert not free.any()
        return
    assert (room.scene, room.hidden) == (3, tuple(holes))
    assert (paint(room.pieces) == free).all()
    assert room.shape == (min(chip, area.height), min(chip, area.width))
    assert room.window(number) == room.window(number % room.pixels)
    expected = sorted(
        place(row - 5, col - 5, area, room.shape) for row, col in np.argwhere(free).tolist()
    )
    found = [room.window(k) for k in range(room.pixels)]
    assert sorted((w.row_off, w.col_off) for w in found) == expected
    assert all(area.contains(window) and window.shape == room.shape for window in found)


def place(row, col, area, shape):
    """The first pixel of the window in the area whose middle is nearest to a pixel."""
    rows = range(area.row_off, area.row_end - shape[0] + 1)
    cols = range(area.col_off, area.col_end - shape[1] + 1)
    return (
        min(rows, key=lambda first: abs(first + shape[0] // 2 - row)),
        min(cols, key=lambda first: abs(first + shape[1] // 2 - col)),
    )


def test_a_window_shows_the_pixel_that_it_is_around():
    area = Window(row_off=-3, col_off=7, height=20, width=31)
    room = find_room(0, area, [], 8)
    for row in range(area.row_off, area.row_end):
        for col in range(area.col_off, area.col_end):
            window = room.window_around(row, col)
            assert area.contains(window)
            assert window.contains(Window(row_off=row, col_off=col, height=1, width=1))
