"""Whether a saved run can go on: the same options, images and labels."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from geounet.errors import InputError, UsageError

MAY_CHANGE = frozenset(
    {"epochs", "max_time_min", "patience", "workers", "max_memory", "device", "tensorboard"}
    | {"overwrite", "resume"}
)
"""Options that do not touch what has been learned so far."""


def check_same_options(folder: Path, given: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    """Refuse options other than those that the run was started with, by name.

    Args:
        folder: of the run.
        given: options of this command, as `describe_options`.
        saved: those of the run.

    Raises:
        UsageError: some differ.
    """
    changed = list(_find_changes(given, saved))
    if changed:
        name, now, before = changed[0]
        is_now = "not given" if now is None else now
        with_before = "without it" if before is None else f"with {before}"
        others = ", ".join(f"--{other}" for other, _, _ in changed[1:])
        more = f" ({others} too)" if others else ""
        raise UsageError(
            f"--{name} is {is_now}, but the run in {folder} was started {with_before}{more}; "
            "--resume goes on as it was: give the same again, or start anew with --overwrite"
        )


def check_same_inputs(folder: Path, given: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    """Refuse images or labels other than those that the run was started with.

    Args:
        folder: of the run.
        given: settings of this command.
        saved: those of the run.

    Raises:
        InputError: they differ.
    """
    for key, what in (
        ("scenes", "images or labels"),
        ("other_scenes", "images or labels to validate or test on"),
        ("classes", "classes"),
        ("split", "pixels that train and validate"),
        ("statistics", "pixel values or labels"),
    ):
        if not _is_close(as_json(given.get(key)), saved.get(key)):
            raise InputError(
                f"the {what} are not those that the run in {folder} was started with; "
                "bring those back, or start anew with --overwrite"
            )


def as_json(value: object) -> Any:  # noqa: ANN401  JSON is anything
    """What becomes of a value that is written as JSON and read again."""
    return json.loads(json.dumps(value, default=str))


def _find_changes(
    given: Mapping[str, Any], saved: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """Name on the command line, value now and before."""
    for name, value in as_json(given).items():
        before = saved.get(name, value)  # an older geounet did not have it
        if name in MAY_CHANGE or value == before:
            continue
        if isinstance(value, dict) and isinstance(before, dict):
            yield from _find_changes(value, before)
        else:
            yield name.removesuffix("_m").replace("_", "-"), value, before


def _is_close(first: object, second: object) -> bool:
    """Equal, but for the rounding of another machine."""
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_is_close(first[k], second[k]) for k in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(_is_close, first, second))
    if isinstance(first, float) and isinstance(second, int | float):
        return math.isclose(first, second, rel_tol=1e-6, abs_tol=1e-12)
    return first == second
