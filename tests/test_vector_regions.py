"""Regions and their polygons against scipy's labels and GDAL's rasterizer, whatever the strips."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import rasterio.features
import shapely
from affine import Affine
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rasters import UTM
from regions import connectivities, heights, join, masks, polygonize
from scipy import ndimage

from geounet.vector import Polygonizer

TRANSFORMS = {
    "north up": UTM,
    "south up": Affine(0.5, 0.0, 500_000.0, 0.0, 0.5, 5_000_000.0),
    "rotated": Affine.rotation(30) @ Affine.scale(2.0, -2.0),
    "pixels": Affine.identity(),
}
EIGHT = np.ones((3, 3), int)

moderate = settings(deadline=None, max_examples=150)


@moderate
@given(masks, connectivities)
def test_regions_are_those_of_scipy(mask, connectivity):
    batches = polygonize(mask, connectivity)
    values, pixels = join(batches, "values"), join(batches, "pixels")
    for value in range(1, 6):
        labels, count = ndimage.label(mask == value, EIGHT if connectivity == 8 else None)
        assert (values == value).sum() == count
        assert sorted(pixels[values == value]) == sorted(np.bincount(labels.ravel())[1:])


@moderate
@given(masks, connectivities, st.sampled_from(sorted(TRANSFORMS)))
def test_polygons_are_valid_and_partition_the_wanted_pixels(mask, connectivity, name):
    transform = TRANSFORMS[name]
    batches = polygonize(mask, connectivity, transform=transform)
    values, geometries = join(batches, "values"), join(batches, "geometries")
    assert shapely.is_valid(geometries).all()
    areas = shapely.area(geometries) / abs(transform.determinant)
    assert areas == pytest.approx(join(batches, "pixels"), rel=1e-6)
    wanted = np.where((mask == 0) | (mask == 255), 0, mask)
    if len(geometries):  # equal areas and the mask back: no two overlap, nothing is missing
        shapes = zip(geometries, values.tolist(), strict=True)
        burnt = rasterio.features.rasterize(shapes, mask.shape, transform=transform, dtype="uint8")
        assert (burnt == wanted).all()
    assert join(batches, "pixels").sum() == (wanted > 0).sum()


@moderate
@given(masks, connectivities, heights)
@example(np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]], np.uint8), 4, [1])
@example(np.array([[0, 1, 1, 1], [1, 0, 2, 1], [1, 2, 0, 1], [1, 1, 1, 0]], np.uint8), 8, [1])
def test_strips_never_show(mask, connectivity, heights):
    whole, strips = polygonize(mask, connectivity), polygonize(mask, connectivity, heights=heights)
    for name in ("values", "pixels"):
        assert (join(whole, name) == join(strips, name)).all()
    expected, found = (shapely.to_wkb(join(b, "geometries")).tolist() for b in (whole, strips))
    assert found == expected  # the same rows in the same order, down to the order of vertices


@moderate
@given(masks, connectivities, heights)
def test_confidence_is_that_of_the_regions_pixels(mask, connectivity, heights):
    confidence = np.random.default_rng(mask.size).random(mask.shape, np.float32)
    batches = polygonize(mask, connectivity, heights=heights, confidence=confidence)
    whole = polygonize(mask, connectivity, confidence=confidence)
    assert (join(batches, "confidence") == join(whole, "confidence")).all()
    for value in range(1, 6):
        labels, count = ndimage.label(mask == value, EIGHT if connectivity == 8 else None)
        chosen = join(batches, "values") == value
        for name, reduce in (("confidence", ndimage.mean), ("lowest_confidence", ndimage.minimum)):
            expected = reduce(confidence, labels, range(1, count + 1))
            assert sorted(join(batches, name)[chosen]) == pytest.approx(sorted(expected), abs=1e-6)


@given(masks)
@moderate
def test_vertices_are_turns_on_pixel_corners(mask):
    rings = shapely.get_rings(join(polygonize(mask, transform=Affine.identity()), "geometries"))
    for ring in rings:
        points = shapely.get_coordinates(ring)
        assert (points == points.round()).all()
        steps = np.diff(points, axis=0)
        along_x = steps[:, 0] != 0
        assert ((steps != 0).sum(axis=1) == 1).all()
        assert (along_x != np.roll(along_x, 1)).all()


@pytest.mark.parametrize("name", TRANSFORMS)
def test_shells_are_counter_clockwise_and_holes_clockwise(name):
    mask = np.ones((5, 5), np.uint8)
    mask[2, 2] = 0
    (polygon,) = join(polygonize(mask, transform=TRANSFORMS[name]), "geometries")
    assert polygon.exterior.is_ccw
    assert not polygon.interiors[0].is_ccw


def test_edges_lie_exactly_on_pixel_edges():
    transform = Affine(0.3, 0.0, 400_000.1, 0.0, -0.3, 5_100_000.7)
    mask = np.zeros((40, 50), np.uint8)
    mask[7:19, 23:41] = 1
    (polygon,) = join(polygonize(mask, transform=transform), "geometries")
    corners = [transform @ corner for corner in [(23, 7), (23, 19), (41, 19), (41, 7), (23, 7)]]
    assert list(polygon.exterior.coords) == corners


def test_a_region_is_returned_with_the_strip_after_its_last_row():
    mask = np.zeros((6, 4), np.uint8)
    mask[0, 0] = mask[1:4, 2] = mask[5, 0] = 1
    assert [len(batch) for batch in polygonize(mask, heights=[1])] == [0, 1, 0, 0, 1, 0, 1]


def test_a_snake_through_all_strips_is_one_polygon():
    mask = np.zeros((99, 40), np.uint8)
    mask[::2] = 1
    mask[1::4, -1] = mask[3::4, 0] = 1
    batches = polygonize(mask, heights=[3])
    assert [len(batch) for batch in batches[:-1]] == [0] * 33
    (polygon,) = batches[-1].geometries
    assert polygon.area / 0.25 == (mask == 1).sum()
    assert not polygon.interiors


def test_a_hole_may_touch_the_shell_in_a_point():
    mask = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]], np.uint8)
    (polygon,) = join(polygonize(mask, transform=Affine.identity()), "geometries")
    assert polygon.is_valid
    assert len(polygon.interiors) == 1
    assert polygon.exterior.intersection(polygon.interiors[0]).wkt == "POINT (2 2)"


def test_parts_that_touch_in_corners_are_a_multipolygon_only_with_8_connectivity():
    mask = np.array([[1, 0, 0, 1], [0, 1, 0, 0]], np.uint8)
    four = join(polygonize(mask), "geometries")
    eight = join(polygonize(mask, 8), "geometries")
    assert [g.geom_type for g in four] == ["Polygon"] * 3
    assert sorted(g.geom_type for g in eight) == ["MultiPolygon", "Polygon"]


def test_only_wanted_values_become_polygons():
    mask = np.array([[0, 1, 2, 255]], np.uint8)
    assert join(polygonize(mask, values=[0, 2]), "values").tolist() == [0, 2]
    assert not len(join(polygonize(mask, values=[255]), "values"))


def test_confidence_of_bytes_is_in_254ths():
    confidence = np.array([[254, 127]], np.uint8)
    batches = polygonize(np.ones((1, 2), np.uint8), confidence=confidence)
    assert join(batches, "confidence") == pytest.approx([0.75])
    assert join(batches, "lowest_confidence") == pytest.approx([0.5])


def test_memory_follows_the_strip_and_what_is_open():
    def peak(rows: int) -> int:
        rng = np.random.default_rng(0)
        polygonizer = Polygonizer(500, UTM, [1])
        tracemalloc.start()
        for _ in range(rows // 50):
            strip = (rng.random((50, 500)) < 0.4).astype(np.uint8)
            strip[:, 0] = 1  # one region that stays open
            polygonizer.add(strip)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peak(100)
    assert peak(4000) < 1.5 * peak(1000)


@pytest.mark.parametrize(
    "strip", [np.ones((2, 3), np.uint8), np.ones((2, 4)), np.ones(4, np.uint8)]
)
def test_strips_must_fit(strip):
    with pytest.raises(ValueError, match=r"a strip is uint8 \(H, 4\)"):
        Polygonizer(4, UTM, [1]).add(strip)


def test_connectivity_is_4_or_8():
    with pytest.raises(ValueError, match="not 6"):
        Polygonizer(4, UTM, [1], connectivity=6)
