"""Which pixels train and which validate: blocks in space, with a guard between. Pure geometry.

Random pixels or chips would leak: neighbours look alike. So whole blocks are held out, and nothing
that touches a held-out block grown by the guard is ever trained on, in the block's own scene or in
any other that covers the same ground. Of many ways to choose blocks, that is taken which shows the
classes most nearly in the shares that they have everywhere.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from geounet.classes import NODATA
from geounet.errors import InputError
from geounet.raster import Window
from geounet.training.footprints import Area, Footprints
from geounet.training.room import Room, find_room, span

MAX_VALIDATION_PIXELS = 4096 * 4096
"""No more than this is held out of the training scenes, however large they are."""

MAX_BLOCK = 1024
CANDIDATES = 8

SAMPLED = 64
"""Blocks whose content is counted first, at least."""

SAMPLED_TARGETS = 4
"""They have at least so many times the pixels that are to be held out: those are some of them."""

ENOUGH = 8
"""Useful ones among them that tell about the others."""

DRAWS = 32
"""Ways to choose blocks that are compared by what classes they show."""


@dataclass(frozen=True, slots=True)
class Block:
    """Pixels of one scene that are held out together."""

    scene: int
    window: Window


FindLabels = Callable[[Block], NDArray[np.uint8]]
"""Classes of a block's pixels, uint8 (H, W); 255: can neither train nor validate."""

Counts = Mapping[Block, NDArray[np.int64]]
"""Pixels of each class (255,) in blocks that have any."""


@dataclass(frozen=True, slots=True)
class Content:
    """What is in the blocks, or a sample of them.

    Attributes:
        counts: of the blocks that were looked at.
        share: useful pixels among all.
        density: useful pixels among those in blocks that have any.
        block_share: blocks that have any among all.
    """

    counts: Counts
    share: float
    density: float
    block_share: float


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
        fraction: share of the useful pixels to hold out.
        seed: chooses the blocks.
    """

    chip: int
    margin: int
    fraction: float
    seed: int


def split_areas(areas: Sequence[Area], plan: SplitPlan, find_labels: FindLabels) -> Split:
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

    Raises:
        InputError: the areas are too small, or too empty, to leave both parts.
    """
    rng = np.random.default_rng(plan.seed)
    pixels = count_pixels(areas)
    most = min(plan.fraction * pixels, MAX_VALIDATION_PIXELS)
    blocks = list(_cut_blocks(areas, most, plan.chip))
    content = _measure_content(blocks, most, find_labels, plan.seed)
    if not content.counts:
        raise InputError(
            f"there is nothing to validate on: none of {pixels} pixels in {len(areas)} scene(s) is "
            "labelled and has data; check that the labels lie on the images, and --aoi, --bbox and "
            "--ignore, or give --val-images"
        )
    if len(blocks) * content.block_share * plan.fraction >= 1:
        target = min(plan.fraction * content.share * pixels, MAX_VALIDATION_PIXELS)
        chosen = _choose_alike(content, target, rng)
        if split := _split_at(areas, chosen, plan, find_labels):
            return split
    chosen = _choose_ends(areas, plan.fraction, find_labels, rng)
    if split := _split_at(areas, chosen, plan, find_labels):
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
        held_out: cut from these scenes or from others.
        chip: side of the chips in pixels.
        guard: pixels of the training scenes.

    Raises:
        InputError: nothing is left.
    """
    training = _find_rooms(areas, held_out, chip, guard)
    if not training:
        raise InputError(
            f"there is nothing to train on: validation and {guard} pixels around it take all "
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
    rooms = (find_room(i, area.window, holes[i], chip) for i, area in enumerate(areas))
    return tuple(room for room in rooms if room is not None)


def _split_at(
    areas: Sequence[Area], chosen: Sequence[Block], plan: SplitPlan, find_labels: FindLabels
) -> Split | None:
    """The split that holds out these blocks; None if nothing useful is held out or left."""
    if not chosen:
        return None
    narrowest = min(min(block.window.shape) for block in chosen)
    guard = min(plan.margin, narrowest // 4)
    held_out = (replace(areas[block.scene], window=block.window) for block in chosen)
    rooms = _find_rooms(areas, held_out, plan.chip, guard)
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


def _cut_blocks(areas: Sequence[Area], target: float, chip: int) -> Iterator[Block]:
    """Nearly equal blocks that partition each area."""
    side = min(max(math.sqrt(target / 4), chip), max(chip, MAX_BLOCK))
    for scene, area in enumerate(areas):
        height, width = (math.ceil(n / max(1, round(n / side))) for n in area.window.shape)
        if area.window.area:
            yield from (Block(scene, window) for window in area.window.blocks(height, width))


def count_classes(labels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Pixels of each class (255,), without those of none."""
    return np.bincount(labels.ravel(), minlength=NODATA + 1)[:NODATA]


