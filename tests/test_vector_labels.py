"""Labels, raster and vector, as class values on a scene's grid."""

from __future__ import annotations

import json
import warnings
from concurrent.futures import ThreadPoolExecutor

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import rasterio.features
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS, Geod
from rasterio.warp import Resampling, reproject
from rasters import UTM, write_raster

from geounet.classes import ClassInfo, make_classes
from geounet.errors import InputError, UsageError
from geounet.raster import Grid, Window, pixel_grid
from geounet.vector import (
    LabelOptions,
    match_labels,
    open_labels,
    parse_classes,
    read_aoi,
    read_polygons,
    resolve_legend,
)
from geounet.vector.labels.label_pixels import open_label_raster
from geounet.vector.labels.reading import read_class_column

UTM_CRS = CRS.from_epsg(32633)
GRID = Grid(height=60, width=80, transform=UTM, crs=UTM_CRS)
TWO = make_classes(["background", "building"])


def at(col, row):
    return GRID.transform @ (col, row)


def square(col, row, size=10.0, height=None):
    """A polygon over these pixels of GRID."""
    end = (col + size, row + (height or size))
    return shapely.Polygon([at(col, row), at(end[0], row), at(*end), at(col, end[1])])


def write_vectors(path, geometries, crs=UTM_CRS, **columns):
    frame = gpd.GeoDataFrame(columns, geometry=list(geometries), crs=crs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "'crs' was not provided"
        frame.to_file(path)
    return path


def read_all(source, grid=GRID, classes=TWO, options=None):
    with open_labels(source, grid, classes, options or LabelOptions()) as labels:
        return labels.read(grid.extent)


def burn(pairs, grid=GRID):
    """The reference: GDAL on the whole grid, in the grid's coordinates."""
    return rasterio.features.rasterize(
        pairs, out_shape=grid.shape, transform=grid.transform, dtype="uint8"
    )


def random_polygons(seed, count=12):
    """Stars of any size, partly outside the grid, some with holes."""
    rng = np.random.default_rng(seed)
    polygons = []
    for _ in range(count):
        angles = np.sort(rng.uniform(0, 2 * np.pi, 12))
        radii = rng.uniform(2, 25, 12)
        centre = rng.uniform(-5, 85), rng.uniform(-5, 65)
        ring = [
            at(centre[0] + r * np.cos(a), centre[1] + r * np.sin(a))
            for a, r in zip(angles, radii, strict=True)
        ]
        polygons.append(shapely.make_valid(shapely.Polygon(ring)))
    return [p for p in polygons if p.geom_type == "Polygon"]


# --- vectors: pixels -------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "shp", "fgb"])
def test_polygons_in_another_crs_land_on_their_pixels(tmp_path, suffix):
    polygons = gpd.GeoSeries([square(5, 7), square(40, 30, 12.5)], crs=UTM_CRS)
    path = write_vectors(tmp_path / f"b.{suffix}", polygons.to_crs(4326), crs=4326)
    expected = np.zeros((60, 80), "uint8")
    expected[7:17, 5:15] = 1
    expected[30:42, 40:52] = 1
    with open_labels(path, GRID, TWO) as labels:
        assert labels.note == "reprojected from WGS 84"
        burnt = labels.read(GRID.extent)
    # the edges lie on pixel edges to the rounding of a reprojection there and back
    inner = np.ones_like(burnt, bool)
    inner[42, :], inner[:, 52] = False, False
    assert (burnt[inner] == expected[inner]).all()


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_any_window_equals_the_whole(tmp_path_factory, seed):
    rng = np.random.default_rng(seed)
    polygons = random_polygons(seed)
    kinds = rng.choice(["road", "house", "tree"], len(polygons))
    path = write_vectors(tmp_path_factory.mktemp("v") / "v.gpkg", polygons, kind=kinds)
    classes = make_classes(["background", "house", "road", "tree"])
    values = {c.name: c.value for c in classes}
    pairs = [(p, values[k]) for k, p in zip(kinds, polygons, strict=True)]
    whole = burn(sorted(pairs, key=lambda pair: pair[1]))
    with open_labels(path, GRID, classes, LabelOptions(class_field="kind")) as labels:
        assert (labels.read(GRID.extent) == whole).all()
        padded = np.pad(whole, 200, mode="reflect")
        for _ in range(20):
            window = Window(
                row_off=int(rng.integers(-100, 100)),
                col_off=int(rng.integers(-100, 100)),
                height=int(rng.integers(0, 60)),
                width=int(rng.integers(0, 60)),
            )
            shifted = window.relative_to(Window(row_off=-200, col_off=-200, height=0, width=0))
            assert (labels.read(window) == padded[shifted.slices()]).all()


def test_large_polygon_with_a_hole(tmp_path):
    grid = Grid(height=900, width=1300, transform=UTM, crs=UTM_CRS)
    angles = np.linspace(
        0, 2 * np.pi, 20_000, endpoint=False
    )  # more vertices than a row has pixels
    radii = 420 * (1 + 0.05 * np.sin(50 * angles) + 0.02 * np.sin(997 * angles))
    rings = [
        [UTM @ (650 + s * r * np.cos(a), 450 + s * r * np.sin(a)) for a, r in zip(angles, radii)]  # noqa: B905
        for s in (1.0, 0.5)
    ]
    polygon = shapely.Polygon(rings[0], [rings[1]])
    path = write_vectors(tmp_path / "v.gpkg", [polygon])
    expected = burn([(polygon, 1)], grid)
    with open_labels(path, grid, TWO) as labels:
        assert (labels.read(grid.extent) == expected).all()
        window = Window(row_off=100, col_off=500, height=333, width=300)
        assert (labels.read(window) == expected[window.slices()]).all()


def test_many_features_are_read_by_the_bounds_of_the_scene(tmp_path, monkeypatch):
    polygons = gpd.GeoSeries([*random_polygons(5, 60), square(300, 300)], crs=UTM_CRS)
    path = write_vectors(tmp_path / "v.geojson", polygons.to_crs(4326), crs=4326)
    at_once = read_all(path)
    monkeypatch.setattr("geounet.vector.labels.labels.MAX_WHOLE", 0)
    assert (read_all(path) == at_once).all()
    elsewhere = Grid(20, 20, GRID.transform @ Affine.translation(150, 150), UTM_CRS)
    assert (read_all(path, elsewhere) == 0).all()


def test_threads_each_with_their_own_handle_read_the_same(tmp_path):
    path = write_vectors(tmp_path / "v.gpkg", random_polygons(3, 40))
    windows = list(GRID.extent.blocks(13, 17))

    def read_each(_):
        with open_labels(path, GRID, TWO) as labels:
            return [labels.read(window) for window in windows]

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(read_each, range(8)))
    whole = read_all(path)
    for pieces in results:
        for window, piece in zip(windows, pieces, strict=True):
            assert (piece == whole[window.slices()]).all()


