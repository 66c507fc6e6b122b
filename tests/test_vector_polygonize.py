"""From mask files to polygon files: rows, names, measures, and what is refused."""

from __future__ import annotations

import geopandas
import numpy as np
import pytest
import rasterio
import rasterio.features
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS, Geod, Transformer
from rasters import UTM, write_raster

from geounet.classes import make_classes
from geounet.errors import InputError, UsageError
from geounet.progress import Progress
from geounet.raster import CLASSES_TAG, Grid, dump_classes
from geounet.vector import PolygonizeOptions, masks, measure_polygons, polygonize

CLASSES = make_classes(["background", "building", "water"])


def make_mask(seed=0, height=60, width=80):
    """Noise of classes 0-2 with a frame of no data."""
    mask = np.random.default_rng(seed).integers(0, 3, (height, width)).astype(np.uint8)
    mask[:, :3] = 255
    return mask


def write_mask(path, mask, classes=CLASSES, **options):
    write_raster(path, mask, **options)
    if classes:
        with rasterio.open(path, "r+") as target:
            target.update_tags(**{CLASSES_TAG: dump_classes(classes)})
    return path


def run(path, options=PolygonizeOptions(overwrite=True), **arguments):  # noqa: B008
    output = path.with_suffix(".gpkg")
    summary = polygonize(path, output, options, **arguments)
    frame = geopandas.read_file(output, layer="polygons")
    assert len(frame) == summary.polygons
    return frame, summary


def burn(frame, shape, transform=UTM):
    shapes = zip(frame.geometry, frame.class_id.tolist(), strict=True)
    return rasterio.features.rasterize(shapes, shape, transform=transform, dtype="uint8")


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("strip", [1, 37 * 80, 1 << 25])
def test_burning_the_polygons_gives_the_mask(tmp_path, monkeypatch, connectivity, strip):
    monkeypatch.setattr(masks, "STRIP_BYTES", strip)
    mask = make_mask()
    path = write_mask(tmp_path / "mask.tif", mask, nodata=255, blockysize=5)
    frame, summary = run(path, PolygonizeOptions(connectivity=connectivity, overwrite=True))
    assert (burn(frame, mask.shape) == np.where(mask == 255, 0, mask)).all()
    names = frame["class"].value_counts().to_dict()
    assert names == dict(summary.class_polygons)
    assert (frame["class"] == np.where(frame.class_id == 1, "building", "water")).all()
    assert frame.crs == "EPSG:32633"
    assert frame.area_m2.to_numpy() == pytest.approx(frame.pixels * 0.25)
    assert frame.perimeter_m.to_numpy() == pytest.approx(frame.length)


def test_strips_of_blocks_do_not_show_in_the_file(tmp_path, monkeypatch):
    path = write_mask(tmp_path / "mask.tif", make_mask(), blockysize=7)
    contents = []
    for strip in (1, 1 << 25):
        monkeypatch.setattr(masks, "STRIP_BYTES", strip)
        run(path)
        contents.append(path.with_suffix(".gpkg").read_bytes())
    assert contents[0] == contents[1]


def test_unnamed_classes_are_numbers(tmp_path):
    path = write_mask(tmp_path / "mask.tif", np.array([[0, 1, 7]], np.uint8), classes=())
    frame, _ = run(path)
    assert frame["class"].tolist() == ["class 1", "class 7"]


@pytest.mark.parametrize(
    ("names", "values"), [(None, {1, 2}), (("water",), {2}), (("background", "water"), {0, 2})]
)
def test_classes_are_chosen_by_name(tmp_path, names, values):
    path = write_mask(tmp_path / "mask.tif", make_mask())
    frame, _ = run(path, PolygonizeOptions(classes=names, overwrite=True))
    assert set(frame.class_id) == values


@pytest.mark.parametrize("drop", [False, True])
def test_small_regions_are_left_out_but_not_those_of_just_that_area(tmp_path, drop):
    mask = np.zeros((9, 9), np.uint8)
    mask[0, 0] = mask[4, 1:5] = 1
    mask[6, 1:9] = 2
    grid = Affine(0.3, 0.0, 500_000.1, 0.0, -0.3, 5_000_000.1)
    path = write_mask(tmp_path / "mask.tif", mask, transform=grid)
    options = PolygonizeOptions(min_area_m2=0.36, drop_small=drop, overwrite=True)
    frame, summary = run(path, options)
    assert frame.pixels.tolist() == [4, 8]
    assert summary.small == 1


def test_a_small_region_gets_the_class_of_its_longest_border(tmp_path):
    mask = np.ones((9, 9), np.uint8)
    mask[:, 5:] = 2
    mask[3:5, 3:5] = 3
    path = write_mask(tmp_path / "mask.tif", mask)
    confidence = np.where(mask == 3, 0, 254).astype(np.uint8)
    sure = write_raster(tmp_path / "confidence.tif", confidence)
    options = PolygonizeOptions(min_area_m2=2, confidence=sure, overwrite=True)
    frame, summary = run(path, options)
    assert frame.pixels.tolist() == [45, 36]
    assert frame.confidence.tolist() == [1, 1]  # of the pixels that were of the class
    assert summary.small == 1


