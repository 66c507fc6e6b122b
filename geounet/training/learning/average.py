"""The moving average of a network's weights over the steps of its training."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn


class WeightAverage:
    """A second network, whose weights follow those of the first: a <- d a + (1 - d) w.

    At a constant learning rate weights wander about a place that is better than any that they come
    to (Polyak & Juditsky 1992). d rises as (1 + n) / (10 + n) over the steps n, so that the average
    is over the last ninth of them, however many, until d is the decay. Running statistics are
    averaged too; counters are copied.

    Attributes:
        network: the averaged one.
        decay: largest d.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = deepcopy(network).requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take account of the weights after a step, counted from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        pairs = list(zip(_tensors(self.network), _tensors(network), strict=True))
        floats = [(mine, other) for mine, other in pairs if mine.is_floating_point()]
        torch._foreach_lerp_([a for a, _ in floats], [b for _, b in floats], 1 - decay)
        for mine, other in pairs:
            if not mine.is_floating_point():
                mine.copy_(other)


def _tensors(network: nn.Module) -> list[Tensor]:
    return list(network.state_dict().values())
