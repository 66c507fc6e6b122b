"""A run under way: what does not change, and what does."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from geounet.inference import Runtime
from geounet.models import ModelSpec
from geounet.training.keeping.history import Epoch, EpochResult, find_best, find_kept
from geounet.training.keeping.settings import make_spec
from geounet.training.learning.learner import Learner, make_learner
from geounet.training.learning.schedule import Clock, Schedule, make_schedule
from geounet.training.options import TrainOptions, count_epoch_chips
from geounet.training.task import Task
from geounet.training.team.team import SOLO, Team


@dataclass
class Unfinished:
    """What the epoch under way has done so far.

    Attributes:
        losses: of its steps, on the device.
        lr: learning rate of the last one.
        elapsed_s: seconds in all.
        waiting_s: seconds of these that the loop waited for chips.
    """

    losses: list[Tensor] = field(default_factory=list)
    lr: float = 0.0
    elapsed_s: float = 0.0
    waiting_s: float = 0.0

    def list_losses(self) -> list[float]:
        """The losses as numbers; waits for the device."""
        return torch.stack(self.losses).tolist() if self.losses else []

    def finish(self) -> EpochResult:
        """What it has done, now that it is over."""
        losses = self.list_losses()
        mean = math.fsum(losses) / len(losses)
        return EpochResult(mean, len(losses), self.elapsed_s, self.waiting_s)


@dataclass(frozen=True)
class Chosen:
    """What options may leave open.

    Attributes:
        batch: chips that go through the network together.
        lr: highest learning rate.
    """

    batch: int
    lr: float


@dataclass
class Run:
    """What changes is the learner's inside, the clock, the epochs and the one under way.

    Attributes:
        task: what is learned from.
        spec: of the model to be.
        options: as given.
        chosen: what they may have left open.
        learner: the network and what changes it.
        schedule: of the learning rate.
        clock: how much is over.
        epoch_steps: steps of an epoch.
        epochs: those that are over.
        current: the one under way.
    """

    task: Task
    spec: ModelSpec
    options: TrainOptions
    chosen: Chosen
    learner: Learner
    schedule: Schedule
    clock: Clock
    epoch_steps: int
    epochs: list[Epoch] = field(default_factory=list)
    current: Unfinished = field(default_factory=Unfinished)

    @property
    def kept(self) -> Epoch:
        """The epoch whose model is kept."""
        return find_kept(self.epochs)

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return self.chosen.lr * self.schedule.factor(self.clock.position, self._scores)

    @property
    def pace(self) -> float:
        """How fast the weights move, where 1 is the most: the rate, but 1 as long as it rises."""
        if self.clock.position < self.schedule.warm_up:
            return 1.0
        return self.schedule.factor(self.clock.position, self._scores)

    @property
    def _scores(self) -> list[float]:
        return [epoch.score for epoch in self.epochs]

    @property
    def is_over(self) -> bool:
        """Whether all epochs are done, the time is up, or nothing gets better any more."""
        if len(self.epochs) >= self.options.epochs:
            return True
        # whatever the time: without a step and its validation is no model, and a run that was
        # stopped within an epoch, be it after its last step, has that validated when it goes on
        if not self.epochs or self.current.losses:
            return False
        if self.clock.position >= 1:
            return True
        patience = self.options.patience
        return bool(patience and self.epochs[-1].number - find_best(self.epochs).number >= patience)


def start_run(
    network: nn.Module,
    task: Task,
    options: TrainOptions,
    chosen: Chosen,
    runtime: Runtime,
    team: Team = SOLO,
) -> Run:
    """A run before its first step.

    Args:
        network: with fresh weights.
        task: what is learned from.
        options: how.
        chosen: what they may have left open.
        runtime: where, and in which arithmetic.
        team: the processes that train together, whose time is counted from when they began.
    """
    spec = make_spec(task, options)
    chips = count_epoch_chips(task.split.training_pixels, options.chip)
    steps = -(-chips // (chosen.batch * options.accumulate))
    return Run(
        task=task,
        spec=spec,
        options=options,
        chosen=chosen,
        learner=make_learner(network, spec, options, runtime, team),
        schedule=make_schedule(options.schedule, options.warm_up),
        clock=Clock(options.epochs * steps, options.max_time_s, team.started, now=team.time),
        epoch_steps=steps,
    )
