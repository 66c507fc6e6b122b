"""The training loop of an epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from threading import Event

import numpy as np
from numpy.typing import NDArray

from geounet.errors import InputError
from geounet.training.data.chips import Batch
from geounet.training.learning.seeds import seed_step
from geounet.training.learning.step import take_step
from geounet.training.run import Run

REPORT_EVERY = 4
"""Steps between looks at the loss: each waits for the device."""


class Stopped(Exception):
    """The run was asked to stop, and has done so between two steps."""


class LossError(InputError):
    """The loss, or what a step made of the weights, is no longer a number.

    Attributes:
        arrays: image, valid and labels of the step's chips.
    """

    def __init__(self, message: str, batches: Sequence[Batch]) -> None:
        super().__init__(message)
        self.arrays: dict[str, NDArray[np.generic]] = {
            name: np.concatenate([getattr(batch, name) for batch in batches])
            for name in ("image", "valid", "labels")
        }


def join_shares(
    parts: Sequence[Mapping[str, NDArray[np.generic]]],
) -> dict[str, NDArray[np.generic]]:
    """Arrays of the chips of all processes, in the order that the chips have in their batches."""
    return {
        name: np.stack([part[name] for part in parts], axis=1).reshape(-1, *first.shape[1:])
        for name, first in parts[0].items()
    }


def train_epoch(
    run: Run,
    steps: Iterable[Sequence[Batch]],
    report: Callable[[], None],
    stop: Event,
) -> None:
    """Take the steps that the current epoch still lacks, until they or the clock run out.

    Args:
        run: changes.
        steps: batches of each.
        report: called every few steps.
        stop: when set, the step under way is the last.

    Raises:
        LossError: the loss or a weight is no longer a number.
        Stopped: before the epoch is over.
    """
    team = run.learner.team
    run.learner.network.train()
    seen: list[Sequence[Batch]] = []
    for batches in measure_steps(run, steps):
        losses = run.current.losses
        dice = seed_step(run.options.seed, len(run.epochs) + 1, len(losses), team.share)
        run.current.lr = run.lr
        run.learner.running.follow(run.pace)
        losses.append(take_step(run.learner, batches, run.current.lr, dice))
        run.clock.steps += 1
        if run.learner.average is not None:
            run.learner.average.update(run.learner.network, run.clock.steps)
        seen.append(batches)
        if (len(losses) - 1) % REPORT_EVERY == 0:
            check_losses(run, seen)
            report()
            del seen[:-1]
        if team.meet(stop.is_set()):
            check_losses(run, seen)
            check_weights(run, batches)
            report()
            raise Stopped
        if run.clock.position >= 1:
            break
    if seen:
        check_losses(run, seen)
        check_weights(run, seen[-1])


def measure_steps(run: Run, steps: Iterable[Sequence[Batch]]) -> Iterator[Sequence[Batch]]:
    """The batches of each step; what it took, and what was waiting for it, is added up."""
    iterator = iter(steps)
    while True:
        started = time.perf_counter()
        batches = next(iterator, None)
        run.current.waiting_s += time.perf_counter() - started
        if batches is None:
            return
        try:
            yield batches
        finally:
            run.current.elapsed_s += time.perf_counter() - started


def check_losses(run: Run, seen: Sequence[Sequence[Batch]]) -> None:
    """See that the losses of the last steps are numbers.

    Raises:
        LossError: one is not.
    """
    values = run.current.list_losses()[-len(seen) :]
    first = run.clock.steps - len(seen) + 1
    for step, (value, batches) in enumerate(zip(values, seen, strict=True), first):
        if not math.isfinite(value):
            raise LossError(f"the loss became {value} at step {step}", batches)


def check_weights(run: Run, batches: Sequence[Batch]) -> None:
    """See that the last step has left numbers, before they are saved or validated.

    Raises:
        LossError: it has not, although its loss was one.
    """
    if not all(bool(p.isfinite().all()) for p in run.learner.network.parameters()):
        raise LossError(f"weights became infinite or NaN at step {run.clock.steps}", batches)
