"""Which blocks to hold out: far from each other, and like all of them in what classes they show."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geounet.training.holdout.block import Block, measure_distance
from geounet.training.holdout.census import Census, Counts

CANDIDATES = 8
"""Blocks by chance of which that far from those before it is taken."""

DRAWS = 32
"""Ways to choose blocks that are compared by what classes they show."""


def choose_alike(census: Census, target: float, rng: np.random.Generator) -> list[Block]:
    """Of many choices of blocks that which is most like all of them; none if there is no choice."""
    wanted = np.sum(list(census.counts.values()), axis=0)
    draws = (_choose_blocks(census, target, rng) for _ in range(DRAWS))
    return min(
        (chosen for chosen in draws if chosen),
        key=lambda chosen: _measure_difference(census.counts, chosen, wanted),
        default=[],
    )


def _choose_blocks(census: Census, target: float, rng: np.random.Generator) -> list[Block]:
    """Blocks with about as many useful pixels as wanted; none if there are no such blocks.

    Each is far from those before it (best of 8 by chance).
    """
    known = list(census.counts)
    sizes = {block: int(census.counts[block].sum()) for block in known}
    pool = [known[i] for i in rng.permutation(len(known))]
    chosen: defaultdict[int, list[Block]] = defaultdict(list)
    covered = 0
    while pool and (
        covered < target / 2 or covered + pool[-1].window.area * census.density / 2 <= target
    ):
        candidates = range(max(0, len(pool) - CANDIDATES), len(pool))
        far = max(candidates, key=lambda i: measure_distance(pool[i], chosen[pool[i].scene]))
        block = pool.pop(far)
        if sizes[block] <= 2 * target - covered:
            chosen[block.scene].append(block)
            covered += sizes[block]
    found = [block for blocks in chosen.values() for block in blocks]
    return found if covered >= target / 2 else []


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
