"""What labels hold, and the class value that each of it means: numbers, colours, texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from geounet.classes import NODATA, ClassInfo
from geounet.errors import InputError, UsageError
from geounet.vector.labels.label_options import LabelOptions

BLACK = 0
"""The colour that means "no label" of sparse labels."""

GREY = 0x010101
"""The darkest grey but black; the others are its multiples, up to 255 times."""

NEAR = 16
"""Greys of masks this close to 0 or 255 are pure: black or white."""


def is_number(text: str) -> bool:
    """Whether a label is a whole number, perhaps written `7.0`."""
    return re.fullmatch(r"[+-]?[0-9]+(\.0*)?", text) is not None


def to_number(label: str) -> int:
    """The whole number that a label is."""
    return int(label.partition(".")[0])  # a float would round large ones


def format_number(value: float) -> str:
    """A value of a label raster, whole numbers in full, as options take them."""
    return str(int(value)) if isinstance(value, int) or value.is_integer() else f"{value:g}"


def is_colour(text: str) -> bool:
    """Whether a label is a colour, `#rrggbb`."""
    return re.fullmatch(r"#[0-9a-fA-F]{6}", text) is not None


def to_code(colour: str) -> int:
    """`#rrggbb` as one number, red * 65536 + green * 256 + blue."""
    return int(colour[1:], 16)


def format_code(code: float) -> str:
    """The colour of such a number."""
    return f"#{int(code):06x}"


def is_grey(code: int) -> bool:
    """Whether the colour of such a number has no hue."""
    return code == code % 256 * GREY


def order_halves(classes: Sequence[ClassInfo]) -> tuple[ClassInfo, ClassInfo]:
    """The two classes of a mask, the darker first.

    That is the first, unless it is white and the second black. Other greys tell nothing: they are
    picked for names, such as that of a road.
    """
    dark, bright = classes
    codes = to_code(dark.colour), to_code(bright.colour)
    has_greys = all(map(is_grey, codes))
    is_swapped = has_greys and codes[0] % 256 > 255 - NEAR and codes[1] % 256 < NEAR
    return (bright, dark) if is_swapped else (dark, bright)


def number_keys(classes: Sequence[ClassInfo], options: LabelOptions) -> dict[int, int]:
    """Class value, 255 for no label, by label number.

    Raises:
        UsageError: other labels are mapped, but no number.
    """
    mapped = _keep(options.mapping, classes, is_number)
    if options.mapping and not mapped:
        label, name = options.mapping[0]
        raise UsageError(
            f"{label!r} is mapped to {name!r}, but some labels hold numbers, and none is mapped; "
            "say which class each is, too: --classes NUMBER=NAME,..."
        )
    keys = {to_number(label): value for label, value in mapped}
    return (keys or {c.value: c.value for c in classes}) | ignored_numbers(options)


def ignored_numbers(options: LabelOptions) -> dict[int, int]:
    """255 by each label number that means "no label"."""
    numbers = _list_ignored(options)
    return dict.fromkeys(numbers | {0} if options.sparse else numbers, NODATA)


def _list_ignored(options: LabelOptions) -> set[int]:
    return {to_number(label) for label in options.ignored if is_number(label)}


def colour_keys(classes: Sequence[ClassInfo], options: LabelOptions) -> dict[int, int]:
    """Class value, 255 for no label, by colour, as from `to_code`.

    Raises:
        UsageError: two classes have the same colour.
    """
    given = _keep(options.mapping, classes, is_colour) or [(c.colour, c.value) for c in classes]
    keys: dict[int, int] = {}
    for colour, value in given:
        if keys.setdefault(to_code(colour), value) != value:
            raise UsageError(
                f"two classes have the colour {colour}, so that colours cannot tell them apart; "
                "give each its own: --classes NAME=#rrggbb,..."
            )
    if options.sparse:
        keys.setdefault(BLACK, NODATA)
    return keys | ignored_colours(options)


def rgb_keys(classes: Sequence[ClassInfo], options: LabelOptions) -> dict[int, int]:
    """As `colour_keys`, where an ignored number is the grey of this level.

    Raises:
        UsageError: as there, or that grey is a class.
    """
    keys = colour_keys(classes, options)
    for number in _list_ignored(options) & set(range(256)):
        if keys.setdefault(number * GREY, NODATA) != NODATA:
            colour = format_code(number * GREY)
            raise UsageError(
                f"--ignore {number} is a number, but some labels hold colours, and {colour} is a "
                "class; leave the class out, or write the colour to ignore: --ignore #rrggbb"
            )
    return keys


def ignored_colours(options: LabelOptions) -> dict[int, int]:
    """255 by each colour that means "no label", as from `to_code`."""
    return {to_code(label): NODATA for label in options.ignored if is_colour(label)}


def text_keys(classes: Sequence[ClassInfo], options: LabelOptions) -> dict[str, int]:
    """Class value, 255 for no label, by text in a class column."""
    keys: dict[str, int] = {}
    if not _keep(options.mapping, classes, is_number):
        keys |= {str(item.value): item.value for item in classes}
    keys |= {item.name: item.value for item in classes}
    for label, value in _keep(options.mapping, classes, lambda _: True):
        keys[str(to_number(label)) if is_number(label) else label] = value
    return keys | dict.fromkeys(ignored_texts(options), NODATA)


def ignored_texts(options: LabelOptions) -> set[str]:
    """The texts in a class column that mean "no label", numbers as `text_of` writes them."""
    return set(options.ignored) | set(map(str, _list_ignored(options)))


def palette_keys(
    palette: Mapping[int, str], classes: Sequence[ClassInfo], options: LabelOptions
) -> dict[int, int]:
    """Class value, 255 for no label, by number in a palette whose colours tell the classes."""
    meaning = colour_keys(classes, options)
    codes = {index: to_code(colour) for index, colour in palette.items()}
    keys = {index: meaning[code] for index, code in codes.items() if code in meaning}
    return keys | dict.fromkeys(_list_ignored(options), NODATA)


def ignored_in_palette(palette: Mapping[int, str], options: LabelOptions) -> dict[int, int]:
    """255 by each number in a palette whose colour means "no label"."""
    codes = ignored_colours(options)
    return {i: NODATA for i, colour in palette.items() if to_code(colour) in codes}


def reads_by_colour(
    palette: Mapping[int, str], source: object, classes: Sequence[ClassInfo], options: LabelOptions
) -> bool:
    """Whether the colours of a palette image tell the classes, and not its pixels' numbers.

    So it is if labels are mapped by colour, or if the palette has colours of the classes, but at
    other numbers than theirs: all of them, unless the colours were said of these labels.

    Raises:
        InputError: some colours are those of the classes, and others contradict them.
    """
    if _keep(options.mapping, classes, is_number):
        return False
    if _keep(options.mapping, classes, is_colour):
        return True
    first = {to_code(colour): index for index, colour in reversed(list(palette.items()))}
    found = {i: c for c in classes if (i := first.get(to_code(c.colour))) is not None}
    if len(found) < len(classes) and not options.colours_said:
        return False  # two colours may be the same by chance
    if any(index != item.value for index, item in found.items()):
        return True
    contradicted = [
        item
        for item in classes
        if found and item.value in first.values() and item.value not in found
    ]
    if contradicted:
        item = contradicted[0]
        raise InputError(
            f"{source} has a palette in which {item.value} is {palette[item.value]}, but the "
            f"class {item.name!r} is {item.colour}; name the palette's own colours with --classes "
            f"NAME=#rrggbb,..., or its numbers: --classes {list_numbers(classes)}"
        )
    return False


def list_numbers(classes: Iterable[ClassInfo]) -> str:
    """`0=background,1=road`, as `--classes` takes it."""
    return ",".join(f"{item.value}={item.name}" for item in classes)


def _keep(
    mapping: Sequence[tuple[str, str]],
    classes: Sequence[ClassInfo],
    is_kind: Callable[[str], bool],
) -> list[tuple[str, int]]:
    """The labels of a kind, with the class values that they mean."""
    values = {item.name: item.value for item in classes}
    for label, name in mapping:
        if name not in values:
            raise UsageError(f"{label!r} is mapped to {name!r}, which is no class; declare it")
    return [(label, values[name]) for label, name in mapping if is_kind(label)]
