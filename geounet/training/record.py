"""What a run has reached, kept on disk after every epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import torch
from torch import nn

from geounet import __version__
from geounet.evaluation import Metrics
from geounet.inference import Runtime
from geounet.models import Band, ModelSpec, save_model
from geounet.training.figures import draw_curves
from geounet.training.loop import EpochResult
from geounet.training.options import TrainOptions
from geounet.training.run_folder import RunFolder
from geounet.training.sources import Source
from geounet.training.task import Task


@dataclass(frozen=True)
class Epoch:
    """An epoch that is over.

    Attributes:
        number: from 1.
        result: of its training.
        metrics: of its validation.
        elapsed_s: seconds since the run began.
    """

    number: int
    result: EpochResult
    metrics: Metrics
    elapsed_s: float

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
            "elapsed_s": round(self.elapsed_s, 3),
        }


class Record:
    """The epochs of a run; the best network so far is in the run folder.

    What an earlier run left there stays until this one has a model.
    """

    def __init__(self, folder: RunFolder, spec: ModelSpec, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self.spec = spec
        self.settings = settings
        self.epochs: list[Epoch] = []

    @property
    def best(self) -> Epoch:
        """The epoch with the highest score; of several the first."""
        return max(self.epochs, key=lambda epoch: epoch.score)

    def add(self, epoch: Epoch, network: nn.Module) -> None:
        """Keep the epoch, and the network if it is the best so far."""
        if not self.epochs or epoch.score > self.best.score:
            save_model(self.folder.model, network, self._describe(epoch))
        if not self.epochs:
            self.folder.remove_reports()
            self.folder.write_settings(self.settings)
        self.epochs.append(epoch)
        rows = [epoch.to_row() for epoch in self.epochs]
        self.folder.write_history(rows)
        names = [item.name for item in self.spec.classes]
        self.folder.write_figure("curves.png", draw_curves(rows, names))

    def describe_interruption(self) -> str:
        """What exists after an interruption, in one line."""
        if not self.epochs:
            model = self.folder.model
            left = (
                f"{model} is still the earlier one"
                if model.exists()
                else f"{self.folder.path} holds no model yet"
            )
            return f"stopped in the first epoch; {left}; the same command starts again"
        return (
            f"stopped after epoch {len(self.epochs)}; {self.folder.model} is the best so far "
            f"(epoch {self.best.number}, mean IoU {self.best.score:.3f}) and can be used; "
            "--overwrite starts anew"
        )

    def _describe(self, epoch: Epoch) -> ModelSpec:
        """The spec with what has been reached."""
        reached = {
            "epoch": epoch.number,
            "steps": sum(past.result.steps for past in (*self.epochs, epoch)),
            "metrics": asdict(epoch.metrics),
        }
        return replace(self.spec, training={**self.spec.training, **reached})


def make_spec(task: Task, options: TrainOptions) -> ModelSpec:
    """The contract of the model to be."""
    inputs, measured = task.inputs, task.statistics
    columns = zip(inputs.band_names, measured.mean, measured.deviation, strict=True)
    return ModelSpec(
        architecture=options.architecture,
        arguments=options.network_arguments,
        bands=tuple(Band(n, inputs.dtype.name, mean, scale) for n, mean, scale in columns),
        classes=inputs.classes,
        pixel_size_m=inputs.pixel_size_m,
        margin=task.geometry.margin,
        stride=task.geometry.stride,
        training={
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "scenes": [str(source.image) for source in inputs.sources],
            "class_shares": dict(
                zip((c.name for c in inputs.classes), measured.class_shares, strict=True)
            ),
            "training_pixels": task.split.training_pixels,
            "chip": options.chip,
            "batch": options.batch,
            "seed": options.seed,
            "geounet": __version__,
            "torch": str(torch.__version__),
        },
    )


def describe_settings(task: Task, options: TrainOptions, runtime: Runtime) -> dict[str, Any]:
    """All that was decided, for settings.json."""
    inputs, split = task.inputs, task.split
    return {
        "geounet": __version__,
        "torch": str(torch.__version__),
        "device": str(runtime.device),
        "precision": runtime.precision,
        "options": asdict(options),
        "scenes": [_describe_source(source) for source in inputs.sources],
        "split": {
            "guard_px": split.guard,
            "training_pixels": split.training_pixels,
            "validation_pixels": split.validation_pixels,
            "validation_blocks": [
                {
                    "scene": str(inputs.validation_sources[block.scene].image),
                    "window": asdict(block.window),
                }
                for block in split.validation
            ],
        },
        "statistics": asdict(task.statistics),
        "notes": list(task.notes),
    }


def _describe_source(source: Source) -> dict[str, Any]:
    return {
        "image": str(source.image),
        "labels": str(source.labels),
        "window": asdict(source.area.window),
    }
