"""The split never lets training and validation touch."""

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS

from geounet.errors import InputError
from geounet.raster import Grid, pixel_grid
from geounet.training.holdout.footprints import Area
from geounet.training.holdout.split import SplitPlan, count_pixels, split_areas


def area(height, width, name="a"):
    grid = pixel_grid(height, width)
    return Area(name, grid, grid.extent)


def everything(block):
    return np.zeros(block.window.shape, np.uint8)


def only(useful):
    """What is useful of each block, given as one array for each scene."""
    labels = [np.where(one, 0, 255).astype(np.uint8) for one in useful]
    return lambda block: labels[block.scene][block.window.slices()]


def paint(windows, shape):
    hits = np.zeros(shape, bool)
    for window in windows:
        hits[window.slices()] = True
    return hits


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), min_size=1, max_size=6),
    st.sampled_from([16, 32, 64]),
    st.integers(0, 40),
    st.sampled_from([0.1, 0.2, 0.5]),
    st.integers(0, 5),
)
def test_training_keeps_the_guard_from_validation(shapes, chip, margin, fraction, seed):
    areas = [area(h, w, name=str(i)) for i, (h, w) in enumerate(shapes)]
    try:
        split = split_areas(areas, SplitPlan(chip, margin, fraction, seed), everything)
    except InputError:
        assert max(max(shape) for shape in shapes) < 2
        return
    assert split.training
    assert split.validation
    assert split.guard <= margin
    for i, shape in enumerate(shapes):
        blocks = [b.window for b in split.validation if b.scene == i]
        assert all(areas[i].window.contains(block) for block in blocks)
        forbidden = paint([areas[i].window.intersect(b.pad(split.guard)) for b in blocks], shape)
        for room in split.training:
            if room.scene == i:
                assert (paint(room.pieces, shape) == ~forbidden).all()
                assert (paint(room.hidden, shape) == paint(blocks, shape)).all()


@pytest.mark.parametrize("seed", range(5))
def test_about_the_wanted_share_is_held_out_and_spread(seed):
    areas = [area(3072, 3072)]
    split = split_areas(areas, SplitPlan(256, 92, 0.2, seed), everything)
    share = split.validation_pixels / count_pixels(areas)
    assert 0.15 <= share <= 0.25
    assert split.guard == 92
    assert len(split.validation) >= 3
    centres = [(b.window.row_off, b.window.col_off) for b in split.validation]
    assert np.ptp(centres, axis=0).max() >= 1536  # not all in one corner


def test_the_seed_chooses():
    def chosen(seed):
        plan = SplitPlan(256, 92, 0.2, seed)
        return split_areas([area(3072, 3072)], plan, everything).validation

    assert chosen(0) == chosen(0)
    assert len({chosen(seed) for seed in range(6)}) > 3


def test_of_many_small_scenes_whole_ones_are_held_out():
    areas = [area(100, 120, name=str(i)) for i in range(40)]
    split = split_areas(areas, SplitPlan(64, 30, 0.2, 0), everything)
    assert len(split.validation) == 8
    assert all(block.window == areas[block.scene].window for block in split.validation)
    assert len(split.training) == 32


def test_neighbouring_tiles_of_a_mosaic_keep_the_guard_too():
    def tile(row, col):
        transform = Affine(1, 0, 512 * col, 0, -1, -512 * row)
        grid = Grid(height=512, width=512, transform=transform, crs=CRS.from_epsg(32633))
        return Area(f"{row} {col}", grid, grid.extent)

    areas = [tile(row, col) for row in range(6) for col in range(6)]
    split = split_areas(areas, SplitPlan(256, 92, 0.2, 0), everything)
    whole = np.zeros((6 * 512, 6 * 512), np.int8)
    for block in split.validation:
        row, col = divmod(block.scene, 6)
        whole[row * 512 : row * 512 + 512, col * 512 : col * 512 + 512] = 2
    forbidden = np.zeros_like(whole, dtype=bool)
    for block in split.validation:
        row, col = (512 * k for k in divmod(block.scene, 6))
        forbidden[max(row - 92, 0) : row + 604, max(col - 92, 0) : col + 604] = True
    for room in split.training:
        row, col = divmod(room.scene, 6)
        for piece in room.pieces:
            rows, cols = piece.slices()
            view = whole[row * 512 : row * 512 + 512, col * 512 : col * 512 + 512]
            view[rows, cols] = 1
    assert ((whole == 1) == ~forbidden).all()


def test_blocks_without_anything_to_validate_are_passed_over():
    useful = np.zeros((3072, 3072), bool)
    useful[1536:] = True
    split = split_areas([area(3072, 3072)], SplitPlan(256, 92, 0.2, 0), only([useful]))
    assert split.validation
    assert all(block.window.row_off >= 1536 for block in split.validation)


@pytest.mark.parametrize(
    "windows",
    [
        [(150, 130, 80, 80)],
        [(0, 0, 60, 60), (310, 250, 60, 60)],
        [(5, 390, 200, 2)],
        [(7 + 60 * i, 9 + 60 * j, 20, 20) for i in range(6) for j in range(6)],
    ],
    ids=["square", "two squares", "line", "scattered"],
)
@pytest.mark.parametrize("chip", [16, 64, 256])
@pytest.mark.parametrize("seed", range(4))
def test_sparse_labels_are_split_by_what_is_labelled(windows, chip, seed):
    useful = np.zeros((400, 400), bool)
    for row, col, height, width in windows:
        useful[row : row + height, col : col + width] = True
    split = split_areas([area(400, 400)], SplitPlan(chip, 92, 0.2, seed), only([useful]))
    held_out = paint([block.window for block in split.validation], useful.shape)
    trained = paint(split.training[0].pieces, useful.shape)
    assert 0.1 <= (useful & held_out).sum() / useful.sum() <= 0.4
    assert (useful & trained).sum() / useful.sum() > 0.4


def test_labels_in_one_corner_of_a_large_scene_are_found():
    split = split_areas(
        [area(20_000, 20_000)],
        SplitPlan(256, 92, 0.1, 0),
        lambda block: np.where(
            np.add.outer(*(np.r_[s] for s in block.window.slices())) < 500, 0, 255
        ).astype(np.uint8),
    )
    (block,) = split.validation
    assert block.window.row_off + block.window.col_off < 500


def test_large_scenes_hold_out_no_more_than_can_be_validated():
    split = split_areas([area(60_000, 80_000)], SplitPlan(256, 92, 0.2, 0), everything)
    assert 12e6 < split.validation_pixels < 20e6
    assert max(max(block.window.shape) for block in split.validation) <= 1100


def test_nothing_to_validate_or_train_is_said():
    with pytest.raises(InputError, match=r"nothing to validate.*--val-images"):
        split_areas([area(1, 1)], SplitPlan(16, 4, 0.2, 0), everything)
    with pytest.raises(InputError, match=r"none of 250000 pixels in 1 scene.* is labelled"):
        split_areas(
            [area(500, 500)], SplitPlan(16, 4, 0.2, 0), lambda block: everything(block) + 255
        )