def test_small_holes_are_filled(tmp_path):
    mask = np.zeros((12, 12), np.uint8)
    mask[1:11, 1:11] = 1
    mask[3:5, 3:5] = 0
    mask[7:10, 7:9] = 0
    path = write_mask(tmp_path / "mask.tif", mask)
    frame, summary = run(path, PolygonizeOptions(min_hole_m2=1.5, overwrite=True))
    assert frame.pixels.tolist() == [94]
    assert len(frame.geometry[0].interiors) == 1
    assert summary.holes == 1


def test_small_areas_are_geodesic_in_degrees(tmp_path):
    """Pixels at 60 degrees north have half the area of those at the equator."""
    mask = np.zeros((121, 9), np.uint8)
    mask[[0, 60], 2] = mask[[0, 60], 5] = 1
    mask[0, 6] = 1
    transform = Affine(1, 0, 10, 0, -1, 60.5)
    path = write_mask(tmp_path / "mask.tif", mask, transform=transform, crs="EPSG:4326")
    pixel = 110_574.0 * 111_320
    options = PolygonizeOptions(min_area_m2=0.8 * pixel, drop_small=True, overwrite=True)
    frame, _ = run(path, options)
    assert frame.pixels.tolist() == [2, 1, 1]


def test_integers_of_any_width_are_masks(tmp_path):
    mask = np.array([[-9999, 0, 1], [2, 2, 255]], np.int32)
    frame, _ = run(write_mask(tmp_path / "mask.tif", mask, nodata=-9999))
    assert dict(zip(frame.class_id, frame.pixels, strict=True)) == {1: 1, 2: 2}


def test_palettes_are_masks(tmp_path):
    path = write_mask(tmp_path / "mask.tif", make_mask(), photometric="palette", classes=())
    with rasterio.open(path, "r+") as target:
        target.write_colormap(1, {1: (255, 0, 0, 255), 2: (0, 0, 255, 255)})
    frame, _ = run(path)
    assert set(frame.class_id) == {1, 2}


def test_a_mask_without_regions_gives_an_empty_layer(tmp_path):
    path = write_mask(tmp_path / "mask.tif", np.zeros((5, 5), np.uint8))
    frame, summary = run(path)
    assert len(frame) == 0
    assert dict(summary.class_polygons) == {}
    columns = ["class_id", "class", "area_m2", "perimeter_m", "pixels", "geometry"]
    assert [*frame.columns] == columns


def test_without_georeference_areas_are_pixels(tmp_path):
    mask = np.zeros((5, 6), np.uint8)
    mask[1:3, 2:5] = 1
    path = write_raster(tmp_path / "mask.png", mask, transform=None, driver="PNG")
    frame, _ = run(path)
    assert frame.crs is None
    assert (frame.area_m2[0], frame.perimeter_m[0]) == (6, 10)
    assert frame.geometry[0].bounds == (2, 1, 5, 3)


@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_confidence_is_the_mean_over_the_regions_pixels(tmp_path, kind):
    mask = np.array([[1, 1, 0], [1, 0, 2]], np.uint8)
    steps = np.array([[254, 127, 3], [0, 255, 100]], np.uint8)
    path = write_mask(tmp_path / "mask.tif", mask)
    values = steps if kind == "uint8" else (steps / 254).astype(kind)
    confidence = write_raster(tmp_path / "confidence.tif", values)
    frame, _ = run(path, PolygonizeOptions(confidence=confidence, overwrite=True))
    found = frame.set_index("class_id").confidence
    assert found[1] == pytest.approx((254 + 127 + 0) / 3 / 254)
    assert found[2] == pytest.approx(100 / 254)


def test_progress_ends_at_the_total(tmp_path, monkeypatch):
    monkeypatch.setattr(masks, "STRIP_BYTES", 1)
    seen: list[Progress] = []
    run(write_mask(tmp_path / "mask.tif", make_mask(), blockysize=7), progress=seen.append)
    assert [p.done for p in seen] == sorted({p.done for p in seen})
    assert seen[0].done == 0
    assert seen[-1].done == seen[-1].total == 60 * 80


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 4), np.float32), "mask.tif is no mask: float32; give one band of integer"),
        (np.zeros((2, 4, 4), np.uint8), "2 bands of uint8"),
        (np.full((4, 4), 256, np.int16), "has the value 256; a mask has classes 0 to 254"),
        (np.full((4, 4), -1, np.int16), "has the value -1"),
    ],
)
def test_what_is_no_mask_is_refused(tmp_path, array, message):
    path = write_raster(tmp_path / "mask.tif", array)
    with pytest.raises(InputError, match=message):
        run(path)
    assert not path.with_suffix(".gpkg").exists()


def test_a_missing_mask_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        run(tmp_path / "mask.tif")


