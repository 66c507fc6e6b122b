"""Numbers that say how well a mask agrees with labels.

Undefined is None: the share of nothing is neither 0 nor 1. Sums are Python integers, exact for any
number of pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from geounet.classes import ClassInfo

Counts = Sequence[Sequence[int]]
"""Pixels by class of the label (rows) and of the mask (columns)."""


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """One class against all others.

    With TP the pixels that are of the class in label and mask, FP in the mask only, FN in the
    label only:

    Attributes:
        value: of the class in mask and labels.
        name: of the class.
        iou: TP / (TP + FP + FN); None if the class is in neither.
        dice: 2 TP / (2 TP + FP + FN), the F1 score; None if the class is in neither.
        precision: TP / (TP + FP); None if the mask never has the class.
        recall: TP / (TP + FN); None if the labels never have it.
        support: TP + FN, labelled pixels of the class.
        predicted: TP + FP, pixels of the class in the mask.
    """

    value: int
    name: str
    iou: float | None
    dice: float | None
    precision: float | None
    recall: float | None
    support: int
    predicted: int


@dataclass(frozen=True, slots=True)
class Metrics:
    """All classes together. Counted are pixels with a label and a prediction.

    Attributes:
        classes: each class by itself, sorted by value.
        pixels: number of pixels counted.
        overall_accuracy: share of them where mask and label agree; None if there is none.
        mean_iou: mean over the classes whose IoU is defined, each with the same weight; None if
            there is none. A class that is predicted but never labelled counts as 0.
        frequency_weighted_iou: mean over the labelled classes, weighted by their support.
        balanced_accuracy: mean recall of the labelled classes.
        kappa: Cohen's: agreement beyond what the two shares of classes give by chance, 1 at best;
            None if chance alone gives full agreement.
        mcc: Matthews' correlation coefficient for any number of classes, -1 to 1; None if labels
            or mask have less than two classes.
    """

    classes: tuple[ClassMetrics, ...]
    pixels: int
    overall_accuracy: float | None
    mean_iou: float | None
    frequency_weighted_iou: float | None
    balanced_accuracy: float | None
    kappa: float | None
    mcc: float | None

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON: undefined is None, which becomes null."""
        return asdict(self)


def compute_metrics(classes: Sequence[ClassInfo], counts: Counts) -> Metrics:
    """The metrics of a confusion matrix, (K, K) in the order of the classes."""
    support = [sum(row) for row in counts]
    predicted = [sum(column) for column in zip(*counts, strict=True)]
    agreed = [row[k] for k, row in enumerate(counts)]
    each = tuple(
        _compare_class(item, *numbers)
        for item, *numbers in zip(classes, agreed, support, predicted, strict=True)
    )
    labelled = [item for item in each if item.support]
    return Metrics(
        classes=each,
        pixels=sum(support),
        overall_accuracy=_divide(sum(agreed), sum(support)),
        mean_iou=_mean(item.iou for item in each),
        frequency_weighted_iou=_divide(
            sum(item.support * (item.iou or 0.0) for item in labelled), sum(support)
        ),
        balanced_accuracy=_mean(item.recall for item in labelled),
        kappa=_kappa(agreed, support, predicted),
        mcc=_mcc(agreed, support, predicted),
    )


def _compare_class(item: ClassInfo, agreed: int, support: int, predicted: int) -> ClassMetrics:
    return ClassMetrics(
        value=item.value,
        name=item.name,
        iou=_divide(agreed, support + predicted - agreed),
        dice=_divide(2 * agreed, support + predicted),
        precision=_divide(agreed, predicted),
        recall=_divide(agreed, support),
        support=support,
        predicted=predicted,
    )


def _kappa(agreed: list[int], support: list[int], predicted: list[int]) -> float | None:
    """(p_o - p_e) / (1 - p_e), both times the square of the number of pixels."""
    total = sum(support)
    by_chance = sum(s * p for s, p in zip(support, predicted, strict=True))
    return _divide(total * sum(agreed) - by_chance, total**2 - by_chance)


def _mcc(agreed: list[int], support: list[int], predicted: list[int]) -> float | None:
    """Gorodkin's R_K (2004), which for two classes is Matthews' coefficient."""
    total = sum(support)
    by_chance = sum(s * p for s, p in zip(support, predicted, strict=True))
    spread = (total**2 - sum(s**2 for s in support)) * (total**2 - sum(p**2 for p in predicted))
    return _divide(total * sum(agreed) - by_chance, math.sqrt(spread))


def _divide(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _mean(values: Iterable[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return _divide(math.fsum(defined), len(defined))
