"""Outlines with right angles: same area, nearly the same place, never over a neighbour."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio.features
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS
from regions import connectivities, heights, join, masks, polygonize
from shapely.affinity import rotate, scale

from geounet.raster import Grid
from geounet.vector.boundaries import room
from geounet.vector.boundaries.outlines import Outlines

PIXELS = Affine.identity()
L_SHAPE = shapely.Polygon([(50, 50), (120, 50), (120, 80), (90, 80), (90, 120), (50, 120)])


def burn(*polygons, shape=(200, 200)):
    return rasterio.features.rasterize([(p, 1) for p in polygons], shape, dtype="uint8")


def square(mask, tolerance=0, **options):
    outlines = Outlines(tolerance, squared=Grid(*mask.shape, PIXELS))
    return join(polygonize(mask, transform=PIXELS, outlines=outlines, **options), "geometries")


def find_angles(polygon):
    """Angles between edges in a row, modulo 90 degrees, from -45 to 45."""
    steps = np.diff(shapely.get_coordinates(polygon.exterior), axis=0)
    directions = np.degrees(np.arctan2(*np.vstack([steps, steps[:1]]).T))
    return (np.diff(directions) + 45) % 90 - 45


@settings(deadline=None, max_examples=30)
@given(st.floats(0, 90), st.floats(20, 60), st.floats(20, 60))
def test_a_turned_rectangle_is_found_again(angle, height, width):
    building = rotate(shapely.box(100 - width, 100 - height, 100 + width, 100 + height), angle)
    mask = burn(building, shape=(260, 260))
    (found,) = square(mask)
    assert len(found.exterior.coords) == 5
    assert find_angles(found) == pytest.approx(0, abs=1e-6)
    assert found.area == pytest.approx(mask.sum())
    assert found.intersection(building).area / found.union(building).area > 0.95


@pytest.mark.parametrize("angle", [0, 17, 45, 80])
def test_an_l_keeps_its_corners(angle):
    (found,) = square(burn(rotate(L_SHAPE, angle)))
    assert len(found.exterior.coords) == 7
    assert find_angles(found) == pytest.approx(0, abs=1e-6)


def test_what_is_not_square_stays_as_it_is():
    rows, cols = np.indices((100, 100))
    triangle = ((rows > 20) & (rows < 80) & (abs(cols - 50) < (rows - 20) / 2)).astype(np.uint8)
    raw = join(polygonize(triangle, transform=PIXELS), "geometries")
    assert square(triangle)[0].equals(raw[0])


def test_buildings_that_share_a_wall_or_touch_the_edge_stay_as_they_are():
    mask = burn(rotate(shapely.box(40, 40, 80, 100), 20), shape=(140, 140))
    rows, _ = np.indices(mask.shape)
    mask[(mask == 1) & (rows > 70)] = 2
    cut = burn(rotate(shapely.box(-20, 40, 80, 100), 20), shape=(140, 140))
    for some in (mask, cut):
        raw = join(polygonize(some, transform=PIXELS), "geometries")
        assert all(a.equals(b) for a, b in zip(square(some), raw, strict=True))


def test_holes_stay():
    mask = burn(rotate(shapely.box(40, 40, 120, 120), 20))
    mask[75:85, 75:85] = 0
    (found,) = square(mask)
    assert len(found.exterior.coords) == 5
    assert found.area == pytest.approx(mask.sum())
    assert found.interiors[0].envelope.area == 100


@settings(deadline=None, max_examples=100)
@given(masks, connectivities, heights, st.sampled_from([0, 1.5, 4]), st.booleans())
def test_no_two_overlap_whatever_the_mask(mask, connectivity, heights, tolerance, smooth):
    outlines = Outlines(tolerance, smooth, Grid(*mask.shape, PIXELS))
    whole, strips = (
        polygonize(mask, connectivity, transform=PIXELS, outlines=outlines, **arguments)
        for arguments in ({}, {"heights": heights})
    )
    geometries = join(whole, "geometries")
    assert shapely.is_valid(geometries).all()
    if len(geometries):
        assert shapely.coverage_is_valid(geometries)
    assert (
        shapely.to_wkb(join(strips, "geometries")).tolist() == shapely.to_wkb(geometries).tolist()
    )


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_a_crowd_of_buildings_does_not_overlap(seed):
    rng = np.random.default_rng(seed)
    buildings = [
        rotate(shapely.box(x, y, x + rng.uniform(10, 40), y + rng.uniform(10, 40)), angle)
        for x, y, angle in rng.uniform(0, (170, 170, 90), (12, 3))
    ]
    mask = burn(*buildings)
    raw = join(polygonize(mask, transform=PIXELS), "geometries")
    found = square(mask)
    assert shapely.is_valid(found).all()
    assert shapely.coverage_is_valid(found)
    assert shapely.area(found) == pytest.approx(shapely.area(raw), rel=0.05)
    common = shapely.area(shapely.intersection(raw, found))
    assert (common >= 0.85 * (shapely.area(raw) + shapely.area(found) - common)).all()


@pytest.mark.parametrize("seed", [64, 93, 150])
def test_a_row_of_ragged_buildings_does_not_overlap(seed):
    """Rows that do, if nobody looks."""
    rng = np.random.default_rng(seed)
    angle, mask = rng.uniform(0, 90), np.zeros((120, 120), np.uint8)
    for x in range(20, 100, 14):
        building = shapely.box(x, 20, x + rng.uniform(11, 13.4), 20 + rng.uniform(30, 80))
        mask |= burn(rotate(building, angle, origin=(60, 60)), shape=mask.shape)
    mask[rng.random(mask.shape) < 0.02] ^= 1
    found = square(mask, tolerance=float(rng.choice([0, 2, 4])))
    assert shapely.is_valid(found).all()
    assert shapely.coverage_is_valid(found)


@pytest.mark.parametrize(("radius", "east"), [(8, 44), (12, 44), (16, 42)])
def test_walls_give_way_to_a_neighbour(radius, east):
    """The right angles of a building with round corners come too near to it."""
    house = shapely.box(48, 48, 112, 152).buffer(-radius).buffer(radius)
    shed = shapely.box(15, 40, east, 75)
    mask = burn(*(rotate(building, 20, origin=(100, 100)) for building in (house, shed)))
    found = square(mask)
    assert shapely.coverage_is_valid(found)
    assert [len(polygon.exterior.coords) for polygon in found] == [5, 5]
    assert shapely.area(found).sum() == pytest.approx(mask.sum(), rel=0.05)


@pytest.mark.parametrize(("depth", "island", "tolerance"), [(1, 1, 0), (3, 1, 0), (2, 2, 3)])
def test_what_lies_in_a_pocket_is_not_taken_in(depth, island, tolerance):
    """An outline without the pocket has right angles, too."""
    mask = np.zeros((50, 50), np.uint8)
    mask[10:40, 10:40] = 1
    mask[10 : 10 + depth, 25] = 0
    mask[10 + depth : 14 + depth, 23:27] = 0
    (alone,) = square(mask, tolerance)
    assert len(alone.exterior.coords) == 5
    mask[13 + depth - island : 13 + depth, 24 : 24 + island] = 2
    found = square(mask, tolerance)
    assert shapely.is_valid(found).all()
    assert not shapely.relate_pattern(*found, "T********")
    assert shapely.coverage_is_valid(found)


@pytest.mark.parametrize(("west", "east"), [(0.9, 11.7), (0.6, 11.55), (-1.9, 11.99), (1, 11)])
def test_no_crossing_is_marked_outside_of_the_row(monkeypatch, west, east):
    """Compiled code would write beyond the array; Python refuses."""
    square = np.array([(1, 1), (1, 11), (11, 11), (11, 1)], float)
    moved = np.array([(1, west), (1, east), (11, east), (11, west)])
    monkeypatch.setattr(room, "_mark_crossings", room._mark_crossings.py_func)
    assert room._has_room_between.py_func(room._Ring(square, np.full(4, 5.0), 5.0), moved)


def test_angles_are_right_on_the_ground():
    """At 60 degrees north a degree of longitude is half as long as one of latitude."""
    transform = Affine(2e-6, 0, 10, 0, -1e-6, 60)
    grid = Grid(200, 200, transform, CRS.from_epsg(4326))
    mask = burn(rotate(shapely.box(60, 60, 120, 140), 30))
    outlines = Outlines(squared=grid)
    (found,) = join(polygonize(mask, transform=transform, outlines=outlines), "geometries")
    assert len(found.exterior.coords) == 5
    on_ground = scale(found, np.cos(np.radians(60)) * 1.0025, 1)  # the ellipsoid's share
    assert find_angles(on_ground) == pytest.approx(0, abs=0.1)
