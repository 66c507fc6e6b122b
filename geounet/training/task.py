"""What is to be learned, from what: everything that is known before the first step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from geounet.classes import ClassInfo
from geounet.models import Geometry
from geounet.progress import ProgressCallback
from geounet.training.data.agreement import find_common, require_apart
from geounet.training.data.balance import Anchors, make_anchors
from geounet.training.data.chips import ChipPlan
from geounet.training.data.content import plan_numbering
from geounet.training.data.sources import Reading, Source, find_sources
from geounet.training.data.statistics import Statistics
from geounet.training.data.survey import Survey, survey_inputs
from geounet.training.data.survey_file import dump_survey, load_survey, make_key
from geounet.training.holdout.split import Split
from geounet.training.keeping.run_folder import CONTENT, open_run_folder
from geounet.training.options import TrainOptions
from geounet.vector import (
    BACKGROUND,
    Legend,
    Pair,
    find_dataset,
    is_vectors,
    resolve_legend,
)


@dataclass(frozen=True)
class Inputs:
    """The files of a training.

    Attributes:
        sources: images with labels to train on.
        validation_sources: those that validation blocks are cut from; may be the same.
        test_sources: those that the model is measured on at the end; may be none.
        reading: how to read those to train on.
        validation_reading: how to read the others: without gaps that only border weights need.
        band_names: of the model's bands, as far as all images agree.
        dtype: of all images.
        pixel_size_m: side of a pixel on the ground, the median; None if no image has a CRS.
        notes: which images are left out, and how the labels are understood.
    """

    sources: tuple[Source, ...]
    validation_sources: tuple[Source, ...]
    test_sources: tuple[Source, ...]
    reading: Reading
    validation_reading: Reading
    band_names: tuple[str | None, ...]
    dtype: np.dtype[np.generic]
    pixel_size_m: float | None
    notes: tuple[str, ...]

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """In the order of the network's channels."""
        return self.reading.classes

    @property
    def has_own_validation(self) -> bool:
        """Whether there are images to validate on, so that no part of others is held out."""
        return self.validation_sources is not self.sources

    @property
    def other_sources(self) -> tuple[Source, ...]:
        """Those that nothing is trained on."""
        return (*(self.validation_sources if self.has_own_validation else ()), *self.test_sources)


@dataclass(frozen=True)
class Task:
    """What is trained on and what is validated.

    Attributes:
        inputs: the files.
        geometry: of the network.
        survey: of the files.
        notes: which images are left out, and what had to be done to labels, said once.
    """

    inputs: Inputs
    geometry: Geometry
    survey: Survey
    notes: tuple[str, ...]

    @property
    def split(self) -> Split:
        """Which pixels train and which validate."""
        return self.survey.split

    @property
    def statistics(self) -> Statistics:
        """Of the training pixels."""
        return self.survey.statistics


def find_inputs(
    images: Sequence[str | Path], labels: Sequence[str | Path], options: TrainOptions
) -> Inputs:
    """Match images with labels, and find the classes and bands.

    Raises:
        InputError: they cannot be used, or not together.
    """
    dataset = find_dataset(images, labels, options.val_images, options.val_labels)
    parts = (dataset.training, dataset.validation, dataset.test)
    found = [_find_part(pairs, options) for pairs in parts]
    training, validation, test = (sources for sources, _ in found)
    require_apart(training, test)
    others = (*validation, *test)
    legend = _find_legend([*training, *others], options)
    common = find_common(training, others, are_chosen=options.bands is not None)
    reading = Reading(options.bands, legend.classes, legend.options)
    truth = replace(legend.options, separate_px=options.label_options.separate_px)
    return Inputs(
        sources=training,
        validation_sources=validation or training,
        test_sources=test,
        reading=reading,
        validation_reading=replace(reading, label_options=truth),
        band_names=common.names,
        dtype=common.dtype,
        pixel_size_m=common.pixel_size_m,
        notes=(*(note for _, notes in found for note in notes), *legend.notes, *common.notes),
    )


def _find_part(
    pairs: Sequence[Pair], options: TrainOptions
) -> tuple[tuple[Source, ...], list[str]]:
    if not pairs:
        return (), []
    sources, notes = find_sources(pairs, options.bbox, options.aoi, options.bands)
    return tuple(sources), notes


def prepare_task(
    inputs: Inputs,
    geometry: Geometry,
    options: TrainOptions,
    progress: ProgressCallback,
    folder: Path | None = None,
) -> Task:
    """Split the pixels and see what those are that train.

    Args:
        inputs: the files.
        geometry: of the network.
        options: how to train.
        progress: called while files are read.
        folder: where what was found is kept for the next time; None: nowhere.

    Raises:
        InputError: there is too little to train or validate on, or a file cannot be read.
        ResourceError: the folder cannot be written.
    """
    survey = _find_survey(inputs, geometry, options, progress, folder)
    absent = _note_absent(inputs, survey.statistics)
    return Task(inputs, geometry, survey, (*inputs.notes, *survey.notes, *absent))


def _find_survey(
    inputs: Inputs,
    geometry: Geometry,
    options: TrainOptions,
    progress: ProgressCallback,
    folder: Path | None,
) -> Survey:
    """The survey that is kept in the folder, if it is of these inputs; else a new one."""
    key = None if folder is None else make_key(inputs, geometry, options)
    if folder is None or key is None:
        return survey_inputs(inputs, geometry, options, progress)
    known = load_survey(folder / CONTENT, key)
    if known is not None:
        return known
    made = survey_inputs(inputs, geometry, options, progress)
    open_run_folder(folder).write_content(dump_survey(made, key))
    return made


def _note_absent(inputs: Inputs, statistics: Statistics) -> list[str]:
    """What to say of classes that cannot be learned."""
    shares = zip(inputs.classes, statistics.class_shares, strict=True)
    absent = [item.name for item, share in shares if not share]
    notes = []
    if BACKGROUND in absent and all(is_vectors(source.labels) for source in inputs.sources):
        absent.remove(BACKGROUND)
        notes.append(
            f"no pixel to train on is {BACKGROUND}: where polygons cover everything, leave it out "
            "with --sparse"
        )
    if absent:
        notes.append(f"no pixel to train on is {', '.join(absent)}, which cannot be learned so")
    return notes


def plan_chips(task: Task, options: TrainOptions) -> ChipPlan:
    """The chips of a task; an unpadded network needs context around them."""
    context = task.geometry.read_margin if options.network[1].get("padding") == "valid" else 0
    weights = tuple(source.weight for source in task.inputs.sources)
    overscan = options.augmentation.overscan(options.chip)
    return ChipPlan(
        rooms=task.split.training,
        chip=options.chip,
        context=context,
        seed=options.seed,
        overscan=overscan,
        weights=weights,
        borders=options.loss_options.borders,
        anchors=_find_anchors(task, options),
        is_balanced=options.balance != "none",
    )


def _find_anchors(task: Task, options: TrainOptions) -> Anchors:
    content, inputs = task.survey.content, task.inputs
    weights = [source.weight for source in inputs.sources]
    numbering = plan_numbering(content.kind, inputs.sources, inputs.reading)
    shown = options.chip**2 / task.split.training_pixels if options.balance != "none" else None
    return make_anchors(content, numbering, weights, shown)


def _find_legend(sources: Sequence[Source], options: TrainOptions) -> Legend:
    labels = [source.labels for source in sources]
    grids = [source.area.grid for source in sources]
    return resolve_legend(options.classes, labels, grids, options.labelling)
