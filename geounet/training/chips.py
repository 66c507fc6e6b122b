"""Training samples: random windows, read by threads straight from the images.

Chip `i` of an epoch is a function of (seed, epoch, i) alone, whoever reads it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice, product
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from geounet.classes import NODATA
from geounet.inference import interleave, threaded
from geounet.raster import Window, mirror_indices
from geounet.training.room import Room
from geounet.training.sources import Reading, Sample, Source, SourceReader

T = TypeVar("T", bound=np.generic)

ATTEMPTS = 16
"""Windows tried for a chip until one has a label."""

BATCHES_AHEAD = 3


@dataclass(frozen=True)
class ChipPlan:
    """Which chips there are.

    Attributes:
        rooms: where they may lie.
        chip: side in pixels.
        context: pixels around the chip that the network needs; images are that much larger than
            labels on each side.
        seed: first part of every chip's random numbers.
    """

    rooms: tuple[Room, ...]
    chip: int
    context: int
    seed: int

    def windows(self, epoch: int, index: int) -> Iterator[tuple[Room, Window]]:
        """What to try for a chip, in order; the first with a label is the chip."""
        rng = np.random.default_rng([self.seed, epoch, index])
        pixels = np.cumsum([room.pixels for room in self.rooms])
        for _ in range(ATTEMPTS):
            room = self.rooms[int(np.searchsorted(pixels, rng.integers(pixels[-1]), side="right"))]
            yield room, room.window(int(rng.integers(2**62)))


@dataclass(frozen=True)
class Chip:
    """A training sample.

    Attributes:
        image: (bands, h, w), the image's own dtype and values.
        valid: bool (h, w), True = data.
        labels: uint8 (H, W) channel indices; 255 is ignored. The central pixels of the image.
    """

    image: NDArray[np.generic]
    valid: NDArray[np.bool_]
    labels: NDArray[np.uint8]


@dataclass(frozen=True)
class Batch:
    """N chips.

    Attributes:
        image: (N, bands, h, w).
        valid: bool (N, h, w), True = data.
        labels: uint8 (N, H, W) channel indices; 255 is ignored.
    """

    image: NDArray[np.generic]
    valid: NDArray[np.bool_]
    labels: NDArray[np.uint8]


@dataclass(frozen=True)
class ChipStream:
    """Reads chips in batches, ahead of their use, by threads with handles of their own.

    Attributes:
        sources: what the plan's rooms count.
        reading: how to read them.
        plan: which chips there are.
        batch: chips per batch.
        workers: threads; 0: the calling one. The chips are the same.
    """

    sources: Sequence[Source]
    reading: Reading
    plan: ChipPlan
    batch: int
    workers: int

    def batches(self, epochs: int, steps: int) -> Generator[Batch]:
        """The batches of epochs 1 to `epochs`, `steps` of each."""
        count = max(self.workers, 1)
        depth = -(-BATCHES_AHEAD * self.batch // count) if self.workers else 0
        readers = [threaded(self._read(epochs, steps, i), depth) for i in range(count)]
        with closing(interleave(readers)) as chips:
            for group in zip(*[chips] * self.batch, strict=True):
                yield Batch(
                    np.stack([chip.image for chip in group]),
                    np.stack([chip.valid for chip in group]),
                    np.stack([chip.labels for chip in group]),
                )

    def _read(self, epochs: int, steps: int, worker: int) -> Generator[Chip]:
        """Every `workers`-th chip, from the `worker`-th on."""
        channels = make_lookup([item.value for item in self.reading.classes])
        numbers = product(range(1, epochs + 1), range(steps * self.batch))
        with SourceReader(self.sources, self.reading) as reader:
            for number in islice(numbers, worker, None, max(self.workers, 1)):
                yield read_chip(reader, self.plan, number, channels)


def read_chip(
    reader: SourceReader, plan: ChipPlan, number: tuple[int, int], channels: NDArray[np.uint8]
) -> Chip:
    """Read the chip (epoch, index); where its room is smaller than a chip, mirror it there.

    Args:
        reader: of the calling thread.
        plan: which chips there are.
        number: epoch and index.
        channels: position of each class value, as from `make_lookup`.
    """
    windows = plan.windows(*number)
    sample, axes = _read_sample(reader, plan, *next(windows))
    for room, window in windows:
        if (sample.labels != NODATA).any():
            break
        sample, axes = _read_sample(reader, plan, room, window)
    rows, cols = axes
    return Chip(
        image=_take(sample.image, rows.image, cols.image),
        valid=_take(sample.valid, rows.image, cols.image),
        labels=channels[_take(sample.labels, rows.labels, cols.labels)],
    )


def make_lookup(values: Sequence[int]) -> NDArray[np.uint8]:
    """uint8 (256,): the position of each class value; 255 for all others."""
    lookup = np.full(256, NODATA, np.uint8)
    lookup[list(values)] = np.arange(len(values))
    return lookup


@dataclass(frozen=True)
class _Axis:
    """What to read of an axis, and which pixels of that the image and the labels are."""

    first: int
    count: int
    image: NDArray[np.intp]
    labels: NDArray[np.intp]


def _plan_axis(start: int, size: int, plan: ChipPlan) -> _Axis:
    if size == plan.chip:
        count = size + 2 * plan.context
        return _Axis(start - plan.context, count, np.arange(count), np.arange(size))
    image = mirror_indices(-plan.context, plan.chip + plan.context, size)
    return _Axis(start, size, image, mirror_indices(0, plan.chip, size))


def _read_sample(
    reader: SourceReader, plan: ChipPlan, room: Room, window: Window
) -> tuple[Sample, tuple[_Axis, _Axis]]:
    rows = _plan_axis(window.row_off, window.height, plan)
    cols = _plan_axis(window.col_off, window.width, plan)
    around = Window(row_off=rows.first, col_off=cols.first, height=rows.count, width=cols.count)
    return reader.read(room.scene, window, around), (rows, cols)


def _take(array: NDArray[T], rows: NDArray[np.intp], cols: NDArray[np.intp]) -> NDArray[T]:
    return array.take(rows, axis=-2).take(cols, axis=-1)
