"""Polygons in another CRS: the same places, no gaps, valid, and what cannot be is refused."""

from __future__ import annotations

import json

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pyproj import CRS, Geod, Transformer
from rasters import UTM, write_raster

from geounet.errors import InputError, UsageError
from geounet.raster import Grid
from geounet.vector import PolygonizeOptions, Polygonizer, measure_polygons, polygonize
from geounet.vector.files.projecting import WGS84, Projection, choose_projection

masks = hnp.arrays(
    np.uint8,
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    elements=st.sampled_from([0, 0, 0, 1, 1, 2]),
)
TRANSFORMS = {
    "metres": UTM,
    "rotated": Affine.translation(500_000, 5_000_000) @ Affine.rotation(31) @ Affine.scale(3, -3),
    "kilometres": Affine(5000.0, 0.0, 300_000.0, 0.0, -5000.0, 7_000_000.0),
}


def make_polygons(mask, transform, connectivity=4):
    """A polygon for each region, of all values, so that they cover everything."""
    polygonizer = Polygonizer(mask.shape[1], transform, [0, 1, 2], connectivity=connectivity)
    batches = [polygonizer.add(mask), polygonizer.finish()]
    return np.concatenate([batch.geometries for batch in batches])


@settings(deadline=None, max_examples=100)
@given(masks, st.sampled_from(sorted(TRANSFORMS)), st.sampled_from([4326, 3857, 3035, 32634]))
def test_neighbours_stay_neighbours(mask, name, code):
    transform = TRANSFORMS[name]
    grid = Grid(*mask.shape, transform, CRS.from_epsg(32633))
    polygons = make_polygons(mask, transform)
    placed = Projection(grid, CRS.from_epsg(code)).apply(polygons)
    assert shapely.is_valid(placed).all()
    assert shapely.coverage_is_valid(placed)
    whole = shapely.union_all(placed)
    assert whole.geom_type == "Polygon"
    assert not whole.interiors
    assert shapely.area(placed).sum() == pytest.approx(whole.area)


@settings(deadline=None, max_examples=50)
@given(masks, st.sampled_from([4, 8]))
def test_every_pixel_corner_of_an_outline_is_where_it_belongs(mask, connectivity):
    grid = Grid(*mask.shape, UTM, CRS.from_epsg(32633))
    polygons = make_polygons(mask, UTM, connectivity)
    placed = Projection(grid, CRS.from_epsg(4326)).apply(polygons)
    to_degrees = Transformer.from_crs(32633, 4326, always_xy=True)
    for before, after in zip(polygons, placed, strict=True):
        dense = shapely.segmentize(before, 0.5)  # a pixel
        expected = shapely.transform(dense, to_degrees.transform, interleaved=False)
        assert {(x, y) for x, y in shapely.get_coordinates(after).round(12).tolist()} == {
            (x, y) for x, y in shapely.get_coordinates(expected).round(12).tolist()
        }
        assert shapely.area(after) == pytest.approx(shapely.area(expected))


def test_slanting_edges_get_no_more_points():
    grid = Grid(10, 10, UTM, CRS.from_epsg(32633))
    corners = [UTM @ corner for corner in [(0, 0), (0, 4), (4, 7), (2.5, 3.5)]]
    (placed,) = Projection(grid, CRS.from_epsg(4326)).apply(np.array([shapely.Polygon(corners)]))
    assert shapely.get_num_coordinates(placed) == 4 + 3 + 1


def write_mask(folder, crs="EPSG:32633", transform=UTM):
    mask = np.zeros((30, 40), np.uint8)
    mask[3:20, 5:30] = 1
    mask[8:12, 8:12] = 0
    mask[12:28, 30:38] = 2
    path = folder / "mask.tif"
    write_raster(path, mask, crs=crs, transform=transform, nodata=255)
    return path, mask


