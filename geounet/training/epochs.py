"""Epoch after epoch: train, then validate."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import partial
from itertools import islice

from geounet.inference import make_engine
from geounet.models import ModelSpec
from geounet.progress import Progress, ProgressCallback
from geounet.training.chips import ChipStream
from geounet.training.history import Epoch
from geounet.training.learner import Learner
from geounet.training.loop import train_epoch
from geounet.training.options import TrainOptions, count_epoch_chips
from geounet.training.schedule import Clock
from geounet.training.seeds import seed_step
from geounet.training.sources import SourceReader
from geounet.training.task import Task, plan_chips
from geounet.training.validation import validate


def train_epochs(
    learner: Learner,
    spec: ModelSpec,
    task: Task,
    options: TrainOptions,
    clock: Clock,
    progress: ProgressCallback,
) -> Iterator[Epoch]:
    """Train and validate, epoch by epoch, until all are done or the time is up."""
    inputs, steps = task.inputs, count_steps(task, options)
    chip_plan = plan_chips(task, options)
    shown: dict[str, float] = {}

    def report(values: Mapping[str, float]) -> None:
        shown.update(values)
        progress(Progress("train", clock.steps, clock.total_steps, "steps", dict(shown)))

    stream = ChipStream(inputs.sources, inputs.reading, chip_plan, options.batch, options.workers)
    with (
        closing(stream.batches(options.epochs, steps)) as batches,
        SourceReader(inputs.validation_sources, inputs.reading) as reader,
    ):
        for number in range(1, options.epochs + 1):
            seed = partial(seed_step, options.seed, number)
            result = train_epoch(learner, islice(batches, steps), clock, seed, report)
            validation_started = time.perf_counter()
            engine = make_engine(learner.network, spec, learner.runtime)
            metrics = validate(engine, reader, task.split.validation, spec.classes)
            clock.reserve_s = time.perf_counter() - validation_started
            report({"iou": metrics.mean_iou or 0.0})
            yield Epoch(number, result, metrics, clock.elapsed_s)
            if clock.position >= 1:
                return


def count_steps(task: Task, options: TrainOptions) -> int:
    """Steps of an epoch."""
    chips = count_epoch_chips(task.split.training_pixels, options.chip)
    return -(-chips // options.batch)
