"""Folders that one process at a time works in."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from geounet.errors import ResourceError
from geounet.raster.writing import guard_writing

if sys.platform != "win32":
    import fcntl

LOCK_FILE = "lock"

_BUSY = {errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK}


@contextmanager
def locked_folder(folder: Path, output: Path) -> Iterator[None]:
    """Make a folder and keep other runs out of it meanwhile; removed at the end if it is empty.

    The system lifts the lock when the process ends, however it ends. Where it knows no locks
    (Windows, some network file systems) there is none.

    Args:
        folder: made if it is missing.
        output: what is written by means of it, for the message.

    Raises:
        ResourceError: another run is in it, or it cannot be made.
    """
    with guard_writing(output):
        descriptor = _lock(folder)
    if descriptor is None:
        raise ResourceError(
            f"{output} is being written by another run; wait for its end, or choose another name"
        )
    try:
        yield
    finally:
        if sys.platform == "win32":  # does not remove open files
            os.close(descriptor)
            _remove_empty(folder)
        else:
            try:
                _remove_empty(folder)  # before the lock is lifted: the file is nobody else's
            finally:
                os.close(descriptor)


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        if {path.name for path in folder.iterdir()} == {LOCK_FILE}:
            (folder / LOCK_FILE).unlink()
            folder.rmdir()


def _lock(folder: Path) -> int | None:
    """The descriptor that holds the lock; None if another run does."""
    if folder.is_file():
        raise ResourceError(f"{folder} is a file, where geounet needs a folder; move it away")
    for _ in range(100):
        folder.mkdir(exist_ok=True)
        with suppress(FileNotFoundError):  # who held it has removed the folder just now
            descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o666)
            if not _try_lock(descriptor):
                os.close(descriptor)
                return None
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), (folder / LOCK_FILE).stat()):
                    return descriptor
            os.close(descriptor)
        time.sleep(0.001)
    return None


def _try_lock(descriptor: int) -> bool:
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno not in _BUSY
    return True
