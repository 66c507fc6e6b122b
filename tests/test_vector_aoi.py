"""Areas of interest: read from any file, and as pixels."""

from __future__ import annotations

import struct
import subprocess
import sys

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS
from rasters import UTM

from geounet.errors import InputError
from geounet.raster import Grid, Window, pixel_grid
from geounet.vector import allow_no_crs, rasterize_inside, read_aoi

UTM_CRS = CRS.from_epsg(32633)
GRID = Grid(height=60, width=80, transform=UTM, crs=UTM_CRS)
TURNED = Grid(60, 80, UTM @ Affine.rotation(33) @ Affine.scale(0.9, 1.3), UTM_CRS)


def at(col, row, grid=GRID):
    return grid.transform @ (col, row)


def square(col, row, size=10.0):
    """A polygon over these pixels of GRID."""
    return shapely.box(*at(col, row + size), *at(col + size, row))


def write(path, geometries, crs=UTM_CRS, **options):
    with allow_no_crs(crs):
        gpd.GeoDataFrame(geometry=list(geometries), crs=crs).to_file(path, **options)
    return path


def draw_area(seed, grid):
    """Stars that overlap, with holes and islands, partly outside the grid."""
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(4):
        centre, radius = rng.uniform(-10, 90, 2), rng.uniform(2, 30)
        angles = np.sort(rng.uniform(0, 2 * np.pi, 7))[:, None]
        spokes = np.hstack([np.cos(angles), np.sin(angles)]) * rng.uniform(0.3, 1, (7, 1)) * radius
        parts.append(shapely.make_valid(shapely.Polygon(centre + spokes)))
    union = shapely.union_all(parts).difference(shapely.Point(30, 30).buffer(9))
    union = union.union(shapely.Point(30, 30).buffer(4))
    return shapely.transform(union, lambda p: np.column_stack(grid.transform @ tuple(p.T)))


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), grid=st.sampled_from([GRID, TURNED]))
def test_pixels_inside_are_those_whose_centres_are(seed, grid):
    """In the whole and in any window; GEOS is the reference, of centres that are on no edge."""
    area = draw_area(seed, grid)
    window = Window(row_off=-11, col_off=-7, height=90, width=110)
    rows, cols = np.mgrid[-11:79, -7:103] + 0.5
    expected = shapely.contains_xy(area, *(grid.transform @ (cols.ravel(), rows.ravel())))
    around = rasterize_inside(area, grid, window)
    assert (around == expected.reshape(90, 110)).all()
    part = Window(row_off=13, col_off=29, height=17, width=5)
    cut = part.relative_to(window).slices()
    assert (rasterize_inside(area, grid, part) == around[cut]).all()


def test_a_centre_on_a_shared_edge_is_in_just_one_of_two_neighbours():
    corners = [(10.5, 10.5), (40.5, 20.5), (30.5, 45.5), (5.5, 30.5)]
    ring = shapely.Polygon([at(*corner) for corner in corners])
    triangles = [shapely.Polygon([at(*corners[k]) for k in ks]) for ks in ((0, 1, 2), (2, 3, 0))]
    hits = np.zeros(GRID.shape, int)
    for polygon in triangles:
        hits += rasterize_inside(polygon, GRID, GRID.extent)
    whole = rasterize_inside(ring, GRID, GRID.extent)
    assert (hits == whole).all()
    assert whole[11:45].any(axis=1).all()
    around = rasterize_inside(shapely.box(*GRID.bounds()).difference(ring), GRID, GRID.extent)
    assert (around != whole).all()


def test_area_of_interest(tmp_path):
    parts = gpd.GeoSeries([square(-5, -5, 20), square(30, 20, 10.6)], crs=UTM_CRS)
    path = write(tmp_path / "aoi.geojson", parts.to_crs(4326), crs=4326)
    area = read_aoi(path, GRID)
    inside = rasterize_inside(area, GRID, GRID.extent)
    expected = np.zeros(GRID.shape, bool)
    expected[:15, :15] = True
    expected[20:31, 30:41] = True
    assert inside.dtype == bool
    assert (inside == expected).all()
    window = Window(row_off=-7, col_off=-9, height=30, width=50)
    around = rasterize_inside(area, GRID, window)
    assert (around[7:, 9:] == expected[:23, :41]).all()
    assert around[2:7, 4:24].all()
    assert not around[:2].any()


def test_all_that_files_hold(tmp_path):
    """Invalid and empty polygons, collections, heights, several layers, features without any."""
    corners = [at(*p) for p in ((0, 0), (20, 20), (20, 0), (0, 20))]  # a bow tie
    path = write(tmp_path / "aoi.gpkg", [square(50, 5)], layer="other")
    high = shapely.force_3d(square(30, 30), 7.0)
    mixed = shapely.GeometryCollection([shapely.MultiPolygon([square(60, 40)]), square(5, 40)])
    shapes = [shapely.Polygon(corners), shapely.Polygon(), None, high, square(35, 35), mixed]
    write(path, shapes, layer="area")
    with pytest.raises(InputError, match=r"aoi\.gpkg has the layers other, area; choose one"):
        read_aoi(path, GRID)
    inside = rasterize_inside(read_aoi(f"{path}|layername=area", GRID), GRID, GRID.extent)
    expected = np.zeros(GRID.shape, bool)
    expected[30:40, 30:40] = expected[35:45, 35:45] = expected[40:50, 5:15] = True
    expected[40:50, 60:70] = True
    rows, cols = np.mgrid[:20, :20]
    off = np.abs(rows - cols), np.abs(rows + cols - 19)
    is_sure = (off[0] > 1) & (off[1] > 1)
    tie = (rows < cols) == (rows + cols > 19)
    assert (inside[:20, :20][is_sure] == tie[is_sure]).all()
    inside[:20, :20] = False
    assert (inside == expected).all()


