"""Training samples: random windows, read by threads straight from the images.

Chip `i` of an epoch is a function of (seed, epoch, i) alone, whoever reads it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice, product
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from geounet.classes import NODATA
from geounet.inference import interleave, threaded
from geounet.raster import Window, mirror_indices
from geounet.training.data.balance import Anchors
from geounet.training.data.room import Room, span
from geounet.training.data.sources import Reading, Source, SourceReader
from geounet.training.loss.border_weights import weigh_borders
from geounet.training.loss.loss_options import BorderWeights
from geounet.training.team.share import WHOLE, Share

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
        overscan: pixels around the chip that augmentation may move into it; images and labels are
            that much larger on each side, but nothing outside the rooms has a label.
        weights: of each scene, how often its pixels are shown; none: all alike.
        borders: how borders between instances are weighted; None: not at all.
        anchors: labelled pixels to centre chips on; None: there are none.
        is_balanced: whether all chips are centred on such; else they lie anywhere, and only where
            no label is found by chance is one sought so.
    """

    rooms: tuple[Room, ...]
    chip: int
    context: int
    seed: int
    overscan: int = 0
    weights: tuple[float, ...] = ()
    borders: BorderWeights | None = None
    anchors: Anchors | None = None
    is_balanced: bool = False

    def windows(
        self, epoch: int, index: int, reader: SourceReader | None = None
    ) -> Iterator[tuple[Room, Window]]:
        """What to try for a chip, in order; the first with a label is the chip.

        Args:
            epoch: from 1.
            index: of the chip in its epoch.
            reader: finds anchors; None: they are left out.
        """
        rng = np.random.default_rng([self.seed, epoch, index])
        if not self.is_balanced:
            shares = self._shares
            for _ in range(ATTEMPTS):
                room = self.rooms[int(np.searchsorted(shares, rng.random(), side="right"))]
                yield room, room.window(int(rng.integers(2**62)))
        if self.anchors is not None and reader is not None:
            yield from self._centre(self.anchors, reader, rng)

    def _centre(
        self, anchors: Anchors, reader: SourceReader, rng: np.random.Generator
    ) -> Iterator[tuple[Room, Window]]:
        """Windows around pixels that are drawn."""
        rooms = {room.scene: room for room in self.rooms}
        for _ in range(ATTEMPTS):
            scene, row, col = anchors.draw(reader, rng)
            yield rooms[scene], rooms[scene].window_around(row, col)

    @cached_property
    def _shares(self) -> NDArray[np.float64]:
        """Chance that a chip lies in one of the first rooms: by pixels and weight; without last."""
        weights = [self.weights[room.scene] if self.weights else 1.0 for room in self.rooms]
        pixels = np.cumsum([w * room.pixels for w, room in zip(weights, self.rooms, strict=True)])
        shares: NDArray[np.float64] = pixels[:-1] / pixels[-1]
        return shares


