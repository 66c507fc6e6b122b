"""What metrics are called: `miou`, or `iou.road` of a class."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from geounet.classes import ClassInfo
from geounet.errors import UsageError
from geounet.evaluation.measures.family import Family
from geounet.evaluation.options import EvaluateOptions

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


SMALLER_IS_BETTER = frozenset(
    {"brier", "log_loss", "ece", "hausdorff95_px", "hausdorff95_m"}
    | {"pixel_error", "rand_error", "rand_error_single", "warping_error"}
)
"""Metrics that say how wrong something is. All others are better the larger."""


def resolve_names(limits: Sequence[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    """Limits by what metrics are called here: `dice.road` is `f1.road`."""
    resolved = []
    for name, limit in limits:
        metric, dot, class_name = name.partition(".")
        resolved.append((SYNONYMS.get(metric, metric) + dot + class_name, limit))
    return tuple(resolved)


def check_limits(
    options: EvaluateOptions, known: Collection[str], classes: Sequence[ClassInfo]
) -> None:
    """Nothing, if these are metrics, and better the larger or smaller as the options mean.

    Raises:
        UsageError: there is no such metric, or the other option is meant.
    """
    ways = ("--fail-under", options.fail_under), ("--fail-over", options.fail_over)
    for (option, limits), (other, _) in zip(ways, ways[::-1], strict=True):
        for name, limit in limits:
            if name not in known:
                raise _refuse_name(option, name, known, classes)
            is_loss = split_name(name)[0] in SMALLER_IS_BETTER
            if is_loss == (option == "--fail-under"):
                better = "smaller" if is_loss else "larger"
                raise UsageError(
                    f"{option} {name}: it is better the {better}; write {other} {name}={limit:g}"
                )


def _refuse_name(
    option: str, name: str, known: Collection[str], classes: Sequence[ClassInfo]
) -> UsageError:
    """The error that says which metrics there are."""
    shown = [metric if c is None else f"{metric}.CLASS" for metric, c in map(split_name, known)]
    return UsageError(
        f"{option} {name}: there is no such metric; there are {', '.join(dict.fromkeys(shown))}"
        f"; CLASS is one of {', '.join(item.name for item in classes)}"
    )
