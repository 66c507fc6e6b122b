"""How much a pixel of each class counts, so that rare classes are not drowned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geounet.training.loss.loss_options import ClassWeights

PROTOTYPES = 0.1
"""Of pixels, about so many differ from each other: neighbours look alike."""


def weigh_classes(shares: Sequence[float], method: ClassWeights) -> NDArray[np.float64]:
    """Weights (K,) of the classes, their mean over the labelled pixels 1.

    none: all 1. inverse: proportional to 1 / share. effective: to 1 / E, where
    E = (1 - b^n) / (1 - b) is the effective number of n samples of which N = 1 / (1 - b) differ
    (Cui et al. 2019), here E = N (1 - exp(-n / N)) with a tenth of all labelled pixels for N.
    So classes above a fifth of the pixels count nearly alike, rare ones as by inverse.

    Args:
        shares: of each class in the labelled pixels; their sum is 1. Classes without pixels get
            the weight of the rarest that has some.
        method: one of the three.
    """
    share = np.asarray(shares, np.float64)
    if method == "none":
        return np.ones_like(share)
    seen = np.where(share > 0, share, share[share > 0].min())
    number = seen if method == "inverse" else -np.expm1(-seen / PROTOTYPES)
    weights: NDArray[np.float64] = 1 / number
    return weights / (share @ weights)
