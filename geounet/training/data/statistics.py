"""What the training pixels are like: mean and deviation of each band, pixels of each class."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from geounet.errors import InputError
from geounet.progress import Progress, ProgressCallback, ignore_progress
from geounet.raster import Window
from geounet.training.data.room import Room
from geounet.training.data.sources import Sample, SourceReader

MAX_PIXELS = 64 * 2**20
"""Of larger training parts only so many pixels are read, in blocks chosen by chance."""

BLOCK = 512

CONSTANT = 1e-12
"""Deviations below this share of the mean are rounding."""

Take = Callable[[int, Window, Sample], None]
"""What is called with a scene, a window of it, and what is in it."""


@dataclass
class Moments:
    """Running mean and deviation of some bands, by Chan, Golub and LeVeque (1979), in float64."""

    count: int = 0
    mean: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    squares: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def add(self, values: NDArray[np.generic]) -> None:
        """Take account of more pixels, (bands, n)."""
        added = values.shape[1]
        if not added:
            return
        exact = values.astype(np.float64)
        mean = exact.mean(axis=1)
        squares = ((exact - mean[:, None]) ** 2).sum(axis=1)
        if not self.count:
            self.count, self.mean, self.squares = added, mean, squares
            return
        total = self.count + added
        shift = mean - self.mean
        self.squares = self.squares + squares + shift**2 * (self.count * added / total)
        self.mean = self.mean + shift * (added / total)
        self.count = total

    @property
    def deviation(self) -> NDArray[np.float64]:
        """Standard deviation of each band (population); 1 where constant."""
        deviation: NDArray[np.float64] = np.sqrt(self.squares / max(self.count, 1))
        return np.where(deviation > CONSTANT * np.abs(self.mean), deviation, 1.0)


@dataclass(frozen=True)
class Statistics:
    """The training pixels in numbers.

    Attributes:
        mean: of each band over the valid pixels inside the AOI.
        deviation: standard deviation over them; 1 for a constant band.
        class_shares: share of each class in the labelled pixels, in the order of the classes.
        labelled_share: labelled pixels among all that were read.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    class_shares: tuple[float, ...]
    labelled_share: float


def measure_rooms(
    reader: SourceReader,
    rooms: Sequence[Room],
    class_values: Sequence[int],
    progress: ProgressCallback = ignore_progress,
    take: Take = lambda *_: None,
    *,
    whole: bool = False,
) -> Statistics:
    """Read the training pixels once; of many a sample, and the rest until something is labelled.

    Args:
        reader: of the scenes.
        rooms: the training pixels.
        class_values: in the order of the classes.
        progress: called at each block.
        take: called with each block that is read.
        whole: read all blocks for it; values are of the sample all the same.

    Raises:
        InputError: none is labelled, or a file cannot be read.
    """
    everything = list(_cut(rooms))
    blocks = _thin(everything, MAX_PIXELS // BLOCK**2)
    moments, counts, pixels = Moments(), np.zeros(256, np.int64), 0
    chosen = set(blocks)
    rest = (block for block in everything if block not in chosen)
    total = len(everything) if whole else len(blocks)
    for done, (scene, window) in enumerate(chain(blocks, rest)):
        if done >= total and counts[list(class_values)].any():
            break
        progress(Progress("statistics", min(done, total), total, "blocks"))
        sample = reader.read(scene, window)
        take(scene, window, sample)
        if done < len(blocks) or not whole:
            moments.add(sample.image[:, sample.usable])
        counts += np.bincount(sample.labels.ravel(), minlength=256)
        pixels += window.area
    progress(Progress("statistics", total, total, "blocks"))
    known = counts[list(class_values)]
    if not known.sum():
        raise InputError(
            f"none of {pixels} training pixels is labelled and has data; check that the labels "
            "lie on the images, and --aoi, --bbox and --ignore"
        )
    return Statistics(
        mean=tuple(moments.mean.tolist()),
        deviation=tuple(moments.deviation.tolist()),
        class_shares=tuple((known / known.sum()).tolist()),
        labelled_share=float(known.sum() / pixels),
    )


def _cut(rooms: Iterable[Room]) -> Iterable[tuple[int, Window]]:
    for room in rooms:
        for piece in room.pieces:
            for window in piece.blocks(BLOCK, BLOCK):
                yield room.scene, window


def _thin(blocks: Sequence[tuple[int, Window]], most: int) -> list[tuple[int, Window]]:
    """At most `most` of the blocks, always the same ones; in their order."""
    chosen = np.random.default_rng(0).permutation(len(blocks))[:most]
    return [blocks[i] for i in np.sort(chosen)]
