"""What chips are centred on: counted over many draws, and compared with what is promised.

Counts of n draws with chance p lie within 4.5 sqrt(n p (1 - p)) of n p but for 1 case in 100,000.
"""

import geopandas
import numpy as np
import pytest
from rasters import UTM, write_raster
from shapely import box

from geounet.classes import make_classes
from geounet.errors import InputError
from geounet.raster import Window
from geounet.training.data.balance import OVERSAMPLING, fill_equally, make_anchors
from geounet.training.data.chips import ChipPlan, ChipStream, make_lookup, read_chip
from geounet.training.data.content import ContentBuilder, plan_numbering
from geounet.training.data.room import find_room
from geounet.training.data.sources import Reading, SourceReader, find_sources
from geounet.vector import LabelOptions
from geounet.vector.labels.datasets import Pair

CLASSES = make_classes(["background", "field", "house"])
READING = Reading(None, CLASSES, LabelOptions())
DRAWS = 3000


def assert_shares(counts, expected):
    counts, expected = np.asarray(counts), np.asarray(expected, float)
    total = counts.sum()
    bounds = 4.5 * np.sqrt(total * expected * (1 - expected)) + 1e-9
    assert (np.abs(counts - total * expected) <= bounds).all(), (counts / total, expected)


@pytest.fixture
def make_scene(tmp_path):
    def make(labels, name="scene"):
        image = np.arange(labels.size, dtype=np.uint32).reshape(labels.shape)
        image_path = write_raster(tmp_path / f"{name}.tif", image)
        pair = Pair(image_path, write_raster(tmp_path / f"{name}-labels.tif", labels))
        return find_sources([pair], None, None)[0][0]

    return make


def plan_of(sources, kind, reading=READING, chip=32, holes=(), weights=None, seed=0):
    rooms = [find_room(i, s.area.window, holes, chip) for i, s in enumerate(sources)]
    numbering = plan_numbering(kind, sources, reading)
    builder = ContentBuilder(numbering)
    with SourceReader(sources, reading) as reader:
        for room in rooms:
            for piece in room.pieces:
                for window in piece.blocks(100, 100):
                    builder.add(reader, room.scene, window, reader.read(room.scene, window))
    weights = weights or [1.0] * len(sources)
    shown = chip**2 / sum(room.pixels for room in rooms)
    anchors = make_anchors(builder.build(), numbering, weights, shown)
    return ChipPlan(tuple(rooms), chip, 0, seed, anchors=anchors, is_balanced=True)


def draw(sources, plan, count=DRAWS, reading=READING):
    rng = np.random.default_rng(1)
    with SourceReader(sources, reading) as reader:
        return np.array([plan.anchors.draw(reader, rng) for _ in range(count)])


def scatter(shape, shares, seed=0):
    return np.random.default_rng(seed).choice(len(shares), shape, p=shares).astype(np.uint8)


def test_each_class_is_the_centre_as_often_and_each_of_its_pixels(make_scene):
    labels = scatter((200, 250), [0.9, 0.09, 0.01])
    source = make_scene(labels)
    _, rows, cols = draw([source], plan_of([source], "class")).T
    values = labels[rows, cols]
    assert_shares(np.bincount(values, minlength=3), [1 / 3] * 3)
    for value in range(3):
        own = values == value
        quarters = (rows[own] >= 90) * 2 + (cols[own] >= 100)
        where = np.nonzero(labels == value)
        expected = np.bincount((where[0] >= 90) * 2 + (where[1] >= 100), minlength=4)
        assert_shares(np.bincount(quarters, minlength=4), expected / expected.sum())


def test_one_small_blob_is_not_the_whole_epoch(make_scene):
    labels = np.zeros((400, 400), np.uint8)
    labels[130:140, 200:210] = 2  # in two cells
    source = make_scene(labels)
    plan = plan_of([source], "class", chip=16)
    _, rows, cols = draw([source], plan).T
    share = OVERSAMPLING * 16**2 / 400**2 * np.count_nonzero(plan.anchors.content.value == 2)
    assert share < 0.04
    assert_shares(np.bincount(labels[rows, cols], minlength=3)[[0, 2]], [1 - share, share])


def test_each_instance_is_the_centre_as_often_whatever_its_size(make_scene):
    labels = np.zeros((200, 200), np.uint8)
    boxes = [(5, 5, 1, 1), (20, 30, 3, 4), (60, 60, 20, 20), (90, 10, 100, 45), (40, 90, 90, 90)]
    for i, (row, col, height, width) in enumerate(boxes):
        labels[row : row + height, col : col + width] = 1 + i % 2
    source = make_scene(labels)
    _, rows, cols = draw([source], plan_of([source], "instance")).T
    found = [
        (row <= rows) & (rows < row + height) & (col <= cols) & (cols < col + width)
        for row, col, height, width in boxes
    ]
    assert_shares([np.count_nonzero(own) for own in found], [1 / 5] * 5)
    assert_shares(np.bincount(cols[found[4]] >= 100), [1 / 9, 8 / 9])
    places = set(zip(rows[found[2]].tolist(), cols[found[2]].tolist(), strict=True))
    assert len(places) > 250  # of 400; 600 draws give 311


