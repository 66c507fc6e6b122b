"""Losses over scores and labels; ignored pixels have no part in them."""

from __future__ import annotations

import torch
from torch import Tensor

SMOOTH = 1.0
"""Pixels added to both sides of the Dice fraction: a class absent from a batch costs little."""


def segmentation_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy plus Dice.

    Args:
        scores: (N, K, H, W) before softmax, any float dtype.
        labels: uint8 (N, H, W) channel indices; 255 is ignored: its gradient is exactly zero.

    Returns:
        A float32 number; 0, with zero gradient, if all is ignored.
    """
    # float32: sums over a batch's pixels have too few digits in bfloat16
    log_probability = scores.float().log_softmax(dim=1)
    truth = one_hot(labels, scores.shape[1])
    return cross_entropy(log_probability, truth) + dice_loss(log_probability.exp(), truth)


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Whether a pixel is of the class, bool (N, K, H, W); ignored pixels are of none."""
    channels = torch.arange(classes, dtype=labels.dtype, device=labels.device)
    return labels[:, None] == channels[:, None, None]


def cross_entropy(log_probability: Tensor, truth: Tensor) -> Tensor:
    """Mean of -log p(true class) over labelled pixels; both arguments (N, K, H, W)."""
    return -(log_probability * truth).sum() / truth.sum().clamp(min=1)


def dice_loss(probability: Tensor, truth: Tensor) -> Tensor:
    """One minus the mean over classes of 2 |P T| / (|P| + |T|), over the batch's labelled pixels.

    Over the whole batch, not chip by chip: a chip without a class says little about its Dice.
    Both arguments (N, K, H, W).
    """
    labelled = truth.any(dim=1, keepdim=True)
    overlap = (probability * truth).sum(dim=(0, 2, 3))  # (K,)
    total = (probability * labelled).sum(dim=(0, 2, 3)) + truth.sum(dim=(0, 2, 3))
    return 1 - ((2 * overlap + SMOOTH) / (total + SMOOTH)).mean()
