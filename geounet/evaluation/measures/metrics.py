"""Numbers that say how well a mask agrees with labels.

Undefined is None, in arrays NaN: the share of nothing is neither 0 nor 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geounet.classes import ClassInfo
from geounet.evaluation.measures.family import divide, mean_of_defined


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """One class against all others.

    With TP the pixels that are of the class in label and mask, FP in the mask only, FN in the
    label only, TN in neither:

    Attributes:
        value: of the class in mask and labels.
        name: of the class.
        iou: TP / (TP + FP + FN); None if the class is in neither.
        dice: 2 TP / (2 TP + FP + FN), the F1 score; None if the class is in neither.
        precision: TP / (TP + FP); None if the mask never has the class.
        recall: TP / (TP + FN); None if the labels never have it.
        support: TP + FN, labelled pixels of the class.
        predicted: TP + FP, pixels of the class in the mask.
        specificity: TN / (TN + FP); None if the labels have no other class.
    """

    value: int
    name: str
    iou: float | None
    dice: float | None
    precision: float | None
    recall: float | None
    support: int
    predicted: int
    specificity: float | None = None  # what earlier versions have stored lacks it


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


def compute_metrics(classes: Sequence[ClassInfo], counts: ArrayLike) -> Metrics:
    """The metrics of a confusion matrix, (K, K) in the order of the classes."""
    table = np.asarray(counts)
    support, predicted = table.sum(axis=1), table.sum(axis=0)
    each = {metric: _to_list(values) for metric, values in measure_classes(table).items()}
    return Metrics(
        classes=tuple(
            ClassMetrics(
                value=item.value,
                name=item.name,
                support=int(support[k]),
                predicted=int(predicted[k]),
                **{metric: values[k] for metric, values in each.items()},
            )
            for k, item in enumerate(classes)
        ),
        pixels=int(table.sum()),
        **{metric: _to_list(value)[0] for metric, value in measure_map(table).items()},
    )


def measure_classes(counts: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """The metrics of `ClassMetrics` by name, (..., K), of confusion matrices (..., K, K)."""
    agreed, support, predicted = _margins(counts)
    others = support.sum(axis=-1, keepdims=True) - support
    return {
        "iou": divide(agreed, support + predicted - agreed),
        "dice": divide(2 * agreed, support + predicted),
        "precision": divide(agreed, predicted),
        "recall": divide(agreed, support),
        "specificity": divide(others - (predicted - agreed), others),
    }


def measure_map(counts: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """The metrics of `Metrics` by name, (...), of confusion matrices (..., K, K)."""
    agreed, support, predicted = _margins(counts)
    pixels = support.sum(axis=-1)
    iou = divide(agreed, support + predicted - agreed)
    return {
        "overall_accuracy": divide(agreed.sum(axis=-1), pixels),
        "mean_iou": mean_of_defined(iou),
        "frequency_weighted_iou": divide(
            np.where(support > 0, support * iou, 0.0).sum(axis=-1), pixels
        ),
        "balanced_accuracy": mean_of_defined(divide(agreed, support)),
        **_measure_chance(agreed, support, predicted),
    }


def _measure_chance(
    agreed: NDArray[np.float64], support: NDArray[np.float64], predicted: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Cohen's kappa, and Gorodkin's R_K (2004), for two classes Matthews' coefficient.

    In shares of the pixels; 1 - sum(s p) as sum(s (1 - p)), which is 0 only where it should be.
    """
    pixels = support.sum(axis=-1, keepdims=True)
    in_labels, in_mask = divide(support, pixels), divide(predicted, pixels)
    not_in_labels, not_in_mask = (
        divide(pixels - support, pixels),
        divide(pixels - predicted, pixels),
    )
    beyond_chance = (divide(agreed, pixels) - in_labels * in_mask).sum(axis=-1)
    spread = (in_labels * not_in_labels).sum(axis=-1) * (in_mask * not_in_mask).sum(axis=-1)
    return {
        "kappa": divide(beyond_chance, (in_labels * not_in_mask).sum(axis=-1)),
        "mcc": divide(beyond_chance, np.sqrt(spread)),
    }


def _margins(counts: NDArray[Any]) -> tuple[NDArray[np.float64], ...]:
    """Pixels (..., K) that agree, of the labels, and of the mask; exact up to 2^53."""
    table = np.asarray(counts, np.float64)
    return np.diagonal(table, axis1=-2, axis2=-1), table.sum(axis=-1), table.sum(axis=-2)


def _to_list(values: NDArray[np.float64]) -> list[float | None]:
    return [None if value != value else float(value) for value in np.atleast_1d(values)]
