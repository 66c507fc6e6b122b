"""What a run has done so far, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from geounet.evaluation import ClassMetrics, Metrics


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
        """What decides which model is kept: the mean IoU."""
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


def find_best(epochs: list[Epoch]) -> Epoch:
    """The epoch with the highest score; of several the first."""
    return max(epochs, key=lambda epoch: epoch.score)
