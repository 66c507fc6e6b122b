"""Room for chips: the pixels of a scene around what is held out. Pure geometry."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from geounet.raster import Window


@dataclass(frozen=True, slots=True)
class Room:
    """The pixels of one scene that train, and where chips may lie in it.

    Attributes:
        scene: index of the scene.
        pieces: disjoint windows: the area without the holes.
        shape: height and width of the windows that chips are read from: the chip's, less where
            the pieces have no room for it.
        origins: disjoint windows of pixels. The windows of `shape` that start at one of them lie
            in the area and touch no hole; and no other window of `shape` does.
    """

    scene: int
    pieces: tuple[Window, ...]
    shape: tuple[int, int]
    origins: tuple[Window, ...]

    @property
    def pixels(self) -> int:
        """Number of training pixels."""
        return sum(piece.area for piece in self.pieces)

    def window(self, number: int) -> Window:
        """The window that starts at the `number`-th origin; they are counted round and round."""
        ends = list(accumulate(origin.area for origin in self.origins))
        number %= ends[-1]
        index = bisect_right(ends, number)
        origin = self.origins[index]
        row, col = divmod(number - (ends[index] - origin.area), origin.width)
        return Window(
            row_off=origin.row_off + row,
            col_off=origin.col_off + col,
            height=self.shape[0],
            width=self.shape[1],
        )


def find_room(scene: int, area: Window, holes: Sequence[Window], chip: int) -> Room | None:
    """The room for chips of side `chip` in an area; None if the holes cover it."""
    pieces = subtract(area, holes)
    if not pieces:
        return None
    shapes = sorted({_fit(chip, piece) for piece in pieces}, key=math.prod, reverse=True)
    # a chip may fit where no single piece has room for it; each piece has room for its own shape
    tried = ((shape, find_origins(area, holes, shape)) for shape in (_fit(chip, area), *shapes))
    shape, origins = next((shape, origins) for shape, origins in tried if origins)
    return Room(scene, pieces, shape, origins)


def find_origins(
    area: Window, holes: Iterable[Window], shape: tuple[int, int]
) -> tuple[Window, ...]:
    """Where a window of `shape` can start so that it lies in `area` and touches no hole.

    Disjoint windows: `p` is in one of them  <=>  the window of `shape` from `p` is such a window.
    """
    height, width = shape
    starts = span(area.row_off, area.col_off, area.row_end - height, area.col_end - width)
    touching = (
        span(
            hole.row_off - height + 1, hole.col_off - width + 1, hole.row_end - 1, hole.col_end - 1
        )
        for hole in holes
        if hole.area
    )
    return subtract(starts, touching)


def subtract(window: Window, holes: Iterable[Window]) -> tuple[Window, ...]:
    """Disjoint windows of exactly the pixels of `window` that are in no hole."""
    pieces = [window] if window.area else []
    for hole in holes:
        pieces = [rest for piece in pieces for rest in _cut_out(piece, hole)]
    return tuple(pieces)


def span(row_off: int, col_off: int, last_row: int, last_col: int) -> Window:
    """The window from one pixel to another, both included; empty if the last comes before."""
    return Window(
        row_off=row_off,
        col_off=col_off,
        height=max(0, last_row - row_off + 1),
        width=max(0, last_col - col_off + 1),
    )


def _fit(chip: int, window: Window) -> tuple[int, int]:
    return min(chip, window.height), min(chip, window.width)


def _cut_out(piece: Window, hole: Window) -> Iterator[Window]:
    """The rows above and below the hole, and what is left and right of it."""
    inner = piece.intersect(hole)
    if inner.area == 0:
        yield piece
        return
    last_row, last_col = piece.row_end - 1, piece.col_end - 1
    sides = (
        span(piece.row_off, piece.col_off, inner.row_off - 1, last_col),
        span(inner.row_end, piece.col_off, last_row, last_col),
        span(inner.row_off, piece.col_off, inner.row_end - 1, inner.col_off - 1),
        span(inner.row_off, inner.col_end, inner.row_end - 1, last_col),
    )
    yield from (side for side in sides if side.area)
