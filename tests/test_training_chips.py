"""Chips against the arrays they were cut from."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from rasters import write_raster

from geounet.classes import make_classes
from geounet.raster import Window, pixel_grid
from geounet.training.data.chips import ChipPlan, ChipStream, find_inside, make_lookup, read_chip
from geounet.training.data.room import find_room
from geounet.training.data.sources import Reading, Source, SourceReader
from geounet.training.holdout.footprints import Area
from geounet.vector import LabelOptions

READING = Reading(None, make_classes(["a", "b", "c"], values=[0, 3, 7]), LabelOptions())
VALUES = np.array([0, 3, 7], np.uint8)


@pytest.fixture
def make_source(tmp_path):
    """A scene whose pixels all differ, with labels, and both as arrays."""

    def make(shape=(90, 120), bands=2, seed=0):
        rng = np.random.default_rng(seed)
        image = np.arange(bands * shape[0] * shape[1], dtype=np.uint16).reshape(bands, *shape)
        labels = rng.choice(VALUES, shape)
        image_path = write_raster(tmp_path / f"image{seed}.tif", image, nodata=17)
        label_path = write_raster(tmp_path / f"labels{seed}.tif", labels)
        grid = pixel_grid(*shape)
        return Source(image_path, label_path, Area("a", grid, grid.extent), None), image, labels

    return make


def plan_of(source, chip=32, context=0, holes=(), seed=0):
    return ChipPlan((find_room(0, source.area.window, holes, chip),), chip, context, seed)


def place_of(image, chip):
    """Where a chip of these images lies: its first pixel says it."""
    return divmod(int(chip.image[0, 0, 0]), image.shape[2])


def test_chips_are_windows_of_image_and_labels(make_source):
    source, image, labels = make_source()
    plan = plan_of(source)
    channels = make_lookup([0, 3, 7])
    places = set()
    with SourceReader([source], READING) as reader:
        for index in range(50):
            chip = read_chip(reader, plan, (1, index), channels)
            row, col = place_of(image, chip)
            cut = (slice(row, row + 32), slice(col, col + 32))
            assert (chip.image == image[:, *cut]).all()
            assert chip.image.dtype == np.uint16
            assert (chip.valid == (image[:, *cut] != 17).all(axis=0)).all()
            known = np.where(chip.labels == 255, 255, VALUES[np.minimum(chip.labels, 2)])
            assert (known == np.where(chip.valid, labels[cut], 255)).all()
            places.add((row, col))
    assert len(places) > 45


def test_context_goes_beyond_the_chip_and_is_mirrored_at_the_scene_edge(make_source):
    source, image, _ = make_source()
    padded = np.pad(image, ((0, 0), (20, 20), (20, 20)), mode="reflect")
    with SourceReader([source], READING) as reader:
        for index in range(20):
            plain = read_chip(reader, plan_of(source), (1, index), np.arange(256, dtype=np.uint8))
            chip = read_chip(
                reader, plan_of(source, context=20), (1, index), np.arange(256, dtype=np.uint8)
            )
            row, col = place_of(image, plain)
            assert (chip.image == padded[:, row : row + 72, col : col + 72]).all()
            assert (chip.labels == plain.labels).all()


def test_small_scenes_are_mirrored(make_source):
    source, image, labels = make_source(shape=(20, 120))
    plan = plan_of(source, chip=64, context=8)
    with SourceReader([source], READING) as reader:
        chip = read_chip(reader, plan, (1, 0), np.arange(256, dtype=np.uint8))
    assert chip.image.shape == (2, 80, 80)
    ((_, window), *_) = plan.windows(1, 0)
    padded = np.pad(image, ((0, 0), (8, 52), (8, 8)), mode="reflect")
    assert (chip.image == padded[:, :80, window.col_off : window.col_off + 80]).all()
    known = np.where((image != 17).all(axis=0), labels, 255)
    expected = np.pad(known, ((0, 44), (0, 0)), mode="reflect")
    assert (chip.labels == expected[:, window.col_off : window.col_off + 64]).all()


@pytest.mark.parametrize(("context", "overscan"), [(0, 0), (5, 9)])
def test_chips_cover_up_what_is_held_out_and_learn_nothing_near_it(make_source, context, overscan):
    source, image, labels = make_source()
    held_out = Window(row_off=30, col_off=4, height=40, width=66)  # mirrored beyond column 0, too
    guard = held_out.pad(6)
    room = find_room(0, source.area.window, [guard], 32, hidden=[held_out])
    plan = ChipPlan((room,), 32, context, seed=0, overscan=overscan)
    hidden, near = (find_inside([one], source.area.window) for one in (held_out, guard))
    around, known = context + overscan, (image != 17).all(axis=0)
    valid = np.pad(known & ~hidden, around, mode="reflect")
    expected = np.pad(np.where(near | ~known, 255, labels), around, constant_values=255)
    seen = 0
    with SourceReader([source], READING) as reader:
        for index in range(40):
            chip = read_chip(reader, plan, (1, index), np.arange(256, dtype=np.uint8))
            ((_, window), *_) = plan.windows(1, index)
            rows, cols = (slice(s.start, s.stop + 2 * around) for s in window.slices())
            assert (chip.valid == valid[rows, cols]).all()
            inner = slice(context, 32 + 2 * around - context)
            assert (chip.labels == expected[rows, cols][inner, inner]).all()
            seen += int(not chip.valid.all())
    assert seen > 5


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_chips_do_not_depend_on_the_number_of_workers(make_source, workers):
    sources = [make_source(seed=k)[0] for k in range(2)]
    rooms = tuple(find_room(k, s.area.window, [], 32) for k, s in enumerate(sources))
    plan = ChipPlan(rooms, 32, 0, seed=5)
    found = list(ChipStream(sources, READING, plan, 4, workers).batches(epochs=2, steps=3))
    assert len(found) == 6
    with SourceReader(sources, READING) as reader:
        for number, batch in enumerate(found):
            epoch, step = number // 3 + 1, number % 3
            for k in range(4):
                chip = read_chip(reader, plan, (epoch, 4 * step + k), make_lookup([0, 3, 7]))
                assert (batch.image[k] == chip.image).all()
                assert (batch.valid[k] == chip.valid).all()
                assert (batch.labels[k] == chip.labels).all()


def test_seed_and_epoch_give_other_chips(make_source):
    source, _, _ = make_source()
    windows = {
        next(plan_of(source, seed=seed).windows(epoch, 0))[1]
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(windows) == 9


def test_a_stream_that_is_left_early_ends_its_threads(make_source):
    source, _, _ = make_source()
    before = threading.active_count()
    stream = ChipStream([source], READING, plan_of(source), 4, 2).batches(epochs=100, steps=100)
    next(stream)
    assert threading.active_count() == before + 2
    stream.close()
    assert threading.active_count() == before


def test_windows_without_labels_are_passed_over(make_source, tmp_path):
    source, _, _ = make_source(shape=(300, 300))
    labels = np.full((300, 300), 9, np.uint8)
    labels[:100] = 3
    source = Source(
        source.image, write_raster(tmp_path / "sparse.tif", labels), source.area, source.aoi
    )
    reading = Reading(None, READING.classes, LabelOptions(ignore=9))
    with SourceReader([source], reading) as reader:
        for index in range(30):
            chip = read_chip(reader, plan_of(source), (1, index), make_lookup([0, 3, 7]))
            assert (chip.labels == 1).any()


def test_overscan_reads_around_the_chip_but_no_label_outside_the_room(make_source):
    """The chip in the middle is that without overscan; nothing held out gets a label."""
    source, image, labels = make_source(bands=1)
    hole = Window(row_off=0, col_off=0, height=90, width=50)
    plain = plan_of(source, context=3, holes=[hole])
    wide = replace(plain, overscan=20)
    padded = np.pad(image[0], 23, mode="reflect")
    known = np.where(image[0] == 17, 255, labels)
    known[:, :50] = 255
    known = np.pad(known, 20, constant_values=255)
    with SourceReader([source], READING) as reader:
        for index in range(30):
            inner = read_chip(reader, plain, (1, index), make_lookup([0, 3, 7]))
            chip = read_chip(reader, wide, (1, index), make_lookup([0, 3, 7]))
            assert (chip.image[:, 20:-20, 20:-20] == inner.image).all()
            assert (chip.labels[20:-20, 20:-20] == inner.labels).all()
            row, col = (int(x[0]) for x in np.nonzero(image[0] == inner.image[0, 3, 3]))
            assert (chip.image[0] == padded[row : row + 78, col : col + 78]).all()
            found = np.where(chip.labels == 255, 255, VALUES[np.minimum(chip.labels, 2)])
            assert (found == known[row : row + 72, col : col + 72]).all()


def test_overscan_of_a_small_room_is_its_mirror_image(make_source):
    source, image, labels = make_source(shape=(20, 120), bands=1)
    plan = replace(plan_of(source, chip=64), overscan=8)
    with SourceReader([source], READING) as reader:
        chip = read_chip(reader, plan, (1, 0), make_lookup([0, 3, 7]))
    ((_, window), *_) = plan.windows(1, 0)
    cols = slice(window.col_off, window.col_off + 80)
    padded = np.pad(image[0], ((8, 52), (8, 8)), mode="reflect")
    assert (chip.image[0] == padded[:80, cols]).all()
    known = np.pad(np.where(image[0] == 17, 255, labels), ((8, 52), (0, 0)), mode="reflect")
    known = np.pad(known, ((0, 0), (8, 8)), constant_values=255)[:80, cols]
    found = np.where(chip.labels == 255, 255, VALUES[np.minimum(chip.labels, 2)])
    assert (found == known).all()
