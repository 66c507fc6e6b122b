"""One step of training."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from geounet.training.augmentation import Pixels
from geounet.training.chips import Batch
from geounet.training.learner import Learner

CLIP = 1.0
"""Largest norm of a step's gradient."""


def take_step(learner: Learner, batch: Batch, lr: float, generator: Generator) -> Tensor:
    """Forward, backward, optimise; the loss, still on the device."""
    for group in learner.optimiser.param_groups:
        group["lr"] = lr
    learner.optimiser.zero_grad(set_to_none=True)
    loss = compute_loss(learner, batch, generator)
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(learner.network.parameters(), CLIP)
    learner.optimiser.step()
    return loss.detach()


def compute_loss(learner: Learner, batch: Batch, generator: Generator) -> Tensor:
    """The loss of a batch after augmentation."""
    device, dtype = learner.runtime.device, learner.runtime.dtype
    image = learner.normalise(batch.image, batch.valid)  # (N, B, h, w)
    valid, labels = (
        torch.from_numpy(x).to(device, non_blocking=True) for x in (batch.valid, batch.labels)
    )  # (N, h, w), (N, H, W)
    pixels = learner.augment(Pixels(image, valid, labels), generator)
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        scores = learner.network(pixels.image)  # (N, K, H' >= H, W' >= W)
    return learner.loss(crop_centre(scores, pixels.labels.shape[-1]), pixels.labels)


def crop_centre(scores: Tensor, side: int) -> Tensor:
    """The central side x side pixels: unpadded networks may give a few more than the chip."""
    spare = (scores.shape[-1] - side) // 2
    return scores[..., spare : spare + side, spare : spare + side]
