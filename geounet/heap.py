"""The C library's heap: what it keeps of freed memory, and what the system gets back.

A network makes and frees feature maps of a hundred megabytes, one after the other. If each comes
from the system and goes back to it, the system zeroes it page by page, and that takes a third of
the network's own time. All here is for glibc; with other libraries it does nothing.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -3, -4, -8
"""Numbers of parameters of mallopt(3)."""

LARGE_BYTES = 4 * 2**20
"""Size from which memory is the system's, not the heap's, while a run lasts and after it."""

MAPPINGS = 65536
"""So many blocks at most are the system's; glibc's own choice."""

KEPT_BYTES, SPARE_BYTES = 2**31 - 1, 2**17
"""What the heap may keep at its end: while freed memory is kept, and by glibc's own choice."""

_lock = Lock()
_keepers = 0


def trim_memory() -> None:
    """Give back to the system what is kept of freed memory."""
    with _lock:
        if not _keepers:
            _call("mallopt", TRIM_THRESHOLD, SPARE_BYTES)
    _call("malloc_trim", 0)


def free_large_at_once() -> None:
    """Let large arrays go back to the system when they are freed.

    By itself glibc learns to keep what is freed, up to 32 MB each: 200 MB of holes after some
    tiles.
    """
    _call("mallopt", MMAP_THRESHOLD, LARGE_BYTES)


def share_heap() -> None:
    """Let threads that are new take from the process's first heap: others hold 64 MB at most."""
    _call("mallopt", ARENA_MAX, 1)


@contextmanager
def keep_freed() -> Iterator[None]:
    """Take large arrays from the heap meanwhile, and keep their pages when they are freed.

    Of several that overlap, as validation within training, the last to end lets go. What is kept
    then waits for the next, or for `trim_memory`.
    """
    _count_keepers(+1)
    try:
        yield
    finally:
        _count_keepers(-1)


def _count_keepers(change: int) -> None:
    global _keepers
    with _lock:
        _keepers += change
        _call("mallopt", MMAP_MAX, 0 if _keepers else MAPPINGS)
        if _keepers:
            _call("mallopt", TRIM_THRESHOLD, KEPT_BYTES)


def _call(name: str, *arguments: int) -> None:
    with suppress(OSError, TypeError, AttributeError):  # it has no such function
        getattr(ctypes.CDLL(None), name)(*arguments)
