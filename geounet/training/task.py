"""What is to be learned, from what: everything that is known before the first step."""

from __future__ import annotations

import statistics as stats
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geounet.classes import NODATA, ClassInfo
from geounet.errors import InputError
from geounet.models import Geometry
from geounet.progress import ProgressCallback
from geounet.raster import open_scene
from geounet.training.chips import ChipPlan
from geounet.training.options import TrainOptions
from geounet.training.sources import Reading, Source, SourceReader, find_sources
from geounet.training.split import Block, Split, SplitPlan, hold_out, split_areas
from geounet.training.statistics import Statistics, measure_rooms
from geounet.training.validation import cut_blocks
from geounet.vector import Legend, match_labels, resolve_legend


@dataclass(frozen=True)
class Inputs:
    """The files of a training.

    Attributes:
        sources: images with labels to train on.
        validation_sources: those that validation blocks are cut from; may be the same.
        reading: how to read them.
        band_names: of the model's bands, as far as all images agree.
        dtype: of all images.
        pixel_size_m: median side of a pixel on the ground; None if no image has a CRS.
        notes: which images are left out.
    """

    sources: tuple[Source, ...]
    validation_sources: tuple[Source, ...]
    reading: Reading
    band_names: tuple[str | None, ...]
    dtype: np.dtype[np.generic]
    pixel_size_m: float | None
    notes: tuple[str, ...]

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """In the order of the network's channels."""
        return self.reading.classes


@dataclass(frozen=True)
class Task:
    """What is trained on and what is validated.

    Attributes:
        inputs: the files.
        geometry: of the network.
        split: which pixels train and which validate.
        statistics: of the training pixels.
        notes: which images are left out, and what had to be done to labels, said once.
    """

    inputs: Inputs
    geometry: Geometry
    split: Split
    statistics: Statistics
    notes: tuple[str, ...]


def find_inputs(
    images: Sequence[str | Path], labels: Sequence[str | Path], options: TrainOptions
) -> Inputs:
    """Match images with labels, and find the classes and bands.

    Raises:
        InputError: they cannot be used, or not together.
    """
    sources, notes = find_sources(match_labels(images, labels), options.bbox, options.aoi)
    validation = sources
    if options.val_images:
        pairs = match_labels(options.val_images, options.val_labels)
        validation, more_notes = find_sources(pairs, options.bbox, options.aoi)
        notes += more_notes
    everything = sources if validation is sources else [*sources, *validation]
    legend = _find_legend(everything, options)
    reading = Reading(options.bands, legend.classes, legend.options)
    names, dtype = _check_bands(everything, options.bands)
    sizes = [size for s in sources if (size := s.area.grid.pixel_size_m) is not None]
    return Inputs(
        sources=tuple(sources),
        validation_sources=tuple(validation),
        reading=reading,
        band_names=names,
        dtype=dtype,
        pixel_size_m=stats.median(sizes) if sizes else None,
        notes=(*notes, *legend.notes),
    )


def prepare_task(
    inputs: Inputs, geometry: Geometry, options: TrainOptions, progress: ProgressCallback
) -> Task:
    """Split the pixels and measure those that train.

    Raises:
        InputError: there is too little to train or validate on, or a file cannot be read.
    """
    with (
        SourceReader(inputs.sources, inputs.reading) as reader,
        SourceReader(inputs.validation_sources, inputs.reading) as validation_reader,
    ):
        split = _split(inputs, geometry, options, validation_reader)
        values = [c.value for c in inputs.classes]
        statistics = measure_rooms(reader, split.training, values, progress)
        notes = dict.fromkeys((*inputs.notes, *reader.notes, *validation_reader.notes))
    return Task(inputs, geometry, split, statistics, tuple(notes))


def plan_chips(task: Task, options: TrainOptions) -> ChipPlan:
    """The chips of a task; an unpadded network needs context around them."""
    context = (
        task.geometry.read_margin if options.network_arguments.get("padding") == "valid" else 0
    )
    overscan = options.augmentation.overscan(options.chip)
    return ChipPlan(task.split.training, options.chip, context, options.seed, overscan)


def _split(
    inputs: Inputs, geometry: Geometry, options: TrainOptions, reader: SourceReader
) -> Split:
    areas = [source.area for source in inputs.sources]
    if not options.val_images:
        plan = SplitPlan(options.chip, geometry.margin, options.val_fraction, options.seed)
        return split_areas(areas, plan, lambda block: _find_labelled(reader, block))
    held_out = [source.area for source in inputs.validation_sources]
    whole = [Block(i, area.window) for i, area in enumerate(held_out)]
    blocks = tuple(cut_blocks(whole))
    if not any(_find_labelled(reader, block).any() for block in blocks):
        raise InputError(
            f"{inputs.validation_sources[0].image}: no pixel of the validation images is labelled "
            "and has data; check --val-labels"
        )
    rooms = hold_out(areas, held_out, options.chip, geometry.margin)
    return Split(rooms, blocks, geometry.margin)


def _find_labelled(reader: SourceReader, block: Block) -> NDArray[np.bool_]:
    labelled: NDArray[np.bool_] = reader.read(block.scene, block.window).labels != NODATA
    return labelled


def _find_legend(sources: Sequence[Source], options: TrainOptions) -> Legend:
    labels = [source.labels for source in sources]
    grids = [source.area.grid for source in sources]
    return resolve_legend(options.classes, labels, grids, options.label_options)


def _check_bands(
    sources: Sequence[Source], bands: tuple[int, ...] | None
) -> tuple[tuple[str | None, ...], np.dtype[np.generic]]:
    """Names and dtype of the bands that all images share."""
    found = []
    for source in sources:
        with open_scene(source.image, bands) as scene:
            found.append((scene.band_names, scene.dtype))
    names, dtype = found[0]
    for source, (other_names, other_dtype) in zip(sources, found, strict=True):
        if len(other_names) != len(names):
            raise InputError(
                f"{source.image} has {len(other_names)} bands, {sources[0].image} has "
                f"{len(names)}; choose the same ones with --bands"
            )
        if other_dtype != dtype:
            raise InputError(
                f"{source.image} is {other_dtype}, {sources[0].image} is {dtype}: their values "
                "mean different things; scale and convert them alike"
            )
    agreed = zip(*(other_names for other_names, _ in found), strict=True)
    return tuple(set(n).pop() if len(set(n)) == 1 else None for n in agreed), dtype