def test_an_unknown_class_is_refused(tmp_path):
    path = write_mask(tmp_path / "mask.tif", make_mask())
    message = "has no class roof; it has background, building, water"
    with pytest.raises(InputError, match=message):
        run(path, PolygonizeOptions(classes=("building", "roof"), overwrite=True))


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (np.zeros((60, 79), np.uint8), {}, "is not on the grid of"),
        (np.zeros((60, 80), np.int16), {}, "has 1 band of int16"),
        (np.zeros((60, 80), np.uint8), {"nodata": 0}, "no confidence in row 0, column 3"),
        (np.full((60, 80), 2.0, np.float32), {}, "no confidence in row"),
    ],
)
def test_a_confidence_of_something_else_is_refused(tmp_path, array, options, message):
    mask = make_mask()
    mask[0, 3] = 1
    path = write_mask(tmp_path / "mask.tif", mask)
    confidence = write_raster(tmp_path / "confidence.tif", array, **options)
    with pytest.raises(InputError, match=message):
        run(path, PolygonizeOptions(confidence=confidence, overwrite=True))


def test_the_output_is_looked_at_first(tmp_path):
    path = write_mask(tmp_path / "mask.tif", make_mask())
    run(path)
    before = path.with_suffix(".gpkg").read_bytes()
    with pytest.raises(UsageError, match="use --overwrite"):
        run(path, PolygonizeOptions())
    assert path.with_suffix(".gpkg").read_bytes() == before


@pytest.mark.parametrize(
    "arguments",
    [
        {"connectivity": 6},
        {"min_area_m2": -1},
        {"min_hole_m2": -1},
        {"drop_small": True},
        {"simplify_m": -1},
        {"classes": ()},
    ],
    ids=str,
)
def test_options_that_cannot_be_meant_are_refused(arguments):
    with pytest.raises(UsageError, match="--"):
        PolygonizeOptions(**arguments)


def stairs(row_off, col_off, height, width):
    """A polygon along the edges of pixels, with a hole."""
    outline = [(0, 0), (0, height), (width, height), (width, 1), (width - 1, 1), (width - 1, 0)]
    hole = shapely.box(1, 1, width - 2, height - 1)
    polygon = shapely.Polygon(outline, [hole.exterior.coords[::-1]])
    return shapely.transform(polygon, lambda xy: np.add(xy, (col_off, row_off)))


def place(geometry, transform):
    return shapely.transform(geometry, lambda xy: np.column_stack(transform @ tuple(xy.T)))


@settings(deadline=None, max_examples=40)
@given(
    lat=st.floats(-85, 85),
    size=st.sampled_from([1e-5, 1e-3, 0.05]),
    code=st.sampled_from([4326, 4267, 3857]),
    shape=st.tuples(st.integers(3, 30), st.integers(4, 30)),
)
def test_measures_on_the_ellipsoid_are_those_of_pyproj(lat, size, code, shape):
    """With edges along parallels: pyproj's are great circles, the same between near points."""
    crs = CRS.from_epsg(code)
    if code == 3857:
        _, y = Transformer.from_crs(4326, crs, always_xy=True).transform(0, lat)
        transform = Affine(size * 1e5, 0, 9e6, 0, -size * 1e5, y)
    else:
        transform = Affine(size, 0, 80, 0, -size, lat)
    pixels = stairs(2, 3, *shape)
    grid = Grid(60, 60, transform, crs)
    area, perimeter = measure_polygons(np.array([place(pixels, transform)], object), grid)
    dense = place(shapely.segmentize(pixels, 0.02), transform)
    lonlat = Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    dense = shapely.transform(dense, lonlat.transform, interleaved=False)
    geod = crs.get_geod()
    rings = [
        geod.geometry_area_perimeter(r) for r in map(shapely.Polygon, shapely.get_rings(dense))
    ]
    assert area == pytest.approx([abs(rings[0][0]) - abs(rings[1][0])], rel=1e-6)
    assert perimeter == pytest.approx([rings[0][1] + rings[1][1]], rel=1e-6)


def test_neighbours_on_the_ellipsoid_add_up():
    grid = Grid(1, 1, Affine.identity(), CRS.from_epsg(4326))
    parts = np.array([shapely.box(0, 50, 40, 60), shapely.box(0, 60, 40, 70)])
    whole = np.array([shapely.box(0, 50, 40, 70)])
    assert measure_polygons(parts, grid).area_m2.sum() == pytest.approx(
        measure_polygons(whole, grid).area_m2.sum(), rel=1e-6
    )


def test_measures_in_feet_are_metres():
    grid = Grid(10, 10, Affine.identity(), CRS.from_epsg(2263))
    area, perimeter = measure_polygons(np.array([shapely.box(0, 0, 10, 10)]), grid)
    foot = 1200 / 3937
    assert area == pytest.approx([100 * foot**2])
    assert perimeter == pytest.approx([40 * foot])


def test_all_land_and_sea_is_the_earth():
    grid = Grid(1, 1, Affine.identity(), CRS.from_epsg(4326))
    bands = [shapely.box(-180, lat, 180, lat + 1) for lat in range(-90, 90)]
    total = measure_polygons(np.array(bands), grid).area_m2.sum()
    assert total == pytest.approx(510_065_621_724_089, rel=1e-9)
    assert total == pytest.approx(
        2 * abs(Geod(ellps="WGS84").polygon_area_perimeter([0, 90, 180, 270], [0, 0, 0, 0])[0])
    )
