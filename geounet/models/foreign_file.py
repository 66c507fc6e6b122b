"""Networks of other makers: a `.onnx` or `.pt2` file, and its spec as JSON beside it.

The spec of `net.onnx` is `net.json`: that of a geounet model, of which only bands and classes are
indispensable. Neither file can run code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geounet.classes import make_classes
from geounet.errors import ModelError, UsageError
from geounet.models.spec import FORMAT_VERSION, ModelSpec

SUFFIXES = (".onnx", ".pt2")

DEFAULTS: dict[str, Any] = {
    "format_version": FORMAT_VERSION,
    "arguments": {},
    "pixel_size_m": None,
    "margin": None,
    "stride": 32,  # what most encoders need of the sides of their input
    "training": {},
}
"""What a spec beside a file need not say."""

ARGUMENTS = {"tile": "side of the tiles", "output": '"scores" before softmax, or "probabilities"'}
"""What the arguments of such a spec may say."""


def is_foreign_file(path: Path) -> bool:
    """Whether a model is a file that needs a spec beside it."""
    return path.suffix.lower() in SUFFIXES


def find_spec_file(path: Path) -> Path:
    """Where the spec of a foreign file is."""
    return path.with_suffix(".json")


def read_foreign_spec(path: Path) -> ModelSpec:
    """The spec beside a foreign file.

    Raises:
        ModelError: there is no such file or no spec, or the spec cannot be meant.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file; give a .onnx or .pt2 with its .json beside it")
    beside = find_spec_file(path)
    if not beside.is_file():
        raise ModelError(
            f"{path} has no spec beside it; write {beside.name} with the keys "
            "bands: [{name, dtype, offset, scale}], classes: [{value, name, colour}] and, where "
            "they are known, pixel_size_m, stride, arguments: {tile, output}"
        )
    try:
        content = json.loads(beside.read_text(encoding="utf-8"))
        spec = ModelSpec.from_json(json.dumps(_complete(content, path)))
    except (OSError, ValueError, TypeError, AttributeError, UsageError) as error:
        raise ModelError(f"{beside}: {error}") from error
    _check_arguments(beside, spec)
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
    files = [path, find_spec_file(path)]
    if path.suffix.lower() == ".onnx":
        from geounet.models.onnx_network import list_external_files

        files += list_external_files(path)
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
            f"its architecture is {completed['architecture']!r}, the file beside it {architecture}"
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
    if spec.arguments.get("output", "scores") not in ("scores", "probabilities"):
        raise ModelError(
            f"{beside}: its output is {spec.arguments['output']!r}; it is {ARGUMENTS['output']}"
        )
