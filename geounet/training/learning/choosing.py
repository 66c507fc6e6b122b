"""What is left to be chosen: `--batch auto` from the memory, `--lr auto` by a range test."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from copy import deepcopy
from dataclasses import replace
from itertools import islice, pairwise

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from geounet.errors import InputError
from geounet.inference import Runtime, free_memory
from geounet.progress import Progress, ProgressCallback
from geounet.training.data.chips import Batch, ChipStream
from geounet.training.learning.seeds import seed_step
from geounet.training.learning.step import take_step
from geounet.training.options import TrainOptions
from geounet.training.run import Chosen, Run, start_run
from geounet.training.task import Task, plan_chips
from geounet.training.team.share import WHOLE, Share
from geounet.training.team.team import Team

MOST_CHIPS = {"cpu": 8}
"""More chips make no step of a CPU's any better, only rarer."""

MOST_CHIPS_ELSEWHERE = 32

WORKSPACE = 2.0
"""Memory of a step as a multiple of what is kept for the backward pass: gradients, workspaces."""

MEMORY_SHARE = 0.5
"""Of what is free."""

TEST_STEPS = 40

TEST_RATES = (1e-5, 1.0)

SMOOTHING = 0.7
"""Decay of the moving average of the test's losses."""

DIVERGED = 1.5
"""The test ends when the average is so many times its lowest."""


def choose(
    network: nn.Module,
    task: Task,
    options: TrainOptions,
    runtime: Runtime,
    progress: ProgressCallback,
    team: Team,
) -> Chosen:
    """What the options leave open, the same for all of a team; the network is left as it is."""
    bands = len(task.inputs.band_names)
    batch = options.batch
    if batch is None:  # as many chips on each, as fit the one with the least memory
        fitting = team.from_all(choose_batch(network, bands, options.chip, runtime, team.place))
        batch = team.share.size * min(fitting)
    if options.lr is not None:
        return Chosen(batch, options.lr)
    trial = start_run(deepcopy(network), task, options, Chosen(batch, 0.0), runtime, team)
    return Chosen(batch, find_lr(trial, progress))


def choose_batch(
    network: nn.Module, bands: int, chip: int, runtime: Runtime, place: Share = WHOLE
) -> int:
    """The largest power of two of chips that memory has room for, at most 8 on the CPU, else 32.

    Args:
        network: is left as it is.
        bands: of the chips.
        chip: side in pixels.
        runtime: where, and in which arithmetic.
        place: of this process among those that share the main memory.
    """
    room = MEMORY_SHARE * free_memory(runtime.device)
    if runtime.device.type == "cpu":
        room /= place.size
    chip_bytes = WORKSPACE * measure_chip(network, (bands, chip), runtime)
    most = MOST_CHIPS.get(runtime.device.type, MOST_CHIPS_ELSEWHERE)
    fitting = max(1, int(room / max(chip_bytes, 1)))
    return int(min(most, 2 ** int(math.log2(fitting))))


def measure_chip(network: nn.Module, shape: tuple[int, int], runtime: Runtime) -> float:
    """Bytes that the network keeps of a chip for the backward pass.

    Args:
        network: is left as it is.
        shape: bands and side of the chip.
        runtime: where, and in which arithmetic.
    """
    bands, side = shape
    trial = deepcopy(network).to(runtime.device).to(memory_format=torch.channels_last).train()
    weights = {p.untyped_storage().data_ptr() for p in trial.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    chips = torch.zeros(2, bands, side, side, device=runtime.device)  # one is too few to normalise
    is_half = runtime.dtype != torch.float32
    with (
        saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast(runtime.device.type, runtime.dtype, enabled=is_half),
    ):
        scores = trial(chips.contiguous(memory_format=torch.channels_last))
    return float(sum(kept.values()) + scores.nbytes) / 2


def find_lr(trial: Run, progress: ProgressCallback) -> float:
    """The highest learning rate to train with, by a range test (Smith 2015) of `TEST_STEPS` steps.

    On other chips than those of the run; the same seed gives the same rate.

    Args:
        trial: a run before its first step, which it is not to take any more.
        progress: called at each step.
    """
    inputs, options = trial.task.inputs, trial.options
    plan = replace(plan_chips(trial.task, options), seed=options.seed + 1)
    share = trial.learner.team.share
    stream = ChipStream(
        inputs.sources, inputs.reading, plan, trial.chosen.batch, options.workers, share
    )
    with closing(stream.batches(1, TEST_STEPS)) as batches:
        return choose_lr(list(_test_rates(trial, batches, progress)))


def choose_lr(curve: Sequence[tuple[float, float]]) -> float:
    """The rate between where the loss falls fastest and a tenth of where it is lowest.

    The geometric mean of the two, with two digits.

    Args:
        curve: learning rates, rising evenly in their logarithm, with smoothed losses.
    """
    rates, losses = zip(*curve, strict=True)
    lowest = losses.index(min(losses))
    falls = [after - before for before, after in pairwise(losses[: lowest + 1])]
    steepest = falls.index(min(falls)) if falls else 0
    return float(f"{math.sqrt(rates[steepest] * rates[lowest] / 10):.1e}")


def _test_rates(
    trial: Run, batches: Iterable[Batch], progress: ProgressCallback
) -> Iterator[tuple[float, float]]:
    """Rates and smoothed losses, until these have risen.

    Raises:
        InputError: the first is no number.
    """
    low, high = TEST_RATES
    average, lowest, team = 0.0, math.inf, trial.learner.team
    trial.learner.network.train()
    for step, batch in enumerate(islice(batches, TEST_STEPS)):
        rate = low * (high / low) ** (step / (TEST_STEPS - 1))
        dice = seed_step(trial.options.seed, 0, step, team.share)
        loss = team.from_all(float(take_step(trial.learner, [batch], rate, dice)))[0]
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        smooth = average / (1 - SMOOTHING ** (step + 1))
        if not (step or math.isfinite(loss)):
            raise InputError(
                f"--lr auto: the loss of the first chips is {loss}; look for extreme values in the "
                "image"
            )
        if not math.isfinite(smooth) or smooth > DIVERGED * lowest:
            break
        lowest = min(lowest, smooth)
        yield rate, smooth
        progress(Progress("learning rate", step + 1, TEST_STEPS, "steps", {"loss": smooth}))
    progress(Progress("learning rate", TEST_STEPS, TEST_STEPS, "steps"))
