"""Integer pixel rectangles, and the mirror that continues a scene beyond its edges.

Pure integer geometry: no float, no CRS, no I/O.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Window:
    """Pixel rectangle: rows `row_off <= r < row_end`, columns `col_off <= c < col_end`.

    Offsets may be negative (beyond the scene's edge); height and width may be 0, not less.
    """

    row_off: int
    col_off: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height < 0 or self.width < 0:
            raise ValueError(f"a window cannot be {self.height} x {self.width} pixels")

    @property
    def row_end(self) -> int:
        """First row below the window."""
        return self.row_off + self.height

    @property
    def col_end(self) -> int:
        """First column right of the window."""
        return self.col_off + self.width

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.height * self.width

    def intersect(self, other: Window) -> Window:
        """The pixels in both: `p in a.intersect(b)  <=>  p in a and p in b`; area 0 if none."""
        row_off = max(self.row_off, other.row_off)
        col_off = max(self.col_off, other.col_off)
        return Window(
            row_off=row_off,
            col_off=col_off,
            height=max(0, min(self.row_end, other.row_end) - row_off),
            width=max(0, min(self.col_end, other.col_end) - col_off),
        )

    def contains(self, other: Window) -> bool:
        """Whether every pixel of the other window is in this one."""
        return self.intersect(other).area == other.area

    def pad(self, pixels: int) -> Window:
        """The window grown by `pixels` on each side."""
        return Window(
            row_off=self.row_off - pixels,
            col_off=self.col_off - pixels,
            height=self.height + 2 * pixels,
            width=self.width + 2 * pixels,
        )

    def relative_to(self, origin: Window) -> Window:
        """The same pixels counted from the other window's first row and column."""
        return Window(
            row_off=self.row_off - origin.row_off,
            col_off=self.col_off - origin.col_off,
            height=self.height,
            width=self.width,
        )

    def slices(self) -> tuple[slice, slice]:
        """Row and column slices into an array that starts at pixel (0, 0)."""
        return slice(self.row_off, self.row_end), slice(self.col_off, self.col_end)

    def aligned(self, multiple: int) -> Window:
        """The smallest window around this one whose edges are multiples of `multiple`."""
        row_off, col_off = (v // multiple * multiple for v in (self.row_off, self.col_off))
        return Window(
            row_off=row_off,
            col_off=col_off,
            height=-(-self.row_end // multiple) * multiple - row_off,
            width=-(-self.col_end // multiple) * multiple - col_off,
        )

    def blocks(self, height: int, width: int) -> Iterator[Window]:
        """Windows of at most height x width that partition this one, row by row.

        Every pixel is in exactly one; the first starts at the window's own origin.
        """
        for row_off in range(self.row_off, self.row_end, height):
            for col_off in range(self.col_off, self.col_end, width):
                yield Window(
                    row_off=row_off,
                    col_off=col_off,
                    height=min(height, self.row_end - row_off),
                    width=min(width, self.col_end - col_off),
                )


def mirror_indices(start: int, stop: int, size: int) -> NDArray[np.intp]:
    """Indices in `0 <= i < size` of the positions start..stop of an axis mirrored at its ends.

    numpy's "reflect" (the edge pixel is not repeated), continued as often as needed:
    `mirror_indices(-a, size + b, size) == np.pad(np.arange(size), (a, b), mode="reflect")`.
    """
    positions = np.arange(start, stop)
    if size == 1:
        return np.zeros_like(positions)
    period = 2 * (size - 1)
    folded = positions % period
    return np.minimum(folded, period - folded)
