"""CUDA kernels that give the same bits each time: what `--seed` promises on one device."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.backends import cudnn
from torch.utils import deterministic

WORKSPACE = ":4096:8"
"""For cuBLAS: 8 buffers of 4 MiB, of the two settings with which it is deterministic the faster."""


@contextmanager
def same_bits(device: torch.device) -> Iterator[None]:
    """Choose such kernels on a CUDA device, as far as torch has them; the CPU's are such anyway.

    Convolutions are taken by rule and not by a race, and only such as add up in a fixed order. Of
    what a step is made of torch has no such kernel for cumulative sums: with lovasz the last bits
    may differ. It also suspects losses without reduction and max-pooling, which sum up nothing out
    of order here; so it is to use what it has, in silence.
    """
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", WORKSPACE)  # read at cuBLAS's first use
    before = (
        *(torch.get_deterministic_debug_mode(), deterministic.fill_uninitialized_memory),  # type: ignore[attr-defined]
        *(cudnn.deterministic, cudnn.benchmark),
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*deterministic", UserWarning)
        try:
            _choose(torch_mode="warn", fill=False, fixed=True, race=False)
            yield
        finally:
            _choose(*before)


def _choose(torch_mode: str | int, fill: bool, fixed: bool, race: bool) -> None:
    """Set what torch and cuDNN know of it.

    Args:
        torch_mode: what to do where there is only a kernel that is not deterministic.
        fill: with a value whatever memory is allocated; costs time, and nothing here reads it.
        fixed: cuDNN adds up in a fixed order.
        race: cuDNN tries which kernel is the fastest.
    """
    torch.set_deterministic_debug_mode(torch_mode)
    deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
    cudnn.deterministic, cudnn.benchmark = fixed, race