def test_higher_class_values_and_ignored_areas_lie_on_top(tmp_path):
    path = write_vectors(
        tmp_path / "v.gpkg",
        [square(0, 0, 30), square(10, 10, 30), square(20, 20, 30)],
        code=[9, 2, 1],
    )
    classes = make_classes(["background", "a", "b"])
    burnt = read_all(path, classes=classes, options=LabelOptions(class_field="code", ignore=9))
    assert [int(burnt[i, i]) for i in (5, 15, 25, 35, 45, 55)] == [255, 255, 255, 2, 1, 0]


def test_class_column_by_name_by_value_and_as_float(tmp_path):
    classes = (ClassInfo(0, "none", "#000000"), *make_classes(["7", "road"], [3, 7]))
    path = write_vectors(tmp_path / "a.gpkg", [square(0, 0), square(20, 20)], kind=["7", " road "])
    burnt = read_all(path, classes=classes, options=LabelOptions(class_field="kind"))
    assert (burnt[5, 5], burnt[25, 25]) == (3, 7)  # a name goes before a value
    path = write_vectors(tmp_path / "b.gpkg", [square(0, 0), square(20, 20)], kind=[3.0, 7.0])
    burnt = read_all(
        path, classes=make_classes(["none", "x", "y"], [0, 3, 7]), options=LabelOptions("kind")
    )
    assert (burnt[5, 5], burnt[25, 25]) == (3, 7)


def test_broken_missing_and_many_part_geometries(tmp_path):
    bow = shapely.Polygon([at(0, 0), at(20, 20), at(20, 0), at(0, 20)])
    parts = shapely.MultiPolygon([square(30, 0), square(50, 0)])
    high = shapely.force_3d(square(30, 30), 12.0)
    path = write_vectors(tmp_path / "v.gpkg", [bow, None, parts, shapely.Polygon(), high])
    frame = read_polygons(path, UTM_CRS)
    assert shapely.is_valid(frame.geometry).all()
    assert not shapely.has_z(frame.geometry).any()
    assert set(frame.geom_type) == {"Polygon"}
    assert frame.area.sum() == pytest.approx((200 + 3 * 100) * 0.25)
    burnt = read_all(path)
    assert [int(burnt[row, col]) for row, col in ((10, 2), (10, 17), (2, 10))] == [1, 1, 0]
    assert [int(burnt[row, col]) for row, col in ((5, 35), (5, 55), (35, 35))] == [1, 1, 1]


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("is_line", [False, True])
def test_collections_are_taken_apart_however_deep(tmp_path, depth, is_line):
    many = shapely.MultiPolygon([square(5, 5), square(40, 30)])
    options = LabelOptions()
    if is_line:
        many = shapely.MultiLineString(
            [[at(5, 5), at(30, 40), at(60, 20)], [at(10, 50), at(20, 5)]]
        )
        options = LabelOptions(line_width_m=3.0)
    expected = read_all(write_vectors(tmp_path / "flat.gpkg", [many]), options=options)
    nested = many
    for _ in range(depth):
        nested = shapely.GeometryCollection([nested])
    path = write_vectors(tmp_path / "deep.gpkg", [nested])
    assert 0 < expected.sum() < expected.size
    assert (read_all(path, options=options) == expected).all()


WORLD = shapely.box(-180, -90, 180, 90)


