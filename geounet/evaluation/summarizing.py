"""From the sums of blocks to numbers with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geounet.classes import ClassInfo
from geounet.evaluation.bootstrap import Interval, find_intervals
from geounet.evaluation.counting import Tables
from geounet.evaluation.measures.confusion import ConfusionMatrix
from geounet.evaluation.measures.family import Family
from geounet.evaluation.options import EvaluateOptions
from geounet.evaluation.results import Estimate, Results

Metrics = dict[str, NDArray[np.float64]]


def summarize(
    families: Sequence[Family],
    tables: Tables,
    unpredicted: NDArray[np.int64],
    classes: tuple[ClassInfo, ...],
    options: EvaluateOptions,
) -> Results:
    """The numbers of some blocks: of a scene, or of all.

    Args:
        families: what was counted.
        tables: sums (blocks, size) by the name of each.
        unpredicted: int64 (K,), labelled pixels where the mask has no data, by class.
        classes: sorted by value.
        options: whether and how to find intervals.
    """
    values: dict[str, Estimate] = {}
    details = {}
    for family in families:
        table = tables[family.name]
        total = table.sum(axis=0)
        measured = family.measure(total)
        resampled = partial(_measure_weighted, family, np.asarray(table, np.float64))
        values |= _estimate(measured, _find_intervals(resampled, table, options))
        details[family.name] = family.describe(total)
    confusion = ConfusionMatrix(classes)
    confusion.counts += tables["pixel"].sum(axis=0).reshape(confusion.counts.shape)
    confusion.unpredicted += unpredicted
    return Results(confusion, values, {name: told for name, told in details.items() if told})


def find_differences(
    families: Sequence[Family], tables: Tables, other_tables: Tables, options: EvaluateOptions
) -> dict[str, Estimate]:
    """Metrics of some blocks minus those of the same blocks in other masks.

    The same blocks are drawn for both: what makes a block hard for both does not widen intervals.
    """
    values: dict[str, Estimate] = {}
    for family in families:
        table, other = tables[family.name], other_tables[family.name]
        measured = _subtract(family.measure(table.sum(axis=0)), family.measure(other.sum(axis=0)))
        resampled = partial(
            _measure_difference,
            family,
            np.asarray(table, np.float64),
            np.asarray(other, np.float64),
        )
        values |= _estimate(measured, _find_intervals(resampled, table, options))
    return values


def pool(tables: Sequence[Tables]) -> Tables:
    """The blocks of several scenes, one after the other."""
    names = tables[0] if tables else ()
    return {name: np.concatenate([table[name] for table in tables]) for name in names}


def _find_intervals(
    measure: partial[Metrics], table: NDArray[Any], options: EvaluateOptions
) -> Mapping[str, Interval]:
    if not options.intervals:
        return {}
    blocks, size = table.shape
    return find_intervals(measure, blocks, options.bootstrap, options.seed, size)


def _measure_weighted(
    family: Family, table: NDArray[np.float64], weights: NDArray[np.float64]
) -> Metrics:
    return family.measure(weights @ table)


def _measure_difference(
    family: Family,
    table: NDArray[np.float64],
    other: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> Metrics:
    return _subtract(family.measure(weights @ table), family.measure(weights @ other))


def _subtract(mine: Metrics, theirs: Metrics) -> Metrics:
    return {name: values - theirs[name] for name, values in mine.items()}


def _estimate(measured: Metrics, intervals: Mapping[str, Interval]) -> dict[str, Estimate]:
    return {
        name: Estimate(None)
        if np.isnan(value)
        else Estimate(float(value), *intervals.get(name, (None, None)))
        for name, value in measured.items()
    }
