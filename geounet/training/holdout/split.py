"""Which pixels train and which validate: blocks in space, with a guard between. Pure geometry.

Random pixels or chips would leak: neighbours look alike. So whole blocks are held out, and no pixel
of a held-out block grown by the guard is ever trained on, in the block's own scene or in any other
that covers the same ground. Chips may reach into the guard, where nothing has a label, and into a
block, which they show as if it had no data. Of many ways to choose blocks, that is taken which
shows the classes most nearly in the shares that they have everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from geounet.classes import NODATA
from geounet.errors import InputError
from geounet.raster import Window
from geounet.training.data.room import Room, find_room
from geounet.training.holdout.block import MAX_BLOCK, Block, cut_areas
from geounet.training.holdout.census import FindLabels, take_census
from geounet.training.holdout.choice import choose_alike
from geounet.training.holdout.footprints import Area, Footprints
from geounet.training.holdout.strips import choose_strips

MAX_VALIDATION_PIXELS = 4096 * 4096
"""No more than this is held out of the training scenes, however large they are."""


@dataclass(frozen=True, slots=True)
class Split:
    """Which pixels train and which validate.

    No pixel that trains is within `guard` pixels of a validation block.

    Attributes:
        training: room for chips, at most one for each scene.
        validation: what is held out; its `scene` counts the scenes it was chosen from.
        guard: pixels between the two.
    """

    training: tuple[Room, ...]
    validation: tuple[Block, ...]
    guard: int

    @property
    def training_pixels(self) -> int:
        """Pixels that chips may show."""
        return sum(room.pixels for room in self.training)

    @property
    def validation_pixels(self) -> int:
        """Pixels that are held out."""
        return sum(block.window.area for block in self.validation)


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """How to split.

    Attributes:
        chip: side of the chips in pixels.
        margin: context of the network in pixels; the guard is as wide, less where blocks are small.
        fraction: share of the useful pixels to hold out.
        seed: chooses the blocks.
    """

    chip: int
    margin: int
    fraction: float
    seed: int


def split_areas(
    areas: Sequence[Area], plan: SplitPlan, find_labels: FindLabels, tested: Sequence[Area] = ()
) -> Split:
    """Hold out blocks spread over the areas, and train on what is left.

    What counts is useful pixels: the fraction is one of them, and both parts have some. A block is
    about a quarter of what would be held out of full areas, but no smaller than a chip and no
    larger than 1024 pixels a side; areas smaller than a block are held out whole. Of 32 choices by
    chance that is taken which shows the classes most nearly in the shares of all. Where blocks are
    too few, each area gives a strip at one of the ends of what is useful in it.

    Args:
        areas: one for each scene.
        plan: how to split.
        find_labels: the classes of a block's pixels; of large areas asked of few blocks.
        tested: other areas that are not to be trained on.

    Raises:
        InputError: the areas are too small, or too empty, to leave both parts.
    """
    rng = np.random.default_rng(plan.seed)
    pixels = count_pixels(areas)
    most = min(plan.fraction * pixels, MAX_VALIDATION_PIXELS)
    blocks = list(cut_areas(areas, most, plan.chip))
    census = take_census(blocks, most, find_labels, plan.seed)
    if not census.counts:
        raise InputError(
            f"there is nothing to validate on: none of {pixels} pixels in {len(areas)} scene(s) is "
            "labelled and has data; check that the labels lie on the images, and --aoi, --bbox and "
            "--ignore, or give --val-images"
        )
    if len(blocks) * census.block_share * plan.fraction >= 1:
        target = min(plan.fraction * census.share * pixels, MAX_VALIDATION_PIXELS)
        chosen = choose_alike(census, target, rng)
        if split := _split_at(areas, chosen, plan, find_labels, tested):
            return split
    chosen = choose_strips(areas, plan.fraction, find_labels, rng)
    if split := _split_at(areas, chosen, plan, find_labels, tested):
        return split
    raise InputError(
        f"there is nothing to validate on: what is labelled in {len(areas)} scene(s) with {pixels} "
        "pixels is too small to hold out a part and train on the rest; label more, or give "
        "--val-images"
    )


def hold_out(
    areas: Sequence[Area], held_out: Iterable[Area], chip: int, guard: int
) -> tuple[Room, ...]:
    """The room for training on what is more than `guard` pixels away from all that is held out.

    Args:
        areas: one for each training scene.
        held_out: to validate or test on, cut from these scenes or from others.
        chip: side of the chips in pixels.
        guard: pixels of the training scenes.

    Raises:
        InputError: nothing is left.
    """
    training = _find_rooms(areas, held_out, chip, guard)
    if not training:
        raise InputError(
            f"there is nothing to train on: what is held out and {guard} pixels around it are all "
            f"{count_pixels(areas)} pixels; give other --val-images or a smaller --val-fraction"
        )
    return training


def _find_rooms(
    areas: Sequence[Area], held_out: Iterable[Area], chip: int, guard: int
) -> tuple[Room, ...]:
    footprints = Footprints(areas)
    holes: list[list[Window]] = [[] for _ in areas]
    for area in held_out:
        for scene, hole in footprints.find(area, guard):
            holes[scene].append(hole)
    rooms = (
        find_room(i, area.window, holes[i], chip, [hole.pad(-guard) for hole in holes[i]])
        for i, area in enumerate(areas)
    )
    return tuple(room for room in rooms if room is not None)


def _split_at(
    areas: Sequence[Area],
    chosen: Sequence[Block],
    plan: SplitPlan,
    find_labels: FindLabels,
    tested: Sequence[Area],
) -> Split | None:
    """The split that holds out these blocks; None if nothing useful is held out or left."""
    if not chosen:
        return None
    narrowest = min(min(block.window.shape) for block in chosen)
    guard = min(plan.margin, narrowest // 4)
    held_out = [replace(areas[block.scene], window=block.window) for block in chosen]
    rooms = _find_rooms(areas, [*held_out, *tested], plan.chip, guard)
    left = (
        Block(room.scene, window)
        for room in rooms
        for piece in room.pieces
        for window in piece.blocks(MAX_BLOCK, MAX_BLOCK)
    )
    is_useful = any((find_labels(block) != NODATA).any() for block in left)
    return Split(rooms, tuple(chosen), guard) if is_useful else None


def count_pixels(areas: Iterable[Area]) -> int:
    """Number of pixels in the areas."""
    return sum(area.window.area for area in areas)
