"""Masks, and the confidences and scores of their pixels, as files read in strips."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from geounet.classes import NODATA
from geounet.errors import InputError
from geounet.raster import ClassTable, Grid, Scene, Window, open_scene
from geounet.wording import counted

STRIP_BYTES = 32 << 20
"""Read at once, in whole rows of storage blocks: no block is decoded twice."""

MOST_BYTES = 128 << 20
"""A row of storage blocks that takes more is read in several strips, and decoded for each."""


class Raster(Protocol):
    """What is read of a mask, its confidence or its scores: a `Scene`, or a `Mosaic`."""

    @property
    def path(self) -> str | Path:
        """What it is called in messages."""

    @property
    def grid(self) -> Grid:
        """All pixels."""

    @property
    def count(self) -> int:
        """Number of bands."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels."""

    @property
    def band_names(self) -> tuple[str | None, ...]:
        """What the file calls its bands."""

    @property
    def block_shape(self) -> tuple[int, int]:
        """(height, width) of the storage blocks."""

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Pixels (count, H, W) and validity (H, W)."""


@dataclass(frozen=True)
class Strip:
    """Whole rows of a mask.

    Attributes:
        window: where they are.
        values: class values, uint8 (H, W), 255 where there is no data.
        confidence: uint8 0-254 or float 0-1 (H, W); None if there is none.
        scores: of the same kinds (bands, H, W); None if there are none.
    """

    window: Window
    values: NDArray[np.uint8]
    confidence: NDArray[Any] | None
    scores: NDArray[Any] | None

    def split(self, rows: int) -> Iterator[Strip]:
        """The same rows in strips of so many, or fewer at the end."""
        for window in self.window.blocks(rows, self.window.width):
            first = window.row_off - self.window.row_off
            some = slice(first, first + window.height)
            confidence = None if self.confidence is None else self.confidence[some]
            scores = None if self.scores is None else self.scores[:, some]
            yield Strip(window, self.values[some], confidence, scores)


@dataclass(frozen=True)
class MaskFiles:
    """A mask, and what is known of its pixels on the same grid.

    Attributes:
        mask: one band of integers.
        confidence: one band of uint8 or floats, if it is known.
        scores: a band of uint8 or floats for each class, if they are known.
        bands: by class value, the band that has its score, from 0.
    """

    mask: Raster
    confidence: Raster | None = None
    scores: Raster | None = None
    bands: Mapping[int, int] = field(default_factory=dict)

    @property
    def is_sure(self) -> bool:
        """Whether the confidence of every pixel is known: without its own file, from the scores."""
        return self.confidence is not None or self.scores is not None

    @property
    def score_names(self) -> tuple[str, ...]:
        """Classes of the bands of the scores."""
        return () if self.scores is None else tuple(map(str, self.scores.band_names))


@dataclass(frozen=True)
class MaskSource:
    """A mask to make polygons of.

    Attributes:
        name: of its file.
        files: the mask, and what is known of its pixels.
        table: its classes.
        values: those to make polygons of.
        bands: whole rows, from top to bottom, each as soon as it can be read; None: all can be.
        release: whether the file of the polygons, which it is given, may be moved to its place.
    """

    name: str
    files: MaskFiles
    table: ClassTable
    values: Collection[int]
    bands: Iterable[Window] | None = None
    release: Callable[[Path], bool] = lambda _: True


def open_mask(path: str | Path) -> Scene:
    """Open a mask.

    Raises:
        InputError: it is not one band of integers.
    """
    scene = open_scene(path, allow_palette=True)
    if scene.count != 1 or scene.dtype.kind not in "iu":
        found = f"{scene.count} bands of {scene.dtype}" if scene.count > 1 else f"{scene.dtype}"
        scene.close()
        raise InputError(f"{path} is no mask: {found}; give one band of integer class values")
    return scene


def open_confidence(path: str | Path, mask: Scene) -> Scene:
    """Open the confidence that belongs to a mask.

    Raises:
        InputError: it is not one band of uint8 or floats, or not on the mask's grid.
    """
    scene = open_scene(path)
    problem = None
    if scene.count != 1 or not (scene.dtype == np.uint8 or scene.dtype.kind == "f"):
        problem = f"has {counted(scene.count, 'band')} of {scene.dtype}"
    elif not scene.grid.matches(mask.grid):
        problem = f"is not on the grid of {mask.path}"
    if problem is not None:
        scene.close()
        raise InputError(f"{path} {problem}; give the confidence that predict wrote with the mask")
    return scene


def open_scores(path: str | Path, mask: Scene) -> Scene:
    """Open the scores that belong to a mask.

    Raises:
        InputError: they are not bands of uint8 or floats named after classes, or not on the mask's
            grid.
    """
    scene = open_scene(path)
    problem = None
    if not (scene.dtype == np.uint8 or scene.dtype.kind == "f"):
        problem = f"has bands of {scene.dtype}"
    elif not all(scene.band_names) or len(set(scene.band_names)) < scene.count:
        problem = "does not name its bands after classes"
    elif not scene.grid.matches(mask.grid):
        problem = f"is not on the grid of {mask.path}"
    if problem is not None:
        scene.close()
        raise InputError(f"{path} {problem}; give the scores that predict wrote with the mask")
    return scene


def match_bands(scores: Raster, table: ClassTable, wanted: Collection[int]) -> dict[int, int]:
    """By value of the wanted classes, the band of scores that has their name, from 0."""
    numbers = {name: number for number, name in enumerate(scores.band_names)}
    names = {value: table.name_of(value) for value in wanted}
    return {value: numbers[name] for value, name in names.items() if name in numbers}


def read_strips(
    files: MaskFiles, wanted: Collection[int], bands: Iterable[Window] | None = None
) -> Iterator[Strip]:
    """A mask from top to bottom, with confidence and scores of the wanted classes' pixels.

    Args:
        files: the mask, and what is known of its pixels.
        wanted: values of the classes.
        bands: as in `MaskSource`.

    Raises:
        InputError: it has values over 255 or under 0, a wanted pixel has no confidence or no
            scores, or there is no score of its class.
    """
    rows = _choose_rows(files)
    is_wanted = np.isin(np.arange(NODATA + 1), list(wanted))
    bands = [files.mask.grid.extent] if bands is None else bands
    for window in chain.from_iterable(band.blocks(rows, band.width) for band in bands):
        yield _read_strip(files, is_wanted, window)


def _choose_rows(files: MaskFiles) -> int:
    """Rows of a strip, by the bytes that they take: a very wide mask has low strips."""
    mask, scores = files.mask, files.scores
    block = mask.block_shape[0]
    size = 1 if scores is None else 1 + scores.count * scores.dtype.itemsize
    block_row = size * mask.grid.width * block
    if block_row > MOST_BYTES:
        return max(1, block // -(-block_row // MOST_BYTES))
    return max(1, STRIP_BYTES // block_row) * block


def _read_strip(files: MaskFiles, is_wanted: NDArray[np.bool_], window: Window) -> Strip:
    values = _read_values(files.mask, window)
    chosen = is_wanted[values]
    scores = None if files.scores is None else _read_shares(files.scores, window, chosen)
    confidence = None
    if files.confidence is not None:
        confidence = _read_shares(files.confidence, window, chosen)[0]
    elif scores is not None:
        confidence = _pick_own(scores, values, chosen, files)
    return Strip(window, values, confidence, scores)


def _read_values(mask: Raster, window: Window) -> NDArray[np.uint8]:
    pixels, valid = mask.read(window)
    if mask.dtype == np.uint8:
        values: NDArray[np.uint8] = pixels[0]
        np.putmask(values, ~valid, NODATA)
        return values
    values = np.where(valid, pixels[0], NODATA)
    if values.size:
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > NODATA:
            wrong = low if low < 0 else high
            raise InputError(f"{mask.path} has the value {wrong}; a mask has classes 0 to 254")
    return values.astype(np.uint8)


def _read_shares(scene: Raster, window: Window, wanted: NDArray[np.bool_]) -> NDArray[Any]:
    """Confidence or scores (bands, H, W), 0 where not wanted."""
    pixels, valid = scene.read(window)
    shares: NDArray[Any] = pixels
    full = NODATA - 1 if shares.dtype == np.uint8 else 1 + 1e-5  # rounded, or blended
    wrong = wanted & ~valid
    for band in shares:  # one by one: each takes half of its own memory
        wrong |= wanted & ~((band >= 0) & (band <= full))
    if wrong.any():
        row, col = np.argwhere(wrong)[0]
        what = "scores" if scene.count > 1 else "confidence"
        raise InputError(
            f"{scene.path} has no {what} in row {window.row_off + row}, column {col}, but the "
            f"mask has a class there; give the {what} that predict wrote with the mask"
        )
    np.copyto(shares, 0, where=~wanted)  # an index of them would take 16 bytes each
    return shares


def _pick_own(
    scores: NDArray[Any], values: NDArray[np.uint8], wanted: NDArray[np.bool_], files: MaskFiles
) -> NDArray[Any]:
    """The score of each pixel's own class (H, W), 0 where not wanted."""
    bands = np.full(NODATA + 1, -1, np.int16)
    bands[list(files.bands)] = list(files.bands.values())
    if (strange := wanted & (bands[values] < 0)).any():
        raise InputError(
            f"{files.mask.path} has class {values[strange][0]}, but the scores are those of "
            f"{', '.join(files.score_names)}; give the scores that predict wrote with the mask"
        )
    own: NDArray[Any] = np.take_along_axis(scores, bands[values][None], axis=0)[0]
    own[~wanted] = 0
    return own
