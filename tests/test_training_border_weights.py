"""Border weights against equation 2, computed instance by instance."""

from __future__ import annotations

import json
from dataclasses import asdict
from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pytest
import shapely
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pyproj import CRS
from rasters import UTM, write_raster
from scipy import ndimage

from geounet.classes import make_classes
from geounet.raster import Grid, Window
from geounet.training import TrainOptions, train
from geounet.training.augment.augmentation import Pixels, augment
from geounet.training.data.chips import ChipPlan, ChipStream, make_lookup, read_chip
from geounet.training.data.room import find_room
from geounet.training.data.sources import Reading, Source, SourceReader
from geounet.training.holdout.footprints import Area
from geounet.training.learning.seeds import Dice
from geounet.training.learning.step import compute_loss
from geounet.training.loss.border_weights import weigh_borders
from geounet.training.loss.loss_options import BorderWeights, LossOptions
from geounet.training.loss.losses import LOSSES, cross_entropy, make_loss
from geounet.vector import LabelOptions

GRID = Grid(height=200, width=240, transform=UTM, crs=CRS.from_epsg(32633))
CLASSES = make_classes(["background", "building"])
PAPER = BorderWeights(10.0, 5.0)


def equation_2(ids, weight, sigma_px):
    """w0 exp(-(d1 + d2)^2 / (2 sigma^2)) of the background, a distance transform per instance."""
    instances = np.unique(ids[ids > 0])
    if len(instances) < 2:
        return np.zeros(ids.shape)
    distances = [ndimage.distance_transform_edt(ids != number) for number in instances]
    first, second = np.sort(distances, axis=0)[:2]
    return (ids == 0) * weight * np.exp(-((first + second) ** 2) / (2 * sigma_px**2))


def whole_of(ids):
    return Window(row_off=0, col_off=0, height=ids.shape[0], width=ids.shape[1])


def scatter(seed, shape=(200, 240), count=60):
    """Boxes and discs of 1 to 30 px, the later ones over the earlier ones."""
    rng = np.random.default_rng(seed)
    rows, cols = np.indices(shape)
    ids = np.zeros(shape, np.int32)
    for number in range(1, count + 1):
        row, col = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        height, width = rng.integers(1, 30, 2)
        if rng.random() < 0.5:
            ids[row : row + height, col : col + width] = number
        else:
            ids[np.hypot(rows - row, cols - col) < height / 2] = number
    return ids


small_masks = hnp.arrays(
    np.int32, st.tuples(st.integers(1, 24), st.integers(1, 24)), elements=st.sampled_from(range(4))
)


@settings(deadline=None, max_examples=100)
@given(small_masks, st.sampled_from([1.0, 2.0, 5.0]))
def test_small_masks_get_the_weights_of_equation_2(ids, sigma_px):
    found = weigh_borders(ids, whole_of(ids), BorderWeights(10.0, sigma_px))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, equation_2(ids, 10.0, sigma_px), rtol=0, atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sigma_px", [5.0, 1.5])
def test_scattered_instances_get_the_weights_of_equation_2(seed, sigma_px):
    ids = scatter(seed, count=(60, 60, 25, 15)[seed])
    found = weigh_borders(ids, whole_of(ids), BorderWeights(10.0, sigma_px))
    assert found.max() > 1
    np.testing.assert_allclose(found, equation_2(ids, 10.0, sigma_px), rtol=0, atol=1e-5)


def test_a_gap_of_one_pixel_weighs_as_the_paper_says():
    ids = np.zeros((9, 21), np.int32)
    ids[:, :10], ids[:, 11:] = 7, 3
    weights = weigh_borders(ids, whole_of(ids), PAPER)
    np.testing.assert_allclose(weights[:, 10], 10 * np.exp(-(2**2) / 50), rtol=1e-6)
    assert not weights[:, :10].any()
    assert not weights[:, 11:].any()


def test_one_instance_alone_has_no_borders():
    ids = np.zeros((30, 30), np.int32)
    ids[5:9, 4:20] = ids[15:20, 3:8] = 4
    assert not weigh_borders(ids, whole_of(ids), PAPER).any()


@pytest.mark.parametrize("seed", range(3))
def test_weights_do_not_depend_on_the_window(seed):
    """Bit by bit, given the instances `reach_px` around the window, and no more."""
    ids = scatter(seed)
    expected = weigh_borders(ids, whole_of(ids), PAPER)
    rng = np.random.default_rng(seed)
    for _ in range(20):
        row_off, col_off = (int(v) for v in rng.integers(0, 150, 2))
        height, width = (int(v) for v in rng.integers(1, 50, 2))
        window = Window(row_off=row_off, col_off=col_off, height=height, width=width)
        around = window.pad(PAPER.reach_px).intersect(whole_of(ids))
        found = weigh_borders(ids[around.slices()], window.relative_to(around), PAPER)
        assert (found == expected[window.slices()]).all()