@pytest.mark.parametrize(
    ("suffix", "code"),
    [(".gpkg", 4326), (".gpkg", 3857), (".fgb", 3857), (".parquet", 4326), (".geojson", 4326)],
)
def test_areas_are_those_on_the_ground_in_any_crs(tmp_path, suffix, code):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    path, mask = write_mask(tmp_path)
    output = tmp_path / f"out{suffix}"
    polygonize(path, output, PolygonizeOptions(crs=f"EPSG:{code}"))
    frame = read(output)
    assert frame.crs == f"EPSG:{code}"
    frame = frame.sort_values("class_id")
    counts = np.bincount(mask.ravel())[1:]
    assert frame.area_m2.tolist() == (counts * 0.25).tolist()
    assert frame.perimeter_m.tolist() == [42 + 8, 24]
    assert frame.to_crs(32633).area.tolist() == pytest.approx((counts * 0.25).tolist(), rel=1e-5)
    if code == 4326:
        area, _ = Geod(ellps="WGS84").geometry_area_perimeter(frame.geometry.iloc[1])
        assert area == pytest.approx(counts[1] * 0.25, rel=1e-3)


def read(path):
    if path.suffix == ".parquet":
        return geopandas.read_parquet(path)
    return geopandas.read_file(path, layer=None if path.suffix == ".fgb" else "polygons")


def test_geojson_follows_its_rfc(tmp_path):
    """RFC 7946: WGS 84, no crs member, right-hand rule, closed rings of positions in degrees."""
    path, _ = write_mask(tmp_path, crs="EPSG:3857", transform=UTM)
    polygonize(path, tmp_path / "out.geojson")
    content = json.loads((tmp_path / "out.geojson").read_text("utf-8"))
    assert set(content) == {"type", "name", "features"}
    assert content["type"] == "FeatureCollection"
    for feature in content["features"]:
        assert set(feature) == {"type", "properties", "geometry"}
        assert feature["geometry"]["type"] == "Polygon"
        shell, *holes = feature["geometry"]["coordinates"]
        assert shapely.LinearRing(shell).is_ccw
        assert not any(shapely.LinearRing(hole).is_ccw for hole in holes)
        for ring in (shell, *holes):
            assert ring[0] == ring[-1]
            assert all(4 < lon < 5 and 40 < lat < 42 for lon, lat in ring)
    assert len(content["features"][0]["geometry"]["coordinates"]) == 2


def test_polygons_across_the_180th_meridian_are_cut_there(tmp_path):
    transform = Affine(2000.0, 0.0, 760_000.0, 0.0, -2000.0, 7_040_000.0)  # of EPSG:32760, Fiji
    path, _ = write_mask(tmp_path, crs="EPSG:32760", transform=transform)
    polygonize(path, tmp_path / "out.gpkg", PolygonizeOptions(crs="EPSG:4326"))
    frame = read(tmp_path / "out.gpkg").sort_values("class_id")
    assert set(frame.geom_type) == {"MultiPolygon"}
    assert frame.is_valid.all()
    lons = shapely.get_coordinates(frame.geometry.values)[:, 0]
    assert (np.abs(lons) <= 180).all()
    assert (np.abs(lons) > 178).all()
    first = frame.geometry.iloc[0]
    assert {part.bounds[0] > 0 for part in first.geoms} == {True, False}
    area = sum(Geod(ellps="WGS84").geometry_area_perimeter(part)[0] for part in first.geoms)
    assert area == pytest.approx(frame.area_m2.iloc[0], rel=3e-3)


WORLD = np.ones((9, 36), np.uint8)
WORLD[2:7, 3:30] = 2
"""Of 10 and 20 degrees: a sea around a land that is wider than half the Earth."""


def read_geojson(path, mask, transform, crs):
    write_raster(path, mask, transform=transform, crs=crs)
    polygonize(path, path.with_suffix(".geojson"))
    frame = geopandas.read_file(path.with_suffix(".geojson")).sort_values("class_id")
    assert frame.is_valid.all()
    lons, lats = shapely.get_coordinates(frame.geometry.values).T
    assert (np.abs(lons) <= 180).all()
    assert (np.abs(lats) <= 90).all()
    return frame.geometry.tolist()


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857"])
def test_regions_wider_than_half_the_earth_stay_whole(tmp_path, crs):
    transform = Affine(10.0, 0.0, -180.0, 0.0, -20.0, 90.0)
    if crs == "EPSG:3857":
        x, y = Transformer.from_crs(4326, crs, always_xy=True).transform(10, 20)
        transform = Affine(x, 0.0, -18 * x, 0.0, -y, 4.5 * y)
    sea, land = read_geojson(tmp_path / "mask.tif", WORLD, transform, crs)
    assert land.bounds[::2] == pytest.approx((-150, 120), abs=1e-6)
    assert land.area == pytest.approx(270 * (land.bounds[3] - land.bounds[1]))
    assert sea.bounds[::2] == pytest.approx((-180, 180), abs=1e-6)
    assert not sea.intersection(land).area


