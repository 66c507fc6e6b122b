"""Blocks: windows of scenes that are held out, or train, together. Pure geometry."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from geounet.raster import Window
from geounet.training.holdout.footprints import Area

MAX_BLOCK = 1024
"""Side in pixels."""


@dataclass(frozen=True, slots=True)
class Block:
    """Pixels of one scene that have one part in training: they train, validate or test."""

    scene: int
    window: Window


def cut_areas(areas: Sequence[Area], target: float, chip: int) -> Iterator[Block]:
    """Nearly equal blocks that partition each area."""
    side = min(max(math.sqrt(target / 4), chip), max(chip, MAX_BLOCK))
    for scene, area in enumerate(areas):
        height, width = (math.ceil(n / max(1, round(n / side))) for n in area.window.shape)
        if area.window.area:
            yield from (Block(scene, window) for window in area.window.blocks(height, width))


def measure_distance(block: Block, others: Iterable[Block]) -> float:
    """From centre to centre, to the nearest of others in the same scene."""
    centre = _centre(block.window)
    return min((math.dist(centre, _centre(other.window)) for other in others), default=math.inf)


def _centre(window: Window) -> tuple[float, float]:
    return window.row_off + window.height / 2, window.col_off + window.width / 2
