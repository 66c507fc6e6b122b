"""Random numbers that depend on nothing but the seed, the epoch and the step.

So nothing has to be remembered of them: a run that goes on draws what it would have drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Generator


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Torch's global random numbers begin at the seed here, and go on as before afterwards."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def seed_step(seed: int, epoch: int, step: int) -> Generator:
    """The generator of a step's augmentation; the network's own random numbers begin anew too."""
    first, second = np.random.SeedSequence([seed, epoch, step]).generate_state(2).tolist()
    torch.manual_seed(second)
    return Generator().manual_seed(first)
