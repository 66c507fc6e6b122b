"""The training loop of an epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from torch import Generator, Tensor

from geounet.errors import InputError
from geounet.training.chips import Batch
from geounet.training.history import EpochResult
from geounet.training.learner import Learner
from geounet.training.schedule import Clock, one_cycle
from geounet.training.step import take_step

REPORT_EVERY = 4
"""Steps between looks at the loss: each waits for the device."""


def train_epoch(
    learner: Learner,
    batches: Iterable[Batch],
    clock: Clock,
    seed_step: Callable[[int], Generator],
    report: Callable[[Mapping[str, float]], None],
) -> EpochResult:
    """One step per batch, until the batches or the clock run out.

    Raises:
        InputError: the loss is no longer a number.
    """
    started, waiting = time.perf_counter(), Waiting(batches)
    learner.network.train()
    losses: list[Tensor] = []
    for batch in waiting:
        lr = learner.lr * one_cycle(clock.position)
        losses.append(take_step(learner, batch, lr, seed_step(len(losses))))
        clock.steps += 1
        if len(losses) % REPORT_EVERY == 1:
            report({"loss": _check_loss(losses[-1], clock.steps), "lr": lr})
        if clock.position >= 1:
            break
    loss = _check_loss(torch.stack(losses).mean(), clock.steps)
    return EpochResult(loss, len(losses), time.perf_counter() - started, waiting.elapsed_s)


class Waiting(Iterable[Batch]):
    """Batches, and the seconds that were spent waiting for them."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self.elapsed_s = 0.0
        self._batches = iter(batches)

    def __iter__(self) -> Iterator[Batch]:
        while True:
            started = time.perf_counter()
            batch = next(self._batches, None)
            self.elapsed_s += time.perf_counter() - started
            if batch is None:
                return
            yield batch


def _check_loss(loss: Tensor, steps: int) -> float:
    value = float(loss)
    if not math.isfinite(value):
        raise InputError(
            f"the loss became {value} at step {steps}; lower --lr, or look for extreme values in "
            "the images with `geounet info`"
        )
    return value
