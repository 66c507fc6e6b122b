"""Scenes mapped by a cluster: this process begins jobs, publishes parts and assembles outputs."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any

import torch

from geounet.errors import (
    GeounetError,
    InputError,
    Interrupted,
    ModelError,
    UsageError,
)
from geounet.inference.beginning import Begun, begin_run
from geounet.inference.board import Board, Result, Task
from geounet.inference.cluster import open_cluster
from geounet.inference.engine import Engine
from geounet.inference.finishing import finish_run, resume_parts
from geounet.inference.following import Polygons, start_polygons
from geounet.inference.job import lock_job
from geounet.inference.loading import ModelLike, load_models
from geounet.inference.options import PredictOptions
from geounet.inference.preparation import ImageLike, Prepared, check_outputs, prepare_all
from geounet.inference.runtime import Runtime
from geounet.inference.summary import PredictSummary, summarize
from geounet.inference.worker import Order, Outlined, PartsDone, compute_parts, outline_scene
from geounet.models import Model
from geounet.progress import Progress, ProgressCallback, ignore_progress
from geounet.raster import Window, find_local

UNASSEMBLED = 3
"""Scenes whose parts may lie on disk while the one before them is assembled."""

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
        prepared = self.prepared._replace(engine=pose_engine(self.prepared.engine, outlined))
        cut = outlined.outline.cut
        tile_shape = (cut["tile_shape"][0], cut["tile_shape"][1])
        plan = replace(prepared.plan, tile_shape=tile_shape, batch=cut["batch"])
        prepared = prepared._replace(plan=replace(plan, part_rows=cut["part_rows"]))
        lock = self.stack.enter_context(lock_job(self.outputs["mask"]))
        self.begun = begin_run(
            self.order.image, prepared, self.outputs, options, outlined.outline, lock
        )
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
        run = self.begun.run
        for part in parts:
            run.job.publish_draft(self.outputs, part, draft)
            self.missing.remove(part)
            self.polygons.add(part)
        run.counts += done.counts
        run.tiles += done.tiles
        run.tiles_skipped += done.tiles_skipped
        for stage, seconds in done.stage_s.items():
            run.watch.seconds[stage] = run.watch.seconds.get(stage, 0.0) + seconds
        self.peak_memory_bytes = max(self.peak_memory_bytes, done.peak_memory_bytes)

    def discard(self, parts: Sequence[Window], draft: str) -> None:
        """Remove drafts that came too late."""
        if self.begun is not None:
            for part in parts:
                self.begun.run.job.discard_draft(self.outputs, part, draft)


@dataclass
class Driver:
    """Maps scenes on a cluster.

    Attributes:
        board: hands out their parts.
        models: loaded here, too.
        model_files: where workers find them.
        options: how.
        jobs: scenes that are not begun.
        count: of all scenes.
        scenes: on their way.
        done_px: pixels of parts that were computed.
        known_px: pixels of parts to be computed, of scenes that are begun.
        begun_count: scenes that are.
    """

    board: Board
    models: list[Model]
    model_files: tuple[str, ...]
    options: PredictOptions
    jobs: Iterator[Job]
    count: int
    progress: ProgressCallback
    scenes: list[SceneWork] = field(default_factory=list)
    done_px: int = 0
    known_px: int = 0
    begun_count: int = 0
    ended: list[PredictSummary | GeounetError] = field(default_factory=list)

    def drive(self, stop: Event | None) -> Generator[PredictSummary | GeounetError]:
        """Each scene's summary, or what it failed with, as they end.

        Raises:
            Interrupted: `stop` was set.
            GeounetError: nothing more can be computed.
        """
        with ThreadPoolExecutor(1, "geounet-assemble") as self.assembler:
            try:
                while True:
                    if stop is not None and stop.is_set():
                        self._end_gently()
                    self._open_scenes()
                    if not self.scenes:
                        return
                    for result in self.board.wait():
                        self._take(result)
                    yield from self._pop_ended()
            finally:
                self.board.close()
                self.assembler.shutdown(cancel_futures=True)
                for scene in self.scenes:
                    scene.stack.close()

    def _pop_ended(self) -> Iterator[PredictSummary | GeounetError]:
        ended, self.ended = self.ended, []
        yield from ended

    def _open_scenes(self) -> None:
        """Prepare as many scenes as give the workers enough to do."""
        while True:
            waiting = sum(scene.begun is None for scene in self.scenes)
            assembling = sum(scene.is_assembling for scene in self.scenes)
            enough = len(self.board.fresh) + waiting >= self.board.wanted
            if enough or assembling > UNASSEMBLED:
                return
            job = next(self.jobs, None)
            if job is None:
                return
            try:
                self._open_scene(job)
            except (InputError, ModelError, UsageError) as error:
                self._fail(None, error)

    def _open_scene(self, job: Job) -> None:
        image, output = job
        started = time.perf_counter()
        outputs = check_outputs(image, output, self.options)
        with ExitStack() as stack:
            polygons = stack.enter_context(start_polygons(self.options))
            prepared = stack.enter_context(_prepare_here(image, self.models, self.options))
            order = make_order(image, self.model_files, output, self.options, self.share)
            kept = stack.pop_all()
        scene = SceneWork(order, outputs, polygons, kept, prepared, started)
        scene.prepare_s = time.perf_counter() - started
        self.scenes.append(scene)
        self.board.fresh.append(Task(outline_scene, order, scene))

    @property
    def share(self) -> int:
        """Processes that share a run's memory."""
        return self.board.cluster.share

    def _take(self, result: Result) -> None:
        scene, task = result.task.owner, result.task
        if not isinstance(scene, SceneWork) or scene not in self.scenes:
            return
        try:
            if isinstance(result.value, GeounetError):
                if result.is_first:
                    raise result.value
            elif isinstance(result.value, Outlined):
                self._begin(scene, result.value)
            else:
                self._keep(scene, task.parts, result)
        except (InputError, ModelError, UsageError) as error:
            self._fail(scene, error)

    def _begin(self, scene: SceneWork, outlined: Outlined) -> None:
        missing = scene.begin(outlined, self.options)
        self.begun_count += 1
        self.known_px += sum(part.area for part in missing)
        for part in missing:
            self.board.fresh.append(Task(compute_parts, scene.order, scene, (part,)))
        self._report()
        self._assemble_if_whole(scene)

    def _keep(self, scene: SceneWork, parts: Sequence[Window], result: Result) -> None:
        if not result.is_first:
            scene.discard(parts, result.draft)
            return
        scene.keep(parts, result.draft, result.value)
        self.done_px += sum(part.area for part in parts)
        self._report()
        self._assemble_if_whole(scene)

    def _assemble_if_whole(self, scene: SceneWork) -> None:
        if scene.missing or scene.begun is None:
            return
        begun, scene.is_assembling = scene.begun, True

        def relay(progress: Progress) -> None:  # bars are drawn by one thread
            if self.count == 1:
                self.board.wake(lambda: self.progress(progress))

        future = self.assembler.submit(finish_run, begun, self.options, scene.polygons, relay)
        future.add_done_callback(
            lambda done: self.board.wake(lambda: self._end(scene, done.exception()))
        )

    def _end(self, scene: SceneWork, error: BaseException | None) -> None:
        if isinstance(error, (InputError, ModelError, UsageError)):
            self._fail(scene, error)
            return
        if error is not None:
            raise error
        if scene.begun is not None:
            elapsed = time.perf_counter() - scene.started
            summary = summarize(scene.begun.run, self.options, scene.resumed, elapsed)
            peak = max(summary.peak_memory_bytes, scene.peak_memory_bytes)
            self.ended.append(replace(summary, peak_memory_bytes=peak))
        self._close(scene)

    def _fail(self, scene: SceneWork | None, error: GeounetError) -> None:
        if self.count == 1:
            raise error
        self.ended.append(error)
        if scene is not None:
            self._close(scene)

    def _close(self, scene: SceneWork) -> None:
        self.board.drop(scene)
        self.scenes.remove(scene)
        scene.stack.close()

    def _report(self) -> None:
        """One bar over all workers; the pixels of scenes to come are guessed by those known."""
        total = round(self.known_px / max(1, self.begun_count) * self.count)
        values = {"workers": float(len(self.board.workers))}
        self.progress(Progress("predict", self.done_px, total, "px", values))

    def _end_gently(self) -> None:
        """Wait for the parts that workers are at.

        Raises:
            Interrupted: always.
        """
        self.board.empty()
        self.jobs = islice(self.jobs, 0)
        while self.board.copies or any(scene.is_assembling for scene in self.scenes):
            for result in self.board.wait():
                self._take(result)
            self.board.empty()
        done = self.done_px
        total = round(self.known_px / max(1, self.begun_count) * self.count)
        raise Interrupted(
            f"stopped: {done} of about {total} pixels are done, and kept in the parts folders of "
            "what is unfinished; the same command goes on from there"
        )


