"""What a family of metrics is: sums per block of pixels, and numbers made of sums.

Everything is a function of sums that add up over blocks: the blocks of a scene give its numbers,
those of all scenes the pooled ones, blocks drawn with replacement the intervals.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from geounet.raster import Grid, Window

Block = tuple[int, int]
"""Row and column of a block: those of its pixels on the mask's grid, over the block's side."""

BlockSums = Mapping[Block, NDArray[Any]]
"""Of each block an array (size,), int64 or float64. Blocks without any may be left out."""


@dataclass(frozen=True)
class Scope:
    """What is known of a scene before its pixels come.

    Attributes:
        grid: of the mask.
        area: the pixels that come; nothing outside of it counts.
        block_px: side of the blocks in pixels, counted from pixel (0, 0) of the grid.
    """

    grid: Grid
    area: Window
    block_px: int


@dataclass(frozen=True)
class Piece:
    """The pixels of a window and, with a halo of h, those around it.

    Attributes:
        window: H x W pixels of the mask's grid.
        labels: uint8 (H + 2h, W + 2h), positions in the classes; 255 does not count: no label, no
            data in the mask, outside of the area or the AOI, beyond the raster.
        mask: as labels, and 255 at the very same pixels.
        scores: (K, H, W), without halo: uint8 in 1/254, or float; where one is no data, labels and
            mask still count. None: there are none.
        scored: bool (H, W), True where all scores are data; None as the scores.
        instances: int32, as labels: numbers of the labels' objects from 1, the same in all pieces,
            and 0 where there is none; None: the objects are the labels' components.
    """

    window: Window
    labels: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    scores: NDArray[Any] | None = None
    scored: NDArray[np.bool_] | None = None
    instances: NDArray[np.int32] | None = None


class Accumulator(Protocol):
    """Sums of one scene, as its pixels come.

    Attributes:
        halo: pixels around each window that it needs, on each side.
    """

    halo: int

    def add(self, piece: Piece) -> None:
        """Take in a piece. The windows partition the area, row by row, left to right.

        What comes of all must not depend on how the area is cut into windows.
        """

    def finish(self) -> BlockSums:
        """The sums, after the last piece.

        What spans blocks is counted whole in that of one defined pixel that counts, such as an
        object's first one, row by row.
        """


class Family(Protocol):
    """Metrics that are made of the same sums.

    Attributes:
        name: as `--metrics` calls it.
        size: length of the sums.
    """

    @property
    def name(self) -> str:
        """See above."""

    @property
    def size(self) -> int:
        """See above."""

    def start(self, scope: Scope) -> Accumulator:
        """What counts the pixels of a scene."""

    def measure(self, sums: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
        """Metrics (...) of sums (..., size), by name; NaN where undefined.

        Names are `metric`, or `metric.class` for one of a class; a metric has no dot. All names
        come for any sums, those of nothing too.
        """

    def describe(self, sums: NDArray[Any]) -> dict[str, Any]:
        """What else sums (size,) tell, counts and curves, ready for JSON: undefined is None."""


def cut_blocks(window: Window, block_px: int) -> Iterator[tuple[Block, tuple[slice, slice]]]:
    """The blocks that a window has pixels of, and where these are in an array of the window."""
    for cell in window.aligned(block_px).blocks(block_px, block_px):
        part = cell.intersect(window).relative_to(window)
        yield (cell.row_off // block_px, cell.col_off // block_px), part.slices()


def divide(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """Quotients, NaN where whole is 0: the share of nothing is neither 0 nor 1."""
    shape = np.broadcast_shapes(np.shape(part), np.shape(whole))
    quotient: NDArray[np.float64] = np.full(shape, np.nan)
    np.divide(part, whole, out=quotient, where=np.asarray(whole) != 0)
    return quotient


def mean_of_defined(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the last axis of what is not NaN; NaN where all is."""
    defined = ~np.isnan(values)
    return divide(np.where(defined, values, 0.0).sum(axis=-1), defined.sum(axis=-1))


def name_classes(metric: str, names: list[str], values: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """`metric.class` for each class, of values (..., K)."""
    return {f"{metric}.{name}": values[..., k] for k, name in enumerate(names)}
