"""One step of training."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from geounet.training.augment.augmentation import Pixels
from geounet.training.data.chips import Batch
from geounet.training.learning.learner import Learner
from geounet.training.learning.levels import sum_losses
from geounet.training.learning.seeds import Dice


def take_step(learner: Learner, batches: Sequence[Batch], lr: float, dice: Dice) -> Tensor:
    """Forward and backward for each batch, then optimise; the mean loss, still on the device.

    Of processes that train together each has its share of every batch; loss and step are one.
    """
    for group in learner.optimiser.param_groups:
        group["lr"] = lr
    learner.optimiser.zero_grad(set_to_none=True)
    losses = []
    for number, batch in enumerate(batches, 1):
        with _exchanging_gradients(learner, wanted=number == len(batches)):
            loss = compute_loss(learner, batch, dice) / len(batches)
            torch.autograd.backward(learner.scaler.scale(loss))
        losses.append(loss.detach())
    if learner.clip:
        learner.scaler.unscale_(learner.optimiser)
        nn.utils.clip_grad_norm_(learner.network.parameters(), learner.clip)
    learner.scaler.step(learner.optimiser)
    learner.scaler.update()
    return torch.stack(losses).sum()


def compute_loss(learner: Learner, batch: Batch, dice: Dice) -> Tensor:
    """The loss of a batch after augmentation."""
    device, dtype = learner.runtime.device, learner.runtime.dtype
    image = learner.normalise(batch.image, batch.valid)  # (N, B, h, w)
    planes = (batch.valid, batch.labels, batch.border)
    valid, labels, *border = (  # (N, h, w), (N, H, W)
        torch.from_numpy(x).to(device, non_blocking=True) for x in planes if x is not None
    )
    pixels = learner.augment(Pixels(image, valid, labels, tuple(border)), dice)
    # not before: band by band all that goes before is twice as fast
    image = pixels.image.contiguous(memory_format=torch.channels_last)
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        scores, *sides = learner.forward(image)  # (N, K, H' >= H, W' >= W), lower levels
    scores = crop_centre(scores, pixels.labels.shape[-1])
    return sum_losses(learner.loss, [scores, *sides], pixels)


def _exchanging_gradients(learner: Learner, *, wanted: bool) -> AbstractContextManager[None]:
    """Whether processes that train together exchange their gradients in the next backward pass."""
    if wanted or not isinstance(learner.forward, DistributedDataParallel):
        return nullcontext()
    skipped: AbstractContextManager[None] = learner.forward.no_sync()
    return skipped


def crop_centre(scores: Tensor, side: int) -> Tensor:
    """The central side x side pixels: unpadded networks may give a few more than the chip."""
    spare = (scores.shape[-1] - side) // 2
    return scores[..., spare : spare + side, spare : spare + side]
