"""A share of the parts of scenes, for schedulers that know nothing but commands."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from geounet.errors import UsageError
from geounet.inference.options import PredictOptions
from geounet.inference.running.beginning import Begun, begin_run, outline_run
from geounet.inference.running.computing import compute_parts
from geounet.inference.running.job import lock_job
from geounet.inference.running.loading import ModelLike
from geounet.inference.running.preparation import ImageLike, check_outputs, prepare
from geounet.progress import ProgressCallback, ignore_progress
from geounet.raster import FolderLock, Window


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `count` shares of the parts of all scenes of a command.

    Part j of scene k is of shard (j + k) mod count: whatever becomes of another scene, or is not
    known of it, moves no part to another shard.

    Attributes:
        index: which, from 0.
        count: how many there are.
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            last = max(self.count, 1) - 1
            raise UsageError(
                f"shard {self.index}/{self.count}: shards count from 0; "
                f"choose 0/{last + 1} to {last}/{last + 1}"
            )

    def choose(self, parts: Sequence[Window], scene: int) -> list[Window]:
        """Its share of the parts of a scene, which is the so many-th from 0."""
        return list(parts[(self.index - scene) % self.count :: self.count])


@dataclass(frozen=True)
class ShardSummary:
    """What a shard did of one scene.

    Attributes:
        output: the mask that the parts will become.
        shard: which, from 0.
        shards: how many there are.
        parts: all parts of the scene.
        parts_computed: those that this run has computed.
        parts_resumed: those of its share that were there already.
        parts_left: those of any share that are missing now.
        tiles: tiles computed by this run.
        tiles_skipped: those without a valid pixel, which skip the network.
        engine: what ran the network.
        device: where it ran.
        precision: in which arithmetic.
        elapsed_s: seconds in all.
        stage_s: seconds spent in each stage; stages overlap.
        was_done: the outputs are finished; there is nothing left to do.
    """

    output: Path
    shard: int
    shards: int
    parts: int
    parts_computed: int
    parts_resumed: int
    parts_left: int
    tiles: int
    tiles_skipped: int
    engine: str
    device: str
    precision: str
    elapsed_s: float
    stage_s: dict[str, float]
    was_done: bool


def predict_shard(  # noqa: PLR0913 - as `predict`, and of what the share is
    image: ImageLike,
    model: ModelLike | Sequence[ModelLike],
    output: str | Path,
    shard: Shard,
    options: PredictOptions | None = None,
    progress: ProgressCallback = ignore_progress,
    stop: Event | None = None,
    *,
    scene: int = 0,
) -> ShardSummary:
    """Compute a share of the parts of a scene. Then `predict`, called alike, assembles them all.

    Any number of shards, in any order and at the same time, on any machines that see the files:
    the first one decides how the scene is cut. Polygons are made by `predict`.

    Args:
        image: as for `predict`.
        model: as for `predict`.
        output: as for `predict`; not made by this.
        shard: which share.
        options: as for `predict`.
        progress: called while it runs.
        stop: once it is set, the run ends after the part that it is at.
        scene: number of the scene among those that the shards share, from 0.

    Raises:
        Interrupted, UsageError, InputError, ModelError, ResourceError: as `predict`.
    """
    options = options or PredictOptions()
    started = time.perf_counter()
    outputs = check_outputs(image, Path(output), options)
    with (
        prepare(image, model, options) as prepared,
        lock_job(outputs["mask"], shared=True) as lock,
    ):
        begun = begin_run(image, prepared, outputs, options, outline_run(prepared, options), lock)
        _let_others_in(begun, lock)
        begun.run.watch.seconds["prepare"] = time.perf_counter() - started
        job, kinds = begun.run.job, tuple(outputs)
        mine = [] if begun.is_finished else shard.choose(begun.parts, scene)
        missing = [part for part in mine if not job.is_done(kinds, part)]
        if missing:
            compute_parts(begun.run, missing, options, progress, stop, lambda _: None)
        return _summarize(begun, shard, len(mine), len(missing), started)


def _let_others_in(begun: Begun, lock: FolderLock) -> None:
    """Share the lock that was taken to begin; nothing is to be computed of what is finished."""
    if not lock.is_alone:
        return
    if begun.is_finished:
        begun.run.job.remove()
    else:
        lock.share()


def _summarize(
    begun: Begun, shard: Shard, share: int, computed: int, started: float
) -> ShardSummary:
    """What was done of a share of so many parts."""
    run, is_finished = begun.run, begun.is_finished
    left = [] if is_finished else [part for part in begun.parts if not run.job.is_there(part)]
    return ShardSummary(
        output=run.outputs["mask"],
        shard=shard.index,
        shards=shard.count,
        parts=len(begun.parts),
        parts_computed=computed,
        parts_resumed=share - computed,
        parts_left=len(left),
        tiles=run.tiles,
        tiles_skipped=run.tiles_skipped,
        engine=run.engine.name,
        device=str(run.engine.runtime.device),
        precision=run.engine.runtime.precision,
        elapsed_s=time.perf_counter() - started,
        stage_s=run.watch.seconds,
        was_done=is_finished,
    )