@pytest.mark.parametrize("is_many", [False, True])
@pytest.mark.parametrize("code", [32633, 3857, 3035, 4326])
@pytest.mark.parametrize("sea", [WORLD, shapely.box(0, -90, 180, 90), shapely.box(-9, 36, 180, 78)])
def test_polygons_far_larger_than_the_scene(tmp_path, monkeypatch, sea, code, is_many):
    """Vertices where the scene's CRS is not made for do no harm, nor to smaller ones beside."""
    monkeypatch.setattr("geounet.vector.labels.labels.MAX_WHOLE", 0 if is_many else 100)
    crs = CRS.from_epsg(code)
    x, y = (
        gpd.GeoSeries([shapely.Point(15.2, 48.1)], crs=4326).to_crs(crs).get_coordinates().iloc[0]
    )
    size = 0.5 / (111_000 if crs.is_geographic else 1)
    grid = Grid(60, 80, Affine(size, 0, x, 0, -size, y), crs)
    land = shapely.box(*grid.bounds(Window(row_off=20, col_off=30, height=10, width=20)))
    small = gpd.GeoSeries([land], crs=crs).to_crs(4326)[0]
    path = write_vectors(tmp_path / "w.gpkg", [sea, small], crs=4326, kind=["land", "sea"])
    classes = make_classes(["background", "land", "sea"])
    expected = np.ones(grid.shape, np.uint8)
    expected[20:30, 30:50] = 2
    options = LabelOptions(class_field="kind")
    assert (read_all(path, grid, classes, options) == expected).all()
    with open_labels(
        path, grid, classes, options, Window(row_off=0, col_off=0, height=30, width=40)
    ) as labels:
        near = labels.read(Window(row_off=5, col_off=5, height=20, width=30))
    assert (near == expected[5:25, 5:35]).all()


def test_neighbours_keep_their_border_where_one_reaches_far_away(tmp_path):
    """The border is 110 km long and straight in degrees, but bent in the scene's CRS."""
    west, south, east = 15.2, 48.0, 16.9
    scene = shapely.box(500_000, 5_310_000, 640_000, 5_360_000)
    grid = Grid(500, 1400, Affine(100, 0, scene.bounds[0], 0, -100, scene.bounds[3]), UTM_CRS)
    shapes = [shapely.box(west, south, east, 48.15), shapely.box(-100, 48.15, 100, 80)]
    path = write_vectors(tmp_path / "v.gpkg", shapes, crs=4326, k=["a", "b"])
    classes = make_classes(["background", "a", "b"])
    burnt = read_all(path, grid, classes, LabelOptions(class_field="k"))
    rows, cols = np.mgrid[:500, :1400] + 0.5
    points = gpd.GeoSeries.from_xy(*(grid.transform @ (cols.ravel(), rows.ravel())), crs=UTM_CRS)
    lon, lat = points.to_crs(4326).get_coordinates().to_numpy().T.reshape(2, 500, 1400)
    is_low = (lon > west) & (lon < east) & (lat > south) & (lat < 48.15)
    expected = np.where(lat > 48.15, 2, np.where(is_low, 1, 0))
    assert (burnt == expected).mean() > 0.999
    assert (burnt[(lon > west) & (lon < east) & (lat > south)] > 0).mean() > 0.9999


def test_labels_of_a_scene_that_their_crs_cannot_show(tmp_path):
    """UTM shows the whole world as a strip of it: all is read."""
    grid = Grid(160, 360, Affine(1, 0, -180, 0, -1, 80), CRS.from_epsg(4326))
    shape = gpd.GeoSeries([shapely.box(12.2, 40.2, 17.8, 44.8)], crs=4326).to_crs(UTM_CRS)
    burnt = read_all(write_vectors(tmp_path / "v.gpkg", shape), grid)
    rows, cols = np.nonzero(burnt)
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (35, 39, 192, 197)


def test_scene_without_polygons_inside_the_labelled_area_is_background(tmp_path):
    path = write_vectors(tmp_path / "v.gpkg", [square(-500, -500), square(500, 500)])
    assert (read_all(path) == 0).all()


def test_vectors_without_crs_on_a_scene_without_crs_are_pixels(tmp_path):
    path = write_vectors(tmp_path / "v.gpkg", [shapely.box(2, 3, 7, 5)], crs=None)
    grid = pixel_grid(10, 12)
    expected = np.zeros((10, 12), "uint8")
    expected[3:5, 2:7] = 1
    assert (read_all(path, grid) == expected).all()


@pytest.mark.parametrize("epsg", [4326, 3857, 32633])
@pytest.mark.parametrize("latitude", [0.0, 45.0, 65.0])
def test_lines_are_as_wide_as_on_the_ground(tmp_path, epsg, latitude):
    geod = Geod(ellps="WGS84")
    for azimuth in (0.0, 90.0, 37.0):
        lon, lat, _ = geod.fwd(15.0, latitude, azimuth, 2000.0)
        line = gpd.GeoSeries([shapely.LineString([(15.0, latitude), (lon, lat)])], crs=4326)
        path = write_vectors(tmp_path / f"{azimuth}.gpkg", line.to_crs(epsg), crs=epsg)
        frame = read_polygons(path, CRS.from_epsg(epsg), LabelOptions(line_width_m=20.0))
        area = abs(geod.geometry_area_perimeter(frame.to_crs(4326).geometry.iloc[0])[0])
        assert area == pytest.approx(2000 * 20 + np.pi * 100, rel=0.01)