@dataclass(frozen=True)
class Chip:
    """A training sample.

    Attributes:
        image: (bands, h, w), the image's own dtype and values.
        valid: bool (h, w), True = data.
        labels: uint8 (H, W) channel indices; 255 is ignored. The central pixels of the image.
        border: float32 (H, W), border weights of the labels' pixels; None: none are wanted.
    """

    image: NDArray[np.generic]
    valid: NDArray[np.bool_]
    labels: NDArray[np.uint8]
    border: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Batch:
    """N chips.

    Attributes:
        image: (N, bands, h, w).
        valid: bool (N, h, w), True = data.
        labels: uint8 (N, H, W) channel indices; 255 is ignored.
        border: float32 (N, H, W), border weights of the labels' pixels; None: none are wanted.
    """

    image: NDArray[np.generic]
    valid: NDArray[np.bool_]
    labels: NDArray[np.uint8]
    border: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class ChipStream:
    """Reads chips in batches, ahead of their use, by threads with handles of their own.

    Attributes:
        sources: what the plan's rooms count.
        reading: how to read them.
        plan: which chips there are.
        batch: chips per batch, of all processes together; a multiple of their number.
        workers: threads; 0: the calling one. The chips are the same.
        share: of the chips of each batch that this process reads.
    """

    sources: Sequence[Source]
    reading: Reading
    plan: ChipPlan
    batch: int
    workers: int
    share: Share = WHOLE

    def batches(self, epochs: int, steps: int, first: int = 0) -> Generator[Batch]:
        """The batches of epochs 1 to `epochs`, `steps` of each, but for the `first` ones."""
        count = max(self.workers, 1)
        chips_each = self.batch // self.share.size
        depth = -(-BATCHES_AHEAD * chips_each // count) if self.workers else 0
        readers = [threaded(self._read((epochs, steps, first), i), depth) for i in range(count)]
        with closing(interleave(readers)) as chips:
            for group in zip(*[chips] * chips_each, strict=True):
                borders = [chip.border for chip in group if chip.border is not None]
                yield Batch(
                    np.stack([chip.image for chip in group]),
                    np.stack([chip.valid for chip in group]),
                    np.stack([chip.labels for chip in group]),
                    np.stack(borders) if borders else None,
                )

    def _read(self, extent: tuple[int, int, int], worker: int) -> Generator[Chip]:
        """Every `workers`-th chip of the share, from the `worker`-th on."""
        channels = make_lookup([item.value for item in self.reading.classes])
        epochs, steps, first = extent
        chips = product(range(1, epochs + 1), range(steps * self.batch))
        own = islice(chips, first * self.batch + self.share.rank, None, self.share.size)
        with SourceReader(self.sources, self.reading) as reader:
            for number in islice(own, worker, None, max(self.workers, 1)):
                yield read_chip(reader, self.plan, number, channels)


def read_chip(
    reader: SourceReader, plan: ChipPlan, number: tuple[int, int], channels: NDArray[np.uint8]
) -> Chip:
    """Read the chip (epoch, index); where the area is smaller than a chip, mirror it there.

    Args:
        reader: of the calling thread.
        plan: which chips there are.
        number: epoch and index.
        channels: position of each class value, as from `make_lookup`.
    """
    centre = slice(plan.overscan, plan.overscan + plan.chip)
    for room, window in plan.windows(*number, reader):
        chip = _read_window(reader, plan, room, window, channels)
        if (chip.labels[centre, centre] != NODATA).any():
            break
    return replace(chip, border=_read_border(reader, plan, room, window))


def make_lookup(values: Sequence[int]) -> NDArray[np.uint8]:
    """uint8 (256,): the position of each class value; 255 for all others."""
    lookup = np.full(256, NODATA, np.uint8)
    lookup[list(values)] = np.arange(len(values))
    return lookup


@dataclass(frozen=True)
class _Axis:
    """What to read of an axis, and which pixels of that the image and the labels are.

    Attributes:
        image_span: first pixel and number of pixels to read of the image.
        label_span: the same of the labels.
        image: which of the pixels read are the chip's image.
        labels: which of the pixels read are the chip's labels.
    """

    image_span: tuple[int, int]
    label_span: tuple[int, int]
    image: slice | NDArray[np.intp]
    labels: slice | NDArray[np.intp]


def _plan_axis(start: int, size: int, plan: ChipPlan) -> _Axis:
    over, around = plan.overscan, plan.overscan + plan.context
    if size == plan.chip:
        spans = (start - around, size + 2 * around), (start - over, size + 2 * over)
        return _Axis(*spans, slice(None), slice(None))
    return _Axis(
        (start, size),
        (start, size),
        mirror_indices(-around, plan.chip + around, size),
        mirror_indices(-over, plan.chip + over, size),
    )


def _read_window(
    reader: SourceReader, plan: ChipPlan, room: Room, window: Window, channels: NDArray[np.uint8]
) -> Chip:
    rows = _plan_axis(window.row_off, window.height, plan)
    cols = _plan_axis(window.col_off, window.width, plan)
    labelled = _make_window(rows.label_span, cols.label_span)
    around = _make_window(rows.image_span, cols.image_span)
    sample = reader.read(room.scene, labelled, around)
    labels = np.where(find_inside(room.pieces, labelled), sample.labels, np.uint8(NODATA))
    valid = sample.valid & ~_find_hidden(room, around, reader.open(room.scene)[0].grid.shape)
    return Chip(
        image=_take(sample.image, rows.image, cols.image),
        valid=_take(valid, rows.image, cols.image),
        labels=channels.take(_take(labels, rows.labels, cols.labels)),
    )


def _read_border(
    reader: SourceReader, plan: ChipPlan, room: Room, window: Window
) -> NDArray[np.float32] | None:
    """Border weights of a chip, by the instances in its room."""
    if plan.borders is None:
        return None
    rows = _plan_axis(window.row_off, window.height, plan)
    cols = _plan_axis(window.col_off, window.width, plan)
    labelled = _make_window(rows.label_span, cols.label_span)
    around = labelled.pad(plan.borders.reach_px)
    ids = reader.read_instances(room.scene, around)
    ids[~find_inside(room.pieces, around)] = 0
    weights = weigh_borders(ids, labelled.relative_to(around), plan.borders)
    return _take(weights, rows.labels, cols.labels)


def _make_window(rows: tuple[int, int], cols: tuple[int, int]) -> Window:
    return Window(row_off=rows[0], col_off=cols[0], height=rows[1], width=cols[1])


def find_inside(pieces: Iterable[Window], window: Window) -> NDArray[np.bool_]:
    """Which pixels of a window are in one of the pieces."""
    inside = np.zeros(window.shape, bool)
    for piece in pieces:
        common = piece.intersect(window)
        inside[common.relative_to(window).slices()] = True
    return inside


def _find_hidden(room: Room, window: Window, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Which pixels of a window show what is hidden, also mirrored at the edge of the scene."""
    rows = mirror_indices(window.row_off, window.row_end, shape[0])
    cols = mirror_indices(window.col_off, window.col_end, shape[1])
    shown = span(rows.min(), cols.min(), rows.max(), cols.max())
    near = [piece for piece in room.hidden if piece.intersect(shown).area]
    if not near:
        return np.zeros(window.shape, bool)
    inside = find_inside(near, shown)
    return inside[rows - shown.row_off][:, cols - shown.col_off]


def _take(
    array: NDArray[T], rows: slice | NDArray[np.intp], cols: slice | NDArray[np.intp]
) -> NDArray[T]:
    return array[..., rows, :][..., cols]
