"""Metrics of probabilities, from histograms of them: pure arithmetic.

Levels are steps of a probability: level l of L is l / L. With scores of 8 bits L is 254, and the
histograms hold all there is to know of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from geounet.evaluation.measures.family import divide

CLIP = 1 / 508
"""Smaller probabilities count as this in the log loss, or one pixel would decide: half a step of 8
bits, which is what 0 stands for there."""

BINS = 15
"""Of the reliability diagram and the expected calibration error, as in Guo et al. 2017."""

Floats = NDArray[np.float64]


def sum_brier(right: NDArray[Any], wrong: NDArray[Any]) -> Floats:
    """Brier's (1950) sum over pixels and classes of (p - is it the class)^2, (...).

    Args:
        right: pixels (..., K, L + 1) of each class by level of its probability.
        wrong: likewise of all other classes.
    """
    p = find_levels(right)
    total: Floats = (wrong * p**2 + right * (1 - p) ** 2).sum(axis=(-2, -1))
    return total


def sum_log_loss(right: NDArray[Any]) -> Floats:
    """Sum over pixels of -log of the true class's probability, (...); natural logarithm."""
    total: Floats = (right * -np.log(np.maximum(find_levels(right), CLIP))).sum(axis=(-2, -1))
    return total


def measure_ranking(right: NDArray[Any], wrong: NDArray[Any]) -> dict[str, Floats]:
    """Of each class (..., K) how well its probability tells it from others; NaN if there is none.

    `average_precision` is the area under the precision-recall curve, as steps; `best_f1` the
    highest F1 score of `p >= threshold`, and `best_threshold` the highest one that gives it.
    """
    precision, recall = trace_curve(right, wrong)
    gained = -np.diff(recall, axis=-1, append=0.0)
    found, guessed = _count_above(right), _count_above(right) + _count_above(wrong)
    there = found[..., :1]
    f1 = divide(2 * found, np.where(there > 0, guessed + there, 0))
    is_defined = there[..., 0] > 0
    last = right.shape[-1] - 1
    best = last - np.argmax(np.nan_to_num(f1)[..., ::-1], axis=-1)
    area = (gained * np.nan_to_num(precision)).sum(axis=-1)
    return {
        "average_precision": np.where(is_defined, area, np.nan),
        "best_f1": f1.max(axis=-1),
        "best_threshold": np.where(is_defined, best / last, np.nan),
    }


def trace_curve(right: NDArray[Any], wrong: NDArray[Any]) -> tuple[Floats, Floats]:
    """Precision and recall of `p >= level`, (..., L + 1) each."""
    found, false = _count_above(right), _count_above(wrong)
    return divide(found, found + false), divide(found, found[..., :1])


def measure_calibration(right: NDArray[Any], wrong: NDArray[Any]) -> Floats:
    """The expected calibration error, (...), of pixels (..., L + 1) by their highest probability.

    The mean over pixels of |accuracy - mean probability| of the bin that each is in.
    """
    correct, confident, pixels = bin_confidence(right, wrong)
    return divide(np.abs(correct - confident).sum(axis=-1), pixels.sum(axis=-1))


def bin_confidence(right: NDArray[Any], wrong: NDArray[Any]) -> tuple[Floats, Floats, Floats]:
    """Sums (..., BINS) of correct pixels, of their probabilities, and of pixels.

    Bin m of M holds probabilities in ((m - 1) / M, m / M], the first one 0 too.
    """
    pixels = np.asarray(right + wrong, np.float64)
    steps = right.shape[-1] - 1
    bins = np.maximum(-(-np.arange(steps + 1) * BINS // steps) - 1, 0)
    into = (bins[:, None] == np.arange(BINS)).astype(np.float64)
    return right @ into, (pixels * find_levels(right)) @ into, pixels @ into


def find_levels(histogram: NDArray[Any]) -> Floats:
    """The probability of each level."""
    steps = histogram.shape[-1] - 1
    levels: Floats = np.arange(steps + 1) / steps
    return levels


def _count_above(histogram: NDArray[Any]) -> Floats:
    """Pixels at each level or above."""
    above: Floats = np.cumsum(histogram[..., ::-1], axis=-1, dtype=np.float64)[..., ::-1]
    return above
