"""The learning rate over a run, by steps or by time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

ScheduleName = Literal["one-cycle", "cosine", "plateau"]

WARM_UP: dict[ScheduleName, float] = {"one-cycle": 0.1, "cosine": 0.05, "plateau": 0.05}
"""Share of the run in which the learning rate rises, where nothing else is said."""

START = 1 / 25
END = 1 / 250_000

PLATEAU_EPOCHS = 5
"""Epochs without a better score after which the rate of "plateau" falls."""

PLATEAU_FACTOR = 0.3


@dataclass(frozen=True)
class Schedule:
    """Factors to the highest learning rate.

    Attributes:
        name: "one-cycle", Smith's: from 1/25 of the highest rate up to it, then down to nothing,
            by cosines. "cosine": the same with a short rise. "plateau": the same rise, then
            constant, and lower by `PLATEAU_FACTOR` whenever the score has stayed below its best
            for `PLATEAU_EPOCHS` epochs.
        warm_up: share of the run in which the rate rises.
    """

    name: ScheduleName
    warm_up: float

    def factor(self, position: float, scores: Sequence[float] = ()) -> float:
        """The factor at a share of the run, 0 to 1, after epochs with these scores."""
        if position < self.warm_up:
            return _ease(START, 1.0, position / self.warm_up)
        if self.name == "plateau":
            return float(PLATEAU_FACTOR ** count_plateaus(scores))
        return _ease(1.0, END, (position - self.warm_up) / (1 - self.warm_up))


def make_schedule(name: ScheduleName, warm_up: float | None) -> Schedule:
    """The schedule; None: its own warm-up."""
    return Schedule(name, WARM_UP[name] if warm_up is None else warm_up)


def count_plateaus(scores: Sequence[float]) -> int:
    """How often `PLATEAU_EPOCHS` scores in a row have not been above the best before."""
    best, since, plateaus = -math.inf, 0, 0
    for score in scores:
        since = 0 if score > best else since + 1
        best = max(best, score)
        if since == PLATEAU_EPOCHS:
            since, plateaus = 0, plateaus + 1
    return plateaus


@dataclass
class Clock:
    """How much of a run is over: by steps, or by time where that runs out first.

    Attributes:
        total_steps: steps of the whole run.
        limit_s: seconds that the run may take; None: as long as it needs.
        started: when it began, by `now`.
        begun_s: seconds of the limit that passed before the first step.
        reserve_s: seconds of the limit that what comes after the last step will take.
        steps: taken so far.
        now: a clock in seconds.
    """

    total_steps: int
    limit_s: float | None
    started: float
    begun_s: float = 0.0
    reserve_s: float = 0.0
    steps: int = 0
    now: Callable[[], float] = time.perf_counter

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return self.now() - self.started

    @property
    def position(self) -> float:
        """Share of the steps, or of the time for them, that is over; 1 or more: stop."""
        by_steps = self.steps / self.total_steps
        if self.limit_s is None:
            return by_steps
        available = max(self.limit_s - self.begun_s - self.reserve_s, 1e-9)
        return max(by_steps, (self.elapsed_s - self.begun_s) / available)

    @property
    def expected_steps(self) -> int:
        """Steps of the whole run as far as one can tell now."""
        position = self.position
        if not self.steps or position <= self.steps / self.total_steps:
            return self.total_steps
        return max(self.steps, round(self.steps / position))


def _ease(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2
