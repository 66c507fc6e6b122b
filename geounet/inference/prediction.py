"""SceneLike + model -> mask: streamed in tiles, kept in parts, assembled into one file."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geounet.classes import ClassInfo
from geounet.errors import Interrupted
from geounet.inference.engine import Engine, Outputs
from geounet.inference.job import Job, find_finished, open_job, refuse_existing
from geounet.inference.loading import ModelLike
from geounet.inference.options import PredictOptions
from geounet.inference.pipeline import Stopwatch
from geounet.inference.plan import Plan, list_parts, list_tiles
from geounet.inference.predictor import STEPS, nodata_of
from geounet.inference.preparation import ImageLike, check_outputs, open_image, prepare
from geounet.inference.provenance import make_fingerprint, make_tags
from geounet.inference.streaming import PredictedTile, Stream
from geounet.models import Model
from geounet.progress import Progress, ProgressCallback, ignore_progress
from geounet.raster import (
    SceneLike,
    Window,
    assemble,
    clear_workspace,
    open_scene,
    write_part,
)


@dataclass(frozen=True)
class PredictSummary:
    """What a prediction did.

    Attributes:
        output: the mask.
        confidence: the confidence raster, if one was asked for.
        scores: the scores raster, if one was asked for.
        height: rows of the output.
        width: columns of the output.
        class_pixels: pixels by class name.
        nodata_pixels: pixels without data, or outside the AOI.
        tiles: tiles computed by this run; one that goes on computes only what is missing.
        tiles_skipped: those without a valid pixel, which skip the network.
        parts_resumed: parts found from an earlier run.
        tile_shape: height and width of the tiles.
        batch: tiles per step.
        engine: what ran the network.
        device: where it ran.
        precision: in which arithmetic.
        elapsed_s: seconds in all.
        stage_s: seconds spent in each stage; stages overlap.
    """

    output: Path
    confidence: Path | None
    scores: Path | None
    height: int
    width: int
    class_pixels: dict[str, int]
    nodata_pixels: int
    tiles: int
    tiles_skipped: int
    parts_resumed: int
    tile_shape: tuple[int, int]
    batch: int
    engine: str
    device: str
    precision: str
    elapsed_s: float
    stage_s: dict[str, float]


@dataclass
class _Run:
    """The state of a run: what is fixed, and what it counts."""

    image: ImageLike
    scene: SceneLike
    models: Sequence[Model]
    engine: Engine
    plan: Plan
    job: Job
    outputs: dict[str, Path]
    watch: Stopwatch = field(default_factory=Stopwatch)
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    tiles: int = 0
    tiles_skipped: int = 0

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """Those of all models."""
        return self.models[0].spec.classes

    def name_bands(self, kind: str) -> list[str]:
        """What the bands of an output are called."""
        return [item.name for item in self.classes] if kind == "scores" else [kind]


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
    with prepare(image, model, options) as (scene, models, engine, plan):
        fingerprint = make_fingerprint(scene, models, engine, plan, options)
        finished = set() if options.overwrite else find_finished(outputs.values(), fingerprint)
        if not options.overwrite:
            refuse_existing(path for path in outputs.values() if path not in finished)
        list_parts(plan, plan.part_rows, engine, scene)  # refuses what has none, before it begins
        job = open_job(outputs["mask"], fingerprint, plan.part_rows, overwrite=options.overwrite)
        run = _Run(image, scene, models, engine, plan, job, outputs)
        parts = list_parts(plan, job.part_rows, engine, scene)
        if finished >= set(outputs.values()):
            _count_classes(run, outputs["mask"])
            missing = []
            for path in finished:
                clear_workspace(path)
        else:
            missing = [part for part in parts if not job.is_done(tuple(outputs), part)]
            for part in set(parts) - set(missing):
                _count_classes(run, job.part_path("mask", part))
            _compute_parts(run, missing, options, progress, stop)
            progress(Progress("assemble", 0, None, "px"))
            with run.watch.measure("assemble"):
                _assemble_outputs(run, parts, make_tags(fingerprint, models, engine, options))
    job.remove()
    return _summarize(run, len(parts) - len(missing), time.perf_counter() - started)


def _compute_parts(
    run: _Run,
    parts: Sequence[Window],
    options: PredictOptions,
    progress: ProgressCallback,
    stop: Event | None,
) -> None:
    """Predict and keep the given parts, one after the other."""
    tiles = [
        (part, tile) for part in parts for tile in list_tiles(run.plan, part, run.engine, run.scene)
    ]
    stream = Stream(
        open_source=lambda: open_image(run.image, options),
        engine=run.engine,
        aoi=run.plan.aoi,
        batch=run.plan.batch,
        readers=options.readers,
        watch=run.watch,
    )
    total = sum(tile.write.area for _, tile in tiles)
    done = 0
    progress(Progress("predict", done, total, "px"))
    with closing(stream.run(tiles)) as results:
        for part, group in groupby(results, key=lambda result: result.part):
            arrays = {
                kind: run.engine.request.make_blank(kind, run.engine.classes, part.shape)
                for kind in run.outputs
            }
            for result in group:
                _place(result, arrays)
                run.tiles += 1
                run.tiles_skipped += result.is_skipped
                done += result.window.area
                progress(Progress("predict", done, total, "px"))
            with run.watch.measure("write"):
                _keep_part(run, part, arrays)
            if stop is not None and stop.is_set() and part != parts[-1]:
                raise Interrupted(
                    f"{run.outputs['mask']} is unfinished: {done} of {total} pixels are done and "
                    f"kept in {run.job.folder}; the same command goes on from there"
                )


def _place(result: PredictedTile, arrays: Outputs) -> None:
    rows, cols = result.window.relative_to(result.part).slices()
    for kind, array in arrays.items():
        array[..., rows, cols] = result.outputs[kind]


def _keep_part(run: _Run, part: Window, arrays: Outputs) -> None:
    grid = run.scene.grid.crop(part)
    for kind, array in arrays.items():
        write_part(
            run.job.part_path(kind, part), grid, array, nodata_of(array.dtype), run.name_bands(kind)
        )
    _add_counts(run, arrays["mask"])


def _count_classes(run: _Run, path: Path) -> None:
    """Count the classes of a mask, or of a part that an earlier run has computed."""
    with open_scene(path, allow_palette=True) as mask:
        for window in mask.grid.extent.blocks(1024, mask.grid.width):
            values, _ = mask.read(window)
            _add_counts(run, values)


def _add_counts(run: _Run, values: NDArray[Any]) -> None:
    """Add to the pixels per class; in pieces, since bincount makes 8 bytes of each."""
    flat = values.reshape(-1)
    for start in range(0, flat.size, 2**20):
        run.counts += np.bincount(flat[start : start + 2**20], minlength=256)


def _assemble_outputs(run: _Run, parts: Sequence[Window], tags: Mapping[str, str]) -> None:
    extent = run.plan.extent
    for kind, path in run.outputs.items():
        dtype = run.engine.request.make_blank(kind, 1, (1, 1)).dtype
        steps = {"GEOUNET_UNIT": f"probability in 1/{STEPS}"} if dtype == np.uint8 else {}
        assemble(
            [(run.job.part_path(kind, part), part.relative_to(extent)) for part in parts],
            run.scene.grid.crop(extent),
            path,
            nodata=nodata_of(dtype),
            classes=run.classes if kind == "mask" else None,
            tags=tags if kind == "mask" else {**tags, **steps},
        )


def _summarize(run: _Run, parts_resumed: int, elapsed_s: float) -> PredictSummary:
    counts, extent = run.counts, run.plan.extent
    class_pixels = {c.name: int(counts[c.value]) for c in run.classes}
    return PredictSummary(
        output=run.outputs["mask"],
        confidence=run.outputs.get("confidence"),
        scores=run.outputs.get("scores"),
        height=extent.height,
        width=extent.width,
        class_pixels=class_pixels,
        nodata_pixels=extent.area - sum(class_pixels.values()),
        tiles=run.tiles,
        tiles_skipped=run.tiles_skipped,
        parts_resumed=parts_resumed,
        tile_shape=run.plan.tile_shape,
        batch=run.plan.batch,
        engine=run.engine.name,
        device=str(run.engine.runtime.device),
        precision=run.engine.runtime.precision,
        elapsed_s=elapsed_s,
        stage_s=run.watch.seconds,
    )
