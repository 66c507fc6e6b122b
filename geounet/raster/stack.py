"""Several files read as the bands of one scene."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from itertools import accumulate, pairwise
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from geounet.errors import InputError
from geounet.raster.dataset import open_dataset
from geounet.raster.grid import Grid
from geounet.raster.scene import Origin, Scene, open_scene
from geounet.raster.warping import open_warped
from geounet.raster.window import Window


class SceneLike(Protocol):
    """What prediction needs of a scene: one file, or several as its bands."""

    @property
    def path(self) -> str | Path:
        """What it is called in messages."""

    @property
    def files(self) -> tuple[str | Path, ...]:
        """All that it is read from."""

    @property
    def origins(self) -> tuple[Origin, ...]:
        """The files that it is read from, each as it is stored."""

    @property
    def grid(self) -> Grid:
        """All pixels."""

    @property
    def bands(self) -> tuple[int, ...]:
        """Chosen bands, from 1."""

    @property
    def count(self) -> int:
        """Number of them."""

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Smallest type that holds all of them."""

    @property
    def band_names(self) -> tuple[str | None, ...]:
        """What the files call them."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What one should know of it before one believes a map of it."""

    def read(self, window: Window) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Pixels (count, H, W) and validity (H, W); mirrored beyond the edge."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Stack:
    """Open files whose bands, one file after the other, are those of one scene.

    The first file decides the grid; files on other grids or in other CRSs are warped onto it
    (bilinear). A pixel is valid where it is in all files that bands are chosen of.

    Attributes:
        path: names of the files, for messages.
        grid: of the first file, also if none of its bands is chosen.
        bands: chosen ones, counted from 1 through all bands of all files.
        dtype: smallest type that holds all of them.
        band_names: the files' descriptions.
        notes: on the files, and on those that cover only a share of the first one.
    """

    def __init__(
        self,
        first: Scene,
        members: Sequence[Scene],
        numbers: Sequence[int],
        bands: Sequence[int],
        resources: ExitStack,
        notes: Sequence[str] = (),
    ) -> None:
        """Take over the first file and those with bands that are wanted.

        Args:
            first: has the grid.
            members: are read.
            numbers: of their bands.
            bands: those wanted, in order.
            resources: what the files are closed with.
            notes: on them.
        """
        self._members = tuple(members)
        self._files = self._members if first in self._members else (first, *self._members)
        self._order = [numbers.index(band) for band in bands]
        self._resources = resources.pop_all()
        self.path = " + ".join(Path(str(member.path)).name for member in members)
        self.grid = first.grid
        self.bands = tuple(bands)
        self.dtype: np.dtype[np.generic] = np.result_type(*(m.dtype for m in members))
        names = [name for member in members for name in member.band_names]
        self.band_names = tuple(names[i] for i in self._order)
        self.notes = tuple(notes)

    @property
    def files(self) -> tuple[str | Path, ...]:
        """All that it is read from."""
        return tuple(file for scene in self._files for file in scene.files)

    @property
    def origins(self) -> tuple[Origin, ...]:
        """Those of all files."""
        return tuple(origin for scene in self._files for origin in scene.origins)

    @property
    def count(self) -> int:
        """Number of chosen bands."""
        return len(self.bands)

    def read(self, window: Window) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """See `Scene.read`.

        Raises:
            InputError: a file cannot be read there.
        """
        reads = [member.read(window) for member in self._members]
        pixels = np.concatenate([image.astype(self.dtype, copy=False) for image, _ in reads])
        valid = np.logical_and.reduce([valid for _, valid in reads])
        if self._order != list(range(len(pixels))):
            pixels = pixels[self._order]
        return pixels, valid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._resources.close()


def open_stack(files: Sequence[str | Path], bands: Sequence[int] | None = None) -> Stack:
    """Open files as the bands of one scene.

    Args:
        files: the first decides the grid.
        bands: bands from 1, counted through all bands of all files, in the order wanted; None: all
            but alpha.

    Raises:
        InputError: a file cannot be read, or brought onto the grid, or lies elsewhere than the
            first, or there is no such band.
    """
    with ExitStack() as resources:
        starts = _count_bands(files)
        chosen = _share_out(bands, starts)
        first = resources.enter_context(open_scene(files[0], chosen[0] or None))
        members, numbers = [], []
        for start, file, own in zip(starts, files, chosen, strict=False):
            if own == []:
                continue
            member = first
            if start > 0:
                member = resources.enter_context(open_warped(file, first.grid, "bilinear", own))
            members.append(member)
            numbers += [start + band for band in member.bands]
        notes = [note for member in members for note in member.notes]
        notes += _compare_extents(first, members, numbers)
        return Stack(first, members, numbers, bands or numbers, resources, notes)


def _count_bands(files: Sequence[str | Path]) -> list[int]:
    """How many bands, alpha or not, come before each file, and in all."""
    counts = []
    for file in files:
        with open_dataset(file) as dataset:
            counts.append(dataset.count)
    return list(accumulate(counts, initial=0))


def _share_out(bands: Sequence[int] | None, starts: Sequence[int]) -> list[list[int] | None]:
    """The bands of each file by its own numbers; None: all but alpha.

    Raises:
        InputError: one is of no file.
    """
    if bands is None:
        return [None] * (len(starts) - 1)
    if wrong := [band for band in bands if not 1 <= band <= starts[-1]]:
        raise InputError(
            f"the stack has bands 1 to {starts[-1]}, not {wrong[0]}; choose others with --bands"
        )
    return [
        [band - start for band in bands if start < band <= stop] for start, stop in pairwise(starts)
    ]


def _compare_extents(first: Scene, members: Sequence[Scene], numbers: Sequence[int]) -> list[str]:
    """A note on each file that leaves out some of the first one's pixels.

    Raises:
        InputError: one has none of them.
    """
    notes, count = [], 0
    for member in members:
        band = numbers[count]
        share = 1.0
        if first.grid.is_georeferenced and member is not first:
            (origin,) = member.origins  # a warped one has the first one's grid
            share = first.grid.share_in(origin.grid)
        if share == 0:
            raise InputError(
                f"band {band} ({member.path}) does not overlap the first ({first.path}); give "
                "files of one place"
            )
        if share < 0.9995:
            notes.append(
                f"band {band} ({member.path}) covers {100 * share:.1f} % of the first "
                f"({first.path}); the rest is no data"
            )
        count += member.count
    return notes
