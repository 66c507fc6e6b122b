"""`geounet train`: labelled scenes -> a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from geounet.cli import augmentation as a
from geounet.cli import loss as c
from geounet.cli import parameters as p
from geounet.cli.bars import progress_bars
from geounet.cli.boundary import stop_gently
from geounet.cli.summary import figure, print_json, share
from geounet.cli.voice import one_voice, speaks
from geounet.errors import UsageError
from geounet.training.augment_options import choose_augmentation
from geounet.training.loss_options import LossOptions
from geounet.training.network_options import DEFAULT_ARCHITECTURE
from geounet.training.options import TrainOptions
from geounet.vector.label_options import LabelOptions

if TYPE_CHECKING:
    from geounet.training import TrainSummary

NETWORK = "Network"
LEARNING = "Learning"


def train(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...",
            help="Labelled scenes: anything GDAL opens, or a folder. Alone, without --labels: a "
            "folder with train/images, train/masks, val/..., test/..., or a CSV with the columns "
            "image,labels,split,weight.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            show_default="needed, but by --show-augmentation",
            help="Run folder, made new.",
        ),
    ] = None,
    labels: p.OptionalLabels = None,
    classes: p.Classes = None,
    class_field: p.ClassField = LabelOptions.class_field,
    line_width: p.LineWidth = LabelOptions.line_width_m,
    ignore: p.Ignore = None,
    sparse: p.Sparse = LabelOptions.sparse,
    threshold: p.Threshold = LabelOptions.threshold,
    separate: p.Separate = LabelOptions.separate_px,
    bands: p.Bands = None,
    aoi: p.Aoi = None,
    bbox: p.Bbox = None,
    val_images: Annotated[
        list[str] | None,
        typer.Option(
            metavar="IMAGE",
            show_default="blocks of the images are held out",
            help="Scenes to validate on, or a folder (repeat the option).",
            rich_help_panel=p.INPUT,
        ),
    ] = None,
    val_labels: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LABELS", help="Their labels.", show_default=False, rich_help_panel=p.INPUT
        ),
    ] = None,
    val_fraction: Annotated[
        float,
        typer.Option(help="Share of the pixels to hold out.", rich_help_panel=p.INPUT),
    ] = TrainOptions.val_fraction,
    architecture: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default=DEFAULT_ARCHITECTURE,
            help="resunet, unet (the paper's), lightunet, fcn32s, fcn16s, fcn8s, or "
            "smp:<Name>:<encoder> of segmentation_models_pytorch.",
            rich_help_panel=NETWORK,
        ),
    ] = TrainOptions.architecture,
    init: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL",
            show_default="fresh weights",
            help="Begin with this model's weights, also for other classes or bands.",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(
            show_default="resunet 64, others 32",
            help="Channels of the first level.",
            rich_help_panel=NETWORK,
        ),
    ] = TrainOptions.width,
    depth: Annotated[
        int | None,
        typer.Option(
            show_default="4", help="unet, lightunet: number of poolings.", rich_help_panel=NETWORK
        ),
    ] = TrainOptions.depth,
    padding: Annotated[
        Literal["same", "valid"] | None,
        typer.Option(
            show_default="same",
            help="unet, lightunet: while training; prediction never pads.",
            rich_help_panel=NETWORK,
        ),
    ] = TrainOptions.padding,
    norm: Annotated[
        Literal["batch", "none"] | None,
        typer.Option(
            show_default="batch", help="unet: none as in the paper.", rich_help_panel=NETWORK
        ),
    ] = TrainOptions.norm,
    blocks: Annotated[
        p.BlockCounts | None,
        typer.Option(
            parser=p.parse_blocks,
            metavar="N,N,N,N",
            show_default="1,1,1,1",
            help="resunet: residual blocks per stage; 3,4,6,3 is ResNet-34.",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    dropout: Annotated[
        float | None,
        typer.Option(
            show_default="0", help="Of the lowest level's channels.", rich_help_panel=NETWORK
        ),
    ] = TrainOptions.dropout,
    encoder_weights: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default="random",
            help="smp: weights to fetch for the encoder, e.g. imagenet.",
            rich_help_panel=NETWORK,
        ),
    ] = TrainOptions.encoder_weights,
    epochs: Annotated[
        int,
        typer.Option(
            help="An epoch covers the training pixels twice, with 192 to 2048 chips.",
            rich_help_panel=LEARNING,
        ),
    ] = TrainOptions.epochs,
    max_time: Annotated[
        float | None,
        typer.Option(
            metavar="MIN",
            show_default="no limit",
            help="Be done after so many minutes, but not before one step and its validation.",
            rich_help_panel=LEARNING,
        ),
    ] = TrainOptions.max_time_min,
    chip: Annotated[
        int, typer.Option(help="Side of the training samples in px.", rich_help_panel=LEARNING)
    ] = TrainOptions.chip,
    balance: Annotated[
        Literal["none", "class", "instance"],
        typer.Option(
            help="What chips are centred on: none: any pixel; class: each class as often, within "
            "limits; instance: each object as often, whatever its size.",
            rich_help_panel=LEARNING,
        ),
    ] = TrainOptions.balance,
    batch: Annotated[
        int | None,
        typer.Option(
            parser=p.parse_count,
            metavar="auto|N",
            help="Chips at a time, of all processes; auto: as many as fit the memory, to 8 on each "
            "CPU, else 32.",
            rich_help_panel=LEARNING,
        ),
    ] = str(TrainOptions.batch),  # type: ignore[assignment]
    accumulate: Annotated[
        int, typer.Option(help="Batches per step.", rich_help_panel=LEARNING)
    ] = TrainOptions.accumulate,
    patience: Annotated[
        int | None,
        typer.Option(
            metavar="EPOCHS",
            show_default="no limit",
            help="Be done after so many epochs without a better one.",
            rich_help_panel=LEARNING,
        ),
    ] = TrainOptions.patience,
    optimiser: Annotated[
        Literal["adamw", "sgd"], typer.Option(help="sgd: the paper's.", rich_help_panel=LEARNING)
    ] = TrainOptions.optimiser,
    lr: Annotated[
        float | None,
        typer.Option(
            parser=p.parse_rate,
            metavar="auto|RATE",
            help="Highest learning rate; auto: found by a test of 40 steps.",
            rich_help_panel=LEARNING,
        ),
    ] = str(TrainOptions.lr),  # type: ignore[assignment]
    schedule: Annotated[
        Literal["one-cycle", "cosine", "plateau"],
        typer.Option(help="Of the learning rate.", rich_help_panel=LEARNING),
    ] = TrainOptions.schedule,
    warm_up: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            show_default="one-cycle 0.3, others 0.05",
            help="Share of the run in which the learning rate rises.",
            rich_help_panel=LEARNING,
        ),
    ] = TrainOptions.warm_up,
    momentum: Annotated[
        float, typer.Option(help="Of sgd.", rich_help_panel=LEARNING)
    ] = TrainOptions.momentum,
    weight_decay: Annotated[
        float, typer.Option(help="Of all but biases and norms.", rich_help_panel=LEARNING)
    ] = TrainOptions.weight_decay,
    clip: Annotated[
        float,
        typer.Option(help="Largest norm of a step's gradient; 0: any.", rich_help_panel=LEARNING),
    ] = TrainOptions.clip,
    ema: Annotated[
        float,
        typer.Option(
            metavar="DECAY",
            help="Average the weights, as 0.999, and keep them where they are better; 0: do not.",
            rich_help_panel=LEARNING,
        ),
    ] = TrainOptions.ema,
    loss: c.Sum = LossOptions.loss,
    class_weights: c.Weights = LossOptions.class_weights,
    label_smoothing: c.Smoothing = LossOptions.label_smoothing,
    border_weight: c.BorderWeight = LossOptions.border_weight,
    border_sigma: c.BorderSigma = LossOptions.border_sigma_px,
    augment: a.Preset = TrainOptions.augment,  # type: ignore[assignment]
    rotate: a.Rotate = None,
    scale: a.Scale = None,
    shift: a.Shift = None,
    elastic: a.Elastic = None,
    brightness: a.Brightness = None,
    contrast: a.Contrast = None,
    gamma: a.Gamma = None,
    noise: a.Noise = None,
    blur: a.Blur = None,
    band_dropout: a.BandDropout = None,
    show_augmentation: a.Show = None,
    seed: Annotated[
        int,
        typer.Option(help="Of split, weights, chips and augmentation.", rich_help_panel=LEARNING),
    ] = TrainOptions.seed,
    device: p.Device = TrainOptions.device,
    precision: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"],
        typer.Option(
            help="Arithmetic; auto: the fastest that the hardware has.", rich_help_panel=p.SPEED
        ),
    ] = TrainOptions.precision,
    workers: Annotated[
        int, typer.Option(help="Threads that read chips.", rich_help_panel=p.SPEED)
    ] = TrainOptions.workers,
    max_memory: Annotated[
        int | None,
        typer.Option(
            parser=p.parse_memory,
            metavar="SIZE",
            show_default="half of what is free, at most 2GB",
            help="Memory for blocks of the scenes that are kept between chips, for example 4GB.",
            rich_help_panel=p.SPEED,
        ),
    ] = TrainOptions.max_memory,
    overwrite: p.Overwrite = TrainOptions.overwrite,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the run in the folder, if there is one.",
            rich_help_panel=p.OUTPUT,
        ),
    ] = TrainOptions.resume,
    tensorboard: Annotated[
        bool,
        typer.Option(
            "--tensorboard",
            help="Write event files for TensorBoard too (extra tensorboard).",
            rich_help_panel=p.OUTPUT,
        ),
    ] = TrainOptions.tensorboard,
    json: p.Json = False,
    quiet: p.Quiet = False,
) -> None:
    """Make a model from labelled scenes, straight from large rasters and GIS layers.

    The run folder holds the best model (model.safetensors) and report.html, which shows how good it
    is on held-out blocks of the scenes, with settings, history and pictures. state.safetensors and
    content.npz are needed by --resume only.

    On several GPUs: torchrun --nproc-per-node 4 -m geounet train ... The result is that of one
    process, for --batch counts the chips of all of them together.
    """
    with one_voice():
        options = TrainOptions(
            bands=bands,
            classes=classes,
            label_options=LabelOptions(
                class_field=class_field,
                line_width_m=line_width,
                ignore=ignore,
                sparse=sparse,
                threshold=threshold,
                separate_px=separate,
            ),
            val_images=tuple(val_images or ()),
            val_labels=tuple(val_labels or ()),
            val_fraction=val_fraction,
            aoi=aoi,
            bbox=bbox,
            architecture=architecture,
            init=init,
            width=width,
            depth=depth,
            padding=padding,
            norm=norm,
            blocks=blocks,
            dropout=dropout,
            encoder_weights=encoder_weights,
            chip=chip,
            balance=balance,
            batch=batch,
            epochs=epochs,
            max_time_min=max_time,
            accumulate=accumulate,
            patience=patience,
            optimiser=optimiser,
            lr=lr,
            schedule=schedule,
            warm_up=warm_up,
            momentum=momentum,
            weight_decay=weight_decay,
            clip=clip,
            ema=ema,
            loss_options=LossOptions(
                loss=loss,
                class_weights=class_weights,
                label_smoothing=label_smoothing,
                border_weight=border_weight,
                border_sigma_px=border_sigma,
            ),
            augment=choose_augmentation(
                augment,
                rotate_deg=rotate,
                scale=scale,
                shift_px=shift,
                elastic_px=elastic,
                brightness=brightness,
                contrast=contrast,
                gamma=gamma,
                noise=noise,
                blur_px=blur,
                band_dropout=band_dropout,
            ),
            device=device,
            precision=precision,
            workers=workers,
            max_memory=max_memory,
            seed=seed,
            overwrite=overwrite,
            resume=resume,
            tensorboard=tensorboard,
        )
    if show_augmentation is not None:
        from geounet.training import show_augmentation as draw

        with progress_bars(quiet=quiet) as progress:
            draw(images, labels or (), show_augmentation, options, progress)
        return
    with one_voice():
        if output is None:
            raise UsageError("--output is missing; give the folder of the run with -o FOLDER")
        folder = output
    from geounet.training import train as train_model

    with (
        progress_bars(quiet=quiet or not speaks()) as progress,
        stop_gently("the step that it is at") as stop,
    ):
        summary = train_model(images, labels or (), folder, options, progress, stop)
    if not speaks():
        return
    if json:
        print_json(summary)
    if not quiet:
        typer.echo(describe(summary), err=True)


def describe(summary: TrainSummary) -> str:
    """What was made, how good it is, and the command to try next."""
    metrics = summary.metrics
    classes = ", ".join(f"{c.name} {figure(c.iou)}" for c in metrics.classes)
    waited = share(summary.waiting_s, summary.training_s) if summary.training_s else "-"
    lines = [
        f"{summary.model}: mean IoU {figure(metrics.mean_iou)} on the held-out pixels ({classes})",
        f"best of {summary.epochs} epochs: the {summary.best_epoch}.; {summary.chips} chips in "
        f"{summary.elapsed_s / 60:.1f} min on {_describe_place(summary)}, "
        f"waiting for chips {waited}; batches of {summary.batch}, learning rate {summary.lr:g}",
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
