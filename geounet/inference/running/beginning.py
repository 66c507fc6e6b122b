"""The beginning of a run: its job is found or begun, its parts are listed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from geounet.inference.options import PredictOptions
from geounet.inference.planning.plan import adopt_cut, describe_cut, list_parts
from geounet.inference.running.following import refuse_polygons
from geounet.inference.running.job import find_finished, open_job, refuse_existing
from geounet.inference.running.preparation import ImageLike, Prepared, image_of, refuse_sources
from geounet.inference.running.provenance import make_fingerprint
from geounet.inference.running.run import Run
from geounet.raster import FolderLock, SceneLike, Window


class Outline(NamedTuple):
    """What decides a job: JSON, the same from every process that could compute it.

    Attributes:
        fingerprint: everything that can change a pixel of the result.
        cut: how a run that begins it would cut it.
    """

    fingerprint: Mapping[str, Any]
    cut: Mapping[str, Any]


@dataclass(frozen=True)
class Begun:
    """A run that can compute parts.

    Attributes:
        run: its state.
        outline: what decides its job.
        parts: all of them, top to bottom.
        is_finished: an earlier run has made all outputs.
    """

    run: Run
    outline: Outline
    parts: list[Window]
    is_finished: bool

    def find_missing(self) -> list[Window]:
        """The parts that are not on disk."""
        if self.is_finished:
            return []
        kinds, job = tuple(self.run.outputs), self.run.job
        return [part for part in self.parts if not job.is_done(kinds, part)]


def outline_run(prepared: Prepared, options: PredictOptions) -> Outline:
    """What decides the job of a run.

    Raises:
        InputError: there is nothing to compute.
    """
    scene, models, engine, plan = prepared
    list_parts(plan, engine, scene)  # refuses what has none, before it begins
    fingerprint = make_fingerprint(scene, models, engine, plan, options)
    return Outline(fingerprint, describe_cut(plan, options))


def find_own(
    outputs: Mapping[str, Path],
    scene: SceneLike,
    fingerprint: Mapping[str, Any],
    options: PredictOptions,
) -> set[Path]:
    """The outputs that an earlier run of this job has finished; none if they are to be made anew.

    Raises:
        UsageError: there are others, or files of the scene in their place.
    """
    polygons = [] if options.polygons is None else [options.polygons]
    refuse_sources(scene, [*outputs.values(), *polygons])
    if options.overwrite and not options.keep_finished:
        return set()
    finished = find_finished(outputs.values(), fingerprint)
    if options.overwrite:
        return finished
    refuse_existing(path for path in outputs.values() if path not in finished)
    refuse_polygons(outputs, finished, options.polygons)
    return finished


def begin_run(
    image: ImageLike,
    prepared: Prepared,
    outputs: dict[str, Path],
    options: PredictOptions,
    outline: Outline,
    lock: FolderLock,
) -> Begun:
    """Find what an earlier run has done, and begin or go on with the job.

    Raises:
        UsageError: there are other outputs, or files of the scene in their place.
        InputError: the parts of another run are there.
        ResourceError: it cannot be begun.
    """
    scene, models, engine, plan = prepared
    finished = find_own(outputs, scene, outline.fingerprint, options)
    job = open_job(lock, *outline, overwrite=options.overwrite)
    plan = adopt_cut(plan, job.cut, engine, options)
    run = Run(image_of(image, scene), scene, models, engine, plan, job, outputs)
    parts = list_parts(plan, engine, scene)
    return Begun(run, outline, parts, is_finished=finished >= set(outputs.values()))
