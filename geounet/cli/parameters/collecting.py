"""Options of the library, made of the parameters of a command."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from geounet.vector.labels.label_options import LabelOptions

Options = TypeVar("Options")


def collect(kind: type[Options], given: Mapping[str, Any], **others: object) -> Options:
    """Options of this class, whose fields are the parameters of the same names.

    Args:
        kind: a dataclass.
        given: the parameters of a command by name: `locals()` in its first line.
        others: fields that are not a parameter, or not as it was given.
    """
    make: Callable[..., Options] = kind
    return make(**{**pick(kind, given), **others})


def collect_labels(given: Mapping[str, Any]) -> LabelOptions:
    """How labels are to be understood, by the options of the room `labelling`."""
    return collect(LabelOptions, given)


def pick(kind: Any, given: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ANN401  any dataclass
    """The parameters that are called as the fields of a class, as these want them."""
    return {
        field.name: _freeze(given[field.name], field.default)
        for field in fields(kind)
        if field.name in given
    }


def _freeze(value: object, default: object) -> object:
    """A tuple of what is repeated: Typer makes a list, or None, of it."""
    if isinstance(value, list):
        return tuple(value)
    return () if value is None and default == () else value
