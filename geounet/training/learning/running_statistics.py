"""The means and variances that BatchNorm keeps for prediction."""

from __future__ import annotations

from torch import nn

SLOWEST = 0.1
"""Smallest share of their momentum with which statistics follow: 100 steps at torch's 0.1."""


class RunningStatistics:
    """Running statistics that average over more steps when the weights move less.

    The ten steps of torch's momentum are few chips, most of all augmented ones: validation
    differs by a hundredth between epochs that leave the weights as they are. Wu & Johnson (2021),
    "Rethinking 'Batch' in BatchNorm", section 3, compute them again after training; while the
    learning rate falls to nothing that can be had without another pass.

    Args:
        network: in training form; its layers have the momentum that they begin with.
    """

    def __init__(self, network: nn.Module) -> None:
        norms = (module for module in network.modules() if isinstance(module, nn.BatchNorm2d))
        self._momenta = {norm: norm.momentum for norm in norms if norm.momentum is not None}

    def follow(self, pace: float) -> None:
        """Follow the weights as fast as these move: 1 is as fast as at their fastest."""
        for norm, momentum in self._momenta.items():
            norm.momentum = momentum * max(pace, SLOWEST)
