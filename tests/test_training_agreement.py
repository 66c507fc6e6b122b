"""What scenes that train, validate and test together must have in common, and what not."""

import json

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import CRS
from rasters import UTM, write_raster

from geounet.errors import InputError
from geounet.raster import Grid
from geounet.training import TrainOptions
from geounet.training.data.sources import SourceReader
from geounet.training.holdout.footprints import Area
from geounet.training.holdout.split import SplitPlan, split_areas
from geounet.training.keeping.resume import check_same_inputs
from geounet.training.loss.loss_options import LossOptions
from geounet.training.task import find_inputs


def write_pair(folder, name, descriptions=None, transform=UTM, seed=0):
    image = np.random.default_rng(seed).integers(0, 255, (3, 96, 96)).astype("uint8")
    return (
        write_raster(folder / f"{name}.tif", image, descriptions=descriptions, transform=transform),
        write_raster(
            folder / f"{name}_labels.tif", (image[0] > 125).astype("uint8"), transform=transform
        ),
    )


def inputs_of(pairs, **options):
    return find_inputs(*zip(*pairs, strict=True), TrainOptions(**options))


def test_bands_in_another_order_are_refused(tmp_path):
    pairs = [
        write_pair(tmp_path, "a", ("red", "green", "nir")),
        write_pair(tmp_path, "b", ("nir", "green", "red")),
    ]
    with pytest.raises(InputError, match=r"b\.tif has the bands nir, green, red, .* --bands 1,2,3"):
        inputs_of(pairs)
    assert inputs_of(pairs, bands=(1, 2, 3)).band_names == (None, "green", None)


def test_bands_of_other_names_are_told(tmp_path):
    pairs = [
        write_pair(tmp_path, "a", ("red", "green", "nir")),
        write_pair(tmp_path, "b", ("R", "green", "N")),
    ]
    (note,) = inputs_of(pairs).notes
    assert note.startswith("the images name 2 bands differently (1, 3);")


def test_pixels_of_quite_different_size_are_told(tmp_path):
    pairs = [
        write_pair(tmp_path, f"s{side}", transform=Affine(side, 0, 5e5, 0, -side, 5e6))
        for side in (10, 0.5)
    ]
    inputs = inputs_of(pairs)
    assert inputs.pixel_size_m in (10, 0.5)
    (note,) = inputs.notes
    assert note.startswith("the images have pixels of 0.5 to 10 m; the model counts as one for 0.5")


def test_what_was_trained_on_is_no_test(tmp_path):
    image, labels = write_pair(tmp_path, "a")
    (tmp_path / "set.csv").write_text(
        f"image,labels,split\n{image},{labels},train\n{image},{labels},test\n"
    )
    with pytest.raises(InputError, match=r"a\.tif is among the images to train on and .* test on"):
        find_inputs([tmp_path / "set.csv"], [], TrainOptions())


def test_ground_that_is_tested_does_not_train():
    grid = Grid(400, 400, UTM, CRS.from_epsg(32633))
    other = Grid(400, 400, UTM @ Affine.translation(0, 300), grid.crs)
    plan = SplitPlan(chip=64, margin=20, fraction=0.2, seed=0)
    areas = [Area("a", grid, grid.extent)]
    split = split_areas(
        areas,
        plan,
        lambda block: np.zeros(block.window.shape, np.uint8),
        [Area("b", other, other.extent)],
    )
    (room,) = split.training
    assert max(piece.row_end for piece in room.pieces) == 300 - split.guard
    assert any(hidden.row_off == 300 for hidden in room.hidden)


def test_truth_has_no_gaps_that_only_border_weights_need(tmp_path):
    image, _ = write_pair(tmp_path, "a")
    corner = shapely.Point(*(UTM @ (20, 60)))
    houses = [
        shapely.box(corner.x + 5 * k, corner.y, corner.x + 5 * k + 5, corner.y + 10)
        for k in range(3)
    ]
    gpd.GeoDataFrame(geometry=houses, crs=32633).to_file(tmp_path / "houses.gpkg")
    inputs = find_inputs(
        [image],
        [tmp_path / "houses.gpkg"],
        TrainOptions(loss_options=LossOptions(border_weight=10)),
    )
    pixels = []
    for reading in (inputs.reading, inputs.validation_reading):
        with SourceReader(inputs.sources, reading) as reader:
            labels = reader.read(0, inputs.sources[0].area.window).labels
        pixels.append(int((labels == 1).sum()))
    scale = abs(1 / UTM.determinant)
    assert pixels[1] == round(sum(house.area for house in houses) * scale)
    assert pixels[0] == pixels[1] - 2 * round(10 * scale**0.5)


def test_a_run_goes_on_with_the_weights_and_tests_that_it_began_with(tmp_path):
    saved = {"scenes": [{"image": "a", "weight": 1.0}], "other_scenes": [{"labels": "b"}]}
    check_same_inputs(tmp_path, saved, json.loads(json.dumps(saved)))
    for changed in (
        {"scenes": [{"image": "a", "weight": 50.0}]},
        {"other_scenes": [{"labels": "c"}]},
    ):
        with pytest.raises(InputError, match="are not those that the run"):
            check_same_inputs(tmp_path, {**saved, **changed}, saved)
