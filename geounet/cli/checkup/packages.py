"""The packages that geounet names in its own metadata: versions, and whether they can be used."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

from geounet.cli.checkup.trying import Problem, attempt

NOT_EXTRAS = ("dev", "all")
"""Extras that are not for a feature."""


@dataclass(frozen=True)
class Package:
    """A package that geounet uses.

    Attributes:
        name: as it is installed.
        extra: of geounet that brings it; None: geounet always needs it.
        version: None if it is not installed.
        problem: why it cannot be used; None: it can.
    """

    name: str
    extra: str | None
    version: str | None
    problem: str | None


def list_packages() -> list[Package]:
    """All but those for developers; each is imported."""
    return [_look_at(*requirement) for requirement in _list_requirements()]


def list_libraries() -> dict[str, str]:
    """Versions of what the packages bring: GDAL, PROJ, GEOS, CUDA, cuDNN; or the problem."""
    answers = {name: attempt(ask) for name, ask in _LIBRARIES.items()}
    return {
        name: answer.reason if isinstance(answer, Problem) else answer
        for name, answer in answers.items()
    }


def _list_requirements() -> Iterator[tuple[str, str, str | None]]:
    """Name, lowest version ("" if any) and extra."""
    listed = attempt(lambda: importlib.metadata.requires("geounet"))
    for text in [] if isinstance(listed, Problem) else listed or []:
        match = re.match(r"([\w.-]+)\s*(?:\[.*?\])?\s*([^;]*)(?:;(.*))?$", text)
        if match is None or match[1].lower() == "geounet":
            continue
        lowest = re.search(r">=\s*([\w.]+)", match[2])
        extra = re.search(r"extra\s*==\s*['\"](\w+)['\"]", match[3] or "")
        if extra is None or extra[1] not in NOT_EXTRAS:
            yield match[1], lowest[1] if lowest else "", extra[1] if extra else None


def _look_at(name: str, lowest: str, extra: str | None) -> Package:
    version = attempt(lambda: _find_version(name))
    if isinstance(version, Problem):
        return Package(name, extra, None, f"not installed; {_advise(extra)}")
    if _numbers(version) < _numbers(lowest):
        return Package(name, extra, version, f"older than {lowest}; {_advise(extra)}")
    module = attempt(lambda: importlib.import_module(name.replace("-", "_")))
    problem = f"cannot be imported: {module.reason}" if isinstance(module, Problem) else None
    return Package(name, extra, version, problem)


def _find_version(name: str) -> str:
    """The distribution's, or of one by another name (onnxruntime-gpu) what the module says."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return str(importlib.import_module(name.replace("-", "_")).__version__)


def _advise(extra: str | None) -> str:
    return f"pip install -U 'geounet{f'[{extra}]' if extra else ''}'"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0])[:3])


def _import(name: str) -> ModuleType:
    return importlib.import_module(name)


_LIBRARIES = {
    "Python": platform.python_version,
    "GDAL": lambda: str(_import("rasterio").__gdal_version__),
    "PROJ": lambda: str(_import("rasterio").__proj_version__),
    "GDAL of pyogrio": lambda: str(_import("pyogrio").__gdal_version_string__),
    "PROJ of pyproj": lambda: str(_import("pyproj").proj_version_str),
    "GEOS": lambda: str(_import("shapely").geos_version_string),
    "CUDA of torch": lambda: str(_import("torch").version.cuda or "none"),
    "cuDNN": lambda: str(_import("torch").backends.cudnn.version() or "none"),
}
"""How each library says its version."""
