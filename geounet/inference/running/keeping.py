"""Pieces of a part on their way to its files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geounet.inference.engines.engine import Outputs
from geounet.inference.engines.predictor import nodata_of
from geounet.inference.planning.parts import BLOCK
from geounet.inference.running.run import Run
from geounet.inference.running.streaming import PredictedTile
from geounet.raster import Grid, Window, WriteWindow, open_part

COLUMNS = 8 * BLOCK
"""Columns without a piece, which the AOI leaves out, are made at most so many at a time."""

MakeBlank = Callable[[str, tuple[int, int]], NDArray[Any]]
"""An output without data of a kind and shape."""


def keep_part(run: Run, part: Window, pieces: Iterable[PredictedTile]) -> Iterator[int]:
    """Write the outputs of a part; gives the pixels of each piece once it is taken.

    What is in no piece is no data. The part is there, whole, when this ends; not before.

    Raises:
        ResourceError: it cannot be written.
    """
    request, classes = run.engine.request, run.engine.classes
    columns = Columns(
        part, run.outputs, lambda kind, shape: request.make_blank(kind, classes, shape)
    )
    with ExitStack() as files:
        # closed last to first: the mask, with which a part is done, comes last
        grid = run.scene.grid.crop(part)
        writers = {
            kind: files.enter_context(open_file(run, kind, run.job.part_path(kind, part), grid))
            for kind in reversed(run.outputs)
        }
        for piece in pieces:
            with run.watch.measure("write"):
                for window, outputs in columns.add(piece):
                    write_outputs(run, writers, window, outputs)
            yield piece.window.area
        with run.watch.measure("write"):
            for window, outputs in columns.finish():
                write_outputs(run, writers, window, outputs)
            files.close()


class Columns:
    """Pieces of a part, which come column by column, put together from left to right.

    Given on as soon as whole columns of blocks are there, so that a scene's width takes no memory.
    """

    def __init__(self, part: Window, kinds: Iterable[str], make_blank: MakeBlank) -> None:
        self._part, self._make_blank = part, make_blank
        self._held: Outputs = {kind: make_blank(kind, (part.height, 0)) for kind in kinds}
        self._start = 0  # the first column held, counted from the part's

    def add(self, piece: PredictedTile) -> Iterator[tuple[Window, Outputs]]:
        """What is complete by this piece: windows, counted from the part's corner."""
        window = piece.window.relative_to(self._part)
        if window.col_off >= self._start + self._width:  # the first of its column
            if self._width >= BLOCK:
                yield self._take(self._width // BLOCK * BLOCK)
            yield from self._fill(window.col_off)
            self._append(window.width)
        rows = window.slices()[0]
        first = window.col_off - self._start
        for kind, array in self._held.items():
            array[..., rows, first : first + window.width] = piece.outputs[kind]

    def finish(self) -> Iterator[tuple[Window, Outputs]]:
        """The rest."""
        yield from self._fill(self._part.width)
        if self._width:
            yield self._take(self._width)

    @property
    def _width(self) -> int:
        return int(next(iter(self._held.values())).shape[-1])

    def _fill(self, end: int) -> Iterator[tuple[Window, Outputs]]:
        """Columns without data up to `end`."""
        while (missing := end - self._start - self._width) > 0:
            self._append(min(missing, COLUMNS))
            if self._width >= BLOCK:
                yield self._take(self._width // BLOCK * BLOCK)

    def _append(self, width: int) -> None:
        """Hold so many columns more, without data yet."""
        shape = (self._part.height, width)
        self._held = {
            kind: np.concatenate([array, self._make_blank(kind, shape)], axis=-1)
            for kind, array in self._held.items()
        }

    def _take(self, width: int) -> tuple[Window, Outputs]:
        """The first columns held, which are no longer."""
        window = Window(row_off=0, col_off=self._start, height=self._part.height, width=width)
        taken = {kind: array[..., :width] for kind, array in self._held.items()}
        self._held = {kind: array[..., width:].copy() for kind, array in self._held.items()}
        self._start += width
        return window, taken


def open_file(run: Run, kind: str, path: Path, grid: Grid) -> AbstractContextManager[WriteWindow]:
    """Write an output window by window, as `open_part`."""
    blank = run.engine.request.make_blank(kind, run.engine.classes, (1, 1))
    count = 1 if blank.ndim == 2 else len(blank)
    return open_part(path, grid, count, blank.dtype, nodata_of(blank.dtype), run.name_bands(kind))


def write_outputs(
    run: Run, writers: Mapping[str, WriteWindow], window: Window, outputs: Outputs
) -> None:
    """Write a window of all outputs, and count its classes."""
    for kind, write in writers.items():
        write(window, outputs[kind])
    run.add_counts(outputs["mask"])
