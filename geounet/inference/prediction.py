"""Scene + model -> mask: streamed in tiles, kept in parts, assembled into one file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event

from geounet.inference.computing import compute_parts
from geounet.inference.finishing import assemble_outputs
from geounet.inference.following import refuse_polygons, start_polygons
from geounet.inference.job import find_finished, lock_job, open_job, refuse_existing
from geounet.inference.loading import ModelLike
from geounet.inference.options import PredictOptions
from geounet.inference.plan import adopt_cut, describe_cut, list_parts
from geounet.inference.preparation import ImageLike, check_outputs, image_of, prepare
from geounet.inference.provenance import make_fingerprint, make_tags
from geounet.inference.run import Run
from geounet.inference.summary import PredictSummary, summarize
from geounet.progress import Progress, ProgressCallback, ignore_progress
from geounet.raster import clear_workspace


def predict(
    image: ImageLike,
    model: ModelLike | Sequence[ModelLike],
    output: str | Path,
    options: PredictOptions | None = None,
    progress: ProgressCallback = ignore_progress,
    stop: Event | None = None,
) -> PredictSummary:
    """Map a scene. The same call after an interruption goes on where it stopped.

    The same call after the end finds that there is nothing left to do, and touches nothing.

    Args:
        image: anything that GDAL opens; several files are the bands of one scene (`open_stack`).
        model: a model file, or a loaded model; several of the same classes are an ensemble, whose
            probabilities are averaged.
        output: the mask, a GeoTIFF of uint8 class values, 255 where there is no data.
        options: how.
        progress: called while it runs.
        stop: once it is set, the run ends after the part that it is at.

    Raises:
        Interrupted: `stop` was set; the same call goes on.
        UsageError: options or an output that cannot be meant.
        InputError: the scene or AOI cannot be used.
        ModelError: the model cannot be used, or does not fit the scene.
        ResourceError: memory, disk or device.
    """
    options = options or PredictOptions()
    started = time.perf_counter()
    outputs = check_outputs(image, Path(output), options)
    with (
        start_polygons(options) as polygons,
        prepare(image, model, options) as (scene, models, engine, plan),
        lock_job(outputs["mask"]),
    ):
        fingerprint = make_fingerprint(scene, models, engine, plan, options)
        finished = set() if options.overwrite else find_finished(outputs.values(), fingerprint)
        if not options.overwrite:
            refuse_existing(path for path in outputs.values() if path not in finished)
            refuse_polygons(outputs, finished, options.polygons)
        list_parts(plan, engine, scene)  # refuses what has none, before it begins
        cut = describe_cut(plan, options)
        job = open_job(outputs["mask"], fingerprint, cut, overwrite=options.overwrite)
        plan = adopt_cut(plan, job.cut, engine, options)
        run = Run(image_of(image, scene), scene, models, engine, plan, job, outputs)
        run.watch.seconds["prepare"] = time.perf_counter() - started
        parts = list_parts(plan, engine, scene)
        if finished >= set(outputs.values()):
            run.was_done, missing = True, []
            run.count_classes(outputs["mask"])
            for path in finished:
                clear_workspace(path)
        else:
            missing = [part for part in parts if not job.is_done(tuple(outputs), part)]
            polygons.begin(run, parts, missing)
            for part in set(parts) - set(missing):
                run.count_classes(job.part_path("mask", part))
            compute_parts(run, missing, options, progress, stop, polygons.add)
            progress(Progress("assemble", 0, None, "px"))
            with run.watch.measure("assemble"):
                assemble_outputs(run, parts, make_tags(fingerprint, models, engine, options))
        polygons.finish(run, progress)
        job.remove()
    resumed = len(parts) - len(missing)
    return summarize(run, options, resumed, time.perf_counter() - started)
