"""Scenes + labels -> model: the order of things."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from geounet.errors import Interrupted
from geounet.evaluation import Metrics
from geounet.inference import Runtime
from geounet.models import Geometry
from geounet.progress import ProgressCallback, ignore_progress
from geounet.training.epochs import count_steps, train_epochs
from geounet.training.examples import draw_validation
from geounet.training.learner import make_learner
from geounet.training.network import (
    build_training_network,
    memory_watched,
    resolve_training_runtime,
)
from geounet.training.options import TrainOptions
from geounet.training.record import Record
from geounet.training.run_folder import check_run_folder, open_run_folder
from geounet.training.schedule import Clock
from geounet.training.seeds import seeded
from geounet.training.settings import describe_settings, make_spec
from geounet.training.task import Task, find_inputs, prepare_task


@dataclass(frozen=True)
class TrainSummary:
    """What a training did.

    Attributes:
        output: the run folder.
        model: the best model.
        class_shares: share of each class, by name, in the labelled training pixels.
        training_pixels: pixels that chips may show.
        validation_pixels: pixels held out.
        epochs: finished.
        best_epoch: the one whose model was kept, from 1.
        metrics: of the kept model on the held-out pixels.
        chips: chips trained on.
        notes: which images were left out, and what had to be done to the labels.
        device: where the network was trained.
        precision: in which arithmetic.
        elapsed_s: seconds in all.
        training_s: seconds of these in the training loop.
        waiting_s: seconds of these that the loop waited for chips.
    """

    output: Path
    model: Path
    class_shares: dict[str, float]
    training_pixels: int
    validation_pixels: int
    epochs: int
    best_epoch: int
    metrics: Metrics
    chips: int
    notes: tuple[str, ...]
    device: str
    precision: str
    elapsed_s: float
    training_s: float
    waiting_s: float


def train(
    images: Sequence[str | Path],
    labels: Sequence[str | Path],
    output: str | Path,
    options: TrainOptions | None = None,
    progress: ProgressCallback = ignore_progress,
) -> TrainSummary:
    """Learn to map from labelled scenes.

    Args:
        images: anything that GDAL opens.
        labels: one raster or vector file per image in the same order, a folder with files of the
            images' names, or one vector file for all.
        output: the run folder, made if need be.
        options: how.
        progress: called while it runs.

    Raises:
        UsageError: options or an output that cannot be meant.
        InputError: images or labels cannot be used, or the loss is no longer a number.
        ResourceError: memory, disk or device.
        Interrupted: stopped by the user; the best model so far is kept.
    """
    started = time.perf_counter()
    options = options or TrainOptions()
    check_run_folder(Path(output), overwrite=options.overwrite)
    runtime = resolve_training_runtime(options)
    inputs = find_inputs(images, labels, options)
    with seeded(options.seed, runtime.device), memory_watched(runtime.device):
        network = build_training_network(inputs, options)
        task = prepare_task(inputs, cast(Geometry, network.geometry), options, progress)
        spec, settings = make_spec(task, options), describe_settings(task, options, runtime)
        learner = make_learner(network, spec, options, runtime)
        clock = Clock(options.epochs * count_steps(task, options), options.max_time_s, started)
        record = Record(open_run_folder(Path(output)), spec, settings)
        try:
            for epoch in train_epochs(learner, spec, task, options, clock, progress):
                record.add(epoch, learner.network)
            examples = draw_validation(record.folder.model, task, runtime)
            record.folder.write_figure("examples.png", examples)
        except KeyboardInterrupt:
            raise Interrupted(record.describe_interruption()) from None
    return _summarize(record, task, options, runtime, time.perf_counter() - started)


def _summarize(
    record: Record, task: Task, options: TrainOptions, runtime: Runtime, elapsed_s: float
) -> TrainSummary:
    best = record.best
    results = [epoch.result for epoch in record.epochs]
    names = [item.name for item in task.inputs.classes]
    return TrainSummary(
        output=record.folder.path,
        model=record.folder.model,
        class_shares=dict(zip(names, task.statistics.class_shares, strict=True)),
        training_pixels=task.split.training_pixels,
        validation_pixels=task.split.validation_pixels,
        epochs=len(results),
        best_epoch=best.number,
        metrics=best.metrics,
        chips=options.batch * sum(result.steps for result in results),
        notes=task.notes,
        device=str(runtime.device),
        precision=runtime.precision,
        elapsed_s=elapsed_s,
        training_s=sum(result.elapsed_s for result in results),
        waiting_s=sum(result.waiting_s for result in results),
    )
