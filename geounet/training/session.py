"""Scenes + labels -> model: the order of things."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Generator, nn

from geounet.errors import Interrupted, ResourceError, UsageError
from geounet.evaluation import Metrics
from geounet.inference import Runtime, is_out_of_memory, make_engine, resolve_runtime
from geounet.models import Geometry, ModelSpec, build_network
from geounet.progress import Progress, ProgressCallback, ignore_progress
from geounet.training.chips import ChipStream
from geounet.training.examples import draw_validation
from geounet.training.loop import Learner, make_learner, train_epoch
from geounet.training.options import TrainOptions, count_epoch_chips
from geounet.training.record import Epoch, Record, describe_settings, make_spec
from geounet.training.run_folder import check_run_folder, open_run_folder
from geounet.training.schedule import Clock
from geounet.training.sources import SourceReader
from geounet.training.task import Inputs, Task, find_inputs, plan_chips, prepare_task
from geounet.training.validation import validate


@dataclass(frozen=True)
class TrainSummary:
    """What a training did.

    Attributes:
        output: the run folder.
        model: the best model.
        class_shares: share of each class, by name, in the labelled training pixels.
        training_pixels: pixels that chips may show.
        validation_pixels: pixels held out.
        epochs: finished.
        best_epoch: the one whose model was kept, from 1.
        metrics: of the kept model on the held-out pixels.
        chips: chips trained on.
        notes: which images were left out, and what had to be done to the labels.
        device: where the network was trained.
        precision: in which arithmetic.
        elapsed_s: seconds in all.
        training_s: seconds of these in the training loop.
        waiting_s: seconds of these that the loop waited for chips.
    """

    output: Path
    model: Path
    class_shares: dict[str, float]
    training_pixels: int
    validation_pixels: int
    epochs: int
    best_epoch: int
    metrics: Metrics
    chips: int
    notes: tuple[str, ...]
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
) -> TrainSummary:
    """Learn to map from labelled scenes.

    Args:
        images: anything that GDAL opens.
        labels: one raster or vector file per image in the same order, a folder with files of the
            images' names, or one vector file for all.
        output: the run folder, made if need be.
        options: how.
        progress: called while it runs.

    Raises:
        UsageError: options or an output that cannot be meant.
        InputError: images or labels cannot be used, or the loss is no longer a number.
        ResourceError: memory, disk or device.
        Interrupted: stopped by the user; the best model so far is kept.
    """
    started = time.perf_counter()
    options = options or TrainOptions()
    check_run_folder(Path(output), overwrite=options.overwrite)
    runtime = resolve_training_runtime(options)
    inputs = find_inputs(images, labels, options)
    with _seeded(options.seed, runtime.device), _memory_watched(runtime.device):
        network = _build_network(inputs, options)
        task = prepare_task(inputs, cast(Geometry, network.geometry), options, progress)
        spec, settings = make_spec(task, options), describe_settings(task, options, runtime)
        learner = make_learner(network, spec, options, runtime)
        clock = Clock(options.epochs * _count_steps(task, options), options.max_time_s, started)
        record = Record(open_run_folder(Path(output)), spec, settings)
        try:
            for epoch in _train_epochs(learner, spec, task, options, clock, progress):
                record.add(epoch, learner.network)
            examples = draw_validation(record.folder.model, task, runtime)
            record.folder.write_figure("examples.png", examples)
        except KeyboardInterrupt:
            raise Interrupted(record.describe_interruption()) from None
    return _summarize(record, task, options, runtime, time.perf_counter() - started)


def resolve_training_runtime(options: TrainOptions) -> Runtime:
    """The device, and bfloat16 where its hardware has it, else float32."""
    runtime = resolve_runtime(options.device, options.precision)
    if runtime.precision == "float16":  # it would need a scaled loss
        return Runtime(runtime.device, "float32")
    return runtime


def _build_network(inputs: Inputs, options: TrainOptions) -> nn.Module:
    bands, classes = len(inputs.band_names), len(inputs.classes)
    if classes < 2:
        raise UsageError(
            f"there is one class, {inputs.classes[0].name}; a map needs two: "
            "name all with --classes"
        )
    network = build_network(options.architecture, bands, classes, options.network_arguments)
    stride = cast(Geometry, network.geometry).stride
    if options.chip % stride:
        raise UsageError(f"--chip is {options.chip}; this network needs a multiple of {stride}")
    if options.chip == stride and options.batch == 1 and _is_normalised(network, options):
        raise UsageError(
            f"--chip {options.chip} with --batch 1 leaves one pixel at the network's lowest level, "
            f"too little to normalise; give --batch 2 or --chip {2 * stride}"
        )
    return network


def _is_normalised(network: nn.Module, options: TrainOptions) -> bool:
    """Whether the batch is normalised at the lowest level, and no context adds pixels there."""
    padded = options.network_arguments.get("padding") != "valid"
    return padded and any(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def _train_epochs(
    learner: Learner,
    spec: ModelSpec,
    task: Task,
    options: TrainOptions,
    clock: Clock,
    progress: ProgressCallback,
) -> Iterator[Epoch]:
    """Train and validate, epoch by epoch, until all are done or the time is up."""
    inputs, steps = task.inputs, _count_steps(task, options)
    chip_plan = plan_chips(task, options)
    shown: dict[str, float] = {}

    def report(values: Mapping[str, float]) -> None:
        shown.update(values)
        progress(Progress("train", clock.steps, clock.total_steps, "steps", dict(shown)))

    stream = ChipStream(inputs.sources, inputs.reading, chip_plan, options.batch, options.workers)
    with (
        closing(stream.batches(options.epochs, steps)) as batches,
        SourceReader(inputs.validation_sources, inputs.reading) as reader,
    ):
        for number in range(1, options.epochs + 1):
            generator = Generator().manual_seed(_derive_seed(options.seed, number))
            result = train_epoch(learner, islice(batches, steps), clock, generator, report)
            validation_started = time.perf_counter()
            engine = make_engine(learner.network, spec, learner.runtime)
            metrics = validate(engine, reader, task.split.validation, spec.classes)
            clock.reserve_s = time.perf_counter() - validation_started
            report({"iou": metrics.mean_iou or 0.0})
            yield Epoch(number, result, metrics, clock.elapsed_s)
            if clock.position >= 1:
                return


def _count_steps(task: Task, options: TrainOptions) -> int:
    """Steps of an epoch."""
    chips = count_epoch_chips(task.split.training_pixels, options.chip)
    return -(-chips // options.batch)


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Torch's global random numbers begin at the seed here, and go on as before afterwards."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@contextmanager
def _memory_watched(device: torch.device) -> Iterator[None]:
    """Want of memory is something that the user can act on."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not is_out_of_memory(error):
            raise
        raise ResourceError(
            f"training does not fit the memory of {device}; lower --batch, --chip or --width"
        ) from error


def _derive_seed(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


def _summarize(
    record: Record, task: Task, options: TrainOptions, runtime: Runtime, elapsed_s: float
) -> TrainSummary:
    best = record.best
    results = [epoch.result for epoch in record.epochs]
    names = [item.name for item in task.inputs.classes]
    return TrainSummary(
        output=record.folder.path,
        model=record.folder.model,
        class_shares=dict(zip(names, task.statistics.class_shares, strict=True)),
        training_pixels=task.split.training_pixels,
        validation_pixels=task.split.validation_pixels,
        epochs=len(results),
        best_epoch=best.number,
        metrics=best.metrics,
        chips=options.batch * sum(result.steps for result in results),
        notes=task.notes,
        device=str(runtime.device),
        precision=runtime.precision,
        elapsed_s=elapsed_s,
        training_s=sum(result.elapsed_s for result in results),
        waiting_s=sum(result.waiting_s for result in results),
    )
