from __future__ import annotations

import functools

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.enums import ColorInterp
from rasterio.features import rasterize
from scipy import ndimage
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import balanced_accuracy_score

from geounet.cli.landscape import CLASSES, make_landscape, write_landscape
from geounet.cli.landscape.light import Sun, cast_shadows
from geounet.cli.landscape.noise import fractal_noise, smooth_noise
from geounet.errors import ResourceError
from geounet.raster import open_scene, read_classes

SEEDS = (1, 2, 3)
make = functools.lru_cache(make_landscape)
VALUE = {item.name: item.value for item in CLASSES}


@pytest.fixture(params=SEEDS)
def landscape(request):
    return make(request.param, 640, 512)


def test_same_seed_gives_the_same_pixels():
    first, second = make_landscape(5, 300, 200), make_landscape(5, 300, 200)
    assert (first.image == second.image).all()
    assert (first.labels == second.labels).all()
    assert first.grid == second.grid
    assert first.buildings == second.buildings


def test_other_seed_gives_another_place():
    first, second = make(1, 640, 512), make(2, 640, 512)
    assert (first.labels != second.labels).mean() > 0.2
    assert not shapely.box(*first.grid.bounds()).intersects(shapely.box(*second.grid.bounds()))


def test_every_class_has_a_sane_share(landscape):
    share = {name: (landscape.labels == value).mean() for name, value in VALUE.items()}
    assert 0.35 < share["open land"] < 0.85
    assert 0.03 < share["building"] < 0.2
    assert 0.03 < share["road"] < 0.2
    assert 0.005 < share["water"] < 0.2
    assert 0.04 < share["trees"] < 0.4
    assert set(np.unique(landscape.labels)) == {*VALUE.values(), 255}


def test_corner_is_nodata_in_image_and_labels(landscape):
    empty = landscape.labels == 255
    assert (empty == (landscape.image == 0)).all()
    assert 0.03 < empty.mean() < 0.1
    assert sum(int(empty[row, col]) for row in (0, -1) for col in (0, -1)) == 1
    assert ndimage.label(empty)[1] == 1


def test_neighbours_share_walls_and_none_overlap(landscape):
    tree = shapely.STRtree(landscape.buildings)
    first, second = tree.query(landscape.buildings, predicate="dwithin", distance=0.01)
    first, second = first[first < second], second[first < second]
    shapes = np.array(landscape.buildings)
    assert (shapely.area(shapely.intersection(shapes[first], shapes[second])) < 1e-6).all()
    thick = shapely.buffer(shapes[first], 0.01)
    walls = shapely.length(shapely.intersection(thick, shapely.boundary(shapes[second])))
    assert (walls > 3).sum() >= 5


def test_footprints_are_the_building_class(landscape):
    grid = landscape.grid
    burnt = rasterize(landscape.buildings, grid.shape, transform=grid.transform, dtype="uint8")
    seen = landscape.labels != 255
    assert ((burnt == 1) == (landscape.labels == VALUE["building"]))[seen].all()
    assert all(rasterize([b], grid.shape, transform=grid.transform)[seen].any()
               for b in landscape.buildings)  # fmt: skip


def test_water_is_dark_and_trees_are_bright_in_near_infrared(landscape):
    nir = {name: np.median(landscape.image[3][landscape.labels == v]) for name, v in VALUE.items()}
    assert nir["water"] < 0.5 * min(nir[name] for name in VALUE if name != "water")
    assert nir["trees"] > nir["road"]


def test_colours_alone_tell_something_but_not_enough():
    samples = []
    for seed in (1, 2):
        scene = make(seed, 640, 512)
        seen = scene.labels != 255
        samples.append((scene.image[:, seen].T.astype(float)[::7], scene.labels[seen][::7]))
    (pixels, labels), (other_pixels, other_labels) = samples
    guess = LinearDiscriminantAnalysis().fit(pixels, labels).predict(other_pixels)
    assert 0.5 < balanced_accuracy_score(other_labels, guess) < 0.9


