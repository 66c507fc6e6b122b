"""Rounded corners: shared by neighbours, near the raw borders, the same whatever the strips."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from regions import connectivities, heights, join, masks, polygonize

from geounet.vector.boundaries.outlines import Outlines

PIXELS = Affine.identity()

moderate = settings(deadline=None, max_examples=50)
tolerances = st.sampled_from([0.0, 1.0, 2.0, 5.0, 40.0])


@moderate
@given(masks, connectivities, tolerances, heights)
def test_smooth_neighbours_share_their_borders(mask, connectivity, tolerance, heights):
    outlines = Outlines(tolerance, smooth=True)
    raw = polygonize(mask, connectivity, transform=PIXELS)
    smooth, strips = (
        polygonize(mask, connectivity, transform=PIXELS, outlines=outlines, **arguments)
        for arguments in ({}, {"heights": heights})
    )
    geometries = join(smooth, "geometries")
    assert (join(raw, "pixels") == join(smooth, "pixels")).all()
    assert shapely.is_valid(geometries).all()
    if len(geometries):
        assert shapely.coverage_is_valid(geometries)
    assert (
        shapely.to_wkb(join(strips, "geometries")).tolist() == shapely.to_wkb(geometries).tolist()
    )


@moderate
@given(masks, connectivities, tolerances)
def test_smooth_borders_stay_within_the_tolerance(mask, connectivity, tolerance):
    outlines = Outlines(tolerance, smooth=True)
    raw = join(polygonize(mask, connectivity, transform=PIXELS), "geometries")
    smooth = join(polygonize(mask, connectivity, transform=PIXELS, outlines=outlines), "geometries")
    for before, after in zip(raw, smooth, strict=True):
        points = shapely.points(shapely.get_coordinates(after))
        farthest = shapely.distance(points, before.boundary).max()
        assert farthest <= max(tolerance, 1) + 1 / 256


@pytest.mark.parametrize("value", [0, 2])
def test_an_island_in_a_corner_stays_inside(value):
    mask = np.zeros((80, 80), np.uint8)
    mask[5:70, 5:70] = 1
    mask[7:9, 7:9] = value
    outlines = Outlines(12, smooth=True)
    geometries = join(polygonize(mask, transform=PIXELS, outlines=outlines), "geometries")
    assert shapely.is_valid(geometries).all()
    assert shapely.coverage_is_valid(geometries)
    assert shapely.get_num_interior_rings(geometries).tolist()[-1] == 1


@pytest.mark.parametrize("depth", [8, 10, 14])
def test_a_slot_beside_a_corner_is_not_crossed(depth):
    mask = np.zeros((80, 80), np.uint8)
    mask[5:70, 5:70] = 1
    mask[7:9, 5 : 5 + depth] = 0
    outlines = Outlines(12, smooth=True)
    (polygon,) = join(polygonize(mask, transform=PIXELS, outlines=outlines), "geometries")
    assert polygon.is_valid


def test_a_disc_is_round():
    rows, cols = np.indices((100, 100))
    mask = (np.hypot(rows - 49.5, cols - 49.5) < 40).astype(np.uint8)
    outlines = Outlines(smooth=True)
    (disc,) = join(polygonize(mask, transform=PIXELS, outlines=outlines), "geometries")
    points = shapely.get_coordinates(disc)
    assert (abs(np.hypot(*(points - 50).T) - 40) < 1).all()
    steps = np.diff(points, axis=0)
    turns = np.diff(np.unwrap(np.arctan2(steps[:, 1], steps[:, 0])))
    assert abs(turns).max() < np.radians(30)
