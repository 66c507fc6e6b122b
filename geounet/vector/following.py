"""Polygons of a mask that is being written, made meanwhile in a process of their own.

Both ends of the pipe are here. The parent sends an `Order`, then each part of the mask as soon as
it is on disk, then None when the polygons may appear. The child answers with pairs: ("progress",
pixels), and last ("done", rows) or ("failed", error). It is a new interpreter, not a fork: the
parent has threads. It never sees torch, nor the parent's main module.
"""

from __future__ import annotations

import filecmp
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.spawn import get_executable
from pathlib import Path
from queue import Empty, SimpleQueue
from subprocess import PIPE, Popen
from typing import IO, Any

from geounet.classes import NODATA, ClassInfo
from geounet.errors import GeounetError, ResourceError, UsageError
from geounet.progress import Progress, ProgressCallback
from geounet.raster import Mosaic, Window, clear_workspace

COMMAND = "from geounet.vector.following import serve; serve()"

UNUSED = ("geopandas", "pandas")
"""What pyogrio imports if it can, and the child does not need: 70 MB and half a second."""

NICENESS = 5
"""Of the child: the network goes first. What is idle between its steps is enough for polygons."""

CACHE_BYTES = 64 * 2**20
"""GDAL's block cache in the child: of every part, each block is read once."""

PR_SET_PDEATHSIG = 1
"""Linux: a signal when the parent dies."""


@dataclass(frozen=True)
class Order:
    """Polygons to make.

    Attributes:
        output: their file.
        overwrite: replace it; otherwise one that is there must be the same, and stays.
        classes: of the mask.
        rasters: the mask, and "confidence" and "scores" where they are written, by kind; of equal
            parts from top to bottom.
    """

    output: Path
    overwrite: bool
    classes: Sequence[ClassInfo]
    rasters: Mapping[str, Mosaic]

    @property
    def parts(self) -> list[Window]:
        """Those of the mask, top to bottom."""
        return [window for _, window in self.rasters["mask"].parts]


class Follower:
    """The parent's end: a process that makes polygons as parts are announced."""

    def __init__(self, process: Popen[bytes]) -> None:
        """Listen to a process that runs `serve`. Prefer `start_follower`."""
        self._process = process
        self._answers: SimpleQueue[tuple[str, Any] | None] = SimpleQueue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._order: Order | None = None
        self._done = 0

    def begin(self, order: Order) -> None:
        """Say what is to be made; once."""
        self._order = order
        self._send(order)

    def add(self, part: Window) -> None:
        """Announce a part of the order, in any order, whose files are whole.

        Raises:
            GeounetError: what the process has failed with so far.
        """
        self._send(part)
        with suppress(Empty):
            while True:
                self._take(self._answers.get_nowait())

    def finish(self, progress: ProgressCallback) -> int:
        """Let the polygons appear, and wait until they have; all parts are announced.

        Returns:
            How many there are.

        Raises:
            GeounetError: what the process has failed with.
        """
        self._send(None)
        while (rows := self._take(self._answers.get())) is None:
            progress(Progress("polygonize", self._done, self._total, "px"))
        return rows

    def stop(self) -> None:
        """End the process at once, and remove what it leaves if it has not come to its end."""
        self._process.kill()
        self._process.wait()
        self._listener.join()
        with suppress(OSError):  # the pipe is broken
            self._process.stdin.close()  # type: ignore[union-attr]
        if self._order is not None:
            with suppress(ResourceError):  # it is another run's, with which this one has failed
                clear_workspace(self._order.output)

    @property
    def _total(self) -> int:
        return 0 if self._order is None else self._order.rasters["mask"].grid.extent.area

    def _take(self, answer: tuple[str, Any] | None) -> int | None:
        """The number of rows, if that is the answer."""
        if answer is None:
            code = self._process.wait()
            name = "polygons" if self._order is None else self._order.output
            raise ResourceError(
                f"{name} cannot be made: the process that makes them has ended (exit code {code}), "
                "perhaps for want of memory; make room, and the same command goes on"
            )
        kind, content = answer
        if kind == "failed":
            raise content
        if kind == "progress":
            self._done = content
        return content if kind == "done" else None

    def _send(self, message: Order | Window | None) -> None:
        with suppress(OSError):  # it has ended: the answers say why
            _write(self._process.stdin, message)

    def _listen(self) -> None:
        with suppress(EOFError, OSError, pickle.UnpicklingError):
            while True:
                self._answers.put(pickle.load(self._process.stdout))  # type: ignore[arg-type]
        self._answers.put(None)


@contextmanager
def start_follower() -> Iterator[Follower]:
    """A process that gets ready while the caller does; it ends with this context at the latest.

    Raises:
        ResourceError: it cannot be started.
    """
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    try:
        process = Popen(
            [os.fsdecode(get_executable()), "-P", "-c", COMMAND],
            stdin=PIPE,
            stdout=PIPE,
            env=os.environ | environment,
            process_group=0,  # Ctrl-C is for the parent
            creationflags=_choose_flags(),
        )
    except OSError as error:
        raise ResourceError(
            f"no process can be started that makes polygons ({error.strerror}); leave out "
            "--polygons, and run geounet polygonize afterwards"
        ) from error
    with process:
        follower = Follower(process)
        try:
            yield follower
        finally:
            follower.stop()


