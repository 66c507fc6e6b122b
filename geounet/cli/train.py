"""`geounet train`: labelled scenes -> a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geounet.cli.bars import progress_bars
from geounet.cli.boundary import stop_gently
from geounet.cli.parameters import (
    augmentation,
    execution,
    files,
    inputs,
    labelling,
    learning,
    losses,
    network,
    outputs,
)
from geounet.cli.parameters.collecting import collect, collect_labels, pick
from geounet.cli.summary import figure, print_summary, share
from geounet.cli.voice import one_voice, speaks
from geounet.errors import UsageError
from geounet.training.augment.augment_options import AugmentOptions, choose_augmentation
from geounet.training.loss.loss_options import LossOptions
from geounet.training.options import TrainOptions
from geounet.vector.labels.label_options import LabelOptions
from geounet.wording import counted

if TYPE_CHECKING:
    from geounet.training import TrainSummary


def train(
    images: files.TrainImages,
    output: files.RunFolder = None,
    labels: files.Labels = None,
    classes: labelling.Classes = None,
    class_field: labelling.ClassField = LabelOptions.class_field,
    line_width_m: labelling.LineWidth = LabelOptions.line_width_m,
    ignore: labelling.Ignore = None,
    sparse: labelling.Sparse = LabelOptions.sparse,
    threshold: labelling.Threshold = LabelOptions.threshold,
    separate_px: labelling.Separate = LabelOptions.separate_px,
    bands: inputs.Bands = None,
    aoi: inputs.Aoi = None,
    bbox: inputs.Bbox = None,
    val_images: inputs.ValImages = None,
    val_labels: inputs.ValLabels = None,
    val_fraction: inputs.ValFraction = TrainOptions.val_fraction,
    architecture: network.Architecture = TrainOptions.architecture,
    init: network.Init = None,
    width: network.Width = TrainOptions.width,
    depth: network.Depth = TrainOptions.depth,
    padding: network.Padding = TrainOptions.padding,
    norm: network.Norm = TrainOptions.norm,
    blocks: network.Blocks = None,
    dropout: network.Dropout = TrainOptions.dropout,
    encoder_weights: network.EncoderWeights = TrainOptions.encoder_weights,
    epochs: learning.Epochs = TrainOptions.epochs,
    max_time_min: learning.MaxTime = TrainOptions.max_time_min,
    chip: learning.Chip = TrainOptions.chip,
    balance: learning.Balance = TrainOptions.balance,
    batch: learning.Batch = str(TrainOptions.batch),  # type: ignore[assignment]
    accumulate: learning.Accumulate = TrainOptions.accumulate,
    patience: learning.Patience = TrainOptions.patience,
    optimiser: learning.Optimiser = TrainOptions.optimiser,
    lr: learning.Lr = str(TrainOptions.lr),  # type: ignore[assignment]
    schedule: learning.Schedule = TrainOptions.schedule,
    warm_up: learning.WarmUp = TrainOptions.warm_up,
    momentum: learning.Momentum = TrainOptions.momentum,
    weight_decay: learning.WeightDecay = TrainOptions.weight_decay,
    clip: learning.Clip = TrainOptions.clip,
    ema: learning.Ema = TrainOptions.ema,
    loss: losses.Sum = LossOptions.loss,
    class_weights: losses.ClassWeights = LossOptions.class_weights,
    label_smoothing: losses.LabelSmoothing = LossOptions.label_smoothing,
    border_weight: losses.BorderWeight = LossOptions.border_weight,
    border_sigma_px: losses.BorderSigma = LossOptions.border_sigma_px,
    augment: augmentation.Preset = TrainOptions.augment,  # type: ignore[assignment]
    rotate_deg: augmentation.Rotate = None,
    scale: augmentation.Scale = None,
    shift_px: augmentation.Shift = None,
    elastic_px: augmentation.Elastic = None,
    brightness: augmentation.Brightness = None,
    contrast: augmentation.Contrast = None,
    gamma: augmentation.Gamma = None,
    noise: augmentation.Noise = None,
    blur_px: augmentation.Blur = None,
    band_dropout: augmentation.BandDropout = None,
    show_augmentation: augmentation.Show = None,
    seed: learning.Seed = TrainOptions.seed,
    device: execution.Device = TrainOptions.device,
    precision: execution.TrainPrecision = TrainOptions.precision,
    workers: execution.Workers = TrainOptions.workers,
    max_memory: execution.ChipMemory = TrainOptions.max_memory,
    overwrite: outputs.Overwrite = TrainOptions.overwrite,
    resume: outputs.Resume = TrainOptions.resume,
    tensorboard: outputs.Tensorboard = TrainOptions.tensorboard,
    json: outputs.Json = False,
    quiet: outputs.Quiet = False,
) -> None:
    """Make a model from labelled scenes, straight from large rasters and GIS layers.

    The run folder holds the model (model.safetensors) and report.html, which shows how good it is
    on held-out blocks of the scenes, with settings, history and pictures. Of epochs about as good
    as the best (within 0.02 mean IoU) the latest is kept. state.safetensors and content.npz are
    needed by --resume only.

    On several GPUs: torchrun --nproc-per-node 4 -m geounet train ... The result is that of one
    process, for --batch counts the chips of all of them together.
    """
    given = locals()
    with one_voice():
        options = _collect(given)
        if show_augmentation is None and output is None:
            raise UsageError("--output is missing; give the folder of the run with -o FOLDER")
    if show_augmentation is not None:
        _draw(images, labels or (), show_augmentation, options, quiet=quiet)
    elif output is not None:
        summary = _train(images, labels or (), output, options, quiet=quiet)
        if speaks():
            print_summary(summary, describe(summary), json=json, quiet=quiet)


def _collect(given: Mapping[str, Any]) -> TrainOptions:
    return collect(
        TrainOptions,
        given,
        label_options=collect_labels(given),
        loss_options=collect(LossOptions, given),
        augment=choose_augmentation(given["augment"], **pick(AugmentOptions, given)),
    )


def _draw(
    images: Sequence[str], labels: Sequence[str], file: Path, options: TrainOptions, *, quiet: bool
) -> None:
    from geounet.training import show_augmentation

    with progress_bars(quiet=quiet) as progress:
        show_augmentation(images, labels, file, options, progress)


def _train(
    images: Sequence[str],
    labels: Sequence[str],
    folder: Path,
    options: TrainOptions,
    *,
    quiet: bool,
) -> TrainSummary:
    from geounet.training import train

    with (
        progress_bars(quiet=quiet or not speaks()) as progress,
        stop_gently("the step that it is at") as stop,
    ):
        return train(images, labels, folder, options, progress, stop)


def describe(summary: TrainSummary) -> str:
    """What was made, how good it is, and the command to try next."""
    metrics = summary.metrics
    classes = ", ".join(f"{c.name} {figure(c.iou)}" for c in metrics.classes)
    waited = share(summary.waiting_s, summary.training_s) if summary.training_s else "-"
    lines = [
        f"{summary.model}: mean IoU {figure(metrics.mean_iou)} on the held-out pixels ({classes})",
        f"epoch {summary.kept_epoch} of {summary.epochs}; "
        f"{counted(summary.chips, 'chip')} in {summary.training_s / 60:.1f} min of training on "
        f"{_describe_place(summary)}, waiting for chips {waited}; batches of {summary.batch}, "
        f"learning rate {summary.lr:g}",
        *_describe_test(summary),
        *(f"note: {note}" for note in summary.notes),
        f"look at {summary.output / 'report.html'} (examples.png, curves.png beside it); next:",
        f"  geounet predict SCENE -m {summary.model} -o mask.tif",
    ]
    return "\n".join(lines)


def _describe_place(summary: TrainSummary) -> str:
    """How many processes trained, where, and in which arithmetic."""
    if summary.processes == 1:
        return f"{summary.device} ({summary.precision})"
    kind = summary.device.partition(":")[0]
    return f"{summary.processes} x {kind} ({summary.precision})"


def _describe_test(summary: TrainSummary) -> list[str]:
    """How good the model is on scenes that had no part in making it, if there are any."""
    metrics = summary.test_metrics
    if metrics is None:
        return []
    classes = ", ".join(f"{c.name} {figure(c.iou)}" for c in metrics.classes)
    return [f"mean IoU {figure(metrics.mean_iou)} on the test scenes ({classes})"]
