"""Summaries as JSON and as text."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer


def print_json(content: object) -> None:
    """One JSON document on stdout; what is undefined is null."""
    typer.echo(json.dumps(_to_json(content), indent=2, allow_nan=False))


def print_summary(summary: object, text: str, *, json: bool, quiet: bool) -> None:
    """What a command has done: for programs on stdout; for people, if there is text, on stderr."""
    if json:
        print_json(summary)
    if text and not quiet:
        typer.echo(text, err=True)


def share(part: float, whole: float) -> str:
    """A share in percent, for people."""
    return f"{100 * part / whole:.1f} %"


def size_text(size: int) -> str:
    """Bytes for people, in powers of ten."""
    if size < 1e6:
        return f"{size / 1e3:.0f} KB"
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def figure(value: float | None) -> str:
    """Four digits; `-` for what is undefined."""
    return "-" if value is None else f"{value:.4f}"


def _to_json(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_json(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