def test_lines_reach_into_the_scene_from_outside(tmp_path):
    line = shapely.LineString([at(-3, 0), at(-3, 60)])
    path = write_vectors(tmp_path / "v.gpkg", [line, square(40, 40)])
    burnt = read_all(path, options=LabelOptions(line_width_m=5.0))  # 10 px: 5 px to each side
    assert (burnt[5:55, :2] == 1).all()
    assert (burnt[5:55, 2:30] == 0).all()


# --- vectors: refusals -----------------------------------------------------------------------


def refuses(match, source, grid=GRID, classes=TWO, **options):
    with pytest.raises(InputError, match=match) as caught:
        read_all(source, grid, classes, LabelOptions(**options))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_unusable_vectors_are_refused_in_one_line(tmp_path):
    box = [square(5, 5)]
    refuses(r"gone\.gpkg does not exist", tmp_path / "gone.gpkg")
    (tmp_path / "text.geojson").write_text("no json")
    refuses(r"text\.geojson is not a vector file", tmp_path / "text.geojson")
    refuses(r"no_crs\.shp has no CRS", write_vectors(tmp_path / "no_crs.shp", box, crs=None))
    points = write_vectors(tmp_path / "points.gpkg", [shapely.Point(at(5, 5))])
    refuses(r"points\.gpkg has 1 point; labels", points)
    lines = write_vectors(tmp_path / "lines.gpkg", [shapely.LineString([at(5, 5), at(9, 9)])])
    refuses(r"1 line; say how wide on the ground: --line-width", lines)
    far = write_vectors(tmp_path / "far.gpkg", [square(5000, 5)])
    refuses(r"far\.gpkg does not overlap the scene", far)
    georeferenced = write_vectors(tmp_path / "utm.gpkg", box)
    refuses(r"the raster has no georeference", georeferenced, pixel_grid(60, 80))
    pyogrio.write_dataframe(pd.DataFrame({"a": [1]}), tmp_path / "table.gpkg")
    refuses(r"table\.gpkg has no geometries", tmp_path / "table.gpkg")


SURFACES = [
    "TIN Z(((10 10 0,30 10 0,30 30 0,10 10 0)))",
    "TRIANGLE((10 10,30 10,30 30,10 10))",
    "POLYHEDRALSURFACE Z(((10 10 0,30 10 0,30 30 0,10 30 0,10 10 0)))",
]


@pytest.mark.parametrize("surface", SURFACES)
def test_surfaces_are_refused(tmp_path, surface):
    path = tmp_path / "surface.csv"
    path.write_text(f'WKT,k\n"{surface}",a\n')
    refuses(
        r"surface\.csv has a geometry that cannot be read .*; make it", path, pixel_grid(60, 80)
    )
    with pytest.raises(InputError, match=r"surface\.csv has a geometry that cannot be read"):
        read_aoi(path, pixel_grid(60, 80))


SITE = 'LOCAL_CS["Local Coordinates (m)",UNIT["metre",1]]'


def test_a_crs_that_is_nowhere_on_earth(tmp_path):
    site = CRS.from_wkt(SITE)
    grid = Grid(60, 80, Affine(0.5, 0, 10, 0, -0.5, 50), site)
    box = shapely.box(15, 35, 20, 45)
    path = write_vectors(tmp_path / "site.gpkg", [box], crs=site, k=["a"])
    expected = np.zeros((60, 80), np.uint8)
    expected[10:30, 10:20] = 1
    assert (read_all(path, grid) == expected).all()
    line = shapely.LineString([(10, 40), (50, 40)])
    burnt = read_all(
        write_vectors(tmp_path / "line.gpkg", [line], crs=site),
        grid,
        options=LabelOptions(line_width_m=2.0),
    )
    assert (burnt.any(axis=1).nonzero()[0] == [18, 19, 20, 21]).all()
    refuses(r"site\.gpkg is in Local Coordinates \(m\), the raster in WGS 84", path)
    with pytest.raises(InputError, match="nothing leads from one to the other"):
        read_aoi(path, GRID)
    options = LabelOptions(class_field="k")
    with pytest.raises(InputError, match="nothing leads from one to the other"):
        read_class_column(path, options, UTM_CRS, GRID.bounds())
    raster = write_raster(tmp_path / "site.tif", expected, grid=grid)
    assert (read_all(raster, grid) == expected).all()
    refuses(r"site\.tif is in Local Coordinates \(m\), the raster in WGS 84", raster)


def test_vectors_without_crs_elsewhere_are_refused(tmp_path):
    path = write_vectors(tmp_path / "v.gpkg", [shapely.box(2, 3, 7, 5)], crs=None)
    placed = Grid(60, 80, UTM)
    text = refuses(r"v\.gpkg does not overlap the scene: \(2, 3, 7, 5\) against", path, placed)
    assert "in coordinates without a CRS" in text


def test_class_columns_that_do_not_fit_are_refused(tmp_path):
    path = write_vectors(
        tmp_path / "v.gpkg",
        [square(0, 0), square(20, 0), square(40, 0)],
        kind=["road", "mud", "mud"],
        gap=["road", None, ""],
    )
    refuses(r"no column 'Kind' for the class; it has: kind, gap", path, class_field="Kind")
    refuses(r"no value in column 'gap' for 2 of 3 shapes", path, class_field="gap")
    refuses(
        r"'mud' in column 'kind' of 2 polygons, which is none of the classes 0 background, 1 road",
        path, classes=make_classes(["background", "road"]), class_field="kind",
    )  # fmt: skip
    refuses(r"which column holds the class", path, classes=make_classes("abc"))


