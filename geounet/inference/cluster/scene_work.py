"""A scene on its way through a cluster, as the driver sees it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from geounet.inference.cluster.orders import Order, Outlined, PartsDone
from geounet.inference.engines.engine import Engine
from geounet.inference.engines.runtime import Runtime
from geounet.inference.options import PredictOptions
from geounet.inference.running.beginning import Begun, begin_run
from geounet.inference.running.finishing import resume_parts
from geounet.inference.running.following import Polygons, start_polygons
from geounet.inference.running.job import lock_job
from geounet.inference.running.preparation import ImageLike, Prepared, check_outputs, prepare_all
from geounet.inference.running.run import Run
from geounet.inference.running.summary import PredictSummary, summarize
from geounet.models import Model
from geounet.raster import Window

Job = tuple[ImageLike, Path]
"""A scene and its mask."""


@dataclass(eq=False)
class SceneWork:
    """A scene on its way, from its outline to its outputs.

    Attributes:
        order: what workers are told.
        outputs: files by kind.
        polygons: that follow its parts.
        stack: holds its file open, and its lock.
        prepared: what is known of it here.
        started: when.
        begun: its run, once a worker has outlined it.
        missing: parts that are not on disk.
        resumed: parts that were there.
        peak_memory_bytes: of the worker that held most.
        prepare_s: seconds that preparing it has taken here.
        is_assembling: its outputs are being made.
    """

    order: Order
    outputs: dict[str, Path]
    polygons: Polygons
    stack: ExitStack
    prepared: Prepared
    started: float
    begun: Begun | None = None
    missing: set[Window] = field(default_factory=set)
    resumed: int = 0
    peak_memory_bytes: int = 0
    prepare_s: float = 0.0
    is_assembling: bool = False

    def begin(self, outlined: Outlined, options: PredictOptions) -> list[Window]:
        """Begin the job as a worker has outlined it; gives the parts that are missing."""
        started = time.perf_counter()
        prepared, outline = _adopt(self.prepared, outlined), outlined.outline
        lock = self.stack.enter_context(lock_job(self.outputs["mask"]))
        self.begun = begin_run(self.order.image, prepared, self.outputs, options, outline, lock)
        self.begun.run.watch.seconds["prepare"] = self.prepare_s + time.perf_counter() - started
        missing = self.begun.find_missing()
        self.missing, self.resumed = set(missing), len(self.begun.parts) - len(missing)
        if not self.begun.is_finished:
            resume_parts(self.begun, missing, self.polygons)
        return missing

    def keep(self, parts: Sequence[Window], draft: str, done: PartsDone) -> None:
        """Make drafts the parts."""
        if self.begun is None:
            return
        for part in parts:
            self.begun.run.job.publish_draft(self.outputs, part, draft)
            self.missing.remove(part)
            self.polygons.add(part)
        self._count(self.begun.run, done)

    def discard(self, parts: Sequence[Window], draft: str) -> None:
        """Remove drafts that came too late."""
        if self.begun is not None:
            for part in parts:
                self.begun.run.job.discard_draft(self.outputs, part, draft)

    def summarize(self, options: PredictOptions) -> PredictSummary | None:
        """What was made, once its outputs are; None: it was never begun."""
        if self.begun is None:
            return None
        elapsed = time.perf_counter() - self.started
        summary = summarize(self.begun.run, options, self.resumed, elapsed)
        peak = max(summary.peak_memory_bytes, self.peak_memory_bytes)
        return replace(summary, peak_memory_bytes=peak)

    def _count(self, run: Run, done: PartsDone) -> None:
        run.counts += done.counts
        run.tiles += done.tiles
        run.tiles_skipped += done.tiles_skipped
        for stage, seconds in done.stage_s.items():
            run.watch.seconds[stage] = run.watch.seconds.get(stage, 0.0) + seconds
        self.peak_memory_bytes = max(self.peak_memory_bytes, done.peak_memory_bytes)


def open_scene_work(
    job: Job, order: Order, models: Sequence[Model], options: PredictOptions
) -> SceneWork:
    """A scene whose outputs may be made, and which the models fit.

    Args:
        job: the scene and its mask, by the names that the user knows.
        order: what workers are told of it.
        models: those of the order; the device of the workers may not be there.
        options: of the run, of which the order has the workers' part.

    Raises:
        UsageError, InputError, ModelError: as `predict`.
    """
    started = time.perf_counter()
    image, output = job
    outputs = check_outputs(image, output, options)
    here = replace(options, device="cpu", precision="auto", engine="torch", max_memory=None)
    with ExitStack() as stack:
        polygons = stack.enter_context(start_polygons(options))
        prepared = stack.enter_context(prepare_all(image, models, here))
        kept = stack.pop_all()
    elapsed = time.perf_counter() - started
    return SceneWork(order, outputs, polygons, kept, prepared, started, prepare_s=elapsed)


def _adopt(prepared: Prepared, outlined: Outlined) -> Prepared:
    """What is known here, with the cut and the engine of the worker that has outlined the scene."""
    cut = outlined.outline.cut
    height, width = cut["tile_shape"]
    plan = replace(
        prepared.plan, tile_shape=(height, width), batch=cut["batch"], part_rows=cut["part_rows"]
    )
    return prepared._replace(plan=plan, engine=_pose_engine(prepared.engine, outlined))


def _pose_engine(engine: Engine, outlined: Outlined) -> Engine:
    """The engine that a worker has outlined, as far as others ask about it; it computes nothing."""
    posed: Any = copy(engine)
    posed.name = outlined.engine
    posed.runtime = Runtime(torch.device(outlined.device), outlined.precision)  # type: ignore[arg-type]
    return posed  # type: ignore[no-any-return]
