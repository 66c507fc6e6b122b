"""`geounet evaluate`: masks against labels."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

import typer

from geounet.cli import parameters as p
from geounet.cli.bars import progress_bars
from geounet.cli.evaluation_text import describe, name_failed
from geounet.cli.summary import print_json
from geounet.errors import BelowThreshold, UsageError
from geounet.evaluation.options import EvaluateOptions
from geounet.inference.options import PredictOptions
from geounet.vector.label_options import LabelOptions

METRICS = "Metrics"
SURENESS = "How sure the numbers are"
MODEL = "With a model: images are mapped first"

__all__ = ["describe", "evaluate"]


def evaluate(
    masks: Annotated[
        list[str],
        typer.Argument(
            metavar="MASK...",
            help="Masks of geounet predict, or any rasters of class numbers, or a folder; with "
            "--model images, or one folder with test/images and test/masks.",
        ),
    ],
    labels: p.OptionalLabels = None,
    classes: p.Classes = EvaluateOptions.classes,
    class_field: p.ClassField = LabelOptions.class_field,
    line_width: p.LineWidth = LabelOptions.line_width_m,
    ignore: p.Ignore = None,
    sparse: p.Sparse = LabelOptions.sparse,
    threshold: p.Threshold = LabelOptions.threshold,
    aoi: p.Aoi = None,
    bbox: p.Bbox = None,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MASK",
            show_default="none",
            help="Other masks of the same scenes, one per mask in their order (repeat the option), "
            "or a folder, matched by name: differences with intervals, drawn in pairs. Only pixels "
            "that both have count.",
            rich_help_panel=p.INPUT,
        ),
    ] = None,
    metrics: Annotated[
        str,
        typer.Option(
            metavar="FAMILY,...|all",
            help="Families of metrics: pixel (always), boundary, object, topology, and probability "
            "(with --scores or --model). Those of pixels take seconds, others minutes on large "
            "rasters.",
            rich_help_panel=METRICS,
        ),
    ] = ",".join(EvaluateOptions.metrics),
    scores: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            show_default="none",
            help="Probabilities of the classes as geounet predict --scores writes them, one file "
            "per mask in their order (repeat the option), or a folder, matched by name: adds Brier "
            "score, log loss, calibration error and precision-recall.",
            rich_help_panel=METRICS,
        ),
    ] = None,
    boundary_width: Annotated[
        str,
        typer.Option(
            metavar="LENGTH",
            help="Boundary: what is near one, for boundary IoU and F1, as 3px or 1.5m.",
            rich_help_panel=METRICS,
        ),
    ] = EvaluateOptions.boundary_width,
    hausdorff_cap: Annotated[
        int,
        typer.Option(
            metavar="PX",
            min=1,
            help="Boundary: up to here the Hausdorff distance is exact; above it shows as more.",
            rich_help_panel=METRICS,
        ),
    ] = EvaluateOptions.hausdorff_cap,
    connectivity: Annotated[
        Literal["4", "8"],
        typer.Option(
            help="Object, topology: 4, pixels of one object share an edge; 8, or but a corner.",
            rich_help_panel=METRICS,
        ),
    ] = "4" if EvaluateOptions.connectivity == 4 else "8",
    features: Annotated[
        bool,
        typer.Option(
            "--features/--no-features",
            help="Object, topology: each feature of vector labels is an object, also where two "
            "touch; otherwise what is connected, as in the mask.",
            rich_help_panel=METRICS,
        ),
    ] = EvaluateOptions.features,
    object_sizes: Annotated[
        str,
        typer.Option(
            metavar="AREA,AREA",
            help="Object: areas from which on one is medium, and large, as 100m2,1000m2 or in px.",
            rich_help_panel=METRICS,
        ),
    ] = EvaluateOptions.object_sizes,
    warp: Annotated[
        int,
        typer.Option(
            metavar="PX",
            min=1,
            help="Topology: boundaries may be so far off before that is an error.",
            rich_help_panel=METRICS,
        ),
    ] = EvaluateOptions.warp,
    fail_under: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            show_default="never",
            help="Exit with code 6 if this metric is less, or undefined: miou, oa, kappa, mcc, "
            "iou.CLASS, f1.CLASS and others; an unknown name lists them. Repeatable.",
            rich_help_panel=METRICS,
        ),
    ] = None,
    fail_over: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            show_default="never",
            help="Likewise if it is more: for brier, log_loss, ece and others that are better the "
            "smaller.",
            rich_help_panel=METRICS,
        ),
    ] = None,
    intervals: Annotated[
        bool,
        typer.Option(
            help="95 % intervals by drawing blocks of pixels again and again.",
            rich_help_panel=SURENESS,
        ),
    ] = EvaluateOptions.intervals,
    bootstrap: Annotated[
        int,
        typer.Option(
            metavar="N", min=100, help="How often blocks are drawn.", rich_help_panel=SURENESS
        ),
    ] = EvaluateOptions.bootstrap,
    block: Annotated[
        int | None,
        typer.Option(
            metavar="PX",
            min=1,
            show_default="256, doubled until there are at most 2048",
            help="Side of the blocks in pixels: larger than what errs together, such as a field.",
            rich_help_panel=SURENESS,
        ),
    ] = EvaluateOptions.block,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="Of the draws.", rich_help_panel=SURENESS)
    ] = EvaluateOptions.seed,
    model: Annotated[
        list[Path] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            show_default="none",
            help="Map images with this model first, exactly as geounet predict does; repeated, an "
            "ensemble.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    masks_folder: Annotated[
        Path | None,
        typer.Option(
            "--masks",
            metavar="FOLDER",
            show_default="they are removed",
            help="Keep the masks here. The same command finds those that are done.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    bands: p.Bands = None,
    resample: p.Resample = PredictOptions.resample,
    allow_pixel_size: p.AllowPixelSize = PredictOptions.allow_pixel_size,
    allow_dtype: p.AllowDtype = PredictOptions.allow_dtype,
    tta: Annotated[
        Literal["none", "flip", "d4"],
        typer.Option(
            help="Average over flips (4 passes) or all symmetries of the square (8).",
            rich_help_panel=MODEL,
        ),
    ] = PredictOptions.tta,
    device: p.Device = PredictOptions.device,
    max_memory: p.MaxMemory = PredictOptions.max_memory,
    csv: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default="none",
            help="Also write all numbers here, a row per mask and metric.",
            rich_help_panel=p.OUTPUT,
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html",
            show_default="none",
            help="Also write a page with all numbers, figures, where the errors are and the worst "
            "windows. It needs no other file and no network, and can be printed.",
            rich_help_panel=p.OUTPUT,
        ),
    ] = None,
    report_figures: Annotated[
        bool,
        typer.Option(
            "--report-figures",
            help="Also write every figure of the report as a PNG beside it.",
            rich_help_panel=p.OUTPUT,
        ),
    ] = EvaluateOptions.report_figures,
    images: Annotated[
        list[str] | None,
        typer.Option(
            metavar="IMAGE",
            show_default="none; with --model they are known",
            help="What the report shows beside the masks: one image per mask in their order "
            "(repeat the option), or a folder, matched by name.",
            rich_help_panel=p.OUTPUT,
        ),
    ] = None,
    errors: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default="none",
            help="Also write polygons of false negatives, false positives and confusions, with "
            "both classes and the area: .gpkg (with a QGIS style), .parquet, .fgb or .geojson.",
            rich_help_panel=p.OUTPUT,
        ),
    ] = None,
    overwrite: p.Overwrite = EvaluateOptions.overwrite,
    json: p.Json = False,
    quiet: p.Quiet = False,
) -> None:
    """Compare masks with labels: how good the map is, and how sure that is.

    Pixels without a label, or without data in the mask, do not count. Labels on another grid are
    warped (nearest neighbour) onto the mask's. Images without georeference and labels of 0 and 255
    are fine.
    """
    options = EvaluateOptions(
        classes=classes,
        label_options=LabelOptions(
            class_field=class_field,
            line_width_m=line_width,
            ignore=ignore,
            sparse=sparse,
            threshold=threshold,
        ),
        aoi=aoi,
        bbox=bbox,
        metrics=tuple(name.strip() for name in metrics.split(",")),
        boundary_width=boundary_width,
        hausdorff_cap=hausdorff_cap,
        connectivity=8 if connectivity == "8" else 4,
        features=features,
        object_sizes=object_sizes,
        warp=warp,
        scores=tuple(scores or ()),
        compare=tuple(compare or ()),
        intervals=intervals,
        bootstrap=bootstrap,
        block=block,
        seed=seed,
        fail_under=_parse_limits("--fail-under", fail_under),
        fail_over=_parse_limits("--fail-over", fail_over),
        model=tuple(model or ()),
        masks=masks_folder,
        predict_options=PredictOptions(
            bands=bands,
            resample=resample,
            allow_pixel_size=allow_pixel_size,
            allow_dtype=allow_dtype,
            tta=tta,
            device=device,
            max_memory=max_memory,
        ),
        csv=csv,
        report=report,
        report_figures=report_figures,
        images=tuple(images or ()),
        errors=errors,
        overwrite=overwrite,
    )
    from geounet.evaluation import evaluate as evaluate_masks

    with progress_bars(quiet=quiet) as progress:
        evaluation = evaluate_masks(masks, labels or (), options, progress)
    if json:
        print_json(evaluation.to_dict())
    if not quiet:
        typer.echo(describe(evaluation), err=True)
    if evaluation.failed:
        raise BelowThreshold(name_failed(evaluation))


def _parse_limits(option: str, texts: list[str] | None) -> tuple[tuple[str, float], ...]:
    return tuple(_parse_limit(option, text) for text in texts or ())


def _parse_limit(option: str, text: str) -> tuple[str, float]:
    """`miou=0.7` -> ("miou", 0.7)."""
    name, _, number = text.rpartition("=")
    try:
        least = float(number)
    except ValueError:
        least = math.nan
    if not name or not math.isfinite(least):
        raise UsageError(f"{option} {text!r}: write NAME=VALUE like miou=0.7")
    return name.strip(), least