# --- with chips -----------------------------------------------------------------------------------


@pytest.fixture
def buildings(tmp_path):
    """Boxes in rows, every second place empty; half of them touch the next one."""
    rng = np.random.default_rng(0)
    shapes = []
    for row in range(0, GRID.height, 20):
        cols = np.cumsum(rng.integers(6, 25, 30))
        for col, end in zip(cols[:-1], cols[1:] - (rng.random(29) < 0.5), strict=True):
            corners = [UTM @ (float(col), row), UTM @ (float(end), row + 20 - rng.integers(0, 9))]
            shapes.append(shapely.box(*np.sort(np.array(corners), axis=0).ravel()))
    built = np.array(shapes)[rng.random(len(shapes)) < 0.5]
    frame = gpd.GeoDataFrame(geometry=built, crs=GRID.crs)
    frame.to_file(tmp_path / "buildings.gpkg")
    return tmp_path / "buildings.gpkg"


@pytest.fixture
def scene(tmp_path):
    """Pixels whose number says where they are; 50 rows have no data."""
    numbers = np.arange(GRID.height * GRID.width, dtype=np.uint32).reshape(1, *GRID.shape)
    mask = np.ones(GRID.shape, bool)
    mask[60:110] = False
    return write_raster(tmp_path / "scene.tif", numbers, mask=mask)


def read_chips(scene, labels, options, count=12, aoi=None, holes=(), **plan):
    source = Source(scene, labels, Area("scene", GRID, GRID.extent), aoi)
    reading = Reading(None, CLASSES, options)
    room = find_room(0, GRID.extent, holes, 64)
    chips = ChipPlan((room,), 64, 0, seed=0, **plan)
    with SourceReader([source], reading) as reader:
        found = [read_chip(reader, chips, (1, i), make_lookup([0, 1])) for i in range(count)]
        return found, reader.read_instances(0, GRID.extent)


def places(chips):
    """Rows and columns of the pixels of each chip, (H, W) each."""
    for chip in chips:
        yield chip, *np.divmod(chip.image[0].astype(np.int64), GRID.width)


def test_chips_have_the_weights_of_the_whole_scene(scene, buildings):
    options = LabelOptions(separate_px=1)
    chips, ids = read_chips(scene, buildings, options, borders=PAPER)
    assert len(np.unique(ids)) > 50
    expected = equation_2(ids, 10.0, 5.0)
    for chip, rows, cols in places(chips):
        assert chip.border.dtype == np.float32
        np.testing.assert_allclose(chip.border, expected[rows, cols], rtol=0, atol=1e-5)
        assert chip.border.max() > 9


def test_overscanned_chips_have_them_too(scene, buildings):
    options = LabelOptions(separate_px=1)
    chips, ids = read_chips(scene, buildings, options, borders=PAPER, overscan=10)
    expected = equation_2(ids, 10.0, 5.0)
    for chip, rows, cols in places(chips):
        assert chip.border.shape == chip.labels.shape == (84, 84)
        known = chip.labels != 255
        np.testing.assert_allclose(
            chip.border[known], expected[rows, cols][known], rtol=0, atol=1e-5
        )


def test_rasters_have_the_weights_of_their_regions(scene, tmp_path):
    """Of regions smaller than the reach."""
    ids = np.zeros(GRID.shape, np.int32)
    ids[::12, ::14] = np.arange(1, 17 * 18 + 1).reshape(17, 18)
    ids = ndimage.maximum_filter(ids, size=(9, 11))
    values = (ids > 0).astype(np.uint8)
    labels = write_raster(tmp_path / "labels.tif", values)
    chips, _ = read_chips(scene, labels, LabelOptions(), borders=PAPER)
    expected = equation_2(ids, 10.0, 5.0)
    for chip, rows, cols in places(chips):
        np.testing.assert_allclose(chip.border, expected[rows, cols], rtol=0, atol=1e-5)


