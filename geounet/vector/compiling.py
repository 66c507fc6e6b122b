"""Compiling loops over pixels to machine code, once per machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """The function as machine code that releases the GIL, compiled at its first call and cached.

    numba notices a change of the file a cached function is in, not of others: let compiled
    functions call only those of their own file, and touch the file when a constant changes that it
    imports, for its value is compiled in. Where neither the package's folder nor the user's
    can be written to, every process compiles anew.
    """
    try:
        return cast(F, njit(cache=True, nogil=True)(function))
    except RuntimeError:  # numba finds no place for a cache
        return cast(F, njit(nogil=True)(function))