def _measure_content(
    blocks: Sequence[Block], most: float, find_labels: FindLabels, seed: int
) -> Content:
    """What is in the blocks: in a sample of them, and if that shows too little, in all."""
    order = [blocks[i] for i in np.random.default_rng(seed).permutation(len(blocks))]
    counts: dict[Block, NDArray[np.int64]] = {}
    looked, pixels = 0, 0
    for block in order:
        if looked >= SAMPLED and pixels >= SAMPLED_TARGETS * most and len(counts) >= ENOUGH:
            break
        looked, pixels = looked + 1, pixels + block.window.area
        found = count_classes(find_labels(block))
        if found.any():
            counts[block] = found
    useful = sum(int(found.sum()) for found in counts.values())
    return Content(
        counts=counts,
        share=useful / max(1, pixels),
        density=useful / max(1, sum(block.window.area for block in counts)),
        block_share=len(counts) / max(1, looked),
    )


def _choose_alike(content: Content, target: float, rng: np.random.Generator) -> list[Block]:
    """Of many choices of blocks that which is most like all of them; none if there is no choice."""
    wanted = np.sum(list(content.counts.values()), axis=0)
    draws = (_choose_blocks(content, target, rng) for _ in range(DRAWS))
    return min(
        (chosen for chosen in draws if chosen),
        key=lambda chosen: _measure_difference(content.counts, chosen, wanted),
        default=[],
    )


def _measure_difference(
    counts: Counts, chosen: Sequence[Block], wanted: NDArray[np.int64]
) -> float:
    """How far the shares of the classes in what is held out are from those wanted.

    Summed over the classes, each compared with its own share: rare ones count as much as others.
    """
    held = np.sum([counts[block] for block in chosen], axis=0)
    known = wanted > 0
    ratios = held[known] / wanted[known] * (wanted.sum() / held.sum())
    return float(np.abs(ratios - 1).sum())


def _choose_blocks(content: Content, target: float, rng: np.random.Generator) -> list[Block]:
    """Blocks with about as many useful pixels as wanted; none if there are no such blocks.

    Each is far from those before it (best of 8 by chance).
    """
    known = list(content.counts)
    sizes = {block: int(content.counts[block].sum()) for block in known}
    pool = [known[i] for i in rng.permutation(len(known))]
    chosen: defaultdict[int, list[Block]] = defaultdict(list)
    covered = 0
    while pool and (
        covered < target / 2 or covered + pool[-1].window.area * content.density / 2 <= target
    ):
        candidates = range(max(0, len(pool) - CANDIDATES), len(pool))
        far = max(candidates, key=lambda i: _distance(pool[i], chosen[pool[i].scene]))
        block = pool.pop(far)
        if sizes[block] <= 2 * target - covered:
            chosen[block.scene].append(block)
            covered += sizes[block]
    found = [block for blocks in chosen.values() for block in blocks]
    return found if covered >= target / 2 else []


def _choose_ends(
    areas: Sequence[Area],
    fraction: float,
    find_labels: FindLabels,
    rng: np.random.Generator,
) -> list[Block]:
    """A strip at one end of what is useful in each area, across its longer side."""
    chosen = []
    for scene, area in enumerate(areas):
        rows, cols = np.zeros(area.window.height, np.int64), np.zeros(area.window.width, np.int64)
        for window in area.window.blocks(MAX_BLOCK, MAX_BLOCK):
            useful = find_labels(Block(scene, window)) != NODATA
            across, down = window.relative_to(area.window).slices()
            rows[across] += useful.sum(axis=1)
            cols[down] += useful.sum(axis=0)
        if ends := _cut_ends(area.window, rows, cols, fraction):
            chosen.append(Block(scene, ends[rng.permutation(len(ends))[0]]))
    return chosen


def _cut_ends(
    window: Window, rows: NDArray[np.int64], cols: NDArray[np.int64], fraction: float
) -> list[Window]:
    """The strips with about the fraction of a window's useful pixels, given for rows and columns.

    Both the strip and what is left have some; none where there is just one such pixel.
    """
    (used_rows,), (used_cols,) = rows.nonzero(), cols.nonzero()
    if used_rows.size * used_cols.size == 0:
        return []
    row, last_row = (window.row_off + int(used_rows[i]) for i in (0, -1))
    col, last_col = (window.col_off + int(used_cols[i]) for i in (0, -1))
    if max(last_row - row, last_col - col) < 1:
        return []
    if last_row - row >= last_col - col:
        counts = rows[used_rows[0] : used_rows[-1] + 1]
        first, last = _depth(counts, fraction), _depth(counts[::-1], fraction)
        return [
            span(row, col, row + first - 1, last_col),
            span(last_row - last + 1, col, last_row, last_col),
        ]
    counts = cols[used_cols[0] : used_cols[-1] + 1]
    first, last = _depth(counts, fraction), _depth(counts[::-1], fraction)
    return [
        span(row, col, last_row, col + first - 1),
        span(row, last_col - last + 1, last_row, last_col),
    ]


def _depth(counts: NDArray[np.int64], fraction: float) -> int:
    """How many of the first lines, not all, have about the fraction of the sum."""
    covered = np.cumsum([0, *counts])
    depth = round(float(np.interp(fraction * covered[-1], covered, np.arange(covered.size))))
    return min(max(1, depth), counts.size - 1)


def _distance(block: Block, others: Iterable[Block]) -> float:
    """From centre to centre, to the nearest of others in the same scene."""
    centre = _centre(block.window)
    return min((math.dist(centre, _centre(other.window)) for other in others), default=math.inf)


def _centre(window: Window) -> tuple[float, float]:
    return window.row_off + window.height / 2, window.col_off + window.width / 2
