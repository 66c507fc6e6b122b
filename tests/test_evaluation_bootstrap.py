"""Intervals: do they hold the truth, and are they what they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm, t

from geounet.classes import make_classes
from geounet.evaluation.bootstrap import MIN_BLOCKS, draw_weights, find_intervals, find_tail
from geounet.evaluation.measures.pixels import PixelFamily
from geounet.evaluation.options import EvaluateOptions
from geounet.evaluation.summarizing import find_differences, summarize

FAMILY = PixelFamily(make_classes(["land", "water"]))
PIXELS = 400
"""Of each simulated block."""


def simulate(rng, blocks, skill=0.85):
    """Confusion matrices (blocks, 4) of two classes, whose errors go together within blocks.

    The share of water and the share of errors differ from block to block, so that pixels of a
    block are far from independent.
    """
    water = rng.binomial(PIXELS, rng.beta(2, 4, blocks))
    misses = rng.binomial(water, 1 - rng.beta(20 * skill, 20 * (1 - skill), blocks))
    land = PIXELS - water
    false = rng.binomial(land, 1 - rng.beta(20 * skill, 20 * (1 - skill), blocks))
    return np.stack([land - false, false, misses, water - misses], axis=1)


def options(**others):
    return EvaluateOptions(bootstrap=400, **others)


def tables(sums):
    return {"pixel": sums}


def none():
    return np.zeros(2, np.int64)


@pytest.mark.parametrize("blocks", [15, 60])
def test_intervals_hold_the_truth_in_95_of_100_cases(blocks):
    rng = np.random.default_rng(1)
    truth = FAMILY.measure(simulate(rng, 200_000).sum(axis=0))
    hits = dict.fromkeys(truth, 0)
    for repeat in range(200):
        sums = simulate(rng, blocks)
        how = options(seed=repeat)
        found = summarize([FAMILY], tables(sums), none(), FAMILY.classes, how).values
        for name, expected in truth.items():
            hits[name] += found[name].low <= expected <= found[name].high
    assert {name: count for name, count in hits.items() if not 180 <= count <= 198} == {}


def test_differences_hold_the_truth_and_are_narrower_than_unpaired_ones():
    rng = np.random.default_rng(2)
    flipped = (0, 1, 3, 2)  # what is hard for one mask is hard for the other
    expected = None
    hits = 0
    for repeat in range(-1, 200):
        sums = simulate(rng, 100_000 if repeat < 0 else 60)
        worse = sums.copy()
        lost = rng.binomial(sums[:, 3], 0.1)  # one in ten found pixels more is missed
        worse[:, 2] += lost
        worse[:, 3] -= lost
        measured = [FAMILY.measure(each.sum(axis=0))["iou.water"] for each in (sums, worse)]
        if repeat < 0:
            expected = measured[0] - measured[1]
            continue
        how = options(seed=repeat)
        found = find_differences([FAMILY], tables(sums), tables(worse), how)["iou.water"]
        assert found.value == pytest.approx(measured[0] - measured[1])
        hits += found.low <= expected <= found.high
    assert 180 <= hits <= 198
    alone = summarize([FAMILY], tables(sums), none(), FAMILY.classes, how).values["iou.water"]
    assert found.high - found.low < 0.5 * (alone.high - alone.low)
    assert found.low > 0
    back = find_differences([FAMILY], tables(worse), tables(sums), how)["iou.water"]
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))
    same = find_differences([FAMILY], tables(sums), tables(sums[:, flipped][:, flipped]), how)
    assert all(value.low == value.high == 0 for value in same.values())


def test_mean_of_blocks_has_the_interval_of_students_t():
    values = np.random.default_rng(3).normal(size=30)
    low, high = find_intervals(lambda w: {"mean": w @ values / 30}, 30, 20_000, seed=0)["mean"]
    half = t.ppf(0.975, 29) * values.std(ddof=1) / np.sqrt(30)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)
    assert find_tail(30) == pytest.approx(norm.cdf(-np.sqrt(30 / 29) * t.ppf(0.975, 29)))


def test_draws_are_seeded_and_do_not_depend_on_how_many_are_made_at_a_time():
    whole = np.concatenate(list(draw_weights(40, 100, seed=5, rows=100)))
    parts = np.concatenate(list(draw_weights(40, 100, seed=5, rows=7)))
    assert (whole == parts).all()
    assert (whole.sum(axis=1) == 40).all()
    assert (whole != np.concatenate(list(draw_weights(40, 100, seed=6, rows=100)))).any()


def test_what_cannot_be_known_has_no_interval():
    rng = np.random.default_rng(4)
    sums = simulate(rng, 40)

    def find(sums, **others):
        return summarize([FAMILY], tables(sums), none(), FAMILY.classes, options(**others)).values

    assert all(value.low is None for value in find(sums[: MIN_BLOCKS - 1]).values())
    assert find(sums[:MIN_BLOCKS])["oa"].low is not None
    assert all(value.low is None for value in find(sums, intervals=False).values())
    rare = sums.copy()
    rare[2:, 0] += rare[2:, 1:].sum(axis=1)
    rare[2:, 1:] = 0  # two blocks have water: one draw in eight has none
    found = find(rare)
    assert found["iou.water"].value is not None
    assert found["iou.water"].low is None
    assert found["oa"].low is not None
    nothing = find(np.zeros((40, 4), np.int64))
    assert all((value.value, value.low) == (None, None) for value in nothing.values())