@pytest.mark.parametrize("values", [[["a", "b"], ["a"]], [[1, 2], None], [{"a": 1}, None]])
def test_class_columns_of_lists_are_refused(tmp_path, values):
    frame = gpd.GeoSeries([square(0, 0), square(20, 0)], crs=UTM_CRS).to_crs(4326)
    content = json.loads(frame.to_json())
    for feature, value in zip(content["features"], values, strict=True):
        feature["properties"] = {"kind": value}
    path = tmp_path / "v.geojson"
    path.write_text(json.dumps(content))
    match = r"v\.geojson holds lists in column 'kind'; labels have one class per feature"
    refuses(match, path, class_field="kind")
    for declared in (None, "a,b"):
        with pytest.raises(InputError, match=match):
            resolve_legend(declared, [path], [GRID], LabelOptions(class_field="kind"))


def test_layer_is_chosen_by_name(tmp_path):
    path = write_vectors(tmp_path / "v.gpkg", [square(0, 0)])
    gpd.GeoDataFrame(geometry=[square(30, 30)], crs=UTM_CRS).to_file(path, layer="more")
    message = refuses(r"has the layers v, more; choose one", path)
    assert '"v.gpkg|layername=v"' in message  # a shell pipes what is not quoted
    assert read_all(f"{path}|layername=more")[35, 35] == 1
    refuses(r"no layer 'none'", f"{path}|layername=none")


# --- rasters ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int32", "float32", "float64"])
def test_raster_values_nodata_and_ignore(tmp_path, dtype):
    pixels = np.random.default_rng(0).integers(0, 5, GRID.shape).astype(dtype)
    path = write_raster(tmp_path / "l.tif", pixels, nodata=3)
    burnt = read_all(path, classes=make_classes("abc"), options=LabelOptions(ignore=4))
    assert (burnt == np.where(pixels > 2, 255, pixels.astype("uint8"))).all()


def test_raster_mask_nan_and_mirror(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 2, GRID.shape).astype("float32")
    pixels[3, 4] = np.nan
    mask = np.ones(GRID.shape, bool)
    mask[10:20, 10:20] = False
    path = write_raster(tmp_path / "l.tif", pixels, mask=mask)
    expected = np.where(mask & np.isfinite(pixels), np.nan_to_num(pixels), 255).astype("uint8")
    with open_labels(path, GRID, TWO) as labels:
        assert labels.note is None
        assert (labels.read(GRID.extent) == expected).all()
        mirrored = labels.read(GRID.extent.pad(17))
    assert (mirrored == np.pad(expected, 17, mode="reflect")).all()


def test_raster_on_another_grid_is_warped_nearest(tmp_path):
    own = Grid(
        height=50, width=50, transform=Affine(0.7, 0, 500_002, 0, -0.7, 4_999_999), crs=UTM_CRS
    )
    pixels = np.random.default_rng(1).integers(0, 2, own.shape).astype("uint8")
    path = write_raster(tmp_path / "l.tif", pixels, grid=own)
    expected = np.full(GRID.shape, 255, "uint8")
    wkt = own.crs.to_wkt()
    reproject(
        pixels, expected, src_transform=own.transform, dst_transform=GRID.transform,
        src_crs=wkt, dst_crs=wkt, resampling=Resampling.nearest, init_dest_nodata=False,
    )  # fmt: skip
    with open_labels(path, GRID, TWO) as labels:
        assert labels.note == "warped (nearest) from WGS 84 / UTM zone 33N, 50 x 50 pixels"
        assert (labels.read(GRID.extent) == expected).all()


def test_raster_without_georeference_is_taken_by_pixel_if_sizes_agree(tmp_path):
    pixels = np.random.default_rng(2).integers(0, 2, GRID.shape).astype("uint8")
    path = write_raster(tmp_path / "l.png", pixels, transform=None, driver="PNG")
    with open_labels(path, GRID, TWO) as labels:
        assert labels.note == "taken pixel by pixel: the labels have no georeference"
        assert (labels.read(GRID.extent) == pixels).all()
    assert (read_all(path, pixel_grid(60, 80)) == pixels).all()
    refuses(r"l\.png has 60 x 80 pixels, the scene 61 x 80", path, pixel_grid(61, 80))
    refuses(r"60 x 80 pixels, the scene 60 x 81", path, Grid(60, 81, UTM, UTM_CRS))


@pytest.mark.parametrize("crs", [(None, None), (UTM_CRS, None), (None, UTM_CRS)])
def test_places_without_a_crs_are_compared(tmp_path, crs):
    """As of world files: what lies elsewhere is not taken pixel by pixel."""
    pixels = np.random.default_rng(2).integers(0, 2, GRID.shape).astype("uint8")
    scene = Grid(60, 80, UTM, crs[0])
    for shift, message in ((30, "lie 30.00 pixels apart"), (1000, "lie 1000.00 pixels apart")):
        grid = Grid(60, 80, UTM @ Affine.translation(shift, 0), crs[1])
        path = write_raster(tmp_path / f"{shift}.tif", pixels, grid=grid)
        refuses(rf"{shift}\.tif and the scene {message}.*has a CRS; give both", path, scene)
    path = write_raster(tmp_path / "same.tif", pixels, grid=Grid(60, 80, UTM, crs[1]))
    with open_labels(path, scene, TWO) as labels:
        bare = "taken pixel by pixel: only one of the two has a CRS"
        assert labels.note == (None if crs == (None, None) else bare)
        assert (labels.read(GRID.extent) == pixels).all()


