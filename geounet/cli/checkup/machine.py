"""Processors, memory, disk, and the file formats that GDAL was built with."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geounet.cli.checkup.trying import Problem, attempt

FLAGS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16",
         "amx_int8", "asimd", "sve", "bf16", "i8mm")  # fmt: skip
"""What of a processor's abilities decides how fast networks are."""

DRIVERS = ("GTiff", "COG", "VRT", "JP2OpenJPEG", "netCDF", "GPKG", "FlatGeobuf", "GeoJSON")

CODECS = ("DEFLATE", "LZW", "ZSTD", "JPEG", "WEBP", "LERC")
"""Compressions of GeoTIFFs."""


@dataclass(frozen=True)
class Device:
    """Something that can run a network.

    Attributes:
        name: the word of `--device`.
        model: what it is.
        memory_bytes: of its own; None: it shares the machine's.
        precision: what `--precision auto` takes on it.
        problem: why it cannot be used; None: it can.
    """

    name: str
    model: str
    memory_bytes: int | None
    precision: str | None
    problem: str | None


def describe_machine(folder: Path) -> dict[str, Any]:
    """The processor, and what is free of memory and of the disk of a folder; sizes in bytes."""
    table = _read_cpuinfo()
    flags = set(table.get("flags", table.get("Features", "")).split())
    free = attempt(_find_free_memory)
    disk = attempt(lambda: shutil.disk_usage(folder).free)
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": table.get("model name") or platform.processor() or "not known",
        "abilities": [flag for flag in FLAGS if flag in flags],
        "cores": os.cpu_count(),
        "usable_cores": _count_usable(),
        "free_memory_bytes": None if isinstance(free, Problem) else free,
        "free_disk_bytes": None if isinstance(disk, Problem) else disk,
    }


def list_devices() -> list[Device]:
    """The processor, and what torch finds beside it."""
    found = attempt(_name_devices)
    if isinstance(found, Problem):
        return [Device("cpu", "torch cannot be used", None, None, found.reason)]
    return [_describe_device(name) for name in found]


def list_drivers() -> dict[str, bool]:
    """Drivers of GDAL and compressions of GeoTIFF that matter here, and whether they are there."""
    found = attempt(_find_drivers)
    known: Mapping[str, str] = {} if isinstance(found, Problem) else found
    drivers = {name: name in known for name in DRIVERS}
    codecs = {name: attempt(lambda name=name: _try_codec(name)) is True for name in CODECS}  # type: ignore[misc]
    return drivers | {f"GTiff {name}": is_there for name, is_there in codecs.items()}


def _name_devices() -> list[str]:
    import torch

    names = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        names.append("mps")
    return [*names, "cpu"]


def _describe_device(name: str) -> Device:
    def ask() -> Device:
        import torch

        from geounet.inference import resolve_runtime

        precision = resolve_runtime(name).precision
        if not name.startswith("cuda"):
            model = "Metal" if name == "mps" else f"{torch.get_num_threads()} threads"
            return Device(name, model, None, precision, None)
        about = torch.cuda.get_device_properties(name)
        model = f"{about.name}, compute capability {about.major}.{about.minor}"
        torch.zeros(1, device=name) + 1  # a driver too old is found only now
        return Device(name, model, about.total_memory, precision, None)

    answer = attempt(ask)
    if isinstance(answer, Problem):
        return Device(name, "", None, None, answer.reason)
    return answer


def _find_free_memory() -> int:
    import torch

    from geounet.inference import free_memory

    return free_memory(torch.device("cpu"))


def _read_cpuinfo() -> dict[str, str]:
    """The kernel's table of the first processor; nothing where there is none."""
    text = attempt(lambda: Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    if isinstance(text, Problem):
        return {}
    pairs = re.findall(r"^([^\t:\n]+)\s*:\s*(.*)$", text.split("\n\n")[0], re.MULTILINE)
    return {name.strip(): value for name, value in pairs}


def _count_usable() -> float:
    """Cores that this process may use: by its affinity and the quota of its cgroup."""
    affinity = attempt(lambda: len(os.sched_getaffinity(0)))
    cores = float(os.cpu_count() or 1) if isinstance(affinity, Problem) else float(affinity)
    quota = attempt(lambda: Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split())
    if not isinstance(quota, Problem) and quota[0] != "max":
        cores = min(cores, int(quota[0]) / int(quota[1]))
    return cores


def _find_drivers() -> dict[str, str]:
    import pyogrio
    import rasterio

    with rasterio.Env() as env:
        return {**pyogrio.list_drivers(), **env.drivers()}


def _try_codec(name: str) -> bool:
    import numpy as np
    from rasterio.io import MemoryFile

    profile = {"driver": "GTiff", "width": 16, "height": 16, "count": 3, "dtype": "uint8"}
    profile["interleave"] = "pixel"  # WEBP takes nothing else
    with MemoryFile() as memory, memory.open(**profile, compress=name) as file:
        file.write(np.zeros((3, 16, 16), np.uint8))
    return True
