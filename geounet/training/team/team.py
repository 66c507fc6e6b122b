"""The processes that train together, as torchrun starts them: one per GPU, or some on the CPU.

All do the same at the same time, each with its share of the chips of a batch and of the held-out
blocks. What depends on the moment, on the machine or on files of the run - clocks, signals, free
memory, states - is found by one and told to all, so that all decide alike. Only the first writes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from geounet.errors import UsageError
from geounet.training.team.echo import one_voice
from geounet.training.team.share import WHOLE, Share

T = TypeVar("T")

PATIENCE = timedelta(days=30)
"""How long the others wait for what one does alone: reading all inputs, writing the report.

One that ends takes its connections along, and is not waited for.
"""

_TEAMS = count()


class Team:
    """This process and those that it trains together with, if there are any.

    Attributes:
        share: of what they do.
        place: among the processes of this machine.
        started: moment when they began, of `time`.
    """

    def __init__(
        self,
        share: Share = WHOLE,
        place: Share = WHOLE,
        started: float = 0.0,
        group: dist.ProcessGroup | None = None,
    ) -> None:
        self.share, self.place = share, place
        self.started = self._met = started
        self._group = group

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes and reports."""
        return self.share.rank == 0

    @property
    def is_alone(self) -> bool:
        """Whether there are no others."""
        return self.share.size == 1

    def choose_device(self, wanted: str) -> str:
        """The device of this process: of several on a machine each has a GPU, if there are GPUs.

        Raises:
            UsageError: it is one that processes cannot train on together.
        """
        if self.is_alone:
            return wanted
        if wanted == "auto":
            wanted = "cuda" if torch.cuda.is_available() else "cpu"
        if wanted not in ("cpu", "cuda"):
            raise UsageError(
                f"--device {wanted} is for one process; {self.share.size} that train together need "
                "cpu, or cuda: a GPU for each"
            )
        return f"cuda:{self.place.rank}" if wanted == "cuda" else wanted

    def time(self) -> float:
        """Seconds of a clock that is the same for all: that of the first, when they last met."""
        return time.perf_counter() if self.is_alone else self._met

    def meet(self, is_stopping: bool) -> bool:
        """Wait for each other, and read the clock; whether any of them is to stop."""
        if self.is_alone:
            return is_stopping
        wishes = torch.tensor([is_stopping, self.leads * time.perf_counter()], dtype=torch.float64)
        dist.all_reduce(wishes, group=self._group)
        self._met = float(wishes[1])
        return bool(wishes[0])

    def from_first(self, find: Callable[[], T]) -> T:
        """What the first process finds, for all; the others wait for it."""
        if self.is_alone:
            return find()
        found: list[Any] = [find() if self.leads else None]
        dist.broadcast_object_list(found, src=0, group=self._group)
        value: T = found[0]
        return value

    def from_all(self, own: T) -> list[T]:
        """What each process has, in the order of their ranks."""
        if self.is_alone:
            return [own]
        found: list[Any] = [None] * self.share.size
        dist.all_gather_object(found, own, group=self._group)
        return found

    def align(self, network: nn.Module) -> None:
        """Let its layers remember what those of the first process do.

        BatchNorm does anyway, but other packages' kinds of it see a process's own chips only.
        """
        if not self.is_alone:
            for buffer in network.buffers():
                dist.broadcast(buffer, src=0)

    def total(self, part: Tensor) -> Tensor:
        """The sum over all processes, with the gradient of each one's part."""
        if self.is_alone:
            return part
        total: Tensor = _Total.apply(part, self.share.size)
        return total

    def gather(self, part: Tensor) -> Tensor:
        """(N, ...) of each process -> (size * N, ...), with the gradient of each one's part."""
        if self.is_alone:
            return part
        whole: Tensor = _Whole.apply(part, self.share)
        return whole


# All compute the same loss of what is summed or gathered here, and the gradients of their weights
# are averaged (DistributedDataParallel). So what each passes back is the gradient of the sum of
# `size` equal losses: their mean is that of one, and nothing has to be exchanged for it.


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor, size: int) -> Tensor:  # noqa: ANN401  torch's own
        ctx.size = size
        total = part.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:  # noqa: ANN401
        return ctx.size * gradients[0], None


class _Whole(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor, share: Share) -> Tensor:  # noqa: ANN401
        ctx.share = share
        parts = [torch.empty_like(part) for _ in range(share.size)]
        dist.all_gather(parts, part.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:  # noqa: ANN401
        share = ctx.share
        return share.size * gradients[0].chunk(share.size)[share.rank], None


SOLO = Team()
"""A process that is alone."""


@contextmanager
def joined_team() -> Iterator[Team]:
    """The team that torchrun has started this process for; without torchrun it is alone.

    What is raised in the block is raised as it is in one of the processes, so that it is told
    once; in the others it is an `Echo`.

    Raises:
        ResourceError: another process is gone.
    """
    started = time.perf_counter()
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Team(started=started)
        return
    from torch.distributed.distributed_c10d import PrefixStore  # not all builds of torch have it
    from torch.distributed.rendezvous import rendezvous

    store, rank, size = next(rendezvous("env://"))
    store, share = PrefixStore(f"geounet/{next(_TEAMS)}", store), Share(rank, size)
    with one_voice(store, share):
        dist.init_process_group(_choose_backend(), store=store, rank=rank, world_size=size)
        group: Any = dist.new_group(backend="gloo", timeout=PATIENCE)
        place = Share(int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"]))
        team = Team(share, place, Team(share, group=group).from_first(lambda: started), group)
        yield team
        team.meet(is_stopping=False)
    dist.destroy_process_group()


def _choose_backend() -> str:
    """Gloo for tensors of the CPU, NCCL for those of GPUs."""
    return "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
