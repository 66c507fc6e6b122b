"""`geounet train`: labelled scenes -> a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from geounet.cli import augmentation as a
from geounet.cli import parameters as p
from geounet.cli.bars import progress_bars
from geounet.cli.summary import figure, print_json, share
from geounet.errors import UsageError
from geounet.training.augment_options import choose_augmentation
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
            help="Labelled scenes: anything GDAL opens, or a folder.",
        ),
    ],
    labels: p.Labels,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FOLDER", help="Run folder, made new."),
    ],
    classes: p.Classes = None,
    class_field: p.ClassField = LabelOptions.class_field,
    line_width: p.LineWidth = LabelOptions.line_width_m,
    ignore: p.Ignore = LabelOptions.ignore,
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
        Literal["resunet", "unet"],
        typer.Option(help="The network; unet is the paper's.", rich_help_panel=NETWORK),
    ] = TrainOptions.architecture,  # type: ignore[assignment]
    width: Annotated[
        int | None,
        typer.Option(
            show_default="resunet 64, unet 32",
            help="Channels of the first level.",
            rich_help_panel=NETWORK,
        ),
    ] = TrainOptions.width,
    depth: Annotated[
        int | None,
        typer.Option(show_default="4", help="unet: number of poolings.", rich_help_panel=NETWORK),
    ] = TrainOptions.depth,
    padding: Annotated[
        Literal["same", "valid"] | None,
        typer.Option(
            show_default="same",
            help="unet: while training; prediction never pads.",
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
            help="Be done after so many minutes.",
            rich_help_panel=LEARNING,
        ),
    ] = TrainOptions.max_time_min,
    chip: Annotated[
        int, typer.Option(help="Side of the training samples in px.", rich_help_panel=LEARNING)
    ] = TrainOptions.chip,
    batch: Annotated[
        int, typer.Option(help="Chips per step.", rich_help_panel=LEARNING)
    ] = TrainOptions.batch,
    lr: Annotated[
        float, typer.Option(help="Highest learning rate.", rich_help_panel=LEARNING)
    ] = TrainOptions.lr,
    weight_decay: Annotated[
        float, typer.Option(help="Of AdamW.", rich_help_panel=LEARNING)
    ] = TrainOptions.weight_decay,
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
        Literal["auto", "float32", "bfloat16"],
        typer.Option(
            help="Arithmetic; auto: bfloat16 where the hardware has it.", rich_help_panel=p.SPEED
        ),
    ] = TrainOptions.precision,
    workers: Annotated[
        int, typer.Option(help="Threads that read chips.", rich_help_panel=p.SPEED)
    ] = TrainOptions.workers,
    overwrite: p.Overwrite = TrainOptions.overwrite,
    json: p.Json = False,
    quiet: p.Quiet = False,
) -> None:
    """Make a model from labelled scenes, straight from large rasters and GIS layers.

    The run folder holds the best model (model.safetensors), its settings, history and pictures.
    Held-out blocks of the scenes tell how good it is.
    """
    from geounet.raster import list_scenes

    options = TrainOptions(
        bands=bands,
        classes=classes,
        label_options=LabelOptions(class_field=class_field, line_width_m=line_width, ignore=ignore),
        val_images=tuple(scene for image in val_images or () for scene in list_scenes(image)),
        val_labels=tuple(val_labels or ()),
        val_fraction=val_fraction,
        aoi=aoi,
        bbox=bbox,
        architecture=architecture,
        width=width,
        depth=depth,
        padding=padding,
        norm=norm,
        blocks=blocks,
        dropout=dropout,
        chip=chip,
        batch=batch,
        epochs=epochs,
        max_time_min=max_time,
        lr=lr,
        weight_decay=weight_decay,
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
        seed=seed,
        overwrite=overwrite,
    )
    scenes, labels = _split_arguments(images, labels)
    if show_augmentation is not None:
        from geounet.training import show_augmentation as draw

        with progress_bars(quiet=quiet) as progress:
            draw(images, labels or (), show_augmentation, options, progress)
        return
    from geounet.training import train as train_model

    with progress_bars(quiet=quiet) as progress:
        summary = train_model(scenes, labels, output, options, progress)
    if json:
        print_json(summary)
    if not quiet:
        typer.echo(describe(summary), err=True)


def _split_arguments(images: list[str], labels: list[str]) -> tuple[list[str], list[str]]:
    """The scenes of folders and files; labels as given."""
    from geounet.raster import list_scenes

    scenes = [scene for image in images for scene in list_scenes(image)]
    if len(labels) not in (1, len(scenes)):
        raise UsageError(
            f"{len(labels)} labels for {len(scenes)} images; give one per image in their order, "
            "a folder, or one file for all"
        )
    return scenes, labels


def describe(summary: TrainSummary) -> str:
    """What was made, how good it is, and the command to try next."""
    metrics = summary.metrics
    classes = ", ".join(f"{c.name} {figure(c.iou)}" for c in metrics.classes)
    waited = share(summary.waiting_s, summary.training_s) if summary.training_s else "-"
    lines = [
        f"{summary.model}: mean IoU {figure(metrics.mean_iou)} on the held-out pixels ({classes})",
        f"best of {summary.epochs} epochs: the {summary.best_epoch}.; {summary.chips} chips in "
        f"{summary.elapsed_s / 60:.1f} min on {summary.device} ({summary.precision}), "
        f"waiting for chips {waited}",
        *(f"note: {note}" for note in summary.notes),
        f"look at {summary.output / 'examples.png'} and {summary.output / 'curves.png'}; next:",
        f"  geounet predict SCENE -m {summary.model} -o mask.tif",
    ]
    return "\n".join(lines)
