"""A network that is learning, and what it learns by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD, AdamW, Optimizer

from geounet.inference import Runtime
from geounet.models import ModelSpec
from geounet.training.augment.augmentation import Pixels, augment
from geounet.training.learning.average import WeightAverage
from geounet.training.learning.levels import Levels
from geounet.training.learning.muon import Muon, group_weights
from geounet.training.learning.network_options import SMP
from geounet.training.learning.normalisation import Normaliser
from geounet.training.learning.running_statistics import RunningStatistics
from geounet.training.learning.seeds import Dice
from geounet.training.loss.losses import Loss, make_loss
from geounet.training.options import TrainOptions
from geounet.training.team.shared_layers import share_layers
from geounet.training.team.team import SOLO, Team


@dataclass(frozen=True)
class Learner:
    """All that a step needs.

    Attributes:
        network: in training form, on the device, channels last.
        forward: the same with the scores of all levels; of processes which train together it
            averages the gradients.
        average: of the network's weights; None: none is kept.
        running: statistics of its BatchNorm.
        optimiser: of the network's parameters.
        scaler: of the loss, where float16 gradients would vanish.
        normalise: raw pixels to the device.
        augment: variation of batches.
        loss: of scores, labels and border weights.
        clip: largest norm of a step's gradient; 0: any.
        runtime: where the network is, and the arithmetic of its convolutions.
        team: the processes that train together.
    """

    network: nn.Module
    forward: nn.Module
    average: WeightAverage | None
    running: RunningStatistics
    optimiser: Optimizer
    scaler: GradScaler
    normalise: Normaliser
    augment: Callable[[Pixels, Dice], Pixels]
    loss: Loss
    clip: float
    runtime: Runtime
    team: Team


def make_learner(
    network: nn.Module,
    spec: ModelSpec,
    options: TrainOptions,
    runtime: Runtime,
    team: Team = SOLO,
) -> Learner:
    """A network about to learn, on its device.

    Args:
        network: with fresh weights.
        spec: how to normalise, and how common the classes are.
        options: how.
        runtime: where, and in which arithmetic.
        team: the processes that train together; all with the same weights.
    """
    shares = [spec.training["class_shares"][item.name] for item in spec.classes]
    network = network.to(runtime.device).to(memory_format=torch.channels_last)
    forward = Levels(network) if team.is_alone else _distribute(network, spec, runtime, team)
    return Learner(
        network=network,
        forward=forward,
        average=WeightAverage(network, options.ema) if options.ema else None,
        running=RunningStatistics(network),
        optimiser=make_optimiser(network, options, runtime.device),
        scaler=GradScaler(runtime.device.type, enabled=runtime.precision == "float16"),
        normalise=Normaliser(spec.bands, runtime.device),
        augment=partial(augment, options.augmentation, options.chip),
        loss=make_loss(options.loss_options, shares, runtime.device, team),
        clip=options.clip,
        runtime=runtime,
        team=team,
    )


def _distribute(
    network: nn.Module, spec: ModelSpec, runtime: Runtime, team: Team
) -> DistributedDataParallel:
    """The network with its layers over the chips of all, and its gradients averaged."""
    share_layers(network, team.share, runtime.device)
    return DistributedDataParallel(
        Levels(network),
        device_ids=[runtime.device] if runtime.device.type == "cuda" else None,
        find_unused_parameters=spec.architecture.startswith(SMP),  # some encoders have such
    )


def make_optimiser(network: nn.Module, options: TrainOptions, device: torch.device) -> Optimizer:
    """Muon, AdamW or SGD, whose rate each step sets; biases and norms do not decay."""
    groups, fused = group_weights(network, options.weight_decay), _has_fused(device)
    if options.optimiser == "muon":
        return Muon(groups)
    if options.optimiser == "sgd":
        return SGD(groups, momentum=options.momentum, fused=fused)
    return AdamW(groups, fused=fused)


def _has_fused(device: torch.device) -> bool:
    """Whether torch updates all weights in one kernel there: since 2.4 on the CPU too."""
    is_recent = tuple(int(part) for part in torch.__version__.split(".")[:2]) >= (2, 4)
    return device.type == "cuda" or (device.type == "cpu" and is_recent)