def serve() -> None:
    """The child's end, and all that it does."""
    _depend_on_parent()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    try:
        _warm_up()
        inbox: SimpleQueue[Any] = SimpleQueue()
        threading.Thread(target=_receive, args=(inbox,), daemon=True).start()
        answer: tuple[str, Any] = ("done", _follow(inbox, lambda done: _write(answers, done)))
    except GeounetError as error:
        answer = ("failed", error)
    except Exception:  # noqa: BLE001 - it is the parent's to report
        answer = ("failed", RuntimeError(traceback.format_exc()))
    with suppress(OSError):  # the parent is gone
        _write(answers, answer)
    os._exit(0)  # the other thread still reads, which Python would wait for


def _follow(inbox: SimpleQueue[Any], answer: Callable[[tuple[str, Any]], None]) -> int:
    """Do what is ordered; gives the number of rows."""
    from geounet.raster import ClassTable, limit_cache
    from geounet.vector.masks import MaskFiles, MaskSource, match_bands
    from geounet.vector.options import PolygonizeOptions
    from geounet.vector.polygonizing import polygonize_source

    order: Order = inbox.get()
    mask, scores = order.rasters["mask"], order.rasters.get("scores")
    table = ClassTable(
        {item.value: item.name for item in order.classes},
        {item.value: item.colour for item in order.classes},
    )
    values = range(1, NODATA)
    numbers = {} if scores is None else match_bands(scores, table, values)
    files = MaskFiles(mask, order.rasters.get("confidence"), scores, numbers)
    bands = list_bands(order.parts, mask.grid.extent, inbox.get)

    def release(finished: Path) -> bool:
        inbox.get()
        return order.overwrite or not is_there(order.output, finished)

    source = MaskSource(mask.path.name, files, table, values, bands, release)
    options = PolygonizeOptions(overwrite=True)
    with limit_cache(CACHE_BYTES):
        summary = polygonize_source(
            source, order.output, options, lambda progress: answer(("progress", progress.done))
        )
    return summary.polygons


def is_there(output: Path, finished: Path) -> bool:
    """Whether a finished file is at its place already.

    Raises:
        UsageError: something else is.
    """
    if not output.exists():
        return False
    if not filecmp.cmp(output, finished, shallow=False):
        raise UsageError(f"{output} exists; replace it with --overwrite, or choose another name")
    return True


def list_bands(
    parts: Sequence[Window], extent: Window, wait: Callable[[], Window]
) -> Iterator[Window]:
    """Bands of whole rows that partition the extent, each up to the end of a part that is there.

    Args:
        parts: from top to bottom; there may be rows between them.
        extent: all pixels.
        wait: gives the next part that is there, whichever it is.
    """
    there: set[Window] = set()
    row = extent.row_off
    for part in parts:
        while part not in there:
            there.add(wait())
        yield _cut_rows(extent, row, part.row_end)
        row = part.row_end
    yield _cut_rows(extent, row, extent.row_end)


def _cut_rows(extent: Window, row: int, end: int) -> Window:
    return Window(row_off=row, col_off=extent.col_off, height=end - row, width=extent.width)


def _warm_up() -> None:
    """Import and load, or compile, all that is needed, while the parent does the same."""
    import numpy as np
    from affine import Affine

    sys.modules.update(dict.fromkeys(UNUSED))  # type: ignore[arg-type]
    import pyogrio.raw  # noqa: F401

    for name in UNUSED:
        del sys.modules[name]
    import geounet.vector.polygonizing  # noqa: F401
    from geounet.vector.boundaries.polygonizer import Polygonizer

    polygonizer = Polygonizer(2, Affine.identity(), [1])
    polygonizer.add(np.eye(2, dtype=np.uint8))
    polygonizer.finish()


def _receive(inbox: SimpleQueue[Any]) -> None:
    """Put what the parent sends into the inbox; end with the parent."""
    with open(0, "rb", closefd=False) as orders, suppress(EOFError, OSError):
        while True:
            inbox.put(pickle.load(orders))
    os._exit(1)


def _depend_on_parent() -> None:
    """Let the parent decide when this process ends, and give way to it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform != "win32":
        os.nice(NICENESS)
    if sys.platform == "linux":  # at once; elsewhere when the pipe is found broken
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _choose_flags() -> int:
    if sys.platform == "win32":
        import subprocess

        return subprocess.BELOW_NORMAL_PRIORITY_CLASS | subprocess.CREATE_NEW_PROCESS_GROUP
    return 0


def _write(pipe: IO[bytes] | None, message: object) -> None:
    if pipe is not None:
        pickle.dump(message, pipe)
        pipe.flush()
