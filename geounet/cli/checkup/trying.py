"""Asking what may be broken: an answer, or why there is none."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Problem(NamedTuple):
    """Why there is no answer, in one line."""

    reason: str


def attempt(ask: Callable[[], T]) -> T | Problem:
    """The answer, or what was raised instead; warnings are not for the user here."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ask()
    except Exception as error:  # noqa: BLE001 - whatever it is, the next line is to be printed
        text = " ".join(str(error).split())[:200]
        return Problem(f"{type(error).__name__}: {text}" if text else type(error).__name__)
