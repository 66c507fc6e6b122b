"""A look at all inputs before training: what is held out, and what the rest is like."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geounet.errors import InputError
from geounet.models import Geometry
from geounet.progress import ProgressCallback
from geounet.raster import Window
from geounet.training.data.content import Content, ContentBuilder, Kind, plan_numbering
from geounet.training.data.sources import Sample, SourceReader, collect_notes
from geounet.training.data.statistics import Statistics, measure_rooms
from geounet.training.holdout.block import Block
from geounet.training.holdout.census import count_classes
from geounet.training.holdout.split import Split, SplitPlan, hold_out, split_areas
from geounet.training.learning.validation import cut_blocks
from geounet.training.options import TrainOptions

if TYPE_CHECKING:
    from geounet.training.task import Inputs


@dataclass(frozen=True)
class Survey:
    """What was found.

    Attributes:
        split: which pixels train and which validate.
        statistics: of the training pixels.
        content: what the training pixels show where; of many only a sample, unless chips are to be
            balanced.
        training_counts: int64 (rooms, classes), pixels of each class, of those that were looked at.
        validation_counts: int64 (blocks, classes), pixels of each class.
        notes: what had to be done to labels.
    """

    split: Split
    statistics: Statistics
    content: Content
    training_counts: NDArray[np.int64]
    validation_counts: NDArray[np.int64]
    notes: tuple[str, ...]


def survey_inputs(
    inputs: Inputs, geometry: Geometry, options: TrainOptions, progress: ProgressCallback
) -> Survey:
    """Split the pixels, and see what those are that train.

    Raises:
        InputError: there is too little to train or validate on, or a file cannot be read.
    """
    parts = (inputs.sources, inputs.validation_sources, inputs.test_sources)
    values = [item.value for item in inputs.classes]
    with ExitStack() as stack:
        readers = [stack.enter_context(SourceReader(part, inputs.reading)) for part in parts]
        for reader in readers if inputs.has_own_validation else readers[::2]:
            reader.check_rasters()
        split, validation_counts = _split(inputs, geometry, options, readers[1])
        builder = ContentBuilder(
            plan_numbering(content_kind(options), inputs.sources, inputs.reading)
        )
        counts = {room.scene: np.zeros(len(values), np.int64) for room in split.training}

        def take(scene: int, window: Window, sample: Sample) -> None:
            builder.add(readers[0], scene, window, sample)
            counts[scene] += count_classes(sample.labels)[values]

        statistics = measure_rooms(
            readers[0], split.training, values, progress, take, whole=options.balance != "none"
        )
        return Survey(
            split=split,
            statistics=statistics,
            content=builder.build(),
            training_counts=np.array([counts[room.scene] for room in split.training]),
            validation_counts=validation_counts[:, values],
            notes=tuple(collect_notes(readers)),
        )


def content_kind(options: TrainOptions) -> Kind:
    """What chips are to be drawn by."""
    return "instance" if options.balance == "instance" else "class"


def _split(
    inputs: Inputs, geometry: Geometry, options: TrainOptions, reader: SourceReader
) -> tuple[Split, NDArray[np.int64]]:
    """The split, and the pixels of each value in its validation blocks (blocks, 255)."""
    areas = [source.area for source in inputs.sources]
    tested = [source.area for source in inputs.test_sources]
    if not inputs.has_own_validation:
        plan = SplitPlan(options.chip, geometry.margin, options.val_fraction, options.seed)
        split = split_areas(areas, plan, lambda block: _read_labels(reader, block), tested)
        return split, _count(reader, split.validation)
    held_out = [source.area for source in inputs.validation_sources]
    blocks = tuple(cut_blocks([Block(i, area.window) for i, area in enumerate(held_out)]))
    counts = _count(reader, blocks)
    if not counts.any():
        raise InputError(
            f"{inputs.validation_sources[0].image}: no pixel of the validation images is labelled "
            "and has data; check --val-labels"
        )
    rooms = hold_out(areas, [*held_out, *tested], options.chip, geometry.margin)
    return Split(rooms, blocks, geometry.margin), counts


def _count(reader: SourceReader, blocks: Sequence[Block]) -> NDArray[np.int64]:
    return np.array([count_classes(_read_labels(reader, block)) for block in blocks])


def _read_labels(reader: SourceReader, block: Block) -> NDArray[np.uint8]:
    return reader.read(block.scene, block.window).labels
