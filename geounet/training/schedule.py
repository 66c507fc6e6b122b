"""The learning rate over a run, by steps or by time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

WARM_UP = 0.3
"""Share of the run in which the learning rate rises."""

START = 1 / 25
END = 1 / 250_000


def one_cycle(position: float) -> float:
    """Smith's one-cycle: from 1/25 of the highest rate up to it, then down to nothing, by cosines.

    Args:
        position: share of the run that is over, 0 to 1.

    Returns:
        Factor to the highest learning rate.
    """
    if position < WARM_UP:
        return _ease(START, 1.0, position / WARM_UP)
    return _ease(1.0, END, (position - WARM_UP) / (1 - WARM_UP))


@dataclass
class Clock:
    """How much of a run is over: by steps, or by time where that runs out first.

    Attributes:
        total_steps: steps of the whole run.
        limit_s: seconds that the run may take; None: as long as it needs.
        started: when it began, by `now`.
        reserve_s: seconds of the limit that what comes after the last step will take.
        steps: taken so far.
        now: a clock in seconds.
    """

    total_steps: int
    limit_s: float | None
    started: float
    reserve_s: float = 0.0
    steps: int = 0
    now: Callable[[], float] = time.perf_counter

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return self.now() - self.started

    @property
    def position(self) -> float:
        """Share of the run that is over; 1 or more: stop."""
        by_steps = self.steps / self.total_steps
        if self.limit_s is None:
            return by_steps
        available = max(self.limit_s - self.reserve_s, 1e-9)
        return max(by_steps, self.elapsed_s / available)


def _ease(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2
