"""Scene + model -> mask: streamed in tiles, kept in parts, assembled into one file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event

from geounet.inference.cluster.driving import predict_scenes
from geounet.inference.options import PredictOptions
from geounet.inference.running.beginning import begin_run, outline_run
from geounet.inference.running.computing import compute_parts
from geounet.inference.running.finishing import finish_run, resume_parts
from geounet.inference.running.following import start_polygons
from geounet.inference.running.job import lock_job
from geounet.inference.running.loading import ModelLike
from geounet.inference.running.preparation import ImageLike, check_outputs, prepare
from geounet.inference.running.summary import PredictSummary, summarize
from geounet.progress import ProgressCallback, ignore_progress


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
    if options.cluster is not None:
        (ended,) = predict_scenes([(image, Path(output))], model, options, progress, stop)
        if isinstance(ended, PredictSummary):
            return ended
        raise ended
    started = time.perf_counter()
    outputs = check_outputs(image, Path(output), options)
    with (
        start_polygons(options) as polygons,
        prepare(image, model, options) as prepared,
        lock_job(outputs["mask"]) as lock,
    ):
        outline = outline_run(prepared, options)
        begun = begin_run(image, prepared, outputs, options, outline, lock)
        begun.run.watch.seconds["prepare"] = time.perf_counter() - started
        missing = begun.find_missing()
        if not begun.is_finished:
            resume_parts(begun, missing, polygons)
            compute_parts(begun.run, missing, options, progress, stop, polygons.add)
        finish_run(begun, options, polygons, progress)
    resumed = len(begun.parts) - len(missing)
    return summarize(begun.run, options, resumed, time.perf_counter() - started)