def test_raster_refusals(tmp_path):
    pixels = np.zeros(GRID.shape, "uint8")
    pixels[:2, :50] = 7
    path = write_raster(tmp_path / "l.tif", pixels)
    with (
        open_labels(path, GRID, TWO) as labels,
        pytest.raises(
            InputError,
            match=r"l\.tif has the value 7 in 100 pixels \(one at row 0, column 0\), none of",
        ),
    ):
        labels.read(Window(row_off=0, col_off=0, height=1, width=5))
    binary = write_raster(tmp_path / "binary.tif", np.full(GRID.shape, 255, "uint8"))
    refuses(
        r"value 255 in 4800 pixels .*; declare it: --classes 0=background,1=building,255=NAME, or, "
        r"of labels, leave it out with --ignore 255; if .* --threshold 128",
        binary,
    )
    bands = write_raster(tmp_path / "bands.tif", np.zeros((5, 60, 80), "uint8"))
    refuses(r"bands\.tif has 5 bands of uint8; labels have one", bands)
    deep = write_raster(tmp_path / "deep.tif", np.zeros((3, 60, 80), "uint16"))
    refuses(r"deep\.tif has 3 bands of uint16; labels have one", deep)
    far = write_raster(tmp_path / "far.tif", pixels, transform=UTM @ Affine.translation(900, 0))
    refuses(r"far\.tif does not overlap the scene", far)
    (tmp_path / "x.tif").write_bytes(b"II*\0nonsense")
    refuses(r"x\.tif is not a raster", tmp_path / "x.tif")
    refuses(r"gone\.tif does not exist", tmp_path / "gone.tif")


def test_thresholds_are_for_greys(tmp_path):
    mask = np.zeros((3, 60, 80), "uint8")
    mask[:, :5] = 127
    mask[:, 5:9] = 128
    mask[:, 9] = 7
    expected = (mask[0] >= 128).astype("uint8")
    expected[9] = 255
    path = write_raster(tmp_path / "grey.tif", mask)
    assert (read_all(path, options=LabelOptions(threshold=128, ignore=7)) == expected).all()
    mask[1, 20] = 255
    path = write_raster(tmp_path / "green.tif", mask)
    refuses(
        r"green\.tif has the colour #00ff00 in 80 pixels \(one at row 20, column 0\), none of .*; "
        r"a threshold is for masks of greys; .* --classes NAME=#00ff00,.* --ignore #00ff00$",
        path, threshold=128, ignore=7,
    )  # fmt: skip
    expected[20] = 255
    options = LabelOptions(threshold=128, ignore=(7, "#00ff00"))
    assert (read_all(path, options=options) == expected).all()
    is_data = np.ones(GRID.shape, bool)
    is_data[20] = False
    hidden = write_raster(tmp_path / "hidden.tif", mask, mask=is_data)
    assert (read_all(hidden, options=LabelOptions(threshold=128, ignore=7)) == expected).all()


def test_a_class_that_the_file_calls_nodata_is_refused(tmp_path):
    pixels = np.random.default_rng(2).integers(0, 2, GRID.shape).astype("uint8")
    path = write_raster(tmp_path / "l.tif", pixels, nodata=0)
    refuses(r"l\.tif says that 0 is nodata, but it is the class 'background'", path)
    assert (read_all(path, options=LabelOptions(ignore=0)) == np.where(pixels, 1, 255)).all()


# --- which classes ---------------------------------------------------------------------------


def test_classes_found_in_rasters(tmp_path):
    pixels = np.zeros(GRID.shape, "uint8")
    pixels[0, :3] = 2, 5, 9
    path = write_raster(tmp_path / "l.tif", pixels)
    with rasterio.open(path, "r+") as target:
        target.write_colormap(1, {0: (0, 0, 0, 255), 2: (255, 0, 0, 255)})
    found = resolve_legend(None, [path], [GRID], LabelOptions(ignore=9)).classes
    assert [(c.value, c.name) for c in found] == [(0, "class 0"), (2, "class 2"), (5, "class 5")]
    assert found[1].colour == "#ff0000"


@pytest.mark.parametrize(
    ("pixels", "match"),
    [
        (np.array([[0, 1, 255]], "uint8"), "value 255 in 1 pixel, .* say --ignore 255"),
        (np.array([[0, -1]], "int16"), "value -1 in 1 pixel"),
        (np.array([[0, 0.5]], "float32"), r"value 0\.5 in 1 pixel"),
        (np.array([[3, 3]], "uint8"), r"fewer than two classes \(found: 3\)"),
        (np.arange(2000, dtype="uint16").reshape(40, 50), "more than 1000 different values"),
    ],
)
def test_rasters_that_show_no_classes(tmp_path, pixels, match):
    path = write_raster(tmp_path / "l.tif", pixels)
    with pytest.raises(InputError, match=match):
        resolve_legend(None, [path], [GRID])


