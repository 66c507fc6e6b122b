"""Scenes mapped by a cluster: this process begins jobs, publishes parts and assembles outputs."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from threading import Event

from geounet.errors import (
    GeounetError,
    InputError,
    Interrupted,
    ModelError,
    UsageError,
)
from geounet.inference.cluster.board import Board, Result, Task
from geounet.inference.cluster.cluster import open_cluster
from geounet.inference.cluster.orders import Outlined, locate_models, make_order
from geounet.inference.cluster.scene_work import Job, SceneWork, open_scene_work
from geounet.inference.cluster.worker import compute_parts, outline_scene
from geounet.inference.options import PredictOptions
from geounet.inference.running.finishing import finish_run
from geounet.inference.running.loading import ModelLike, load_models
from geounet.inference.running.summary import PredictSummary
from geounet.models import Model
from geounet.progress import Progress, ProgressCallback, ignore_progress
from geounet.raster import Window

UNASSEMBLED = 3
"""Scenes whose parts may lie on disk while the one before them is assembled."""


@dataclass
class Tally:
    """Pixels of parts, of all scenes.

    Attributes:
        scenes: how many there are.
        begun: those that are begun.
        known_px: pixels to be computed of these.
        done_px: pixels that were computed.
    """

    scenes: int
    begun: int = 0
    known_px: int = 0
    done_px: int = 0

    @property
    def expected_px(self) -> int:
        """Pixels to be computed of all scenes: those to come are taken to be like those begun."""
        return round(self.known_px / max(1, self.begun) * self.scenes)

    def add_scene(self, missing: Sequence[Window]) -> None:
        """Know of a scene that these parts of it are missing."""
        self.begun += 1
        self.known_px += sum(part.area for part in missing)

    def add_done(self, parts: Sequence[Window]) -> None:
        """Know that these parts were computed."""
        self.done_px += sum(part.area for part in parts)


@dataclass
class Driver:
    """Maps scenes on a cluster.

    Attributes:
        board: hands out their parts.
        models: loaded here, too.
        model_files: where workers find them.
        options: how.
        jobs: scenes that are not begun.
        tally: of the pixels of all scenes.
        progress: told of them.
        scenes: on their way.
        ended: what is to be given of those that have ended.
    """

    board: Board
    models: list[Model]
    model_files: tuple[str, ...]
    options: PredictOptions
    jobs: Iterator[Job]
    tally: Tally
    progress: ProgressCallback
    scenes: list[SceneWork] = field(default_factory=list)
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
        order = make_order(*job, self.model_files, self.options, self.board.cluster.share)
        scene = open_scene_work(job, order, self.models, self.options)
        self.scenes.append(scene)
        self.board.fresh.append(Task(outline_scene, order, scene))

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
        self.tally.add_scene(missing)
        for part in missing:
            self.board.fresh.append(Task(compute_parts, scene.order, scene, (part,)))
        self._report()
        self._assemble_if_whole(scene)

    def _keep(self, scene: SceneWork, parts: Sequence[Window], result: Result) -> None:
        if not result.is_first:
            scene.discard(parts, result.draft)
            return
        scene.keep(parts, result.draft, result.value)
        self.tally.add_done(parts)
        self._report()
        self._assemble_if_whole(scene)

    def _assemble_if_whole(self, scene: SceneWork) -> None:
        if scene.missing or scene.begun is None:
            return
        begun, scene.is_assembling = scene.begun, True

        def relay(progress: Progress) -> None:  # bars are drawn by one thread
            if self.tally.scenes == 1:
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
        summary = scene.summarize(self.options)
        if summary is not None:
            self.ended.append(summary)
        self._close(scene)

    def _fail(self, scene: SceneWork | None, error: GeounetError) -> None:
        if self.tally.scenes == 1:
            raise error
        self.ended.append(error)
        if scene is not None:
            self._close(scene)

    def _close(self, scene: SceneWork) -> None:
        self.board.drop(scene)
        self.scenes.remove(scene)
        scene.stack.close()

    def _report(self) -> None:
        """One bar over all workers."""
        values = {"workers": float(len(self.board.workers))}
        done, expected = self.tally.done_px, self.tally.expected_px
        self.progress(Progress("predict", done, expected, "px", values))

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
        raise Interrupted(
            f"stopped: {self.tally.done_px} of about {self.tally.expected_px} pixels are done, and "
            "kept in the parts folders of what is unfinished; the same command goes on from there"
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
    files = locate_models(model)
    models = load_models(list(files))
    with open_cluster(options.cluster, options) as cluster:
        driver = Driver(
            board=Board(cluster), models=models, model_files=files, options=options,
            jobs=iter(jobs), tally=Tally(len(jobs)), progress=progress,
        )  # fmt: skip
        with closing(driver.drive(stop)) as ended:
            yield from ended
