"""The learning rate against torch's own schedule, and against a clock that is not real."""

import warnings

import pytest
import torch

from geounet.training.learning.schedule import Clock, Schedule, count_plateaus, make_schedule

one_cycle = make_schedule("one-cycle", None).factor


def test_one_cycle_is_that_of_torch():
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1)
    steps = 1001
    reference = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        max_lr=1,
        total_steps=steps,
        pct_start=0.1,
        final_div_factor=10_000,
        cycle_momentum=False,
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
    assert rates[10] == 1
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
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


def test_what_comes_before_the_first_step_is_no_part_of_the_schedule():
    now = Time()
    clock = Clock(1000, 60.0, started=100.0, now=now)
    clock.begun_s, now.seconds = 20.0, 120.0
    assert clock.position == 0
    now.seconds = 140.0
    assert clock.position == 0.5
    now.seconds = 160.0
    assert clock.position == 1


def test_steps_to_come_are_told_from_the_time_that_is_left():
    now = Time()
    clock = Clock(1000, 60.0, started=100.0, now=now)
    assert clock.expected_steps == 1000
    clock.steps, now.seconds = 50, 115.0
    assert clock.expected_steps == 200
    clock.limit_s = None
    assert clock.expected_steps == 1000


def test_cosine_is_that_of_torch():
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 100)
    factor = Schedule("cosine", 0.0).factor
    for step in range(100):
        assert factor(step / 100) == pytest.approx(reference.get_last_lr()[0], abs=1e-5)
        optimiser.step()
        reference.step()


@pytest.mark.parametrize("name", ["one-cycle", "cosine", "plateau"])
def test_the_rate_rises_for_the_warm_up(name):
    factor = Schedule(name, 0.2).factor
    rates = [factor(k / 100) for k in range(21)]
    assert rates[0] == pytest.approx(1 / 25)
    assert rates == sorted(rates)
    assert rates[20] == 1


def test_plateaus_are_those_of_torch():
    scores = [0.1, 0.2, 0.15, 0.2, 0.1, 0.2, 0.19, 0.3, *[0.3] * 13, 0.31, *[0.2] * 5]
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, mode="max", factor=0.3, patience=4, threshold=0
    )
    factor = Schedule("plateau", 0.05).factor
    for count, score in enumerate(scores, 1):
        reference.step(score)
        assert factor(0.5, scores[:count]) == pytest.approx(reference.get_last_lr()[0])
    assert count_plateaus(scores) == 4