@pytest.mark.parametrize("shape", [(2, 2), (40, 300), (256, 64)])
def test_any_size_can_be_made(shape):
    landscape = make_landscape(3, *shape)
    assert landscape.image.shape == (4, *shape)
    assert landscape.labels.shape == landscape.grid.shape == shape


def test_files_say_what_they_hold(tmp_path):
    landscape = make(1, 640, 512)
    files = write_landscape(tmp_path / "new", "village", landscape)
    assert [path.name for path in (files.image, files.labels, files.buildings)] == [
        "village.tif",
        "village_labels.tif",
        "village_buildings.gpkg",
    ]
    with rasterio.open(files.image) as image:
        assert (image.read() == landscape.image).all()
        assert image.descriptions == ("red", "green", "blue", "nir")
        assert image.nodatavals == (0, 0, 0, 0)
        assert image.colorinterp[:3] == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        assert image.crs == "EPSG:32632"
        assert image.transform == landscape.grid.transform
    with rasterio.open(files.labels) as labels:
        assert (labels.read(1) == landscape.labels).all()
        assert labels.nodata == 255
        assert {v: labels.colormap(1)[v][:3] for v in VALUE.values()} == {
            item.value: item.rgb for item in CLASSES
        }
    assert read_classes(files.labels) == CLASSES
    table = geopandas.read_file(files.buildings)
    assert table.crs == "EPSG:32632"
    assert set(table["class"]) == {"building"}
    assert set(table["class_id"]) == {VALUE["building"]}
    assert len(table) == len(landscape.buildings)


def test_scene_reader_sees_four_bands_and_the_empty_corner(tmp_path):
    landscape = make(2, 640, 512)
    files = write_landscape(tmp_path, "village", landscape)
    with open_scene(files.image) as scene:
        pixels, valid = scene.read(scene.grid.extent)
    assert (pixels == landscape.image).all()
    assert (valid == (landscape.labels != 255)).all()


def test_files_are_replaced(tmp_path):
    for seed in (1, 2):
        files = write_landscape(tmp_path, "village", make(seed, 640, 512))
    assert len(geopandas.read_file(files.buildings)) == len(make(2, 640, 512).buildings)


def test_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match=r"cannot write in .*file"):
        write_landscape(tmp_path / "file", "village", make(1, 640, 512))


def test_shadow_falls_away_from_the_sun_as_far_as_the_sun_is_low():
    height = np.zeros((60, 60), np.float32)
    height[30, 30] = 10
    south = Sun(right=0.0, down=1.0, elevation=np.pi / 4)
    shadow = cast_shadows(height, south, pixel_m=0.5)
    rows, cols = np.nonzero(shadow)
    assert set(cols) == {30}
    # 10 m at 45 degrees reach 10 m north, 20 pixels; the last 0.4 m of height do not count
    assert (rows.min(), rows.max()) == (11, 29)


def test_slope_towards_the_sun_is_lighter_than_level_ground():
    sun = Sun(right=0.6, down=0.8, elevation=0.7)
    right, down = np.array([0, -0.36, 0.36]), np.array([0, -0.48, 0.48])
    level, towards, away = sun.light(right, down)
    assert away < level < towards
    assert level == pytest.approx(1)


@pytest.mark.parametrize("size_px", [2.0, 7.5, 90.0])
def test_noise_is_smooth_with_deviation_one(size_px):
    rng = np.random.default_rng(0)
    fields = np.stack([smooth_noise(rng, (211, 173), size_px) for _ in range(20)])
    assert fields.shape == (20, 211, 173) and fields.dtype == np.float32
    assert abs(fields.mean()) < 0.3
    assert 0.5 < fields.std() < 1.5
    steps = np.abs(np.diff(fields, axis=1)).mean()
    assert steps < 2.0 / size_px


def test_fractal_noise_has_detail_at_every_size():
    field = fractal_noise(np.random.default_rng(0), (512, 512), 64)
    assert 0.5 < field.std() < 1.5
    for sigma in (2, 8):
        assert (field - ndimage.gaussian_filter(field, sigma)).std() > 0.01
