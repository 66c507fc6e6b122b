"""The classes of a map: value in the mask, name, colour."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from geounet.errors import UsageError

NODATA = 255
"""Value of a mask where there is no data; also the ignore value of labels inside geounet."""

PALETTE = (
    "#d9d9d9", "#e6550d", "#3182bd", "#31a354", "#fdd835", "#8e44ad", "#a0522d", "#17becf",
    "#e377c2", "#7f7f7f", "#9acd32", "#b22222", "#1f3a5f", "#f4a582", "#66c2a5", "#4d4d4d",
)  # fmt: skip
"""Colours by class value where names tell none; the first is a quiet background grey."""

KNOWN: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("background", ("#d9d9d9",)),
    ("water river lake sea ocean pond canal", ("#3182bd", "#17becf", "#1f3a5f", "#9ecae1")),
    ("forest tree wood woodland", ("#31a354", "#006d2c", "#66c2a5")),
    ("field crop cropland farmland agriculture", ("#fdd835", "#e6ab02", "#fff2ae")),
    ("building house roof urban", ("#b22222", "#e6550d", "#f4a582")),
    ("road street asphalt", ("#7f7f7f", "#a6a6a6")),
    ("bare soil", ("#a0522d", "#c49a6c")),
    ("grass grassland meadow pasture lawn", ("#9acd32", "#c7e59b")),
    ("snow ice glacier", ("#f0f4f8", "#dcecf5")),
    ("shadow", ("#4d4d4d", "#2b2b2b")),
)
"""Words in the names of classes, and the colours that one expects of these, the first first."""


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
    """Classes with these names in this order, values 0, 1, ... unless given, colours picked."""
    numbers = range(len(names)) if values is None else values
    pairs = list(zip(numbers, names, strict=True))
    colours = pick_colours(dict(pairs))
    return check_classes(ClassInfo(value, name, colours[value]) for value, name in pairs)


def pick_colours(
    names: Mapping[int, str], given: Mapping[int, str] = MappingProxyType({})
) -> dict[int, str]:
    """The colour of each class value: as given, else as its name says, else by its value.

    No colour is picked that another class has, while there are others.
    """
    colours = dict(given)
    wishes = {value: _expect_colours(name) for value, name in names.items()}
    for value in sorted(names, key=lambda value: (not wishes[value], value)):  # known names first
        start = value % len(PALETTE)
        wanted = (*wishes[value], *PALETTE[start:], *PALETTE[:start])
        free = (colour for colour in wanted if colour not in colours.values())
        colours.setdefault(value, next(free, wanted[0]))
    return colours


def _expect_colours(name: str) -> tuple[str, ...]:
    """Those of the last word that is known: a forest road is a road; none of "no forest"."""
    words = re.findall(r"[^\W\d_]+", name.lower())
    if {"no", "non", "not"} & set(words):
        return ()
    singular = [{word, word.removesuffix("s")} for word in words]
    found = (
        colours
        for forms in reversed(singular)
        for known, colours in KNOWN
        if forms & set(known.split())
    )
    return next(found, ())


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