def test_features_that_touch_are_instances_of_their_own(tmp_path):
    image = write_raster(tmp_path / "image.tif", np.zeros((100, 150), np.uint8))
    polygons = [(10, 10, 20, 20), (20, 10, 90, 20), (10, 20, 90, 80)]  # left, top, right, bottom
    geometry = [box(*(UTM @ (a, d)), *(UTM @ (c, b))) for a, b, c, d in polygons]
    geopandas.GeoDataFrame(geometry=geometry, crs="EPSG:32633").to_file(tmp_path / "all.gpkg")
    sources, _ = find_sources([Pair(image, tmp_path / "all.gpkg")], None, None)
    classes = make_classes(["background", "house"])
    reading = Reading(None, classes, LabelOptions(separate_px=0))
    _, rows, cols = draw(sources, plan_of(sources, "instance", reading), 1500, reading).T
    found = [np.sum((a <= cols) & (cols < c) & (b <= rows) & (rows < d)) for a, b, c, d in polygons]
    assert_shares(found, [1 / 3] * 3)


def test_what_is_held_out_is_never_a_centre(make_scene):
    labels = scatter((200, 200), [0.8, 0.1, 0.1])
    source = make_scene(labels)
    hole = Window(row_off=50, col_off=70, height=77, width=59)
    plan = plan_of([source], "class", holes=[hole])
    _, rows, cols = draw([source], plan).T
    assert not ((rows >= 50) & (rows < 127) & (cols >= 70) & (cols < 129)).any()
    assert_shares(np.bincount(labels[rows, cols]), [1 / 3] * 3)


@pytest.mark.parametrize("kind", ["class", "instance"])
def test_weights_of_scenes_scale_how_often_they_are_drawn(make_scene, kind):
    labels = np.zeros((120, 120), np.uint8)
    labels[10::20, 10::20] = 1
    sources = [make_scene(labels, "a"), make_scene(labels, "b")]
    plan = plan_of(sources, kind, weights=[3.0, 1.0])
    scenes = draw(sources, plan)[:, 0]
    assert_shares(np.bincount(scenes), [0.75, 0.25])


def test_chips_have_the_pixel_in_their_middle(make_scene):
    labels = np.zeros((300, 300), np.uint8)
    labels[40:280:10, 40:250:10] = 1
    labels[150:160, 150:160] = 2
    labels[0, :] = 2
    source = make_scene(labels)
    plan, lookup = plan_of([source], "instance"), make_lookup([0, 1, 2])
    middle = []
    with SourceReader([source], READING) as reader:
        for index in range(200):
            chip = read_chip(reader, plan, (1, index), lookup)
            row, col = divmod(int(chip.image[0, 0, 0]), 300)
            assert (chip.labels == labels[row : row + 32, col : col + 32]).all()
            middle.append(chip.labels[16, 16] if row else 1)
    assert np.isin(middle, [1, 2]).all()  # or moved from the edge


@pytest.mark.parametrize("workers", [0, 3])
def test_balanced_chips_do_not_depend_on_workers_and_go_on(make_scene, workers):
    sources = [make_scene(scatter((150, 150), [0.9, 0.05, 0.05], s), f"s{s}") for s in range(2)]
    plan = plan_of(sources, "class")
    expected = list(ChipStream(sources, READING, plan, 4, 1).batches(2, 4))
    assert len({batch.image.tobytes() for batch in expected}) == 8
    for first in (0, 3):
        stream = ChipStream(sources, READING, plan, 4, workers)
        found = list(stream.batches(2, 4, first))
        assert len(found) == 8 - first
        for batch, same in zip(found, expected[first:], strict=True):
            assert (batch.image == same.image).all()
            assert (batch.labels == same.labels).all()


def test_chips_of_few_labels_show_one(make_scene):
    """Also without balance: where chance finds no label, one is sought."""
    labels = np.full((400, 400), 255, np.uint8)
    labels[333, 77] = 1
    source = make_scene(labels)
    reading = Reading(None, CLASSES, LabelOptions(ignore=(255,)))
    balanced = plan_of([source], "class", reading)
    plan = ChipPlan(balanced.rooms, 32, 0, 0, anchors=balanced.anchors)
    with SourceReader([source], reading) as reader:
        for index in range(20):
            chip = read_chip(reader, plan, (1, index), make_lookup([0, 1, 2]))
            assert (chip.labels == 1).sum() == 1


def test_without_instances_that_is_said(make_scene):
    with pytest.raises(InputError, match=r"finds no instance.*--balance class"):
        plan_of([make_scene(np.zeros((64, 64), np.uint8))], "instance")


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ([1, 1], [0.5, 0.5]),
        ([0.1, 1, 1], [0.1, 0.45, 0.45]),
        ([0.3, 0.1, 0.2, 1], [0.3, 0.1, 0.2, 0.4]),
        ([0.1, 0.3], [0.25, 0.75]),
        ([0, 1, 1], [0, 0.5, 0.5]),
    ],
)
def test_shares_are_as_equal_as_limits_allow(limits, expected):
    np.testing.assert_allclose(fill_equally(np.array(limits, float)), expected)