def predict_scenes(
    jobs: Sequence[Job],
    model: ModelLike | Sequence[ModelLike],
    options: PredictOptions,
    progress: ProgressCallback = ignore_progress,
    stop: Event | None = None,
) -> Iterator[PredictSummary | GeounetError]:
    """Map scenes on the cluster of the options; gives each one's summary or error as it ends.

    The parts of all scenes are computed by any worker, each into the parts folder of its scene, on
    a disk that all machines see; this process holds the folders' locks, and makes the outputs.
    The same call after an interruption, also without a cluster, goes on.

    Args:
        jobs: scenes with their masks.
        model: files, as for `predict`.
        options: with a cluster.
        progress: called while it runs.
        stop: once it is set, the parts that workers are at are waited for.

    Raises:
        Interrupted, UsageError, InputError, ModelError, ResourceError: as `predict`; those of one
            scene of several are given, not raised.
    """
    if options.cluster is None:
        raise UsageError("no cluster is named; give the address of a scheduler, or local")
    files = _locate_models(model)
    models = load_models(list(files))
    with open_cluster(options.cluster, options) as cluster:
        driver = Driver(
            board=Board(cluster), models=models, model_files=files, options=options,
            jobs=iter(jobs), count=len(jobs), progress=progress,
        )  # fmt: skip
        with closing(driver.drive(stop)) as ended:
            yield from ended