def test_nothing_outside_the_room_and_the_area_is_looked_at(scene, buildings):
    options = LabelOptions(separate_px=1)
    held_out = Window(row_off=80, col_off=100, height=60, width=60)
    aoi = shapely.box(*(UTM @ (10, 190)), *(UTM @ (230, 5)))
    chips, ids = read_chips(
        scene, buildings, options, borders=PAPER, aoi=aoi, holes=[held_out], count=30
    )
    inside = np.zeros(GRID.shape, bool)
    inside[5:190, 10:230] = True
    assert (ids[~inside] == 0).all()
    assert ids.any()
    ids[held_out.slices()] = 0
    expected = equation_2(ids, 10.0, 5.0)
    for chip, rows, cols in places(chips):
        np.testing.assert_allclose(chip.border, expected[rows, cols], rtol=0, atol=1e-5)


def test_without_border_weights_chips_have_none(scene, buildings):
    chips, _ = read_chips(scene, buildings, LabelOptions(), count=1)
    assert chips[0].border is None


# --- in training ----------------------------------------------------------------------------------


def test_border_weights_ask_for_a_gap_of_one_pixel_unless_told_otherwise():
    weighted = LossOptions(border_weight=10)
    assert TrainOptions().labelling.separate_px is None
    assert TrainOptions(loss_options=weighted).labelling.separate_px == 1
    for gap_px in (0, 3):
        label_options = LabelOptions(separate_px=gap_px)
        options = TrainOptions(loss_options=weighted, label_options=label_options)
        assert options.labelling.separate_px == gap_px


def test_batches_bring_the_weights_to_the_loss(scene, buildings):
    """A step with weights has the loss of its scores with these weights."""
    source = Source(scene, buildings, Area("scene", GRID, GRID.extent), None)
    reading = Reading(None, CLASSES, LabelOptions(separate_px=1))
    plan = ChipPlan((find_room(0, GRID.extent, [], 64),), 64, 0, seed=0, borders=PAPER)
    (batch,) = ChipStream([source], reading, plan, 4, 0).batches(epochs=1, steps=1)
    assert batch.border.shape == batch.labels.shape == (4, 64, 64)
    scores = torch.randn(4, 2, 64, 64, generator=torch.Generator().manual_seed(0))
    loss = make_loss(LossOptions(loss="ce"), (0.5, 0.5), torch.device("cpu"))
    learner = SimpleNamespace(
        runtime=SimpleNamespace(device=torch.device("cpu"), dtype=torch.float32),
        normalise=lambda image, valid: torch.zeros(4, 1, 64, 64),
        augment=lambda pixels, dice: pixels,
        forward=lambda image: [scores],
        loss=loss,
    )
    found = compute_loss(learner, batch, Dice(torch.Generator()))
    labels, border = torch.from_numpy(batch.labels), torch.from_numpy(batch.border)
    assert found == loss(scores, labels, border) != loss(scores, labels)


def test_weights_are_turned_and_deformed_as_labels_are():
    rng = np.random.default_rng(0)
    labels = torch.from_numpy(rng.integers(0, 250, (3, 96, 96), dtype=np.uint8))
    image, valid = torch.zeros(3, 1, 96, 96), torch.ones(3, 96, 96, dtype=torch.bool)
    pixels = Pixels(image, valid, labels, (labels / 8,))
    dice = Dice(torch.Generator().manual_seed(0))
    moved = augment(TrainOptions(augment="strong").augmentation, 64, pixels, dice)
    known = moved.labels != 255
    assert known.any()
    assert not torch.equal(moved.labels, labels[:, 16:80, 16:80])
    assert (moved.others[0][known] == moved.labels[known] / 8).all()


def test_training_minimises_what_the_options_say(scene, buildings, tmp_path, monkeypatch):
    seen = []

    def spy(scored, smoothing):
        seen.append((float(scored.border.max()), scored.class_weights.tolist(), smoothing))
        return cross_entropy(scored, smoothing)

    monkeypatch.setattr("geounet.training.options.EPOCH_CHIPS", (4, 4))
    monkeypatch.setitem(LOSSES, "ce", spy)
    loss = LossOptions(
        loss="ce+dice", class_weights="inverse", label_smoothing=0.1, border_weight=20
    )
    options = TrainOptions(
        architecture="unet",
        width=2,
        depth=1,
        chip=32,
        batch=4,
        epochs=1,
        workers=0,
        device="cpu",
        precision="float32",
        loss_options=loss,
    )
    summary = train([scene], [buildings], tmp_path / "run", options)
    ((border, class_weights, smoothing),) = seen
    assert 15 < border <= 20
    shares = np.array(list(summary.class_shares.values()))
    np.testing.assert_allclose(class_weights, 0.5 / shares, rtol=1e-6)
    assert smoothing == 0.1
    found = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert found["options"]["loss_options"] == asdict(loss)
