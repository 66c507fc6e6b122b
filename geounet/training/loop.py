"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.optim import AdamW, Optimizer

from geounet.errors import InputError
from geounet.inference import Runtime
from geounet.models import ModelSpec
from geounet.training.augmentation import AUGMENTATIONS, Augmentation
from geounet.training.chips import Batch
from geounet.training.losses import segmentation_loss
from geounet.training.normalisation import Normaliser
from geounet.training.options import TrainOptions
from geounet.training.schedule import Clock, one_cycle

CLIP = 1.0
"""Largest norm of a step's gradient."""

REPORT_EVERY = 4
"""Steps between looks at the loss: each waits for the device."""


@dataclass(frozen=True)
class Learner:
    """All that a step needs.

    Attributes:
        network: in training form, on the device, channels last.
        optimiser: of its parameters.
        normalise: raw pixels to the device.
        augment: variation of batches.
        lr: highest learning rate.
        runtime: where the network is, and the arithmetic of its convolutions.
    """

    network: nn.Module
    optimiser: Optimizer
    normalise: Normaliser
    augment: Augmentation
    lr: float
    runtime: Runtime


@dataclass(frozen=True)
class EpochResult:
    """What an epoch did.

    Attributes:
        loss: mean over its steps.
        steps: taken.
        elapsed_s: seconds in all.
        waiting_s: seconds of these that the loop waited for chips.
    """

    loss: float
    steps: int
    elapsed_s: float
    waiting_s: float


def make_learner(
    network: nn.Module, spec: ModelSpec, options: TrainOptions, runtime: Runtime
) -> Learner:
    """A network about to learn, on its device. AdamW; biases and norms do not decay."""
    network = network.to(runtime.device).to(memory_format=torch.channels_last)
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return Learner(
        network=network,
        optimiser=AdamW(groups, lr=options.lr),
        normalise=Normaliser(spec.bands, runtime.device),
        augment=AUGMENTATIONS[options.augment],
        lr=options.lr,
        runtime=runtime,
    )


def train_epoch(
    learner: Learner,
    batches: Iterable[Batch],
    clock: Clock,
    generator: Generator,
    report: Callable[[Mapping[str, float]], None],
) -> EpochResult:
    """One step per batch, until the batches or the clock run out.

    Raises:
        InputError: the loss is no longer a number.
    """
    started, waiting = time.perf_counter(), Waiting(batches)
    learner.network.train()
    losses = []
    for batch in waiting:
        lr = learner.lr * one_cycle(clock.position)
        losses.append(take_step(learner, batch, lr, generator))
        clock.steps += 1
        if len(losses) % REPORT_EVERY == 1:
            report({"loss": _check_loss(losses[-1], clock.steps), "lr": lr})
        if clock.position >= 1:
            break
    loss = _check_loss(torch.stack(losses).mean(), clock.steps)
    return EpochResult(loss, len(losses), time.perf_counter() - started, waiting.elapsed_s)


def take_step(learner: Learner, batch: Batch, lr: float, generator: Generator) -> Tensor:
    """Forward, backward, optimise; the loss, still on the device."""
    device, dtype = learner.runtime.device, learner.runtime.dtype
    image = learner.normalise(batch.image, batch.valid)  # (N, B, h, w)
    valid, labels = (
        torch.from_numpy(x).to(device, non_blocking=True) for x in (batch.valid, batch.labels)
    )  # (N, h, w), (N, H, W)
    image, labels = learner.augment(image, valid, labels, generator)
    with torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
        scores = learner.network(image)  # (N, K, H' >= H, W' >= W)
    loss = segmentation_loss(crop_centre(scores, labels.shape[-1]), labels)
    for group in learner.optimiser.param_groups:
        group["lr"] = lr
    learner.optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(learner.network.parameters(), CLIP)
    learner.optimiser.step()
    return loss.detach()


def crop_centre(scores: Tensor, side: int) -> Tensor:
    """The central side x side pixels: unpadded networks may give a few more than the chip."""
    spare = (scores.shape[-1] - side) // 2
    return scores[..., spare : spare + side, spare : spare + side]


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
