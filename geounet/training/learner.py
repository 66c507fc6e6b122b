"""A network that is learning, and what it learns by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Generator, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import SGD, AdamW, Optimizer

from geounet.inference import Runtime
from geounet.models import ModelSpec
from geounet.training.augmentation import Pixels, augment
from geounet.training.average import WeightAverage
from geounet.training.losses import Loss, make_loss
from geounet.training.normalisation import Normaliser
from geounet.training.options import TrainOptions


@dataclass(frozen=True)
class Learner:
    """All that a step needs.

    Attributes:
        network: in training form, on the device, channels last.
        average: of the network's weights; None: none is kept.
        optimiser: of the network's parameters.
        scaler: of the loss, where float16 gradients would vanish.
        normalise: raw pixels to the device.
        augment: variation of batches.
        loss: of scores, labels and border weights.
        clip: largest norm of a step's gradient; 0: any.
        runtime: where the network is, and the arithmetic of its convolutions.
    """

    network: nn.Module
    average: WeightAverage | None
    optimiser: Optimizer
    scaler: GradScaler
    normalise: Normaliser
    augment: Callable[[Pixels, Generator], Pixels]
    loss: Loss
    clip: float
    runtime: Runtime


def make_learner(
    network: nn.Module, spec: ModelSpec, options: TrainOptions, runtime: Runtime
) -> Learner:
    """A network about to learn, on its device.

    Args:
        network: with fresh weights.
        spec: how to normalise, and how common the classes are.
        options: how.
        runtime: where, and in which arithmetic.
    """
    shares = [spec.training["class_shares"][item.name] for item in spec.classes]
    network = network.to(runtime.device).to(memory_format=torch.channels_last)
    return Learner(
        network=network,
        average=WeightAverage(network, options.ema) if options.ema else None,
        optimiser=make_optimiser(network, options, runtime.device),
        scaler=GradScaler(runtime.device.type, enabled=runtime.precision == "float16"),
        normalise=Normaliser(spec.bands, runtime.device),
        augment=partial(augment, options.augmentation, options.chip),
        loss=make_loss(options.loss_options, shares, runtime.device),
        clip=options.clip,
        runtime=runtime,
    )


def make_optimiser(network: nn.Module, options: TrainOptions, device: torch.device) -> Optimizer:
    """AdamW or SGD, whose rate each step sets; biases and norms do not decay."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    fused = _has_fused(device)
    if options.optimiser == "sgd":
        return SGD(groups, momentum=options.momentum, fused=fused)
    return AdamW(groups, fused=fused)


def _has_fused(device: torch.device) -> bool:
    """Whether torch updates all weights in one kernel there: since 2.4 on the CPU too."""
    is_recent = tuple(int(part) for part in torch.__version__.split(".")[:2]) >= (2, 4)
    return device.type == "cuda" or (device.type == "cpu" and is_recent)
