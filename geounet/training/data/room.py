"""Room for chips: the pixels of a scene around what is held out. Pure geometry."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from geounet.raster import Window


@dataclass(frozen=True, slots=True)
class Room:
    """The pixels of one scene that train; each is the centre of a chip as often as any other.

    Attributes:
        scene: index of the scene.
        area: the window that chips lie in.
        pieces: disjoint windows: the pixels that train.
        hidden: windows that chips cover up: what is held out.
        shape: height and width of the windows that chips are read from: the chip's, less where
            the area is smaller.
    """

    scene: int
    area: Window
    pieces: tuple[Window, ...]
    hidden: tuple[Window, ...]
    shape: tuple[int, int]

    @property
    def pixels(self) -> int:
        """Number of training pixels."""
        return sum(piece.area for piece in self.pieces)

    def window(self, number: int) -> Window:
        """The window around the `number`-th pixel; they are counted round and round."""
        ends = list(accumulate(piece.area for piece in self.pieces))
        number %= ends[-1]
        index = bisect_right(ends, number)
        piece = self.pieces[index]
        row, col = divmod(number - (ends[index] - piece.area), piece.width)
        return self.window_around(piece.row_off + row, piece.col_off + col)

    def window_around(self, row: int, col: int) -> Window:
        """The window that has a pixel in its middle, or as near to it as the area allows."""
        (height, width), area = self.shape, self.area
        return Window(
            row_off=min(max(row - height // 2, area.row_off), area.row_end - height),
            col_off=min(max(col - width // 2, area.col_off), area.col_end - width),
            height=height,
            width=width,
        )


def find_room(
    scene: int, area: Window, holes: Iterable[Window], chip: int, hidden: Sequence[Window] = ()
) -> Room | None:
    """The room for chips of side `chip` in an area; None if the holes cover it.

    Args:
        scene: index of the scene.
        area: pixels of it.
        holes: pixels that do not train.
        chip: side of the chips in pixels.
        hidden: pixels that chips must not show.
    """
    pieces = subtract(area, holes)
    if not pieces:
        return None
    return Room(scene, area, pieces, tuple(hidden), (min(chip, area.height), min(chip, area.width)))


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
