"""Epoch after epoch: train, then validate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from itertools import islice
from threading import Event

from torch import nn

from geounet.evaluation import Metrics
from geounet.inference import make_engine
from geounet.progress import Progress, ProgressCallback
from geounet.training.data.chips import ChipStream
from geounet.training.data.sources import SourceReader
from geounet.training.keeping.history import Epoch
from geounet.training.learning.loop import Stopped, train_epoch
from geounet.training.learning.validation import validate
from geounet.training.run import Run, Unfinished
from geounet.training.task import plan_chips


def train_epochs(run: Run, progress: ProgressCallback, stop: Event) -> Iterator[Epoch]:
    """Train and validate from where the run is, until it is over; each finished epoch.

    Raises:
        LossError: the loss is no longer a number.
        Stopped: asked to, between two steps; the run is as it was after the last.
    """
    inputs, options, team = run.task.inputs, run.options, run.learner.team
    stream = ChipStream(
        inputs.sources,
        inputs.reading,
        plan_chips(run.task, options),
        run.chosen.batch,
        options.workers,
        team.share,
    )
    done = len(run.epochs) * run.epoch_steps + len(run.current.losses)
    read = stream.batches(
        options.epochs, run.epoch_steps * options.accumulate, done * options.accumulate
    )
    with (
        closing(read) as batches,
        SourceReader(inputs.validation_sources, inputs.validation_reading) as reader,
    ):
        steps = zip(*[batches] * options.accumulate, strict=True)
        evaluate = partial(_evaluate, run, reader)
        is_stopping = team.meet(stop.is_set())
        if not run.clock.steps:
            run.clock.begun_s = run.clock.elapsed_s
        while not run.is_over:
            if is_stopping:
                raise Stopped
            left = islice(steps, run.epoch_steps - len(run.current.losses))
            train_epoch(run, left, lambda: _report(run, progress), stop)
            ended = team.time()
            yield _finish_epoch(run, evaluate)
            _report(run, progress)
            is_stopping = team.meet(stop.is_set())
            # what has been done since then, saving too, is to be done once more after the last
            # step, and the report takes about as long
            run.clock.reserve_s = 2 * (team.time() - ended)


def _finish_epoch(run: Run, evaluate: Callable[[nn.Module], Metrics]) -> Epoch:
    """Validate, the averaged weights too, and begin the next epoch."""
    result, team = run.current.finish(), run.learner.team
    team.align(run.learner.network)
    metrics, is_average = evaluate(run.learner.network), False
    if run.learner.average is not None:
        team.align(run.learner.average.network)
        other = evaluate(run.learner.average.network)
        if (other.mean_iou or 0.0) > (metrics.mean_iou or 0.0):
            metrics, is_average = other, True
    epoch = Epoch(
        len(run.epochs) + 1, result, metrics, run.clock.elapsed_s, run.current.lr, is_average
    )
    run.epochs.append(epoch)
    run.current = Unfinished()
    return epoch


def _evaluate(run: Run, reader: SourceReader, network: nn.Module) -> Metrics:
    engine = make_engine(network, run.spec, run.learner.runtime)
    blocks, classes = run.task.split.validation, run.spec.classes
    return validate(engine, reader, blocks, classes, team=run.learner.team)


def _report(run: Run, progress: ProgressCallback) -> None:
    """Where the run is, how good, how fast, and how much of its time it waits for chips."""
    values: dict[str, float] = {}
    past = [epoch.result for epoch in run.epochs]
    if run.current.losses:
        values["loss"] = float(run.current.losses[-1])
    elif past:
        values["loss"] = past[-1].loss
    if run.epochs:
        values["iou"] = run.epochs[-1].score
    elapsed_s = run.current.elapsed_s + sum(result.elapsed_s for result in past)
    if elapsed_s:
        chips = run.clock.steps * run.options.accumulate * run.chosen.batch
        waited_s = run.current.waiting_s + sum(result.waiting_s for result in past)
        values |= {"lr": run.lr, "chips/s": chips / elapsed_s, "waiting": waited_s / elapsed_s}
    progress(Progress("train", run.clock.steps, run.clock.expected_steps, "steps", values))
