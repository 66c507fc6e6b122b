"""What metrics are called: `miou`, or `iou.road` of a class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from geounet.classes import ClassInfo
from geounet.errors import UsageError
from geounet.evaluation.family import Family

SYNONYMS = {
    "mean_iou": "miou",
    "overall_accuracy": "oa",
    "accuracy": "oa",
    "frequency_weighted_iou": "fwiou",
    "dice": "f1",
}
"""What else people call them."""


def list_names(family: Family) -> list[str]:
    """The names of a family's metrics."""
    return list(family.measure(np.zeros(family.size)))


def split_name(name: str) -> tuple[str, str | None]:
    """Metric and class of `metric.class`; None if it is of no class."""
    metric, dot, class_name = name.partition(".")
    return metric, class_name if dot else None


def resolve_name(name: str) -> str:
    """What is called so here: `dice.road` is `f1.road`."""
    metric, class_name = split_name(name)
    metric = SYNONYMS.get(metric, metric)
    return metric if class_name is None else f"{metric}.{class_name}"


def refuse_name(name: str, known: Sequence[str], classes: Sequence[ClassInfo]) -> UsageError:
    """The error that says which metrics there are."""
    shown = [metric if c is None else f"{metric}.CLASS" for metric, c in map(split_name, known)]
    return UsageError(
        f"--fail-under {name}: there is no such metric; there are {', '.join(dict.fromkeys(shown))}"
        f"; CLASS is one of {', '.join(item.name for item in classes)}"
    )
