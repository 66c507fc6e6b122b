"""Classes as the user declares them: in one line, or in a JSON file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geounet.classes import NODATA, PALETTE, ClassInfo, check_classes, pick_colours
from geounet.errors import InputError, UsageError
from geounet.vector.labels.label_keys import is_colour, is_number, to_number
from geounet.vector.labels.label_values import BACKGROUND, text_of


@dataclass(frozen=True)
class Declaration:
    """Classes, and what labels hold for them.

    Attributes:
        names: unique, in their order.
        values: of each class; empty: numbered in their order.
        colours: by name, where one is given.
        mapping: pairs of label and name, as in `LabelOptions`.
    """

    names: tuple[str, ...]
    values: tuple[int, ...]
    colours: Mapping[str, str]
    mapping: tuple[tuple[str, str], ...]

    @property
    def is_numbered(self) -> bool:
        """Whether it says the values."""
        return bool(self.values)

    def make_classes(self, first: int = 0) -> tuple[ClassInfo, ...]:
        """The classes; those that it does not number count from `first`."""
        values = self.values or range(first, first + len(self.names))
        pairs = list(zip(values, self.names, strict=True))
        given = {value: self.colours[name] for value, name in pairs if name in self.colours}
        colours = pick_colours(dict(pairs), given)
        return check_classes(ClassInfo(value, name, colours[value]) for value, name in pairs)

    def with_background(self) -> tuple[ClassInfo, ...]:
        """The classes and one more, for what is outside of all polygons, with value 0.

        Raises:
            UsageError: the value is taken.
        """
        classes = self.make_classes(first=1)
        if classes[0].value == 0:
            raise refuse_zero(classes[0])
        return check_classes([ClassInfo(0, BACKGROUND, _default(0)), *classes])


def refuse_zero(first: ClassInfo) -> UsageError:
    """The error that says that a class of polygons has the value of what is outside of them."""
    return UsageError(
        f"no class is named {BACKGROUND!r}, and {first.name!r}, a class of polygons, has its value "
        f"0; name the class outside of all polygons {BACKGROUND!r}, or leave 0 free"
    )


def parse_declaration(text: str | Path) -> Declaration:
    """What `--classes` takes.

    `NAME,NAME` for values 0, 1, ...; each NAME may be `NAME=#rrggbb`, with its colour, or
    `LABEL=NAME`, where LABEL is a number, colour or text of the labels; several may mean one class.
    A class of numbers has the first of its numbers as value, if all can be values.

    Or a JSON file with a list of such as `{"value": 1, "name": "road", "colour": "#aabbcc",
    "labels": [7]}`; colour and labels may be left out.

    Raises:
        UsageError: a name is empty or occurs twice, a value or colour cannot be one, or a label is
            to mean two classes.
        InputError: the file cannot be read, or holds something else.
    """
    if str(text).lower().endswith(".json"):
        return _read_file(Path(text))
    items = [_parse_item(item, str(text)) for item in str(text).split(",")]
    labelled = [label is not None for label, _, _ in items]
    if any(labelled) != all(labelled):
        raise UsageError(
            f"--classes {text!r} says of some classes only what labels hold for them; write "
            "LABEL=NAME for all of them, or for none"
        )
    return _declare(items)


def parse_classes(text: str | Path) -> tuple[ClassInfo, ...]:
    """The classes alone of what `parse_declaration` reads."""
    return parse_declaration(text).make_classes()


def _declare(items: Sequence[tuple[str | None, str, str | None]]) -> Declaration:
    """From labels, names and colours."""
    names = [name for _, name, _ in items]
    if items[0][0] is None:
        colours = {name: colour for _, name, colour in items if colour is not None}
        return Declaration(tuple(names), (), colours, ())
    mapping = _check_mapping((label, name) for label, name, _ in items if label is not None)
    unique = tuple(dict.fromkeys(names))
    colours = {n: label for label, n in reversed(mapping) if is_colour(label)}
    colours |= {n: colour for _, n, colour in reversed(items) if colour is not None}
    return Declaration(unique, _number(unique, mapping), colours, mapping)


def _check_mapping(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """The pairs of label and name, if no label has two names, however it is written."""
    mapping, seen = tuple(pairs), dict[str, str]()
    for label, name in mapping:
        key = str(to_number(label)) if is_number(label) else label
        other = seen.setdefault(key.lower() if is_colour(key) else key, name)
        if other != name:
            raise UsageError(
                f"--classes says that labels {label!r} are {other!r} and {name!r}; "
                "name one class for each label"
            )
    return mapping


def _number(names: Sequence[str], mapping: Sequence[tuple[str, str]]) -> tuple[int, ...]:
    """The first number of each class; none if they cannot all be values of classes."""
    numbers = {name: to_number(label) for label, name in reversed(mapping) if is_number(label)}
    values = tuple(numbers[name] for name in names if name in numbers)
    fits = len(values) == len(names) and all(value in range(NODATA) for value in values)
    return values if fits else ()


def _parse_item(item: str, text: str) -> tuple[str | None, str, str | None]:
    """Label, name and colour of `LABEL=NAME=#rrggbb`, of which the name is a must."""
    parts = [part.strip() for part in item.split("=")]
    if not all(parts):
        raise UsageError(f"--classes {text!r} has an empty name; write NAME,NAME,...")
    colour = parts.pop() if len(parts) > 1 and is_colour(parts[-1]) else None
    if len(parts) == 2 and is_number(parts[1]) and not is_number(parts[0]):
        parts.reverse()  # forest=1 can only mean 1=forest
    if len(parts) > 2:
        raise UsageError(f"--classes {item!r} has too many parts; write LABEL=NAME=#rrggbb")
    return parts[0] if len(parts) == 2 else None, parts[-1], colour


def _read_file(path: Path) -> Declaration:
    try:
        items = json.loads(path.read_text(encoding="utf-8"))
        classes = check_classes(_read_class(item) for item in items)
        mapping = _check_mapping(_read_labels(items))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path") from error
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise InputError(
            f"{path} is not a list of classes ({' '.join(str(error).split())}); "
            'write [{"value": 0, "name": "background", "colour": "#d9d9d9"}, ...]'
        ) from error
    names, values = zip(*((item.name, item.value) for item in classes), strict=True)
    given = {str(item["name"]) for item in items if item.get("colour") or item.get("color")}
    colours = {item.name: item.colour for item in classes if item.name in given}
    return Declaration(names, values, colours, mapping)


def _read_class(item: Mapping[str, Any]) -> ClassInfo:
    value = _read_value(item)
    colour = item.get("colour") or item.get("color") or _default(value)
    return ClassInfo(value, str(item["name"]), str(colour))


def _read_value(item: Mapping[str, Any]) -> int:
    value = item["value"]
    if int(value) != float(value):
        raise ValueError(f"the value {value} of {item['name']!r} is not a whole number")
    return int(value)


def _read_labels(items: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """What labels hold; a class that does not say it means its value, or its colour, as others."""
    given = [(text_of(label), str(i["name"])) for i in items for label in _list_labels(i)]
    yield from given
    named = {name for _, name in given}
    for item in (i for i in items if str(i["name"]) not in named):
        if any(is_number(label) for label, _ in given):
            yield str(_read_value(item)), str(item["name"])
        if any(is_colour(label) for label, _ in given):
            yield _read_class(item).colour, str(item["name"])


def _list_labels(item: Mapping[str, Any]) -> Sequence[object]:
    labels = item.get("labels", [])
    if not isinstance(labels, list):  # the letters of a text would be labels, too
        raise TypeError(f"the labels {labels!r} of {item['name']!r} are not a list")
    return labels


def _default(value: int) -> str:
    return PALETTE[value % len(PALETTE)]
