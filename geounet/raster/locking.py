"""Folders that one process at a time works in, or several that know of each other."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from geounet.errors import ResourceError
from geounet.raster.writing import guard_writing

if sys.platform != "win32":
    import fcntl

LOCK_FILE = "lock"

_BUSY = {errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK}


PATIENCE_S = 10.0
"""Who wants to share waits so long for one who is alone, which is to begin something, or for good.
"""


@dataclass
class FolderLock:
    """A hold on a folder.

    Attributes:
        descriptor: of the lock file.
        output: what is written by means of the folder, for messages.
        is_alone: nobody else holds it.
    """

    descriptor: int
    output: Path
    is_alone: bool

    def share(self) -> None:
        """Let in others who share. One who wants to be alone is still kept out.

        Raises:
            ResourceError: one was quicker.
        """
        if not _try_lock(self.descriptor, alone=False):
            raise _refuse(self.output)
        self.is_alone = False


@contextmanager
def locked_folder(folder: Path, output: Path, *, shared: bool = False) -> Iterator[FolderLock]:
    """Make a folder and keep other runs out of it meanwhile; removed at the end if it is empty.

    The system lifts the lock when the process ends, however it ends. Where it knows no locks
    (Windows, some network file systems) there is none.

    Args:
        folder: made if it is missing.
        output: what is written by means of it, for the message.
        shared: let in others who share, too, but for the time in which one is alone: who comes
            first is, until `FolderLock.share`.

    Raises:
        ResourceError: another run is in it, or it cannot be made.
    """
    with guard_writing(output):
        lock = _lock(folder, output, shared=shared)
    if lock is None:
        raise _refuse(output)
    try:
        yield lock
    finally:
        if sys.platform == "win32":  # does not remove open files
            os.close(lock.descriptor)
            _remove_empty(folder)
        else:
            try:
                if lock.is_alone or _try_lock(lock.descriptor, alone=True):
                    _remove_empty(folder)  # before the lock is lifted: the file is nobody else's
            finally:
                os.close(lock.descriptor)


def _refuse(output: Path) -> ResourceError:
    return ResourceError(
        f"{output} is being written by another run; wait for its end, or choose another name"
    )


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        if {path.name for path in folder.iterdir()} == {LOCK_FILE}:
            (folder / LOCK_FILE).unlink()
            folder.rmdir()


def _lock(folder: Path, output: Path, *, shared: bool) -> FolderLock | None:
    """A hold on the folder; None if another run has one that excludes it."""
    if folder.is_file():
        raise ResourceError(f"{folder} is a file, where geounet needs a folder; move it away")
    until = time.monotonic() + (PATIENCE_S if shared else 0.1)
    while time.monotonic() < until:
        folder.mkdir(exist_ok=True)
        with suppress(FileNotFoundError):  # who held it has removed the folder just now
            descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o666)
            is_alone = _try_lock(descriptor, alone=True)
            is_held = is_alone or (shared and _try_lock(descriptor, alone=False))
            with suppress(FileNotFoundError):
                if is_held and os.path.samestat(os.fstat(descriptor), (folder / LOCK_FILE).stat()):
                    return FolderLock(descriptor, output, is_alone)
            os.close(descriptor)
            if not is_held and not shared:
                return None
        time.sleep(0.001)
    return None


def _try_lock(descriptor: int, *, alone: bool) -> bool:
    """Take the lock, or change one that is held; a change that fails may have lifted it."""
    if sys.platform != "win32":
        kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno not in _BUSY
    return True
