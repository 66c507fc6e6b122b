"""One voice for several processes: what went wrong is told once, whoever finds it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch.distributed as dist

from geounet.errors import GeounetError, Interrupted, ResourceError
from geounet.training.team.share import Share

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

HEAD_START_S = 0.5
"""The first process goes first with what all have found."""

KEY = "voice"


class Echo(GeounetError):
    """Another process tells what went wrong, and this one ends with it."""

    is_told = True

    def __init__(self, rank: int, exit_code: int) -> None:
        super().__init__(f"process {rank} has failed and told why; this one ends with it")
        self.exit_code = exit_code


@contextmanager
def one_voice(store: Store, share: Share) -> Iterator[None]:
    """Whatever is raised in the block leaves it in one process; in the others it is an `Echo`.

    A process that ends takes its connections along; what the others wait for then fails, and they
    get here too. If it could say nothing, one of them says so.

    Args:
        store: that all processes see.
        share: of this one.
    """
    try:
        yield
    except BaseException as error:
        reason = word_loss(share.size) if is_loss(error) else error
        if share.rank:
            time.sleep(HEAD_START_S)
        rank, exit_code = _claim(store, share.rank, _find_exit_code(reason))
        if rank != share.rank:
            raise Echo(rank, exit_code) from error
        if reason is error:
            raise
        raise reason from error


def is_loss(error: BaseException) -> bool:
    """Whether an error says that another process cannot be reached any more."""
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and "gloo" in str(error)
    )


def word_loss(size: int) -> ResourceError:
    """What to say of a process that ended without a word."""
    return ResourceError(
        f"one of the {size} processes that train together is gone, so all end; look above for what "
        "became of it; the same command with --resume goes on from the last epoch that was saved"
    )


def _claim(store: Store, rank: int, exit_code: int) -> tuple[int, int]:
    """Rank and exit code of the process that tells: of the first to ask."""
    try:
        told = store.compare_set(KEY, "", f"{rank} {exit_code}")
    except RuntimeError:  # nobody is left to ask
        return rank, exit_code
    first, code = map(int, told.split())
    return first, code


def _find_exit_code(error: BaseException) -> int:
    if isinstance(error, KeyboardInterrupt):
        return Interrupted.exit_code
    return error.exit_code if isinstance(error, GeounetError) else 1
