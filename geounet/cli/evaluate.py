"""`geounet evaluate`: masks against labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from geounet.cli.bars import progress_bars
from geounet.cli.evaluation_text import describe, name_failed
from geounet.cli.parameters import (
    execution,
    files,
    inputs,
    labelling,
    mapping,
    measuring,
    outputs,
)
from geounet.cli.parameters.collecting import collect, collect_labels
from geounet.cli.summary import print_summary
from geounet.errors import BelowThreshold, UsageError
from geounet.evaluation.options import EvaluateOptions
from geounet.inference.options import PredictOptions
from geounet.vector.labels.label_options import LabelOptions

METRICS = ",".join(EvaluateOptions.metrics)

MAPPING = (
    "bands",
    "resample",
    "allow_pixel_size",
    "allow_dtype",
    "tta",
    "device",
    "max_memory",
)
"""Options of predict, too; others that are called as its options are mean what is here."""


def evaluate(
    maps: files.Masks,
    labels: files.Labels = None,
    classes: labelling.Classes = EvaluateOptions.classes,
    class_field: labelling.ClassField = LabelOptions.class_field,
    line_width_m: labelling.LineWidth = LabelOptions.line_width_m,
    ignore: labelling.Ignore = None,
    sparse: labelling.Sparse = LabelOptions.sparse,
    threshold: labelling.Threshold = LabelOptions.threshold,
    aoi: inputs.Aoi = None,
    bbox: inputs.Bbox = None,
    compare: inputs.Compare = None,
    metrics: measuring.Metrics = METRICS,
    scores: measuring.Scores = None,
    boundary_width: measuring.BoundaryWidth = EvaluateOptions.boundary_width,
    hausdorff_cap: measuring.HausdorffCap = EvaluateOptions.hausdorff_cap,
    connectivity: measuring.Connectivity = "4" if EvaluateOptions.connectivity == 4 else "8",
    features: measuring.Features = EvaluateOptions.features,
    object_sizes: measuring.ObjectSizes = EvaluateOptions.object_sizes,
    warp: measuring.Warp = EvaluateOptions.warp,
    fail_under: measuring.FailUnder = None,
    fail_over: measuring.FailOver = None,
    intervals: measuring.Intervals = EvaluateOptions.intervals,
    bootstrap: measuring.Bootstrap = EvaluateOptions.bootstrap,
    block: measuring.Block = EvaluateOptions.block,
    seed: measuring.Seed = EvaluateOptions.seed,
    model: mapping.Models = None,
    masks: mapping.MasksFolder = None,
    bands: inputs.Bands = None,
    resample: inputs.Resample = PredictOptions.resample,
    allow_pixel_size: inputs.AllowPixelSize = PredictOptions.allow_pixel_size,
    allow_dtype: inputs.AllowDtype = PredictOptions.allow_dtype,
    tta: mapping.TtaWithModel = PredictOptions.tta,
    device: execution.Device = PredictOptions.device,
    max_memory: execution.MaxMemory = PredictOptions.max_memory,
    csv: outputs.Csv = None,
    report: outputs.Report = None,
    report_figures: outputs.ReportFigures = EvaluateOptions.report_figures,
    images: outputs.ReportImages = None,
    errors: outputs.Errors = None,
    overwrite: outputs.Overwrite = EvaluateOptions.overwrite,
    json: outputs.Json = False,
    quiet: outputs.Quiet = False,
) -> None:
    """Compare masks with labels: how good the map is, and how sure that is.

    Pixels without a label, or without data in the mask, do not count. Labels on another grid are
    warped (nearest neighbour) onto the mask's. Images without georeference and labels of 0 and 255
    are fine.
    """
    options = _collect(locals())
    from geounet.evaluation import evaluate as evaluate_masks

    with progress_bars(quiet=quiet) as progress:
        evaluation = evaluate_masks(maps, labels or (), options, progress)
    print_summary(evaluation.to_dict(), describe(evaluation), json=json, quiet=quiet)
    if evaluation.failed:
        raise BelowThreshold(name_failed(evaluation))


def _collect(given: Mapping[str, Any]) -> EvaluateOptions:
    _refuse_mapping(given)
    return collect(
        EvaluateOptions,
        given,
        label_options=collect_labels(given),
        metrics=tuple(name.strip() for name in given["metrics"].split(",")),
        connectivity=int(given["connectivity"]),
        fail_under=_parse_limits("--fail-under", given["fail_under"]),
        fail_over=_parse_limits("--fail-over", given["fail_over"]),
        predict_options=PredictOptions(**{name: given[name] for name in MAPPING}),
    )


def _refuse_mapping(given: Mapping[str, Any]) -> None:
    """Nothing, unless it is said how to map and nothing is mapped; --bands also shows --images."""
    said = [name for name in MAPPING if given[name] != getattr(PredictOptions, name)]
    unused = [name for name in said if not (name == "bands" and given["images"])]
    if unused and not given["model"]:
        option = "--" + unused[0].replace("_", "-")
        raise UsageError(f"{option} is for images that --model maps; give a model, or leave it out")


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
