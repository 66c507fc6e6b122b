import math

import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS, Geod

from geounet.errors import InputError
from geounet.raster import Grid, SensorModel, Window, pixel_grid

UTM = CRS("EPSG:32633")
WGS = CRS("EPSG:4326")

transforms = st.builds(
    lambda x, y, angle, size, flip: (
        Affine.translation(x, y) @ Affine.rotation(angle) @ Affine.scale(size, flip * size)
    ),
    st.floats(-1e6, 1e6),
    st.floats(-1e6, 1e6),
    st.sampled_from([0.0, 90.0, 180.0, 33.0]),
    st.sampled_from([1e-5, 0.3, 10.0, 1000.0]),
    st.sampled_from([-1, 1]),
)
grids = st.builds(Grid, st.integers(1, 500), st.integers(1, 500), transforms, st.just(UTM))


@st.composite
def grids_with_window(draw):
    grid = draw(grids)
    row_off = draw(st.integers(0, grid.height - 1))
    col_off = draw(st.integers(0, grid.width - 1))
    window = Window(
        row_off=row_off,
        col_off=col_off,
        height=draw(st.integers(1, grid.height - row_off)),
        width=draw(st.integers(1, grid.width - col_off)),
    )
    return grid, window


@given(grids_with_window())
def test_bounds_of_a_window_give_back_the_window(pair):
    grid, window = pair
    found = grid.window_of(grid.bounds(window))
    assert found.contains(window)
    a, b, _, d, e, _ = grid.transform[:6]
    if min(abs(a), abs(b)) + min(abs(d), abs(e)) < 1e-9 * grid.pixel_size:  # edges along the axes
        assert found == window


@given(grids_with_window())
def test_a_crop_is_where_its_pixels_are(pair):
    grid, window = pair
    crop = grid.crop(window)
    assert crop.shape == window.shape
    assert crop.crs == grid.crs
    for row, col in [(0, 0), (window.height, window.width), (1, 0)]:
        inside = crop.transform @ (col, row)
        outside = grid.transform @ (col + window.col_off, row + window.row_off)
        assert math.dist(inside, outside) <= 1e-6 * grid.pixel_size + 1e-8


@given(grids, st.floats(-3, 3), st.floats(-3, 3))
def test_grids_match_up_to_a_hundredth_of_a_pixel(grid, cols, rows):
    moved = Grid(grid.height, grid.width, grid.transform @ Affine.translation(cols, rows), grid.crs)
    assert grid.offset_px(moved) == pytest.approx(math.hypot(cols, rows), abs=1e-3)
    if abs(math.hypot(cols, rows) - 0.01) > 2e-3:
        assert grid.matches(moved) == (math.hypot(cols, rows) < 0.01)


def test_grids_of_other_size_or_crs_do_not_match():
    grid = Grid(3, 4, Affine.scale(2, -2), UTM)
    assert grid.matches(Grid(3, 4, Affine.scale(2, -2), CRS("EPSG:32633")))
    assert not grid.matches(Grid(4, 3, Affine.scale(2, -2), UTM))
    assert not grid.matches(Grid(3, 4, Affine.scale(2, -2), WGS))
    assert not grid.matches(Grid(3, 4, Affine.scale(2, -2)))


def test_bounds_touching_part_of_a_pixel_take_it_whole():
    grid = Grid(10, 20, Affine(2, 0, 100, 0, -2, 50), UTM)
    assert grid.bounds() == (100, 30, 140, 50)
    window = grid.window_of((103, 43, 105, 47))
    assert window == Window(row_off=1, col_off=1, height=3, width=2)


@pytest.mark.parametrize("bounds", [(0, 0, 99, 99), (140, 30, 150, 50), (100, 0, 140, 30)])
def test_bounds_outside_are_an_error(bounds):
    grid = Grid(10, 20, Affine(2, 0, 100, 0, -2, 50), UTM)
    with pytest.raises(InputError, match=r"outside the raster \(100, 30, 140, 50\)"):
        grid.window_of(bounds)


def test_pixel_size_in_metres():
    assert pixel_grid(3, 4).pixel_size_m is None
    assert Grid(3, 4, Affine.scale(0.5, -0.5), UTM).pixel_size_m == pytest.approx(0.5)
    feet = Grid(3, 4, Affine.scale(3, -3), CRS("EPSG:2263"))
    assert feet.pixel_size_m == pytest.approx(3 * 0.3048006096)
    degrees = Grid(2, 2, Affine(1e-3, 0, 15, 0, -1e-3, 60.001), WGS)
    geod = Geod(ellps="WGS84")
    _, _, wide = geod.inv(15, 59.9995, 15.001, 59.9995)
    _, _, high = geod.inv(15, 59.999, 15, 60.0)
    assert degrees.metres_per_unit is None
    assert degrees.pixel_size_m == pytest.approx(math.sqrt(wide * high), rel=1e-4)


@pytest.mark.parametrize("crs", ["EPSG:3857+5773", "+proj=merc +ellps=bessel +towgs84=1,2,3"])
def test_heights_and_datum_shifts_leave_mercator_stretched(crs):
    north = Affine(10, 0, 1e6, 0, -10, 5.5e6)
    plain = Grid(2, 2, north, CRS("EPSG:3857"))
    assert Grid(2, 2, north, CRS(crs)).pixel_size_m == pytest.approx(plain.pixel_size_m, rel=0.01)
    assert plain.pixel_size_m == pytest.approx(10 * math.cos(math.radians(44.2)), rel=0.01)


@pytest.mark.parametrize(
    "crs", ["EPSG:32633+5773", "+proj=utm +zone=33 +ellps=bessel +towgs84=1,2,3"]
)
def test_heights_and_datum_shifts_leave_utm_true(crs):
    assert Grid(3, 4, Affine.scale(0.5, -0.5), CRS(crs)).metres_per_unit == 1


def test_metres_from_the_middle_of_the_earth_are_no_lengths_on_the_ground():
    assert Grid(3, 4, Affine.scale(0.5, -0.5), CRS("EPSG:4978")).metres_per_unit is None


def test_an_image_has_pixel_coordinates():
    grid = pixel_grid(30, 40)
    assert grid.bounds() == (0, 0, 40, 30)
    assert grid.window_of((10, 5, 20, 7)) == Window(row_off=5, col_off=10, height=2, width=10)
    assert not grid.is_georeferenced


def test_rpcs_move_with_a_crop():
    sensor = SensorModel(rpcs=(("LINE_OFF", "1000.5"), ("LINE_SCALE", "9"), ("SAMP_OFF", "700")))
    grid = Grid(30, 40, Affine.identity(), sensor=sensor)
    moved = grid.crop(Window(row_off=10, col_off=20, height=5, width=5)).sensor
    assert dict(moved.rpcs) == {"LINE_OFF": "990.5", "LINE_SCALE": "9", "SAMP_OFF": "680.0"}


def test_no_empty_grid():
    for shape in [(0, 3), (3, 0)]:
        with pytest.raises(ValueError, match="cannot be"):
            pixel_grid(*shape)
