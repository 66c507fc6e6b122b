"""A scene read at another pixel size."""

from __future__ import annotations

import math
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from scipy.sparse import csr_array

from geounet.raster.grid import Grid
from geounet.raster.scene import Origin, find_span, mirror
from geounet.raster.stack import SceneLike
from geounet.raster.window import Window

STRIP_BYTES = 32 * 2**20
"""Bytes of float64 that are computed at a time, unless one pixel takes more."""

LEAST_ROWS = 8
"""Rows for which the width is cut: with fewer, what is read twice around them would count."""

SLACK = 1e-6
"""Share of a pixel by which a scene may reach into a further one without having it."""


class Resampled:
    """A scene whose pixels are `scale` times as large (more than 1: fewer pixels).

    A pixel is the mean of the source's valid pixels around its centre, weighted by a triangle that
    falls to 0 at one pixel, of the source or of this, whichever is larger: bilinear when enlarging,
    without aliasing when shrinking. It is valid if the centre of a valid pixel of the source lies
    in it, or its own centre in a valid pixel: so none of the source's data is lost. All is computed
    from distances in the source: no value depends on the window that is read.

    Attributes:
        source: what it is read from.
        scale: its pixel size by the source's.
        grid: same corner and CRS; the last row and column may reach beyond the source's edge.
    """

    def __init__(self, source: SceneLike, scale: float) -> None:
        """Take over the source, to close it in the end."""
        self.source = source
        self.scale = scale
        own = source.grid
        height, width = (max(1, math.ceil(size / scale - SLACK)) for size in own.shape)
        self.grid = Grid(height, width, own.transform @ Affine.scale(scale), own.crs)

    @property
    def path(self) -> str | Path:
        """The source's."""
        return self.source.path

    @property
    def files(self) -> tuple[str | Path, ...]:
        """The source's."""
        return self.source.files

    @property
    def origins(self) -> tuple[Origin, ...]:
        """The source's."""
        return self.source.origins

    @property
    def bands(self) -> tuple[int, ...]:
        """The source's."""
        return self.source.bands

    @property
    def count(self) -> int:
        """Number of bands."""
        return self.source.count

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The source's; integers are rounded."""
        return self.source.dtype

    @property
    def band_names(self) -> tuple[str | None, ...]:
        """The source's."""
        return self.source.band_names

    @property
    def notes(self) -> tuple[str, ...]:
        """The source's."""
        return self.source.notes

    def read(self, window: Window) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """See `Scene.read`; pixels that are not valid are 0.

        Raises:
            InputError: a file cannot be read there.
        """
        row_off, row_end, rows = find_span(window.row_off, window.row_end, self.grid.height)
        col_off, col_end, cols = find_span(window.col_off, window.col_end, self.grid.width)
        inside = Window(
            row_off=row_off, col_off=col_off, height=row_end - row_off, width=col_end - col_off
        )
        pixels = np.zeros((self.count, *inside.shape), self.dtype)
        valid = np.zeros(inside.shape, bool)
        for block in inside.blocks(*self._block_shape(inside)):
            here = block.relative_to(inside).slices()
            pixels[:, *here], valid[here] = self._compute(block)
        return mirror(pixels, rows, cols), mirror(valid, rows, cols)

    def rows_under(self, window: Window) -> NDArray[np.intp]:
        """The row under the centre of each row of a window of the source: the nearest."""
        rows = np.arange(window.row_off, window.row_end)
        return _find_under(rows, self.scale, self.grid.height)

    def cols_under(self, window: Window) -> NDArray[np.intp]:
        """The same of columns."""
        cols = np.arange(window.col_off, window.col_end)
        return _find_under(cols, self.scale, self.grid.width)

    def window_under(self, window: Window) -> Window:
        """The smallest that holds what is under the centres of a window of the source."""
        rows, cols = self.rows_under(window), self.cols_under(window)
        return Window(
            row_off=int(rows[0]),
            col_off=int(cols[0]),
            height=int(rows[-1] - rows[0]) + 1,
            width=int(cols[-1] - cols[0]) + 1,
        )

    def _block_shape(self, window: Window) -> tuple[int, int]:
        """Rows and columns to compute at a time: all columns unless rows would be too few."""
        cols = min(window.width, self._count_fitting(min(window.height, LEAST_ROWS)))
        return self._count_fitting(cols), max(1, cols)

    def _count_fitting(self, others: int) -> int:
        """Pixels of one axis to compute at a time with so many of the other; at least one."""
        radius = max(1.0, self.scale)
        most = STRIP_BYTES / (8 * (self.count + 1)) / ((others + 2) * radius + 2)
        return max(1, int((most - 2) / radius - 2))

    def _compute(self, window: Window) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Pixels and validity of a window inside the grid."""
        height, width = self.source.grid.shape
        rows = _Axis(window.row_off, window.row_end, self.scale, (height, self.grid.height))
        cols = _Axis(window.col_off, window.col_end, self.scale, (width, self.grid.width))
        pixels, data = self.source.read(
            Window(
                row_off=rows.start,
                col_off=cols.start,
                height=rows.stop - rows.start,
                width=cols.stop - cols.start,
            )
        )
        layers = np.zeros((self.count + 1, *data.shape))
        np.copyto(layers[:-1], pixels, where=data)
        layers[-1] = data
        sums = _multiply(rows.weights, layers, cols.weights)
        valid = np.ones(window.shape, bool)
        if not data.all():
            valid = _multiply(rows.members, layers[-1:], cols.members)[0] > 0
        means = sums[:-1] / np.where(valid, sums[-1], np.inf)
        return _to_dtype(means, self.dtype), valid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.source.__exit__(kind, error, trace)


class _Axis:
    """How rows (or columns) start..stop of the resampled scene are made of the source's.

    Attributes:
        start: first row of the source that matters.
        stop: the end of them.
        weights: (resampled, source): the triangle, whose sum is 1 but for the scene's edge.
        members: (resampled, source): 1 where a centre of one lies in the other.
    """

    def __init__(self, start: int, stop: int, scale: float, sizes: tuple[int, int]) -> None:
        size, own_size = sizes
        centres = (np.arange(start, stop) + 0.5) * scale  # in pixels of the source
        radius = max(1.0, scale)
        first = np.maximum(np.floor(centres - radius).astype(np.intp), 0)
        last = np.minimum(np.ceil(centres + radius).astype(np.intp), size) - 1
        spread = first[:, None] + np.arange(math.ceil(2 * radius) + 2)
        inside = spread <= last[:, None]
        self.start, self.stop = int(first[0]), int(last[-1]) + 1
        distances = np.abs(spread + 0.5 - centres[:, None])
        weights = np.maximum(0, 1 - distances / radius) / radius
        nearest = np.clip(np.floor(centres).astype(np.intp), 0, size - 1)
        under = _find_under(spread, scale, own_size)
        members = (under == np.arange(start, stop)[:, None]) | (spread == nearest[:, None])
        self.weights = self._to_sparse(weights, spread, inside)
        self.members = self._to_sparse(members.astype(float), spread, inside)

    def _to_sparse(
        self, values: NDArray[np.float64], spread: NDArray[np.intp], inside: NDArray[np.bool_]
    ) -> Any:  # noqa: ANN401 - scipy has no types
        """A sparse matrix of the values that lie inside, in the order of the source."""
        ends = np.concatenate([[0], np.cumsum(inside.sum(axis=1))])
        shape = (len(spread), self.stop - self.start)
        return csr_array((values[inside], spread[inside] - self.start, ends), shape=shape)


def _find_under(positions: NDArray[np.intp], scale: float, size: int) -> NDArray[np.intp]:
    """The resampled positions, of `size`, under the centres of some of the source's."""
    found: NDArray[np.intp] = np.floor((positions + 0.5) / scale).astype(np.intp)
    return np.minimum(found, size - 1)


def _multiply(rows: Any, layers: NDArray[np.float64], cols: Any) -> NDArray[np.float64]:  # noqa: ANN401
    """`rows @ layer @ cols.T` of each layer (n, h, w), always summed in the same order."""
    count, height, width = layers.shape
    across = rows @ layers.transpose(1, 0, 2).reshape(height, count * width)
    across = across.reshape(len(across) * count, width)
    down: NDArray[np.float64] = (cols @ np.ascontiguousarray(across.T)).T
    return down.reshape(-1, count, down.shape[-1]).transpose(1, 0, 2)


def _to_dtype(values: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """As a scene's dtype: integers rounded, and within what the type holds."""
    if dtype.kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    top = float(limits.max)
    if top > limits.max:  # float64 knows no 2^63 - 1
        top = float(np.nextafter(top, 0))
    return np.clip(np.rint(values), limits.min, top).astype(dtype)
