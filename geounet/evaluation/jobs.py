"""Which files are compared, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import fspath
from pathlib import Path

from shapely.geometry.base import BaseGeometry

from geounet.errors import InputError, UsageError
from geounet.evaluation.options import EvaluateOptions
from geounet.raster import Grid, Window, find_local, list_scenes, name_of, open_scene
from geounet.vector import find_test, limit_grid, match_labels
from geounet.wording import counted

Source = str | Path

BLOCK_PX = 256
"""Side of the blocks that are drawn for intervals: some hundred metres at most pixel sizes."""

MAX_BLOCKS = 2048
"""More of them make intervals no better, and take memory."""

MAX_NUMBERS = 2**25
"""Sums of all blocks together: 256 MiB."""


@dataclass(frozen=True)
class Job:
    """A mask, its labels, and where they are to be compared.

    Attributes:
        mask: the file.
        labels: the file.
        grid: of the mask.
        area: the pixels that may count.
        aoi: polygons in which they count; None: everywhere.
        scores: file of the probabilities, if there is one.
        other: mask to compare with, if there is one.
        image: what the mask was made of, if that is known.
        is_kept: whether the mask stays.
    """

    mask: Source
    labels: Source
    grid: Grid
    area: Window
    aoi: BaseGeometry | None
    scores: Source | None = None
    other: Source | None = None
    image: Source | None = None
    is_kept: bool = True

    @property
    def name(self) -> Source:
        """What messages call it: the mask, or the image of one that does not stay."""
        return self.mask if self.image is None or self.is_kept else self.image


def plan_jobs(
    pairs: Sequence[tuple[Source, Source]], options: EvaluateOptions
) -> tuple[list[Job], list[str]]:
    """The masks, with labels, that have pixels in the area; a note for each that has none.

    Raises:
        UsageError: files do not match.
        InputError: a file cannot be used, or no mask has pixels in the area.
    """
    masks = [mask for mask, _ in pairs]
    scores = _match("--scores", options.scores, masks)
    others = _match("--compare", options.compare, masks)
    images = _match("--images", options.images, masks)
    jobs, outside = [], []
    files = zip(pairs, scores, others, images, strict=True)
    for (mask, labels), score, other, image in files:
        grid = _read_mask_grid(mask)
        try:
            area, aoi = limit_grid(grid, options.bbox, options.aoi, mask)
        except InputError as error:  # other masks may lie there
            outside.append(error)
            continue
        jobs.append(Job(mask, labels, grid, area, aoi, score, other, image))
    if not jobs:
        raise outside[0]
    return jobs, [f"left out: {error}" for error in outside]


def find_pairs(
    masks: Source | Sequence[Source], labels: Source | Sequence[Source]
) -> list[tuple[Source, Source]]:
    """Masks, or images, with their labels; without labels those of a folder laid out in splits.

    Raises:
        UsageError: there are no labels, or a mask is given twice.
        InputError: they do not match.
    """
    given, labels = _as_list(masks), _as_list(labels)
    if not labels:
        return [(pair.image, pair.labels) for pair in find_test(given)]
    scenes = [scene for mask in given for scene in list_scenes(fspath(mask))]
    if twice := _find_twice(scenes):
        raise UsageError(f"{twice} is given twice, and would count twice; give it once")
    return match_labels(scenes, labels)


def _find_twice(scenes: Sequence[str]) -> str | None:
    """The first of files that are the same as an earlier one."""
    seen: set[Source] = set()
    for scene in scenes:
        local = find_local(scene)
        place = scene if local is None else local.resolve()
        if place in seen:
            return scene
        seen.add(place)
    return None


def _read_mask_grid(mask: Source) -> Grid:
    """The grid of a mask.

    Raises:
        InputError: it cannot be read, or is no mask.
    """
    with open_scene(mask, allow_palette=True) as scene:
        if scene.count != 1:
            raise InputError(
                f"{mask} has {counted(scene.count, 'band')}; a mask has one, with the number "
                "of the class (an image is mapped first with --model)"
            )
        return scene.grid


def choose_block_px(jobs: Sequence[Job], size: int, wanted: int | None) -> int:
    """Side of the blocks: as wanted, else so that there are not too many, with `size` sums each."""
    if wanted is not None:
        return wanted
    most = min(MAX_BLOCKS, MAX_NUMBERS // size)
    side, largest = BLOCK_PX, max(max(job.grid.shape) for job in jobs)
    while side < largest and sum(_count_blocks(job.area, side) for job in jobs) > most:
        side *= 2
    return side


def _as_list(paths: Source | Sequence[Source]) -> list[Source]:
    return [paths] if isinstance(paths, str | Path) else list(paths)


def _count_blocks(area: Window, side: int) -> int:
    return area.aligned(side).area // side**2


def _match(
    option: str, files: Sequence[Source], masks: Sequence[Source]
) -> Sequence[Source] | list[None]:
    """Of each mask its file, in the same order or of the same name in a folder; None of none."""
    if not files:
        return [None] * len(masks)
    found = [scene for file in files for scene in list_scenes(str(file))]
    if len(files) == 1 and found != [str(files[0])]:
        by_name = {name_of(file): file for file in found}
        missing = [name_of(mask) for mask in masks if name_of(mask) not in by_name]
        if missing:
            raise UsageError(
                f"{option} {files[0]} has no file of the name of mask {missing[0]}; files in a "
                "folder are matched by name, others by their order"
            )
        return [by_name[name_of(mask)] for mask in masks]
    if len(found) != len(masks):
        raise UsageError(
            f"{option} has {counted(len(found), 'file')} for {counted(len(masks), 'mask')}; give "
            "one for each, in the same order"
        )
    return found