@pytest.mark.parametrize(
    ("options", "option", "is_raster"),
    [
        ({"class_field": "kind"}, "--class-field is for vector", True),
        ({"line_width_m": 2.0}, "--line-width is for vector", True),
        ({"threshold": 128}, "--threshold is for raster", False),
    ],
)
def test_options_that_no_file_can_follow(tmp_path, options, option, is_raster):
    raster = write_raster(tmp_path / "l.tif", np.array([[0, 1]], "uint8"))
    shapes = write_vectors(tmp_path / "l.gpkg", [square(0, 0)], kind=["a"])
    path, other = (raster, shapes) if is_raster else (shapes, raster)
    with pytest.raises(UsageError, match=rf"{option} labels, not for .*{path.name}; leave it out"):
        resolve_legend("other,a", [path], [GRID], LabelOptions(**options))
    resolve_legend("other,a", [path, other], [GRID] * 2, LabelOptions(**options))


def test_classes_found_in_vectors(tmp_path):
    path = write_vectors(
        tmp_path / "land cover.gpkg",
        [square(0, 0), square(20, 20), square(5000, 0)],
        kind=["road", "house", "elsewhere"],
        code=[10.0, 9.0, 1.0],
    )
    names = [c.name for c in resolve_legend(None, [path], [GRID]).classes]
    assert names == ["background", "land cover"]
    names = [
        c.name
        for c in resolve_legend(None, [path], [GRID], LabelOptions(class_field="kind")).classes
    ]
    assert names == ["background", "house", "road"]
    names = [
        c.name
        for c in resolve_legend(None, [path], [GRID], LabelOptions(class_field="code")).classes
    ]
    assert names == ["background", "9", "10"]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ([1.0, 5.0], {"background": 0, "1": 1, "5": 5}),
        (["10", "9"], {"background": 0, "9": 9, "10": 10}),
        ([7, 255], {"background": 0, "7": 1, "255": 2}),
        (["5", "x"], {"background": 0, "5": 1, "x": 2}),
        (["05", "6"], {"background": 0, "05": 1, "6": 2}),
    ],
)
def test_numbers_in_a_class_column_are_the_values(tmp_path, column, values):
    path = write_vectors(tmp_path / "v.gpkg", [square(0, 0), square(20, 20)], code=column)
    found = resolve_legend(None, [path], [GRID], LabelOptions(class_field="code")).classes
    assert {c.name: c.value for c in found} == values


def test_a_label_raster_of_many_scenes_is_read_once(tmp_path, monkeypatch):
    path = write_raster(tmp_path / "l.tif", np.eye(60, 80, dtype="uint8"))
    opened = []

    def open_counted(source):
        opened.append(source)
        return open_label_raster(source)

    monkeypatch.setattr("geounet.vector.labels.grey_masks.open_label_raster", open_counted)
    assert len(resolve_legend(None, [path] * 3, [GRID] * 3).classes) == 2
    assert opened == [path]


def test_declared_names_get_a_background_where_they_lack_one(tmp_path):
    path = write_vectors(tmp_path / "v.gpkg", [square(0, 0), square(9, 9)], kind=["a", "b"])
    raster = write_raster(tmp_path / "l.tif", np.zeros(GRID.shape, "uint8"))

    def names(declared, source=path, **options):
        return [
            c.name
            for c in resolve_legend(declared, [source], [GRID], LabelOptions(**options)).classes
        ]

    assert names("house") == ["background", "house"]
    assert names("other,house") == ["other", "house"]
    assert names("b,a", class_field="kind") == ["background", "b", "a"]
    assert names("rest,a,b", class_field="kind") == ["rest", "a", "b"]
    assert names("x,y", source=raster) == ["x", "y"]
    assert names(None) == ["background", "v"]


def test_polygons_beside_rasters_get_a_background_if_its_value_is_free(tmp_path):
    columns = {"code": [1, 2], "kind": ["forest", "other"]}
    shapes = write_vectors(tmp_path / "v.gpkg", [square(0, 0), square(20, 20)], **columns)
    raster = write_raster(tmp_path / "l.tif", np.full(GRID.shape, 1, "uint8"))

    def values(declared, field):
        options = LabelOptions(class_field=field)
        legend = resolve_legend(declared, [raster, shapes], [GRID] * 2, options)
        burnt = read_all(shapes, classes=legend.classes, options=legend.options)
        assert (read_all(raster, classes=legend.classes, options=legend.options) == 1).all()
        return burnt[5, 5], burnt[25, 25], burnt[50, 50]

    assert values("1=forest,2=other", "code") == values("1=forest,2=other", "kind") == (1, 2, 0)
    assert values("background,forest,other", "kind") == (1, 2, 0)
    for declared, field in (("forest,other", "kind"), ("house", None)):
        with pytest.raises(UsageError, match=r"a class of polygons, has its value 0; name the"):
            values(declared, field)