def test_axes_of_the_crs_are_taken_as_files_have_them(tmp_path):
    """EPSG:4326 and EPSG:31468 say north before east; files and transforms east before north."""
    for code in (4326, 31468):
        crs = CRS.from_epsg(code)
        here = gpd.GeoSeries([square(10, 20)], crs=UTM_CRS).to_crs(crs)
        area = read_aoi(write(tmp_path / f"{code}.gpkg", here, crs=crs), GRID)
        assert rasterize_inside(area, GRID, GRID.extent).sum() == 100
        assert rasterize_inside(area, GRID, GRID.extent)[20:30, 10:20].all()


def test_without_a_crs_coordinates_are_pixels(tmp_path):
    plain = write(tmp_path / "plain.gpkg", [shapely.box(3, 4, 9, 8)], crs=None)
    inside = rasterize_inside(read_aoi(plain, pixel_grid(20, 30)), pixel_grid(20, 30), GRID.extent)
    assert inside[4:8, 3:9].all()
    assert inside.sum() == 24
    with pytest.raises(InputError, match=r"plain\.gpkg has no CRS, but the raster has WGS 84"):
        read_aoi(plain, GRID)
    with pytest.raises(InputError, match="but the raster has no georeference"):
        read_aoi(write(tmp_path / "utm.gpkg", [square(1, 1)]), pixel_grid(20, 30))


def test_curves_are_polygons(tmp_path):
    """A disc of two arcs, radius 10 pixels, as GDAL and PostGIS draw curves."""
    west, east = (at(col, 30) for col in (20, 40))
    curve = struct.pack("<BII BII 6d", 1, 10, 1, 1, 8, 3, *west, *east, *west)  # WKB: one ring
    path, wkb = tmp_path / "disc.gpkg", np.array([curve], object)
    pyogrio.raw.write(path, wkb, [], [], geometry_type="Unknown", crs="EPSG:32633")
    inside = rasterize_inside(read_aoi(path, GRID), GRID, GRID.extent)
    rows, cols = np.mgrid[:60, :80] + 0.5
    assert (inside == ((rows - 30) ** 2 + (cols - 30) ** 2 < 100)).mean() > 0.998


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([shapely.Polygon()], "has no geometry in any feature; give a file with polygons"),
        ([shapely.Point(1, 1), square(0, 0)], "has 1 point; an area is made of polygons"),
        ([shapely.LineString([(0, 0), (1, 1)])], "has 1 line; give polygons"),
    ],
)
def test_what_is_no_area_is_refused(tmp_path, shapes, message):
    path = tmp_path / "aoi.gpkg"
    wkb = np.array(shapely.to_wkb(shapes), object)
    pyogrio.raw.write(path, wkb, [], [], geometry_type="Unknown", crs="EPSG:32633")
    with pytest.raises(InputError, match=rf"aoi\.gpkg {message}"):
        read_aoi(path, GRID)


def test_area_outside_of_the_scene_is_refused(tmp_path):
    path = write(tmp_path / "aoi.gpkg", [square(900, 0)])
    with pytest.raises(InputError, match=r"the area in .*aoi\.gpkg lies outside the raster"):
        read_aoi(path, GRID)
    far = gpd.GeoSeries([shapely.box(104, 0, 106, 1)], crs=4326)
    path = write(tmp_path / "far.geojson", far, crs=4326)
    with pytest.raises(InputError, match=r"far\.geojson cannot be expressed in the raster's CRS"):
        read_aoi(path, GRID)


@pytest.mark.parametrize(
    ("code", "box"),
    [
        (32633, (-180, -90, 180, 90)),
        (32633, (-170, -80, 170, 80)),
        (32633, (-10, 36, 180, 78)),
        (3857, (-180, -90, 180, 90)),
        (3035, (-30, 20, 60, 85)),
    ],
)
def test_areas_far_larger_than_the_scene(tmp_path, code, box):
    """Vertices where the raster's CRS is not made for do no harm; nor does a small one beside."""
    crs = CRS.from_epsg(code)
    corner = gpd.GeoSeries([shapely.Point(15.2, 48.1)], crs=4326).to_crs(crs)[0]
    grid = Grid(60, 80, Affine(0.5, 0, corner.x, 0, -0.5, corner.y), crs)
    corners = shapely.box(*grid.bounds())
    part = shapely.box(*grid.bounds()[:2], corner.x + 10, corner.y)
    for shapes in ([shapely.box(*box)], [shapely.box(*box), *_to_degrees([part], crs)]):
        area = read_aoi(write(tmp_path / f"{len(shapes)}.gpkg", shapes, crs=4326), grid)
        assert rasterize_inside(area, grid, grid.extent).all()
    middle = _to_degrees([corners.centroid], crs)[0].x
    half = shapely.box(*box[:2], middle, box[3])
    area = read_aoi(write(tmp_path / "half.gpkg", [half], crs=4326), grid)
    rows, cols = np.mgrid[:60, :80] + 0.5
    points = shapely.points(*(grid.transform @ (cols.ravel(), rows.ravel())))
    expected = shapely.get_x(_to_degrees(points, crs)).reshape(60, 80) < middle
    assert 0.4 < expected.mean() < 0.6
    assert (rasterize_inside(area, grid, grid.extent) == expected).all()


def _to_degrees(shapes, crs):
    return np.array(gpd.GeoSeries(list(shapes), crs=crs).to_crs(4326).array)


def test_no_compiler_is_loaded():
    """Numba takes 120 MB and a second of a prediction that burns nothing but its area."""
    code = "from geounet.vector import read_aoi, rasterize_inside; import sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "geounet.vector.aoi" in loaded
    assert "numba" not in loaded
