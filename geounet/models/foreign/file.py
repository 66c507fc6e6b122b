"""Networks as files of other tools: `.onnx`, `.pt2` or OpenVINO's `.xml`, with their spec.

Files of `geounet export` carry it inside. That of another maker's `net.onnx` is `net.json` beside
it: that of a geounet model, of which only bands and classes are indispensable. None of these files
can run code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geounet.classes import make_classes
from geounet.errors import ModelError, UsageError
from geounet.models.foreign.inside import read_inside
from geounet.models.spec import FORMAT_VERSION, ModelSpec

SUFFIXES = (".onnx", ".pt2", ".xml")

DEFAULTS: dict[str, Any] = {
    "format_version": FORMAT_VERSION,
    "arguments": {},
    "pixel_size_m": None,
    "margin": None,
    "stride": 32,  # what most encoders need of the sides of their input
    "training": {},
}
"""What a spec beside a file need not say."""

ARGUMENTS = {
    "tile": "side of the tiles",
    "output": '"scores" before softmax, or "probabilities"',
    "normalisation": '"outside" of the file, or "inside": it takes the values of a scene',
}
"""What the arguments of such a spec may say."""

CHOICES = {"output": ("scores", "probabilities"), "normalisation": ("outside", "inside")}


def is_foreign_file(path: Path) -> bool:
    """Whether a model is a file of a format that other tools have, too."""
    return path.suffix.lower() in SUFFIXES


def find_spec_file(path: Path) -> Path:
    """Where the spec of a foreign file is that carries none inside."""
    return path.with_suffix(".json")


def read_foreign_spec(path: Path) -> ModelSpec:
    """The spec inside a foreign file, else the one beside it.

    Raises:
        ModelError: there is no such file or no spec, or the spec cannot be meant.
    """
    if not path.is_file():
        raise ModelError(
            f"{path}: no such file; give a model of `geounet train` or `geounet export`"
        )
    inside = read_inside(path)
    if inside is not None:
        return _parse(inside, path, path)
    beside = find_spec_file(path)
    if not beside.is_file():
        raise ModelError(
            f"{path} has no spec inside or beside it; write {beside.name} with the keys "
            "bands: [{name, dtype, offset, scale}], classes: [{value, name, colour}] and, where "
            "they are known, pixel_size_m, stride, arguments: {tile, output}"
        )
    try:
        text = beside.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ModelError(f"{beside}: {error}") from error
    return _parse(text, path, beside)


def _parse(text: str, path: Path, source: Path) -> ModelSpec:
    try:
        spec = ModelSpec.from_json(json.dumps(_complete(json.loads(text), path)))
    except (ValueError, TypeError, AttributeError, UsageError) as error:
        raise ModelError(f"{source}: {error}") from error
    _check_arguments(source, spec)
    return spec


def check_input(path: Path, sizes: Sequence[int | None]) -> tuple[int | None, int | None]:
    """The bands and the side of a foreign network's input, each None if it is dynamic.

    Args:
        path: the file.
        sizes: of its input, None where dynamic.

    Raises:
        ModelError: it is no batch of square images.
    """
    if len(sizes) != 4 or sizes[0] not in (None, 1) or sizes[2] != sizes[3]:
        found = " x ".join("any" if size is None else str(size) for size in sizes)
        raise ModelError(
            f"{path} takes {found}; a model takes (batch, bands, height, width): export it with a "
            "batch of 1, or a dynamic one, and with equal or dynamic sides"
        )
    return sizes[1], sizes[2]


def digest_foreign(path: Path) -> str:
    """SHA-256 of all that a foreign file consists of: itself, its spec, weights beside it."""
    files = [path]
    if read_inside(path) is None:
        files.append(find_spec_file(path))
    if path.suffix.lower() == ".onnx":
        from geounet.models.foreign.onnx_network import list_external_files

        files += list_external_files(path)
    elif path.suffix.lower() == ".xml":
        files.append(path.with_suffix(".bin"))
    digest = hashlib.sha256()
    for one in files:
        with one.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _complete(content: dict[str, Any], path: Path) -> dict[str, Any]:
    architecture = path.suffix.lower().removeprefix(".")
    if missing := [key for key in ("bands", "classes") if key not in content]:
        raise ModelError(f"it says nothing of {' and '.join(missing)}")
    completed = {**DEFAULTS, "architecture": architecture, **content}
    if completed["architecture"] != architecture:
        raise ModelError(
            f"its architecture is {completed['architecture']!r}, that of the file {architecture}"
        )
    classes = completed["classes"]
    if all(isinstance(item, str) for item in classes):
        named = make_classes(classes)
        completed["classes"] = [
            {"value": item.value, "name": item.name, "colour": item.colour} for item in named
        ]
    return completed


def _check_arguments(beside: Path, spec: ModelSpec) -> None:
    if unknown := sorted(set(spec.arguments) - set(ARGUMENTS)):
        known = "; ".join(f"{name}: {meaning}" for name, meaning in ARGUMENTS.items())
        raise ModelError(f"{beside}: there is no argument {', '.join(unknown)}; there are {known}")
    for name, choices in CHOICES.items():
        if spec.arguments.get(name, choices[0]) not in choices:
            raise ModelError(
                f"{beside}: its {name} is {spec.arguments[name]!r}; it is {ARGUMENTS[name]}"
            )
    if spec.margin is not None and not (isinstance(spec.margin, int) and spec.margin >= 0):
        raise ModelError(f"{beside}: its margin is {spec.margin!r}; it is a number of pixels")
