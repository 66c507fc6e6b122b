"""What a run has done so far, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from geounet.evaluation import ClassMetrics, Metrics

TOLERANCE = 0.02
"""Differences in mean IoU that may be chance: held-out blocks are few, and each has its own."""


@dataclass(frozen=True)
class EpochResult:
    """What an epoch did.

    Attributes:
        loss: mean over its steps.
        steps: taken.
        elapsed_s: seconds in all.
        waiting_s: seconds of these that the loop waited for chips.
    """

    loss: float
    steps: int
    elapsed_s: float
    waiting_s: float


@dataclass(frozen=True)
class Epoch:
    """An epoch that is over.

    Attributes:
        number: from 1.
        result: of its training.
        metrics: of its validation.
        elapsed_s: seconds since the run began.
        lr: learning rate of its last step.
        is_average: whether the metrics are of the averaged weights, which were the better ones.
    """

    number: int
    result: EpochResult
    metrics: Metrics
    elapsed_s: float
    lr: float
    is_average: bool = False

    @property
    def score(self) -> float:
        """What epochs are compared by: the mean IoU."""
        return self.metrics.mean_iou or 0.0

    def to_row(self) -> dict[str, float | None]:
        """A row of history.csv."""
        ious = {f"iou_{item.name}": item.iou for item in self.metrics.classes}
        return {
            "epoch": self.number,
            "steps": self.result.steps,
            "loss": self.result.loss,
            "mean_iou": self.metrics.mean_iou,
            "overall_accuracy": self.metrics.overall_accuracy,
            **ious,
            "lr": self.lr,
            "is_average": int(self.is_average),
            "elapsed_s": round(self.elapsed_s, 3),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Epoch:
        """Undo `dataclasses.asdict`."""
        numbers = content["metrics"]
        classes = tuple(ClassMetrics(**item) for item in numbers["classes"])
        metrics = Metrics(**{**numbers, "classes": classes})
        return cls(**{**content, "result": EpochResult(**content["result"]), "metrics": metrics})


def find_best(epochs: Sequence[Epoch]) -> Epoch:
    """The epoch with the highest score; of several the first."""
    return max(epochs, key=lambda epoch: epoch.score)


def find_kept(epochs: Sequence[Epoch]) -> Epoch:
    """The epoch whose model is kept: of those about as good as the best one, the latest.

    While the learning rate is high, epochs differ by chance, and the highest of their scores says
    most about the few blocks that are held out. The latest has learned longest.
    """
    enough = find_best(epochs).score - TOLERANCE
    return next(epoch for epoch in reversed(epochs) if epoch.score >= enough)
