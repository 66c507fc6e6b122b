"""Random numbers that depend on nothing but the seed, the epoch, the step and the chip.

So nothing has to be remembered of them: a run that goes on draws what it would have drawn, with as
many processes as it then has.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from geounet.training.learning.determinism import same_bits
from geounet.training.team.share import WHOLE, Share


@dataclass(frozen=True)
class Dice:
    """Random numbers of chips; those of a chip are the same, whichever process has it.

    All processes draw those of the whole batch, and keep what belongs to their own chips: so the
    next numbers are the same, too. They are drawn on the CPU, whatever the device, but for noise.

    Attributes:
        generator: of the CPU; its state decides all.
        share: of the batch's chips that this process has.
    """

    generator: Generator
    share: Share = WHOLE

    def choose(self, most: int, count: int) -> Tensor:
        """int64 (count,) from 0 to below `most`."""
        drawn = torch.randint(most, (self.share.size * count,), generator=self.generator)
        return drawn[self.share.every]

    def uniform(self, count: int, *shape: int) -> Tensor:
        """float32 (count, *shape) from 0 to below 1."""
        drawn = torch.rand(self.share.size * count, *shape, generator=self.generator)
        return drawn[self.share.every]

    def normal(self, count: int, *shape: int) -> Tensor:
        """float32 (count, *shape) with mean 0 and standard deviation 1."""
        drawn = torch.randn(self.share.size * count, *shape, generator=self.generator)
        return drawn[self.share.every]

    def noise(self, image: Tensor) -> Tensor:
        """`normal` for each value of (N, B, H, W), drawn where these are: they are many."""
        seed = int(torch.randint(2**62, (), generator=self.generator))
        local = Generator(image.device).manual_seed(seed)
        count, *shape = image.shape
        shape = [self.share.size * count, *shape]
        return torch.randn(shape, generator=local, device=image.device)[self.share.every]


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """What is done here depends on nothing but the seed; afterwards all is as before.

    Torch's global random numbers begin at the seed, and kernels give the same bits each time.
    """
    with (
        torch.random.fork_rng([device] if device.type == "cuda" else []),
        same_bits(device),
    ):
        torch.manual_seed(seed)
        yield


def seed_step(seed: int, epoch: int, step: int, share: Share = WHOLE) -> Dice:
    """The dice of a step's augmentation; the network's own random numbers begin anew too."""
    first, second = np.random.SeedSequence([seed, epoch, step]).generate_state(2).tolist()
    torch.manual_seed(second)
    return Dice(Generator().manual_seed(first), share)