def test_numbered_classes_get_a_background_if_there_is_a_value_for_it(tmp_path):
    path = write_vectors(tmp_path / "v.gpkg", [square(0, 0)], kind=["building"], code=[5])
    file = tmp_path / "c.json"

    def values(items, **options):
        file.write_text(json.dumps([{"value": v, "name": n} for n, v in items.items()]))
        found = resolve_legend(str(file), [path], [GRID], LabelOptions(**options)).classes
        return {c.name: c.value for c in found}

    two, three = {"road": 1, "building": 5}, {"background": 0, "road": 1, "building": 5}
    assert values(two, class_field="kind") == values(two, class_field="code") == three
    classes = resolve_legend(str(file), [path], [GRID], LabelOptions(class_field="kind")).classes
    burnt = read_all(path, classes=classes, options=LabelOptions(class_field="kind"))
    assert (burnt[5, 5], burnt[50, 50]) == (5, 0)
    assert values({"building": 5}) == {"background": 0, "building": 5}
    named = {"building": 0, "background": 3}
    assert values(named, class_field="kind") == values(named) == named
    assert values({"other": 0, "building": 5}, class_field="kind") == {"other": 0, "building": 5}
    for options in ({"class_field": "kind"}, {}):
        with pytest.raises(UsageError, match=r"'building'.* has its value 0; name .*leave 0 free"):
            values({"building": 0} | ({"road": 1} if options else {}), **options)


def test_names_whose_first_has_the_number_of_polygons_are_refused(tmp_path):
    boxes = [square(0, 0), square(20, 20)]
    path = write_vectors(tmp_path / "v.gpkg", boxes, code=[0, 1], text=["0.5", "1"])

    def names(declared, field="code", **options):
        asked = LabelOptions(class_field=field, **options)
        return [c.name for c in resolve_legend(declared, [path], [GRID], asked).classes]

    for declared in ("road,house", "oak=road,fir=house", "0=road,1=house"):
        with pytest.raises(UsageError, match=r"'road', a class of polygons, has its value 0; name"):
            names(declared)
    assert names("background,house") == ["background", "house"]
    assert names("road,house", ignore=0) == ["road", "house"]
    assert names("other,house", field="text") == ["other", "house"]
    assert names("road,0") == ["road", "0"]  # a name comes before a number


def test_background_is_outside_wherever_it_stands(tmp_path):
    path = write_vectors(tmp_path / "v.gpkg", [square(0, 0)], kind=["building"])
    for options in (LabelOptions(), LabelOptions(class_field="kind")):
        classes = resolve_legend("building,background", [path], [GRID], options).classes
        burnt = read_all(path, classes=classes, options=options)
        assert [(c.value, c.name) for c in classes] == [(0, "building"), (1, "background")]
        assert (burnt[5, 5], burnt[50, 50]) == (0, 1)


def test_classes_as_the_user_writes_them(tmp_path):
    assert parse_classes("a, b") == make_classes(["a", "b"])
    file = tmp_path / "c.json"
    items = [{"value": 4, "name": "x", "color": "#010203"}, {"value": 1, "name": "y"}]
    file.write_text(json.dumps(items))
    assert [(c.value, c.name, c.colour) for c in parse_classes(file)] == [
        (1, "y", "#e6550d"),
        (4, "x", "#010203"),
    ]
    for text in ("a,,b", "a,a"):
        with pytest.raises(UsageError):
            parse_classes(text)
    item = '[{"value": %s, "name": "x", "labels": %s}]'
    unusable = [item % pair for pair in (("1e400", "[]"), ("NaN", "[]"), (1, '"12"'), (1, 12))]
    for content in ("{", "{}", "[1]", '[{"name": "x"}]', '{"a": 1}', *unusable):
        file.write_text(content)
        with pytest.raises((InputError, UsageError), match=r"c\.json|there is no class"):
            parse_classes(str(file))
    with pytest.raises(InputError, match=r"gone\.json cannot be read"):
        parse_classes(tmp_path / "gone.json")


# --- which labels belong to which image ------------------------------------------------------


def test_labels_are_matched_to_images(tmp_path):
    images = [tmp_path / "b.tif", tmp_path / "a.tif"]
    folder = tmp_path / "labels"
    folder.mkdir()
    for name in ("a", "b", "c"):
        write_raster(folder / f"{name}.tif", np.zeros((4, 4), "uint8"))
    (folder / "a.tif.aux.xml").write_text("<PAMDataset/>")
    assert match_labels(images, [folder]) == [(i, folder / i.name) for i in images]
    assert match_labels(images, ["x", "y"]) == [(images[0], "x"), (images[1], "y")]
    vectors = write_vectors(tmp_path / "v.gpkg", [square(0, 0)])
    assert match_labels(images, [vectors]) == [(i, vectors) for i in images]
    assert match_labels(images, [folder / "a.tif"]) == [(i, folder / "a.tif") for i in images]


def test_labels_that_cannot_be_matched(tmp_path):
    folder = tmp_path / "labels"
    folder.mkdir()
    bare = write_raster(folder / "a.png", np.zeros((4, 4), "uint8"), transform=None, driver="PNG")
    with pytest.raises(InputError, match=r"no labels of the name of image b \(nor of 1 more\)"):
        match_labels(["a.tif", "b.tif", "c.tif"], [folder])
    write_raster(folder / "a.tif", np.zeros((4, 4), "uint8"))
    with pytest.raises(InputError, match=r"several labels of a: a\.png, a\.tif"):
        match_labels(["a.tif"], [folder])
    with pytest.raises(InputError, match="3 images for 2 label files"):
        match_labels(["a", "b", "c"], ["x", "y"])
    with pytest.raises(
        InputError, match="has no georeference, so that it cannot be the labels of 2"
    ):
        match_labels(["a", "b"], [bare])
