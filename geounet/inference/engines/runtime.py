"""Device and precision, decided by rule. Below this module nothing is "auto"."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Literal

import torch

from geounet.errors import ResourceError, UsageError
from geounet.inference.engines.main_memory import find_available
from geounet.inference.options import Precision

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True)
class Runtime:
    """Where and in which arithmetic a network runs."""

    device: torch.device
    precision: Literal["float32", "bfloat16", "float16"]

    @property
    def dtype(self) -> torch.dtype:
        """The precision as torch knows it."""
        return DTYPES[self.precision]


def resolve_runtime(device: str = "auto", precision: Precision = "auto") -> Runtime:
    """The device that is meant, and the fastest precision that it computes in hardware.

    Raises:
        UsageError: a device that torch does not know, or a precision it cannot use.
        ResourceError: a device that this machine does not have.
    """
    chosen = _resolve_device(device)
    if precision == "auto":
        try:
            return Runtime(chosen, _fastest_precision(chosen))
        except RuntimeError as error:  # another process has it for itself, or its driver is ill
            reason = str(error).splitlines()[0]
            raise ResourceError(f"{chosen} fails: {reason}; use --device cpu") from error
    if precision not in DTYPES:
        raise UsageError(f"precision {precision!r}; choose from {', '.join(DTYPES)}")
    if precision == "float16" and chosen.type == "cpu":
        raise UsageError("float16 on the CPU is slower than float32; use --precision float32")
    return Runtime(chosen, precision)


def free_memory(device: torch.device) -> int:
    """Bytes that a new allocation could take."""
    if device.type == "cuda":
        # torch keeps what it has freed, for its next allocation
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    return find_available()


def held_memory() -> int:
    """Bytes of main memory that this process holds now; its peak where the system says no more."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - a kernel table
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return peak_memory()


def peak_memory() -> int:
    """Bytes of main memory that this process has held at most, 0 where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def peak_device_memory(device: torch.device) -> int | None:
    """Bytes that torch has held on a CUDA device at most; None for other devices."""
    return torch.cuda.max_memory_reserved(device) if device.type == "cuda" else None


def has_bfloat16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16, rather than torch emulating it."""
    if device.type == "cuda":
        # torch's own question is about the current device, and before 2.4 counts emulation
        return bool(torch.version.hip) or torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    # torch reports these since 2.10; on an older one float32 is the safe choice
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))


def _resolve_device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"device {name!r}; choose auto, cpu, cuda, cuda:N or mps") from error
    if device.type == "cuda":
        return _cuda_device(device)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ResourceError("this machine has no MPS device; use --device cpu")
    if device.type not in ("cpu", "mps"):
        raise UsageError(f"device {name!r}; choose auto, cpu, cuda, cuda:N or mps")
    return device


def _cuda_device(device: torch.device) -> torch.device:
    if not torch.cuda.is_available():
        raise ResourceError("torch finds no CUDA device here; use --device cpu")
    count, index = torch.cuda.device_count(), device.index or 0
    if index >= count:
        raise ResourceError(f"there is no cuda:{index}; this machine has {count} CUDA device(s)")
    return torch.device("cuda", index)


def _fastest_precision(device: torch.device) -> Literal["float32", "bfloat16", "float16"]:
    if has_bfloat16(device):
        return "bfloat16"
    has_float16 = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0)
    return "float16" if has_float16 else "float32"
