"""The index of the training pixels, against counting and numbering the whole image at once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from geounet.raster import Window
from geounet.training.data.content import CELL, ContentBuilder, Numbering, number_in_cells
from geounet.training.data.sources import Sample

VALUES = (0, 3, 7)


def numbering(kind, scenes=1):
    return Numbering(kind, VALUES, frozenset({0, 255}), (False,) * scenes)


def sample_of(labels):
    valid = labels != 255
    return Sample(labels[None], valid, valid, labels)


def index(images, kind, height, width):
    """The content of some images, taken in blocks in an order of chance."""
    builder = ContentBuilder(numbering(kind, len(images)))
    blocks = [
        (scene, window)
        for scene, labels in enumerate(images)
        for window in Window(row_off=0, col_off=0, height=labels.shape[0], width=labels.shape[1])
        .blocks(height, width)
    ]  # fmt: skip
    for i in np.random.default_rng(0).permutation(len(blocks)):
        scene, window = blocks[i]
        builder.add(None, scene, window, sample_of(images[scene][window.slices()]))
    return builder.build()


def paint(content, images):
    """Group of each pixel by the content, -1 where there is none."""
    groups = [np.full(labels.shape, -1) for labels in images]
    numbered = {}
    for i, group in enumerate(content.group):
        scene, window = int(content.scene[i]), content.window(i)
        labels = images[scene][window.slices()]
        if (scene, window) not in numbered:
            numbers = numbering(content.kind, len(images))
            numbered[scene, window] = numbers.number(None, scene, window, sample_of(labels))
        ids = numbered[scene, window]
        own = ids == ids.flat[content.first[i]]
        assert own.sum() == content.pixels[i]
        assert (labels[own] == content.value[i]).all()
        part = groups[scene][window.slices()]
        assert (part[own] == -1).all()
        part[own] = group
    return groups


def make_labels(shape, seed, smooth):
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=shape), smooth)
    return np.array([0, 3, 7, 255], np.uint8)[
        np.digitize(field, np.quantile(field, [0.5, 0.7, 0.9]))
    ]


@settings(deadline=None, max_examples=15)
@given(
    st.tuples(st.integers(1, 200), st.integers(1, 200)),
    st.tuples(st.integers(1, 150), st.integers(1, 150)),
    st.integers(0, 99),
    st.sampled_from([1, 3, 12]),
)
def test_instances_are_the_regions_of_the_whole_scene(shape, block, seed, smooth):
    block = max(block[0], shape[0] // 4), max(block[1], shape[1] // 4)
    images = [make_labels(shape, seed, smooth), make_labels((70, 90), seed + 1, smooth)]
    groups = paint(index(images, "instance", *block), images)
    pairs = set()
    last = 0
    for labels, found in zip(images, groups, strict=True):
        for value in VALUES[1:]:
            regions, count = ndimage.label(labels == value)
            inside = regions > 0
            assert (found[inside] >= 0).all()
            pairs |= set(
                zip((regions[inside] + last).tolist(), found[inside].tolist(), strict=True)
            )
            last += count
        assert (found[~np.isin(labels, VALUES[1:])] == -1).all()
    assert len(pairs) == last == len({group for _, group in pairs})


def test_classes_are_counted_cell_by_cell():
    images = [make_labels((150, 200), 1, 5)]
    content = index(images, "class", 128, 128)
    groups = paint(content, images)[0]
    assert (groups == np.select([images[0] == v for v in VALUES], range(3), -1)).all()
    assert content.cell[:, 2:].max() <= CELL
    sums = content.sum_groups(content.pixels.astype(float))
    assert sums.tolist() == [(images[0] == value).sum() for value in VALUES]


def test_regions_end_at_the_cells():
    ids = number_in_cells(np.full((70, 130), 3, np.uint8), {255}, 64)
    assert len(np.unique(ids)) == 6
    assert (ids[:64, :64] == ids[0, 0]).all()


def test_nothing_has_no_content():
    content = index([np.full((10, 10), 255, np.uint8)], "instance", 10, 10)
    assert content.pixels.size == content.group.size == 0


@pytest.mark.parametrize("kind", ["class", "instance"])
def test_the_order_of_blocks_and_their_size_do_not_matter(kind):
    images = [make_labels((130, 130), 2, 4)]
    first, second = (paint(index(images, kind, size, size), images)[0] for size in (128, 64))
    pairs = np.unique(np.stack([first.ravel(), second.ravel()]), axis=1)
    assert pairs.shape[1] == len(np.unique(first)) == len(np.unique(second))
