"""The classes of a map: value in the mask, name, colour."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from geounet.errors import UsageError

NODATA = 255
"""Value of a mask where there is no data; also the ignore value of labels inside geounet."""

PALETTE = (
    "#d9d9d9", "#e6550d", "#3182bd", "#31a354", "#fdd835", "#8e44ad", "#a0522d", "#17becf",
    "#e377c2", "#7f7f7f", "#9acd32", "#b22222", "#1f3a5f", "#f4a582", "#66c2a5", "#4d4d4d",
)  # fmt: skip
"""Default colours by class value, repeated as needed; the first is a quiet background grey."""


@dataclass(frozen=True, slots=True)
class ClassInfo:
    """One class: mask value 0-254, unique name, colour as `#rrggbb`."""

    value: int
    name: str
    colour: str

    def __post_init__(self) -> None:
        if not 0 <= self.value < NODATA:
            raise UsageError(f"class {self.name!r} has value {self.value}; use 0 to {NODATA - 1}")
        if not self.name:
            raise UsageError(f"class {self.value} has an empty name; name it")
        if not _is_colour(self.colour):
            raise UsageError(f"class {self.name!r} has colour {self.colour!r}; write #rrggbb")

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Red, green, blue, 0-255."""
        return tuple(bytes.fromhex(self.colour[1:]))  # type: ignore[return-value]


def make_classes(
    names: Sequence[str], values: Iterable[int] | None = None
) -> tuple[ClassInfo, ...]:
    """Classes with these names in this order, values 0, 1, ... unless given, default colours."""
    numbers = range(len(names)) if values is None else values
    return check_classes(
        ClassInfo(value, name, PALETTE[value % len(PALETTE)])
        for value, name in zip(numbers, names, strict=True)
    )


def check_classes(classes: Iterable[ClassInfo]) -> tuple[ClassInfo, ...]:
    """The classes sorted by value.

    Raises:
        UsageError: two classes share a value or a name, or there is none.
    """
    ordered = tuple(sorted(classes, key=lambda item: item.value))
    if not ordered:
        raise UsageError("there is no class; name at least two with --classes")
    for what in ("value", "name"):
        seen = [getattr(item, what) for item in ordered]
        if twice := sorted({str(v) for v in seen if seen.count(v) > 1}):
            raise UsageError(f"classes share a {what}: {', '.join(twice)}; each needs its own")
    return ordered


def _is_colour(text: str) -> bool:
    return re.fullmatch("#[0-9a-fA-F]{6}", text) is not None
