"""One measurement: a contender in a process of its own, timed and weighed by itself."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("geounet", "torch", "openvino", "monai", "rasterio")
FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")


@dataclass(frozen=True)
class Task:
    """What a contender is to do.

    Attributes:
        contender: key of `contenders.CONTENDERS`.
        model: geounet model file, trained padded.
        scene: GeoTIFF.
        output: mask to write.
        options: of geounet's predict, beside the engine.
    """

    contender: str
    model: str
    scene: str
    output: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Measurement:
    """What it took.

    Attributes:
        contender: who.
        seconds: of the call from scene to mask; imports and loading the model do not count.
        pixels: of the scene.
        peak_bytes: largest resident memory of the process.
        idle_bytes: the same when the clock started: libraries and model.
        details: what the contender says.
    """

    contender: str
    seconds: float
    pixels: int
    peak_bytes: int
    idle_bytes: int
    details: dict[str, Any]

    @property
    def speed(self) -> float:
        """Mpx/s."""
        return self.pixels / self.seconds / 1e6


class MeasurementError(RuntimeError):
    """A contender failed; the last line of what it said."""


def measure_apart(task: Task) -> Measurement:
    """Run a contender in a new process, which inherits this one's environment and cores.

    Raises:
        MeasurementError: it failed.
    """
    script = Path(__file__).with_name("contenders.py")
    command = [sys.executable, str(script), json.dumps(asdict(task))]
    # all threads on one heap, as the command line of geounet has it; for all contenders
    environment = os.environ | {"GLIBC_TUNABLES": "glibc.malloc.arena_max=1"}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if result.returncode:
        said = result.stderr.strip().splitlines() or [f"exit {result.returncode}"]
        raise MeasurementError(f"{task.contender}: {said[-1]}")
    return Measurement(**json.loads(result.stdout.splitlines()[-1]))


def peak_bytes() -> int:
    """Largest resident memory of this process so far.

    Linux counts it per program; ru_maxrss may begin with that of the process that started it.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        line = next(x for x in status.splitlines() if x.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def use_cores(count: int) -> None:
    """Keep this process and those it starts on so many cores."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def describe_machine() -> dict[str, str]:
    """Processor, its cores and instructions, memory, packages."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    flags = set(_find(text, "flags").split())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": _find(text, "model name") or platform.processor(),
        "cores": str(cores),
        "instructions": " ".join(f for f in FEATURES if f in flags),
        "without": " ".join(f for f in FEATURES if f not in flags),
        "memory": f"{memory / 2**30:.0f} GiB",
        "python": platform.python_version(),
        **dict(_versions(PACKAGES)),
    }


def _find(text: str, key: str) -> str:
    """The first value of a key in /proc/cpuinfo."""
    lines = (line.partition(":") for line in text.splitlines())
    return next((value.strip() for name, _, value in lines if name.strip() == key), "")


def _versions(packages: Iterable[str]) -> Iterable[tuple[str, str]]:
    for name in packages:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue
