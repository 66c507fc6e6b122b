"""Files that appear whole or not at all, and are there after a power cut.

Each is written under a hidden name in its own folder, flushed to the disk, and renamed.
"""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from geounet.errors import ResourceError

_NO_FLUSH = {errno.EINVAL, errno.EBADF, errno.ENOSYS, errno.ENOTSUP, errno.EACCES, errno.EPERM}
"""What file systems say that do not flush folders, or anything."""

_FLUSHABLE = os.O_RDWR if os.name == "nt" else os.O_RDONLY
"""How a file is opened to be flushed: Windows flushes what may be written only. Elsewhere reading
is enough, and some network file systems do not let a finished file be opened for more."""


def write_whole(path: Path, data: bytes | memoryview) -> None:
    """Write a file, whole or not at all.

    Raises:
        ResourceError: it cannot be written; what was there before is untouched.
    """
    with drafted(path) as partial:
        partial.write_bytes(data)


@contextmanager
def drafted(path: Path, *failures: type[Exception]) -> Iterator[Path]:
    """An empty file to be written, or replaced; at the end it becomes `path`.

    Its mode will be that of all new files, also if some library replaces it by a private one.

    Raises:
        ResourceError: an OSError or one of the `failures`; what was there before is untouched.
    """
    with guard_file(path, *failures):
        partial = name_partial(path)
        partial.touch(exist_ok=False)
        try:
            mode = partial.stat().st_mode
            yield partial
            if partial.stat().st_mode != mode:
                partial.chmod(mode)
            publish(partial, path)
        except BaseException:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise


def name_partial(path: Path) -> Path:
    """A name beside a file that nobody else uses: `.NAME.0123abcd.partial`."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")


def publish(partial: Path, path: Path) -> None:
    """Move a finished file to its name in the same file system, once it is safely on disk."""
    flush(partial)
    partial.replace(path)
    flush(path.parent)


def flush(path: Path) -> None:
    """Have a file or folder on disk before going on, where the file system knows how.

    Raises:
        OSError: it cannot be kept, for want of space or by a defect.
    """
    try:
        descriptor = os.open(path, _FLUSHABLE)
    except PermissionError:  # a folder, on Windows
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FLUSH:
            raise
    finally:
        os.close(descriptor)


@contextmanager
def guard_file(path: Path, *failures: type[Exception]) -> Iterator[None]:
    """Turn an OSError or one of the `failures` into a ResourceError that names the file."""
    caught: tuple[type[Exception], ...] = (OSError, *failures)
    try:
        yield
    except ResourceError:
        raise
    except caught as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise ResourceError(
            f"{path} cannot be written ({reason}); check the folder and the free space"
        ) from error
