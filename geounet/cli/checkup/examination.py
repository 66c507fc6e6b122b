"""All that `geounet doctor` finds out, ready for JSON."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from geounet import __version__
from geounet.cli.checkup.machine import describe_machine, list_devices, list_drivers
from geounet.cli.checkup.packages import Package, list_libraries, list_packages
from geounet.cli.checkup.speed import (
    EngineReport,
    check_engines,
    explain_choice,
    foresee_scene,
    time_disk,
)
from geounet.cli.checkup.trying import Problem


def examine(*, is_timed: bool) -> dict[str, Any]:
    """The facts; of what cannot be found out, why. Timing takes about ten seconds."""
    packages, engines = list_packages(), check_engines(is_timed=is_timed)
    disk = time_disk() if is_timed else Problem("not timed")
    reason = _find_reason(packages, engines)
    return {
        "geounet": __version__,
        "libraries": list_libraries(),
        "packages": [asdict(package) for package in packages],
        "machine": describe_machine(Path.cwd()),
        "devices": [asdict(device) for device in list_devices()],
        "engines": [asdict(engine) for engine in engines],
        "engine_reason": explain_choice(engines),
        "formats": list_drivers(),
        "disk": None if isinstance(disk, Problem) else asdict(disk),
        "scene_s": foresee_scene(engines, disk),
        "can_predict": reason is None,
        "reason": reason,
    }


def _find_reason(packages: list[Package], engines: list[EngineReport]) -> str | None:
    """Why predict cannot run here; None: it can."""
    broken = [x for x in packages if x.extra is None and x.problem is not None]
    has_engine = any(engine.is_chosen and engine.problem is None for engine in engines)
    if has_engine and "rasterio" not in [package.name for package in broken]:
        return None
    reasons = [f"{package.name}: {package.problem}" for package in broken]
    reasons += [f"{x.name}: {x.problem}" for x in engines if x.problem is not None]
    return "; ".join(reasons[:2])
