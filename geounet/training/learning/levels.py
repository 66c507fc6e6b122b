"""Deep supervision: lower levels of a decoder learn from labels of their own resolution.

Lee et al. (2015), "Deeply-supervised nets", for the levels of a U-Net. The gradients of the lowest
levels, which know what things are, need not come through all the levels above them, so that they
learn sooner. Prediction has no part in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from geounet.training.augment.augmentation import Pixels
from geounet.training.loss.losses import Loss

SIDES_WEIGHT = 0.6
"""What the lower levels' mean loss counts."""


class Levels(nn.Module):
    """A network that tells the scores of all its levels, if it has such.

    Args:
        network: with `score_levels` or without.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, bands, H, W) -> the network's scores (N, K, H', W'), then those of lower levels."""
        score_levels: Callable[[Tensor], list[Tensor]] | None
        score_levels = getattr(self.network, "score_levels", None)
        return [self.network(x)] if score_levels is None else score_levels(x)


def sum_losses(loss: Loss, scores: Sequence[Tensor], pixels: Pixels) -> Tensor:
    """The loss of the first scores, and of the others, as far as there are any.

    Args:
        loss: of one level.
        scores: (N, K, H, W) of the labels' size, then (N, K, H / f, W / f) for whole numbers f.
        pixels: labels (N, H, W) and border weights. A cell is what the pixel in its middle is.
    """
    first, *sides = scores
    total = loss(first, pixels.labels, *pixels.others)
    for side in sides:
        factor = first.shape[-1] // side.shape[-1]
        middle = (..., slice(factor // 2, None, factor), slice(factor // 2, None, factor))
        others = (plane[middle] for plane in pixels.others)
        total = total + SIDES_WEIGHT / len(sides) * loss(side, pixels.labels[middle], *others)
    return total
