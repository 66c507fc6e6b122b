"""The confusion matrix: filled window by window, in any order, with the same result."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geounet.classes import NODATA, ClassInfo, check_classes
from geounet.evaluation.measures.metrics import Metrics, compute_metrics


class ConfusionMatrix:
    """How often each class of the labels is each class of the mask.

    Attributes:
        classes: sorted by value.
        counts: int64 (K, K): pixels by class of the label (rows) and of the mask (columns).
        unpredicted: int64 (K,): labelled pixels where the mask has no data, by class of the label.
            They enter no metric.
    """

    def __init__(self, classes: Sequence[ClassInfo]) -> None:
        self.classes = check_classes(classes)
        size = len(self.classes)
        self.counts: NDArray[np.int64] = np.zeros((size, size), np.int64)
        self.unpredicted: NDArray[np.int64] = np.zeros(size, np.int64)
        # from value to position; K is no data, K + 1 is no class
        self._positions = np.full(256, size + 1, np.intp)
        self._positions[[item.value for item in self.classes]] = np.arange(size)
        self._positions[NODATA] = size

    def add(self, labels: NDArray[np.uint8], mask: NDArray[np.uint8]) -> None:
        """Count pixels of class values, two arrays of one shape; 255 is no label, or no data.

        Raises:
            ValueError: the shapes differ, or a value is of no class.
        """
        if labels.shape != mask.shape:
            raise ValueError(f"labels {labels.shape} and mask {mask.shape} differ in shape")
        size = len(self.classes)
        pairs = self._positions[labels] * (size + 2) + self._positions[mask]
        table = np.bincount(pairs.ravel(), minlength=(size + 2) ** 2).reshape(size + 2, size + 2)
        if table[-1].any() or table[:, -1].any():
            known = [item.value for item in self.classes]
            raise ValueError(f"labels or mask have values other than the classes {known} and 255")
        self.counts += table[:size, :size]
        self.unpredicted += table[:size, size]

    def merge(self, other: ConfusionMatrix) -> None:
        """Count the other matrix's pixels too.

        Raises:
            ValueError: it is of other classes.
        """
        if other.classes != self.classes:
            raise ValueError("matrices of different classes cannot be merged")
        self.counts += other.counts
        self.unpredicted += other.unpredicted

    def metrics(self) -> Metrics:
        """The metrics of what was counted so far."""
        return compute_metrics(self.classes, self.counts)
