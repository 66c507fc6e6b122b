"""Which pixels train and which validate: blocks in space, with a guard between. Pure geometry.

Random pixels or chips would leak: neighbours look alike. So whole blocks are held out, and nothing
that touches a held-out block grown by the guard is ever trained on, in the block's own scene or in
any other that covers the same ground.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from geounet.errors import InputError
from geounet.raster import Window
from geounet.training.footprints import Area, Footprints
from geounet.training.room import Room, find_room, span

MAX_VALIDATION_PIXELS = 4096 * 4096
"""No more than this is held out of the training scenes, however large they are."""

MAX_BLOCK = 1024
CANDIDATES = 8


@dataclass(frozen=True, slots=True)
class Block:
    """Pixels of one scene that are held out together."""

    scene: int
    window: Window


@dataclass(frozen=True, slots=True)
class Split:
    """Which pixels train and which validate.

    No pixel of a room is within `guard` pixels of a validation block.

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
        fraction: share of the pixels to hold out.
        seed: chooses the blocks.
    """

    chip: int
    margin: int
    fraction: float
    seed: int


def split_areas(
    areas: Sequence[Area], plan: SplitPlan, is_useful: Callable[[Block], bool]
) -> Split:
    """Hold out blocks spread over the areas, and train on what is left.

    A block is about a quarter of what is held out, but no smaller than a chip and no larger than
    1024 pixels a side; areas smaller than a block are held out whole. Where that gives too few
    blocks, each area gives a strip at one of its ends.

    Args:
        areas: one for each scene.
        plan: how to split.
        is_useful: whether there is anything to validate in a block; asked of few.

    Raises:
        InputError: the areas are too small, or too empty, to leave both parts.
    """
    rng = np.random.default_rng(plan.seed)
    pixels = count_pixels(areas)
    target = min(plan.fraction * pixels, MAX_VALIDATION_PIXELS)
    blocks = list(_cut_blocks(areas, target, plan.chip))
    if len(blocks) * plan.fraction >= 1:
        chosen = _choose_blocks(blocks, target, is_useful, rng)
    else:
        chosen = _choose_ends(areas, plan.fraction, is_useful, rng)
    if not chosen:
        raise InputError(
            f"there is nothing to validate on: {len(areas)} scene(s) with {pixels} pixels have no "
            "part with labels to hold out; give --val-images"
        )
    narrowest = min(min(block.window.shape) for block in chosen)
    guard = min(plan.margin, narrowest // 4)
    held_out = (replace(areas[block.scene], window=block.window) for block in chosen)
    return Split(hold_out(areas, held_out, plan.chip, guard), tuple(chosen), guard)


def hold_out(
    areas: Sequence[Area], held_out: Iterable[Area], chip: int, guard: int
) -> tuple[Room, ...]:
    """The room for training on what is more than `guard` pixels away from all that is held out.

    Args:
        areas: one for each training scene.
        held_out: cut from these scenes or from others.
        chip: side of the chips in pixels.
        guard: pixels of the training scenes.

    Raises:
        InputError: nothing is left.
    """
    footprints = Footprints(areas)
    holes: list[list[Window]] = [[] for _ in areas]
    for area in held_out:
        for scene, hole in footprints.find(area, guard):
            holes[scene].append(hole)
    rooms = (find_room(i, area.window, holes[i], chip) for i, area in enumerate(areas))
    training = tuple(room for room in rooms if room is not None)
    if not training:
        raise InputError(
            f"there is nothing to train on: validation and {guard} pixels around it take all "
            f"{count_pixels(areas)} pixels; give other --val-images or a smaller --val-fraction"
        )
    return training


def count_pixels(areas: Iterable[Area]) -> int:
    """Number of pixels in the areas."""
    return sum(area.window.area for area in areas)


def _cut_blocks(areas: Sequence[Area], target: float, chip: int) -> Iterator[Block]:
    """Nearly equal blocks that partition each area."""
    side = min(max(math.sqrt(target / 4), chip), max(chip, MAX_BLOCK))
    for scene, area in enumerate(areas):
        height, width = (math.ceil(n / max(1, round(n / side))) for n in area.window.shape)
        if area.window.area:
            yield from (Block(scene, window) for window in area.window.blocks(height, width))


def _choose_blocks(
    blocks: Sequence[Block],
    target: float,
    is_useful: Callable[[Block], bool],
    rng: np.random.Generator,
) -> list[Block]:
    """Blocks of about the target's area, each far from those before it (best of 8 by chance)."""
    pool = [blocks[i] for i in rng.permutation(len(blocks))]
    chosen: list[Block] = []
    covered = 0
    while pool and (not chosen or covered + pool[-1].window.area / 2 <= target):
        candidates = range(max(0, len(pool) - CANDIDATES), len(pool))
        block = pool.pop(max(candidates, key=lambda i: _distance(pool[i], chosen)))
        if is_useful(block):
            chosen.append(block)
            covered += block.window.area
    return chosen


def _choose_ends(
    areas: Sequence[Area],
    fraction: float,
    is_useful: Callable[[Block], bool],
    rng: np.random.Generator,
) -> list[Block]:
    """A strip at one end of each area, across its longer side."""
    chosen = []
    for scene, area in enumerate(areas):
        ends = list(_cut_ends(area.window, fraction))
        strips = (Block(scene, ends[i]) for i in rng.permutation(len(ends)))
        chosen.extend([strip for strip in strips if is_useful(strip)][:1])
    return chosen


def _cut_ends(window: Window, fraction: float) -> Iterator[Window]:
    row, col, last_row, last_col = (
        window.row_off, window.col_off, window.row_end - 1, window.col_end - 1
    )  # fmt: skip
    depth = max(1, round(fraction * max(window.shape)))
    if max(window.shape) < 2 or window.area == 0:
        return
    if window.height >= window.width:
        yield span(row, col, row + depth - 1, last_col)
        yield span(last_row - depth + 1, col, last_row, last_col)
    else:
        yield span(row, col, last_row, col + depth - 1)
        yield span(row, last_col - depth + 1, last_row, last_col)


def _distance(block: Block, others: Iterable[Block]) -> float:
    """From centre to centre, to the nearest in the same scene."""
    return min(
        (
            math.dist(_centre(block.window), _centre(other.window))
            for other in others
            if other.scene == block.scene
        ),
        default=math.inf,
    )


def _centre(window: Window) -> tuple[float, float]:
    return window.row_off + window.height / 2, window.col_off + window.width / 2
