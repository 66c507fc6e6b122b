"""What classes blocks show: of few blocks in all of them, of many in a sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geounet.classes import NODATA
from geounet.training.holdout.block import Block

SAMPLED = 64
"""Blocks that are looked at first, at least."""

SAMPLED_TARGETS = 4
"""They have at least so many times the pixels that are to be held out: those are some of them."""

ENOUGH = 8
"""Useful ones among them that tell about the others."""

FindLabels = Callable[[Block], NDArray[np.uint8]]
"""Classes of a block's pixels, uint8 (H, W); 255: can neither train nor validate."""

Counts = Mapping[Block, NDArray[np.int64]]
"""Pixels of each class (255,) in blocks that have any."""


@dataclass(frozen=True, slots=True)
class Census:
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


def take_census(blocks: Sequence[Block], most: float, find_labels: FindLabels, seed: int) -> Census:
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
    return Census(
        counts=counts,
        share=useful / max(1, pixels),
        density=useful / max(1, sum(block.window.area for block in counts)),
        block_share=len(counts) / max(1, looked),
    )


def count_classes(labels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Pixels of each class (255,), without those of none."""
    return np.bincount(labels.ravel(), minlength=NODATA + 1)[:NODATA]
