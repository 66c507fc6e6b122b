"""Pixel by pixel: the confusion matrix of each block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geounet.classes import NODATA, ClassInfo
from geounet.evaluation.measures.family import (
    Block,
    BlockSums,
    Piece,
    Scope,
    cut_blocks,
    name_classes,
)
from geounet.evaluation.measures.metrics import measure_classes, measure_map

CLASS_METRICS = {
    "iou": "iou",
    "f1": "dice",
    "precision": "precision",
    "recall": "recall",
    "specificity": "specificity",
}
"""What the numbers of a class are called, and the field of `ClassMetrics` that each is."""

MAP_METRICS = {
    "oa": "overall_accuracy",
    "miou": "mean_iou",
    "fwiou": "frequency_weighted_iou",
    "balanced_accuracy": "balanced_accuracy",
    "kappa": "kappa",
    "mcc": "mcc",
}
"""As above, of all classes together and `Metrics`."""


@dataclass(frozen=True)
class PixelFamily:
    """Metrics of the confusion matrix."""

    classes: tuple[ClassInfo, ...]
    name: str = "pixel"

    @property
    def size(self) -> int:
        """K x K."""
        return len(self.classes) ** 2

    def start(self, scope: Scope) -> PixelAccumulator:
        """Count the pixels of a scene."""
        return PixelAccumulator(len(self.classes), scope.block_px)

    def measure(self, sums: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
        """`MAP_METRICS`, and `CLASS_METRICS` of each class, of sums (..., K * K)."""
        counts = self.to_counts(sums)
        of_map, of_class = measure_map(counts), measure_classes(counts)
        names = [item.name for item in self.classes]
        named = {name: of_map[field] for name, field in MAP_METRICS.items()}
        for metric, field in CLASS_METRICS.items():
            named |= name_classes(metric, names, of_class[field])
        return named

    def describe(self, sums: NDArray[Any]) -> dict[str, Any]:
        """Nothing: an evaluation has its confusion matrix anyway."""
        return {}

    def to_counts(self, sums: NDArray[Any]) -> NDArray[Any]:
        """Confusion matrices (..., K, K) of sums (..., K * K): labels are rows."""
        return sums.reshape(*sums.shape[:-1], len(self.classes), len(self.classes))


class PixelAccumulator:
    """Counts the pixels of a scene."""

    halo = 0

    def __init__(self, classes: int, block_px: int) -> None:
        """Of `classes` classes, in blocks of this side."""
        self._classes, self._block_px = classes, block_px
        self._sums: dict[Block, NDArray[np.int64]] = {}

    def add(self, piece: Piece) -> None:
        """Count a piece."""
        for block, where in cut_blocks(piece.window, self._block_px):
            labels, mask = piece.labels[where], piece.mask[where]
            counted = labels != NODATA
            pairs = labels[counted].astype(np.intp) * self._classes + mask[counted]
            if pairs.size:
                counts = np.bincount(pairs, minlength=self._classes**2)
                self._sums[block] = self._sums.get(block, 0) + counts

    def finish(self) -> BlockSums:
        """Of the blocks that have any."""
        return self._sums
