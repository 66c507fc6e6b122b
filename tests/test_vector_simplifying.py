"""Simplified borders: shared, near the raw ones, and the same whatever the strips."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS, Geod
from regions import connectivities, heights, join, make_mask, masks, polygonize
from scipy import ndimage

from geounet.raster import Grid, Window
from geounet.vector import PolygonizeOptions, Polygonizer
from geounet.vector.boundaries.clearance import FREE, JUNCTION, STEPS, find_clearances
from geounet.vector.boundaries.outlines import Outlines, make_outlines
from geounet.vector.boundaries.scaling import longest_pixel_m
from geounet.vector.boundaries.sieving import SieveCounts, make_sieve, sieve_strips
from geounet.vector.masks import Strip

PIXELS = Affine.identity()
VALUES = (1, 2, 3, 4)

moderate = settings(deadline=None, max_examples=100)
tolerances = st.sampled_from([0.3, 0.7, 1.0, 1.5, 2.5, 4.0, 8.0, 40.0])


@moderate
@given(masks, connectivities, tolerances)
def test_neighbours_share_their_borders_and_none_is_lost(mask, connectivity, tolerance):
    raw = polygonize(mask, connectivity, transform=PIXELS)
    simplified = polygonize(mask, connectivity, transform=PIXELS, outlines=Outlines(tolerance))
    for name in ("values", "pixels"):
        assert (join(raw, name) == join(simplified, name)).all()
    geometries = join(simplified, "geometries")
    assert shapely.is_valid(geometries).all()
    if len(geometries):
        assert shapely.coverage_is_valid(geometries)
    before, after = (shapely.get_parts(join(b, "geometries")) for b in (raw, simplified))
    assert (shapely.get_num_interior_rings(before) == shapely.get_num_interior_rings(after)).all()
    assert all(shell.is_ccw for shell in shapely.get_exterior_ring(after))


def clean(mask, options, heights):
    """Geometries of a mask without CRS, cut into strips of these heights again and again."""
    grid = Grid(*mask.shape, PIXELS)
    rows = np.cumsum([0, *(heights * len(mask))])
    strips = (
        Strip(
            grid.extent.intersect(
                Window(row_off=int(row), col_off=0, height=height, width=grid.width)
            ),
            mask[row:][:height],
            None,
            None,
        )
        for row, height in zip(rows, heights * len(mask), strict=False)
        if row < len(mask)
    )
    sieve = make_sieve(options, grid, VALUES)
    strips = strips if sieve is None else sieve_strips(strips, sieve, SieveCounts())
    outlines = make_outlines(options, grid)
    polygonizer = Polygonizer(
        grid.width, PIXELS, VALUES, connectivity=options.connectivity, outlines=outlines
    )
    batches = [polygonizer.add(strip.values) for strip in strips]
    return join([*batches, polygonizer.finish()], "geometries")


@settings(deadline=None, max_examples=40)
@given(
    masks,
    heights,
    st.builds(
        PolygonizeOptions,
        connectivity=connectivities,
        min_area_m2=st.integers(0, 30),
        min_hole_m2=st.integers(0, 30),
        simplify_m=tolerances,
        smooth=st.booleans(),
        regularize=st.booleans(),
    ),
)
def test_all_cleaning_together_leaves_neither_gap_nor_overlap(mask, heights, options):
    raw = clean(mask, replace(options, simplify_m=0, smooth=False, regularize=False), heights)
    whole, cleaned = clean(mask, options, [len(mask)]), clean(mask, options, heights)
    assert shapely.to_wkb(cleaned).tolist() == shapely.to_wkb(whole).tolist()
    assert len(cleaned) == len(raw)
    assert shapely.is_valid(cleaned).all()
    if len(cleaned):
        assert shapely.coverage_is_valid(cleaned)
    one, other = shapely.STRtree(cleaned).query(cleaned)
    assert not shapely.relate_pattern(cleaned[one], cleaned[other], "T********")[one < other].any()


@moderate
@given(masks, connectivities, tolerances, heights)
def test_strips_never_show(mask, connectivity, tolerance, heights):
    whole, strips = (
        polygonize(mask, connectivity, transform=PIXELS, outlines=Outlines(tolerance), **arguments)
        for arguments in ({}, {"heights": heights})
    )
    expected, found = (shapely.to_wkb(join(b, "geometries")).tolist() for b in (whole, strips))
    assert found == expected


@moderate
@given(masks, connectivities, tolerances)
def test_borders_stay_within_the_tolerance(mask, connectivity, tolerance):
    raw = join(polygonize(mask, connectivity, transform=PIXELS), "geometries")
    batches = polygonize(mask, connectivity, transform=PIXELS, outlines=Outlines(tolerance))
    for before, after in zip(raw, join(batches, "geometries"), strict=True):
        vertices = shapely.points(shapely.get_coordinates(after))
        assert shapely.distance(vertices, before.boundary).max() == 0
        old = shapely.points(shapely.get_coordinates(shapely.segmentize(before, 1.0)))
        assert shapely.distance(old, after.boundary).max() <= tolerance + 1e-9


@moderate
@given(masks, connectivities)
def test_no_tolerance_changes_nothing(mask, connectivity):
    raw, zero = polygonize(mask, connectivity), polygonize(mask, connectivity, outlines=Outlines(0))
    expected, found = (shapely.to_wkb(join(b, "geometries")).tolist() for b in (raw, zero))
    assert found == expected


@pytest.mark.parametrize(
    ("mask", "tolerance"),
    [
        ((1673370908, 21, 40, 2, 0.7), 15),
        ((499936750, 40, 59, 2, 0.7), 8),
        ((1358357910, 36, 56, 2, 2.0), 8),
    ],
    ids=str,
)
def test_winding_borders_do_not_cross_themselves(mask, tolerance):
    """Masks whose borders do, if nobody looks."""
    outlines = Outlines(tolerance)
    batches = polygonize(make_mask(*mask), transform=PIXELS, outlines=outlines)
    assert shapely.is_valid(join(batches, "geometries")).all()


@pytest.mark.parametrize("size", [1, 2, 3])
def test_islands_smaller_than_the_tolerance_keep_their_area(size):
    mask = np.ones((40, 40), np.uint8)
    mask[18 : 18 + size, 18 : 18 + size] = 2
    geometries = join(polygonize(mask, transform=PIXELS, outlines=Outlines(10)), "geometries")
    assert shapely.coverage_is_valid(geometries)
    assert geometries[0].area == pytest.approx(size**2, rel=0.2)


def test_a_slanting_wall_is_a_line_even_in_a_narrow_gap():
    rows, cols = np.indices((60, 200))
    height = rows - cols / 7
    mask = np.where(height < 15, 1, np.where(height > 17, 2, 0)).astype(np.uint8)
    mask[:, :3] = mask[:, -3:] = 0
    raw = join(polygonize(mask, transform=PIXELS), "geometries")
    simplified = join(polygonize(mask, transform=PIXELS, outlines=Outlines(1.5)), "geometries")
    assert (shapely.get_num_coordinates(raw) > 50).all()
    assert (shapely.get_num_coordinates(simplified) < 12).all()


def test_a_junction_stays_though_one_side_is_straight():
    mask = np.array([[1] * 20] * 10 + [[2] * 9 + [3] * 11] * 10, np.uint8)
    geometries = join(polygonize(mask, transform=PIXELS, outlines=Outlines(3)), "geometries")
    assert (9, 10) in list(geometries[0].exterior.coords)
    assert shapely.coverage_is_valid(geometries)


def test_coordinates_of_corners_are_those_of_raw_polygons():
    transform = Affine(0.3, 0.0, 400_000.1, 0.0, -0.3, 5_100_000.7)
    mask = np.zeros((40, 50), np.uint8)
    mask[7:19, 23:41] = 1
    raw, simplified = (
        join(polygonize(mask, transform=transform, outlines=Outlines(t)), "geometries")[0]
        for t in (0, 1)
    )
    assert set(simplified.exterior.coords) == set(raw.exterior.coords)


class Lattice:
    """Points of a mask at odd places, edges of its borders beside them."""

    def __init__(self, mask):
        padded = np.pad(mask, 1, constant_values=255)
        self.edges = np.zeros((2 * mask.shape[0] + 3, 2 * mask.shape[1] + 3), bool)
        self.edges[1:-1:2, 2:-1:2] = padded[1:, 1:-1] != padded[:-1, 1:-1]
        self.edges[2:-1:2, 1:-1:2] = padded[1:-1, 1:] != padded[1:-1, :-1]
        count = ndimage.convolve(self.edges.astype(int), [[0, 1, 0], [1, 0, 1], [0, 1, 0]])
        odd = np.zeros_like(self.edges)
        odd[1::2, 1::2] = True
        self.points, self.junctions = odd & (count > 0), odd & (count > 2)

    def measure(self, row, col, reach):
        """The clearance of a point, by labels of the borders in the square around it."""
        y, x = 2 * row + 1, 2 * col + 1
        if not self.points[y, x]:
            return FREE
        if self.junctions[y, x]:
            return JUNCTION
        rows, cols = np.indices(self.edges.shape)
        near = (abs(rows - y) <= 2 * reach) & (abs(cols - x) <= 2 * reach)
        labels, _ = ndimage.label((self.edges | self.points) & ~self.junctions & near)
        foreign = self.points & near & (labels != labels[y, x])
        distance = (np.hypot(rows - y, cols - x)[foreign] / 2).min(initial=np.inf)
        return int(STEPS * distance + 1e-9) if distance <= reach else FREE

    def beside(self, row, col):
        """Points next to one on a border, but for junctions."""
        y, x = 2 * row + 1, 2 * col + 1
        for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            is_joined = self.edges[y + down, x + right]
            if is_joined and not self.junctions[y + 2 * down, x + 2 * right]:
                yield row + down, col + right


@settings(deadline=None, max_examples=100)
@given(masks, st.integers(1, 5), st.data())
def test_clearance_is_the_distance_to_what_is_not_connected(mask, reach, data):
    """At a point, or beside it on its border if that is less."""
    mask = np.where(mask == 0, 255, mask)
    rows = np.pad(mask, ((reach + 3, reach + 4), (0, 0)), constant_values=255)
    found = find_clearances(rows, reach, len(mask) + 1) & FREE
    lattice = Lattice(mask)
    row = data.draw(st.integers(0, mask.shape[0]))
    col = data.draw(st.integers(0, mask.shape[1]))
    expected = lattice.measure(row, col, reach)
    if expected != JUNCTION:
        around = [lattice.measure(*point, reach) for point in lattice.beside(row, col)]
        expected = min([expected, *around])
    assert found[row, col] == expected


@pytest.mark.parametrize(
    ("code", "transform", "expected"),
    [
        (32633, Affine(0.5, 0, 5e5, 0, -2, 5e6), 2),
        (32633, Affine.translation(5e5, 5e6) @ Affine.rotation(30) @ Affine.scale(0.5, -0.5), 0.5),
        (2263, Affine(10, 0, 1e6, 0, -10, 2e5), 10 * 1200 / 3937),
        (None, Affine.identity(), 1),
    ],
)
def test_pixels_are_measured_in_metres(code, transform, expected):
    crs = None if code is None else CRS.from_epsg(code)
    assert longest_pixel_m(Grid(40, 30, transform, crs)) == pytest.approx(expected)


@pytest.mark.parametrize("lat", [0, 60])
def test_pixels_in_degrees_are_as_long_as_the_longest(lat):
    transform = Affine(1e-4, 0, 10, 0, -1e-4, lat + 0.0015)
    grid = Grid(30, 30, transform, CRS.from_epsg(4326))
    geod = Geod(ellps="WGS84")
    across = geod.inv(10, lat, 10.0001, lat)[2]
    along = geod.inv(10, lat, 10, lat + 0.0001)[2]
    assert longest_pixel_m(grid) == pytest.approx(max(across, along), rel=1e-4)
