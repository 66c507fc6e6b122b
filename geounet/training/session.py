"""Scenes + labels -> model: the order of things, in one process or in several."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event

from geounet.errors import InputError, Interrupted, UsageError
from geounet.evaluation import Metrics
from geounet.heap import keep_freed, trim_memory
from geounet.progress import ProgressCallback, ignore_progress
from geounet.training.keeping.record import Record
from geounet.training.keeping.resume import check_same_inputs, check_same_options
from geounet.training.keeping.run_folder import RunFolder, check_run_folder, locked_run_folder
from geounet.training.keeping.settings import describe_settings
from geounet.training.keeping.state import State, load_state, restore
from geounet.training.keeping.tensorboard import EventFile, check_tensorboard
from geounet.training.learning.choosing import choose
from geounet.training.learning.epochs import train_epochs
from geounet.training.learning.loop import LossError, Stopped, join_shares
from geounet.training.learning.network import (
    build_training_network,
    find_training_geometry,
    memory_watched,
    resolve_training_runtime,
)
from geounet.training.learning.seeds import seeded
from geounet.training.learning.testing import measure_test
from geounet.training.options import TrainOptions
from geounet.training.run import Run, start_run
from geounet.training.task import find_inputs, prepare_task
from geounet.training.team.team import Team, joined_team


@dataclass(frozen=True)
class TrainSummary:
    """What a training did.

    Attributes:
        output: the run folder.
        model: the kept model.
        class_shares: share of each class, by name, in the labelled training pixels.
        training_pixels: pixels that chips may show.
        validation_pixels: pixels held out.
        epochs: finished.
        kept_epoch: the one whose model was kept, from 1.
        metrics: of the kept model on the held-out pixels.
        test_metrics: of the kept model on the test scenes; None without any.
        chips: chips trained on.
        batch: chips that went through the network together, of all processes.
        lr: highest learning rate.
        notes: which images were left out, and what had to be done to the labels.
        processes: that trained together.
        device: where the network was trained, in the first of them.
        precision: in which arithmetic.
        elapsed_s: seconds of this call.
        training_s: seconds in the training loop, of all calls.
        waiting_s: seconds of these that the loop waited for chips.
    """

    output: Path
    model: Path
    class_shares: dict[str, float]
    training_pixels: int
    validation_pixels: int
    epochs: int
    kept_epoch: int
    metrics: Metrics
    test_metrics: Metrics | None
    chips: int
    batch: int
    lr: float
    notes: tuple[str, ...]
    processes: int
    device: str
    precision: str
    elapsed_s: float
    training_s: float
    waiting_s: float


def train(
    images: Sequence[str | Path],
    labels: Sequence[str | Path],
    output: str | Path,
    options: TrainOptions | None = None,
    progress: ProgressCallback = ignore_progress,
    stop: Event | None = None,
) -> TrainSummary:
    """Learn to map from labelled scenes.

    Args:
        images: anything that GDAL opens, or folders; alone without labels a folder laid out in
            splits or a CSV (see `find_dataset`).
        labels: one raster or vector file per image in the same order, a folder with files of the
            images' names, or one vector file for all.
        output: the run folder, made if need be.
        options: how.
        progress: called while it runs.
        stop: when set, the step under way is the last; the run is saved, and can go on.

    Under torchrun all processes call this alike, and train together; the first alone writes and
    reports. What goes wrong is raised in one of them, and in the others as an `Echo` of it.

    Raises:
        UsageError: options or an output that cannot be meant, or not those of the run to resume.
        InputError: images or labels cannot be used, or the loss is no longer a number.
        ResourceError: memory, disk or device; or another process is gone.
        Interrupted: stopped by the user; the model so far is kept.
    """
    started = time.perf_counter()
    options, stop = options or TrainOptions(), stop or Event()
    try:
        with joined_team() as team:
            reported = progress if team.leads else ignore_progress
            run, tested = _train((images, labels), Path(output), options, team, (reported, stop))
    finally:
        trim_memory()
    return _summarize(run, Path(output), tested, time.perf_counter() - started)


def _train(
    files: tuple[Sequence[str | Path], Sequence[str | Path]],
    output: Path,
    options: TrainOptions,
    team: Team,
    talk: tuple[ProgressCallback, Event],
) -> tuple[Run, Metrics | None]:
    """What one process of a team does; the run, and its model's metrics on the test scenes.

    Args:
        files: images and labels.
        output: the run folder.
        options: how.
        team: of this process.
        talk: with the caller: progress, and whether to stop.
    """
    progress, stop = talk
    team.from_first(lambda: _check_output(output, options))
    _check_batch(options.batch, team)
    runtime = resolve_training_runtime(options, team)
    inputs = team.from_first(lambda: find_inputs(*files, options))
    with (
        locked_run_folder(output) if team.leads else nullcontext(RunFolder(output)) as folder,
        seeded(options.seed, runtime.device),
        keep_freed(),
        memory_watched(runtime.device, options.max_memory, team.place.size),
    ):
        state = team.from_first(lambda: _find_state(folder, options))
        network = build_training_network(inputs, options)
        geometry = find_training_geometry(network, options)
        task = team.from_first(lambda: prepare_task(inputs, geometry, options, progress, output))
        settings = describe_settings(task, options, runtime)
        chosen = state.chosen if state else choose(network, task, options, runtime, progress, team)
        _check_batch(chosen.batch, team)
        run = start_run(network, task, options, chosen, runtime, team)
        record = Record(folder, {**settings, **asdict(chosen), "processes": team.share.size})
        if state is not None:
            check_same_inputs(output, settings, state.settings)
            restore(run, state)
            team.from_first(lambda: record.go_on(run))
        return run, _work(run, record, progress, stop)


def _check_output(output: Path, options: TrainOptions) -> None:
    """Refuse what cannot be written, before any work is done."""
    check_run_folder(output, overwrite=options.overwrite, resume=options.resume)
    if options.tensorboard:
        check_tensorboard()


def _check_batch(batch: int | None, team: Team) -> None:
    """See that each process gets as many chips.

    Raises:
        UsageError: it does not.
    """
    size = team.share.size
    if batch is not None and batch % size:
        raise UsageError(
            f"--batch is {batch}, the chips of all processes together; {size} processes need a "
            f"multiple of {size}: give --batch {size * -(-batch // size)}, or start another number"
        )


def _find_state(folder: RunFolder, options: TrainOptions) -> State | None:
    """The saved run that is to go on; None: there is none."""
    if not options.resume or not folder.state.exists():
        return None
    state = load_state(folder.state)
    check_same_options(folder.path, asdict(options), state.settings["options"])
    return state


def _work(run: Run, record: Record, progress: ProgressCallback, stop: Event) -> Metrics | None:
    """Train until the run is over, keeping record; metrics of its kept model on the test scenes."""
    team, saved, is_saved = run.learner.team, len(run.epochs), bool(run.clock.steps)
    try:
        with _open_events(run, record.folder) as events:
            for epoch in train_epochs(run, progress, stop):
                if team.leads:
                    record.add(run)
                saved, is_saved = len(run.epochs), True
                if events is not None:
                    events.add(epoch)
        return team.from_first(lambda: _conclude(run, record, progress))
    except Stopped:
        team.from_first(lambda: record.save(run))
        raise Interrupted(record.describe_interruption(run.epochs, is_saved=True)) from None
    except KeyboardInterrupt:
        done = run.epochs[:saved]
        raise Interrupted(record.describe_interruption(done, is_saved=is_saved)) from None
    except LossError as error:
        chips = join_shares(team.from_all(error.arrays))
        team.from_first(lambda: record.folder.write_bad_batch(chips))
        raise InputError(
            f"{error}; its chips are in {record.folder.bad_batch}: look for extreme values there, "
            "or lower --lr"
        ) from error


def _conclude(run: Run, record: Record, progress: ProgressCallback) -> Metrics | None:
    """Measure the kept model on the test scenes, and write the report."""
    record.draw(run)
    tested = measure_test(record.folder.model, run.task, run.learner.runtime, progress)
    record.conclude(run, tested)
    return tested


def _open_events(run: Run, folder: RunFolder) -> AbstractContextManager[EventFile | None]:
    if not run.options.tensorboard or not run.learner.team.leads:
        return nullcontext()
    return closing(EventFile(folder.path))


def _summarize(run: Run, output: Path, tested: Metrics | None, elapsed_s: float) -> TrainSummary:
    kept, task, runtime = run.kept, run.task, run.learner.runtime
    results = [epoch.result for epoch in run.epochs]
    names = [item.name for item in task.inputs.classes]
    chips = run.chosen.batch * run.options.accumulate
    return TrainSummary(
        output=output,
        model=RunFolder(output).model,
        class_shares=dict(zip(names, task.statistics.class_shares, strict=True)),
        training_pixels=task.split.training_pixels,
        validation_pixels=task.split.validation_pixels,
        epochs=len(results),
        kept_epoch=kept.number,
        metrics=kept.metrics,
        test_metrics=tested,
        chips=chips * sum(result.steps for result in results),
        batch=run.chosen.batch,
        lr=run.chosen.lr,
        notes=task.notes,
        processes=run.learner.team.share.size,
        device=str(runtime.device),
        precision=runtime.precision,
        elapsed_s=elapsed_s,
        training_s=sum(result.elapsed_s for result in results),
        waiting_s=sum(result.waiting_s for result in results),
    )
