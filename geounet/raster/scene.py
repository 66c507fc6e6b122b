"""A scene: an open raster whose windows may reach beyond its edges."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import numpy as np
import rasterio.windows
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader

from geounet.errors import InputError
from geounet.raster.dataset import grid_of, one_line, open_dataset
from geounet.raster.grid import Grid
from geounet.raster.mistrust import refuse_failed, remember_failure
from geounet.raster.paths import find_stored, name_of
from geounet.raster.remote import try_again
from geounet.raster.sources import list_files
from geounet.raster.validity import ValidityRule, find_alphas, make_rule
from geounet.raster.window import Window, mirror_indices

T = TypeVar("T", bound=np.generic)

ALPHA_NAMES = "alpha|mask|transparen|opacity|valid"
"""What is in the names of bands that say which pixels are data."""


@dataclass(frozen=True)
class Origin:
    """A file that is read as it is stored, whatever grid it is shown on.

    Attributes:
        grid: its own pixels.
        rule: which of them are data. Like the grid it may come from a file beside it.
    """

    grid: Grid
    rule: ValidityRule


class Scene:
    """An open raster and the bands chosen of it. One handle: use it in one thread.

    Attributes:
        path: As it was given.
        name: Its name without folder and suffix.
        grid: All pixels.
        bands: Chosen bands of the file, from 1.
        band_names: The file's description of each, if any.
        dtype: Smallest type that holds all of them.
        nodata: The value that marks no data in all of them, if it is the same.
        block_shape: (height, width) of the storage blocks.
    """

    def __init__(
        self,
        dataset: DatasetReader,
        path: str | Path,
        bands: Sequence[int],
        resources: ExitStack,
        source: Scene | None = None,
    ) -> None:
        """Take over the resources, the dataset among them. Prefer `open_scene`.

        `source` is the file as it is stored, if the dataset shows its bands on another grid.
        """
        self._dataset = dataset
        self._source = source
        self._bands = list(bands)
        self.path = path
        self.name = name_of(path)
        self.grid = grid_of(dataset, path)
        self.bands: tuple[int, ...] = tuple(bands) if source is None else source.bands
        names = dataset.descriptions  # rasterio asks GDAL about every band, each time
        self.band_names = tuple(names[b - 1] or None for b in bands)
        self.dtype: np.dtype[np.generic] = np.result_type(*(dataset.dtypes[b - 1] for b in bands))
        self.block_shape: tuple[int, int] = dataset.block_shapes[bands[0] - 1]
        self._rule = make_rule(dataset, bands)
        self._resources = resources.pop_all()

    @property
    def alphas(self) -> tuple[int, ...]:
        """Bands, from 1, that are not chosen and say which pixels are data."""
        return self._rule.alphas

    @property
    def notes(self) -> tuple[str, ...]:
        """Bands that count as transparency, but by their names are none."""
        if self._source is not None:
            return self._source.notes
        every = ",".join(map(str, self._dataset.indexes))
        return tuple(
            f"band {band} ({name}) of {self.path} counts as transparency, since the file says that "
            f"it is alpha; if it is a band like others, say so with --bands {every}"
            for band in self.alphas
            if (name := self._dataset.descriptions[band - 1])
            and not re.search(ALPHA_NAMES, name, re.IGNORECASE)
        )

    @cached_property
    def files(self) -> tuple[str | Path, ...]:
        """All that it is read from: files beside it, a VRT's sources and theirs, too."""
        if self._source is not None:
            return self._source.files
        return tuple(list_files(self._dataset)) or (self.path,)

    @property
    def origins(self) -> tuple[Origin, ...]:
        """The file that it is read from."""
        return (Origin(self.grid, self._rule),) if self._source is None else self._source.origins

    @property
    def count(self) -> int:
        """Number of chosen bands."""
        return len(self.bands)

    @property
    def nodata(self) -> float | None:
        """The value that marks no data in every chosen band; None if there is no such value."""
        first, *others = (self._dataset.nodatavals[b - 1] for b in self._bands)
        same = all(other == first or (other != other and first != first) for other in others)  # NaN
        return first if same else None

    @property
    def palette(self) -> dict[int, str] | None:
        """Colours of a palette image's pixels, as `#rrggbb`, in their order; None of others."""
        if self._dataset.colorinterp[self._bands[0] - 1] != ColorInterp.palette:
            return None
        colours = self._dataset.colormap(self._bands[0])
        return {
            index: f"#{red:02x}{green:02x}{blue:02x}"
            for index, (red, green, blue, _) in sorted(colours.items())
        }

    def read(self, window: Window) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Pixels (count, H, W) of `dtype`, and whether they are data (H, W).

        The window may reach beyond the scene on any side, by any amount: there both arrays are
        mirrored as by `mirror_indices`. A pixel is valid if it is data in every chosen band.

        Raises:
            InputError: the file cannot be read there.
        """
        row_off, row_end, rows = find_span(window.row_off, window.row_end, self.grid.height)
        col_off, col_end, cols = find_span(window.col_off, window.col_end, self.grid.width)
        inside = Window(
            row_off=row_off, col_off=col_off, height=row_end - row_off, width=col_end - col_off
        )
        pixels, valid = self.read_scaled(inside, inside.shape)
        return mirror(pixels, rows, cols), mirror(valid, rows, cols)

    def read_scaled(
        self, window: Window, shape: tuple[int, int]
    ) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """As `read`, of a window inside the scene, resampled (nearest, overviews) to a shape."""
        if window.area == 0:
            return np.empty((self.count, *shape), self.dtype), np.ones(shape, bool)
        inside = rasterio.windows.Window(
            window.col_off, window.row_off, window.width, window.height
        )
        try:
            return try_again(self.path, lambda: self._read_once(inside, shape), self._reopen)
        except RasterioIOError as error:
            remember_failure(self._dataset, self.path)
            raise InputError(
                f"{self.path} cannot be read at rows {window.row_off}-{window.row_end}, columns "
                f"{window.col_off}-{window.col_end} ({one_line(error)}); {_advise(self.path)}"
            ) from error

    def _read_once(
        self, window: rasterio.windows.Window, shape: tuple[int, int]
    ) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        pixels = self._read_bands(window, shape)
        return pixels, self._rule.apply(self._dataset, pixels, window)

    def _reopen(self) -> None:
        """Forget what a broken answer has brought. What is made of others is left as it is."""
        if isinstance(self._dataset, DatasetReader) and self._dataset.driver != "VRT":
            self._dataset.close()
            self._dataset = self._resources.enter_context(open_dataset(self.path))

    def _read_bands(
        self, window: rasterio.windows.Window, shape: tuple[int, int]
    ) -> NDArray[np.generic]:
        dataset, bands = self._dataset, self._bands
        pixels: NDArray[np.generic] = np.empty((self.count, *shape), self.dtype)
        if len({dataset.dtypes[b - 1] for b in bands}) == 1:
            dataset.read(bands, window=window, out=pixels)
            return pixels
        for band, target in zip(bands, pixels, strict=True):  # rasterio reads one type at a time
            dataset.read(band, window=window, out=target)
        return pixels

    def close(self) -> None:
        """Close the file."""
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_scene(
    path: str | Path, bands: Sequence[int] | None = None, *, allow_palette: bool = False
) -> Scene:
    """Open a raster for reading: a path, URL, or anything else that GDAL opens.

    Args:
        path: Where it is.
        bands: Bands from 1, in the order wanted; None: all but alpha.
        allow_palette: Take the indices of a palette image for pixels, as labels and masks mean it.

    Raises:
        InputError: it cannot be read as the pixels of an image; the message says why.
    """
    refuse_failed(path)
    with ExitStack() as stack:
        dataset = stack.enter_context(open_dataset(path))
        chosen = choose_bands(dataset, path, bands, allow_palette=allow_palette)
        return Scene(dataset, path, chosen, stack)


def choose_bands(
    dataset: DatasetReader,
    path: str | Path,
    bands: Sequence[int] | None,
    *,
    allow_palette: bool = False,
) -> tuple[int, ...]:
    """These bands of a dataset, default all but alpha, once they are known to hold pixels.

    Raises:
        InputError: there is no such band, it holds a palette's indices, or complex numbers.
    """
    alphas = find_alphas(dataset)
    chosen = tuple(bands or (b for b in dataset.indexes if b not in alphas))
    if not chosen:
        raise InputError(f"{path} has only an alpha band; choose it with --bands 1 to use it")
    meanings, known = dataset.colorinterp, set(dataset.indexes)
    for band in chosen:
        if band not in known:
            raise InputError(f"{path} has bands 1 to {dataset.count}, not {band}; choose others")
        if dataset.dtypes[band - 1].startswith("complex"):
            raise InputError(
                f"{path} has complex numbers in band {band}; give amplitude or intensity instead"
            )
        if meanings[band - 1] == ColorInterp.palette and not allow_palette:
            raise InputError(
                f"{path} is a palette image: band {band} holds indices of colours; "
                "expand it first: gdal_translate -expand rgb"
            )
    return chosen


def _advise(path: str | Path) -> str:
    if find_stored(path) is None:
        return "the server failed, or the file is damaged: try again later"
    return "the file is damaged or incomplete, fetch it again"


def find_span(start: int, stop: int, size: int) -> tuple[int, int, NDArray[np.intp] | None]:
    """What to read of an axis, and how to mirror it into start..stop: None if as it is."""
    if start >= stop:
        return 0, 0, None
    if start >= 0 and stop <= size:
        return start, stop, None
    indices = mirror_indices(start, stop, size)
    first = int(indices.min())
    return first, int(indices.max()) + 1, indices - first


def mirror(
    array: NDArray[T], rows: NDArray[np.intp] | None, cols: NDArray[np.intp] | None
) -> NDArray[T]:
    """Continue an array (..., H, W) beyond its edges."""
    if rows is not None:
        array = array.take(rows, axis=-2)
    return array if cols is None else array.take(cols, axis=-1)