def test_longitudes_beyond_180_come_back(tmp_path):
    transform = Affine(10.0, 0.0, 0.0, 0.0, -20.0, 90.0)
    sea, land = read_geojson(tmp_path / "mask.tif", WORLD, transform, "EPSG:4326")
    assert land.area == 270 * 100
    assert sorted(part.bounds[::2] for part in land.geoms) == [(-180, -60), (30, 180)]
    assert sea.area + land.area == 360 * 180


def test_a_mask_in_that_crs_is_left_as_it_is():
    grid = Grid(4, 4, UTM, CRS.from_epsg(32633))
    degrees = Grid(4, 4, Affine(1e-4, 0, 5, 0, -1e-4, 50), CRS.from_epsg(4326))
    assert choose_projection("EPSG:32633", grid, is_geojson=False) is None
    assert choose_projection(None, grid, is_geojson=False) is None
    assert choose_projection(None, degrees, is_geojson=True) is None
    found = choose_projection(None, grid, is_geojson=True)
    assert found is not None
    assert found.crs == WGS84


def test_a_crs_without_heights_is_taken():
    grid = Grid(4, 4, UTM, CRS.from_epsg(32633))
    found = choose_projection("EPSG:25833+5783", grid, is_geojson=False)
    assert found is not None
    assert found.crs == CRS.from_epsg(25833)


@pytest.mark.parametrize(
    ("crs", "suffix", "message"),
    [
        ("EPSG:99999", ".gpkg", "--crs 'EPSG:99999' is no known CRS; write one like EPSG:4326"),
        ("nonsense", ".gpkg", "is no known CRS"),
        ("EPSG:4978", ".gpkg", "is Geocentric CRS; give a geographic or projected CRS"),
        ("EPSG:5703", ".gpkg", "is Vertical CRS"),
        ("EPSG:3857", ".geojson", r"GeoJSON is always in EPSG:4326; write \.gpkg"),
    ],
)
def test_a_crs_that_cannot_be_meant_is_refused(tmp_path, crs, suffix, message):
    path, _ = write_mask(tmp_path)
    with pytest.raises(UsageError, match=message):
        polygonize(path, tmp_path / f"out{suffix}", PolygonizeOptions(crs=crs))
    assert [file.name for file in tmp_path.iterdir()] == ["mask.tif"]


def test_a_mask_without_crs_cannot_be_brought_to_another(tmp_path):
    path, _ = write_mask(tmp_path, transform=None)
    with pytest.raises(InputError, match="the mask has no CRS, so that it cannot be brought to"):
        polygonize(path, tmp_path / "out.gpkg", PolygonizeOptions(crs="EPSG:4326"))


def test_a_crs_of_another_place_is_refused(tmp_path):
    """Of the far side of the Earth, which the projection does not show."""
    path, _ = write_mask(tmp_path)
    far = "+proj=ortho +lat_0=-40 +lon_0=-170"
    with pytest.raises(InputError, match="cannot show all polygons: some lie where it is not def"):
        polygonize(path, tmp_path / "out.gpkg", PolygonizeOptions(crs=far))
    assert [file.name for file in tmp_path.iterdir()] == ["mask.tif"]


def test_measures_do_not_need_the_projection(tmp_path):
    path, _ = write_mask(tmp_path)
    polygonize(path, tmp_path / "out.gpkg", PolygonizeOptions(crs="EPSG:4326"))
    frame = read(tmp_path / "out.gpkg")
    with rasterio.open(path) as source:
        grid = Grid(*source.shape, source.transform, CRS.from_epsg(4326))
    measured = measure_polygons(frame.geometry.values, grid)
    assert measured.area_m2 == pytest.approx(frame.area_m2.to_numpy(), rel=1e-3)
