"""How sure numbers are: a bootstrap of blocks, since neighbouring pixels err together.

Blocks of a scene are drawn with replacement, as many as there are, and every metric is made anew
of their sums (Hall 1985; Lahiri 2003). The ends of an interval are quantiles of what comes out,
further out the fewer blocks there are: 50 blocks' quantiles are too narrow by the difference
between normal and t distribution and by sqrt((n - 1) / n) (Hesterberg 2015, "What teachers should
know about the bootstrap", section 3.5).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

LEVEL = 0.95
"""Share of such intervals that hold the true value."""

MIN_BLOCKS = 5
"""Of fewer blocks nothing can be drawn that tells anything."""

MIN_DEFINED = 0.95
"""A metric that is defined in a smaller share of the resamples gets no interval: a class that only
two blocks have would seem sure."""

ROOM = 2**22
"""Numbers that one array may have."""

Measure = Callable[[NDArray[np.float64]], Mapping[str, NDArray[np.float64]]]
"""From weights of blocks (R, blocks) to metrics (R,), NaN where undefined."""

Interval = tuple[float, float]


def find_intervals(
    measure: Measure, blocks: int, resamples: int, seed: int, size: int = 1
) -> dict[str, Interval]:
    """95 % intervals of metrics, by name; of those that have one.

    Args:
        measure: the metrics of weighted blocks.
        blocks: how many there are.
        resamples: how often to draw as many.
        seed: the same one draws the same blocks: differences of two maps are paired by it.
        size: numbers per resample that `measure` needs.
    """
    if blocks < MIN_BLOCKS:
        return {}
    rows = max(1, ROOM // max(blocks, size))
    drawn = [measure(weights) for weights in draw_weights(blocks, resamples, seed, rows)]
    tail = find_tail(blocks)
    intervals = {}
    for name in drawn[0] if drawn else ():
        values = np.concatenate([part[name] for part in drawn])
        defined = values[~np.isnan(values)]
        if defined.size >= MIN_DEFINED * values.size:
            low, high = np.quantile(defined, [tail, 1 - tail])
            intervals[name] = float(low), float(high)
    return intervals


def draw_weights(
    blocks: int, resamples: int, seed: int, rows: int
) -> Iterator[NDArray[np.float64]]:
    """How often each block is drawn, (at most `rows`, blocks), `resamples` rows in all.

    The numbers do not depend on `rows`.
    """
    generator = np.random.default_rng(seed)
    shares = np.full(blocks, 1 / blocks)
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        yield generator.multinomial(blocks, shares, size=count).astype(np.float64)


def find_tail(blocks: int) -> float:
    """Share of the resamples below an interval, and above it."""
    factor = math.sqrt(blocks / (blocks - 1))
    return float(ndtr(-factor * stdtrit(blocks - 1, (1 + LEVEL) / 2)))
