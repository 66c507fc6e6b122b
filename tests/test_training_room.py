"""Room for chips, against the same question asked of every pixel."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from geounet.raster import Window
from geounet.training.data.room import find_origins, find_room, subtract


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
@given(windows(), st.lists(windows(), max_size=3), st.integers(1, 6), st.integers(1, 6))
def test_origins_are_those_of_all_windows_that_touch_no_hole(area, holes, height, width):
    expected = np.zeros((32, 32), int)
    for row in range(area.row_off, area.row_end - height + 1):
        for col in range(area.col_off, area.col_end - width + 1):
            window = Window(row_off=row, col_off=col, height=height, width=width)
            expected[row + 5, col + 5] = all(not window.intersect(hole).area for hole in holes)
    assert (paint(find_origins(area, holes, (height, width))) == expected).all()


@settings(deadline=None, max_examples=100)
@given(windows(least=1), st.lists(windows(), max_size=3), st.integers(1, 8), st.integers(0, 10**6))
def test_chips_lie_in_the_area_and_touch_no_hole(area, holes, chip, number):
    room = find_room(3, area, holes, chip)
    if room is None:
        assert not ((paint([area]) > 0) & (paint(holes) == 0)).any()
        return
    window = room.window(number)
    assert room.scene == 3
    assert window.shape == room.shape
    assert area.contains(window)
    assert not any(window.intersect(hole).area for hole in holes)
    assert max(room.shape) <= chip
    assert room.pixels == ((paint([area]) > 0) & (paint(holes) == 0)).sum()


def test_numbers_count_all_origins():
    area = Window(row_off=2, col_off=3, height=10, width=9)
    hole = Window(row_off=6, col_off=6, height=2, width=2)
    room = find_room(0, area, [hole], 3)
    count = sum(origin.area for origin in room.origins)
    found = {room.window(number) for number in range(count)}
    assert len(found) == count
    assert room.window(count) == room.window(0)


def test_chips_shrink_where_there_is_no_room_for_them():
    area = Window(row_off=0, col_off=0, height=40, width=100)
    hole = Window(row_off=0, col_off=0, height=40, width=80)
    room = find_room(0, area, [hole], 64)
    assert room.shape == (40, 20)
    assert room.origins == (Window(row_off=0, col_off=80, height=1, width=1),)
