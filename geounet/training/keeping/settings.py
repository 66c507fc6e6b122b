"""What was decided for a run: the contract of its model, and settings.json."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import torch

from geounet import __version__
from geounet.inference import Runtime
from geounet.models import Band, ModelSpec
from geounet.training.data.sources import Source
from geounet.training.learning.network_options import SMP
from geounet.training.options import TrainOptions
from geounet.training.task import Task


def make_spec(task: Task, options: TrainOptions) -> ModelSpec:
    """The contract of the model to be."""
    inputs, measured = task.inputs, task.statistics
    columns = zip(inputs.band_names, measured.mean, measured.deviation, strict=True)
    architecture, arguments = options.network
    return ModelSpec(
        architecture=architecture,
        arguments=arguments,
        bands=tuple(Band(n, inputs.dtype.name, mean, scale) for n, mean, scale in columns),
        classes=inputs.classes,
        pixel_size_m=inputs.pixel_size_m,
        margin=None if architecture.startswith(SMP) else task.geometry.margin,
        stride=task.geometry.stride,
        training={
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "scenes": [str(source.image) for source in inputs.sources],
            "class_shares": dict(
                zip((c.name for c in inputs.classes), measured.class_shares, strict=True)
            ),
            "training_pixels": task.split.training_pixels,
            "chip": options.chip,
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
        "classes": [asdict(item) for item in inputs.classes],
        "scenes": [_describe_source(source) for source in inputs.sources],
        "other_scenes": [_describe_source(source) for source in inputs.other_sources],
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
        "weight": source.weight,
    }
