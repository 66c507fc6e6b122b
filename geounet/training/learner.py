"""A network that is learning, and what it learns by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Generator, Tensor, nn
from torch.optim import AdamW, Optimizer

from geounet.inference import Runtime
from geounet.models import ModelSpec
from geounet.training.augmentation import Pixels, augment
from geounet.training.losses import segmentation_loss
from geounet.training.normalisation import Normaliser
from geounet.training.options import TrainOptions


@dataclass(frozen=True)
class Learner:
    """All that a step needs.

    Attributes:
        network: in training form, on the device, channels last.
        optimiser: of its parameters.
        normalise: raw pixels to the device.
        augment: variation of batches.
        loss: of scores (N, K, H, W) and labels (N, H, W).
        lr: highest learning rate.
        runtime: where the network is, and the arithmetic of its convolutions.
    """

    network: nn.Module
    optimiser: Optimizer
    normalise: Normaliser
    augment: Callable[[Pixels, Generator], Pixels]
    loss: Callable[[Tensor, Tensor], Tensor]
    lr: float
    runtime: Runtime


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
        augment=partial(augment, options.augmentation, options.chip),
        loss=segmentation_loss,
        lr=options.lr,
        runtime=runtime,
    )
