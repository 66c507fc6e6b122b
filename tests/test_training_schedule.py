"""The learning rate against torch's own schedule, and against a clock that is not real."""

import warnings

import pytest
import torch

from geounet.training.schedule import Clock, one_cycle


def test_one_cycle_is_that_of_torch():
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1)
    steps = 1001
    reference = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=1, total_steps=steps, final_div_factor=10_000, cycle_momentum=False
    )
    for step in range(steps - 1):
        assert one_cycle(step / (steps - 1)) == pytest.approx(
            reference.get_last_lr()[0], rel=0.03, abs=2e-5
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # no optimiser step: only the schedule is wanted
            reference.step()


def test_one_cycle_rises_then_falls():
    rates = [one_cycle(k / 100) for k in range(101)]
    assert rates[30] == 1
    assert rates[:31] == sorted(rates[:31])
    assert rates[30:] == sorted(rates[30:], reverse=True)
    assert one_cycle(1.5) == pytest.approx(rates[-1])


class Time:
    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


def test_steps_decide_without_a_limit():
    now = Time()
    clock = Clock(10, None, started=100.0, now=now)
    clock.steps, now.seconds = 5, 1e9
    assert clock.position == 0.5


def test_time_decides_where_it_runs_out_first():
    now = Time()
    clock = Clock(10, 60.0, started=100.0, now=now)
    clock.steps, now.seconds = 1, 130.0
    assert clock.elapsed_s == 30
    assert clock.position == 0.5
    clock.steps = 8
    assert clock.position == 0.8
    clock.reserve_s = 30.0
    assert clock.position == 1