def make_order(
    image: ImageLike, models: tuple[str, ...], output: Path, options: PredictOptions, share: int
) -> Order:
    """A scene as workers are told of it: with paths that do not depend on a current folder."""
    files: ImageLike = (
        _locate(image) if isinstance(image, str | Path) else [_locate(one) for one in image]
    )
    options = replace(
        options,
        aoi=None if options.aoi is None else _locate(options.aoi),
        confidence=options.confidence and options.confidence.absolute(),
        scores=options.scores and options.scores.absolute(),
        polygons=None,
        cluster=None,
    )
    return Order(files, models, output.absolute(), options, share)


def pose_engine(engine: Engine, outlined: Outlined) -> Engine:
    """The engine that a worker has outlined, as far as others ask about it; it computes nothing."""
    posed: Any = copy(engine)
    posed.name = outlined.engine
    posed.runtime = Runtime(torch.device(outlined.device), outlined.precision)  # type: ignore[arg-type]
    return posed  # type: ignore[no-any-return]


def _locate(path: str | Path) -> str:
    return os.fspath(path) if find_local(path) is None else os.fspath(Path(path).absolute())


def _locate_models(model: ModelLike | Sequence[ModelLike]) -> tuple[str, ...]:
    given = [model] if isinstance(model, str | Path | Model) else list(model)
    if any(isinstance(one, Model) for one in given):
        raise UsageError("workers load the model by themselves; give its file, not the model")
    return tuple(_locate(one) for one in given if not isinstance(one, Model))


@contextmanager
def _prepare_here(
    image: ImageLike, models: list[Model], options: PredictOptions
) -> Iterator[Prepared]:
    """What this process needs to know of a scene, without the device of the workers."""
    here = replace(options, device="cpu", precision="auto", engine="torch", max_memory=None)
    with prepare_all(image, models, here) as prepared:
        yield prepared
