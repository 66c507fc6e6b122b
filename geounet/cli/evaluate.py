"""`geounet evaluate`: masks against labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from geounet.cli import parameters as p
from geounet.cli.bars import progress_bars
from geounet.cli.summary import figure, print_json
from geounet.evaluation.options import EvaluateOptions
from geounet.vector.label_options import LabelOptions

if TYPE_CHECKING:
    from geounet.evaluation import Evaluation, Metrics

NUMBERS = (
    ("overall accuracy", "overall_accuracy"),
    ("mean IoU", "mean_iou"),
    ("frequency-weighted IoU", "frequency_weighted_iou"),
    ("balanced accuracy", "balanced_accuracy"),
    ("kappa", "kappa"),
    ("MCC", "mcc"),
)


def evaluate(
    masks: Annotated[
        list[str], typer.Argument(metavar="MASK...", help="Masks of geounet predict, or a folder.")
    ],
    labels: p.Labels,
    classes: p.Classes = EvaluateOptions.classes,
    class_field: p.ClassField = LabelOptions.class_field,
    line_width: p.LineWidth = LabelOptions.line_width_m,
    ignore: p.Ignore = None,
    sparse: p.Sparse = LabelOptions.sparse,
    threshold: p.Threshold = LabelOptions.threshold,
    aoi: p.Aoi = None,
    bbox: p.Bbox = None,
    json: p.Json = False,
    quiet: p.Quiet = False,
) -> None:
    """Compare masks with labels: IoU, Dice, precision and recall of each class, and of the map.

    Pixels without a label, or without data in the mask, do not count. Labels on another grid are
    warped (nearest neighbour) onto the mask's.
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
    )
    from geounet.evaluation import evaluate as evaluate_masks
    from geounet.raster import list_scenes

    files = [file for mask in masks for file in list_scenes(mask)]
    with progress_bars(quiet=quiet) as progress:
        evaluation = evaluate_masks(files, labels, options, progress)
    if json:
        print_json(evaluation.to_dict())
    if not quiet:
        typer.echo(describe(evaluation), err=True)


def describe(evaluation: Evaluation) -> str:
    """A table of the classes, the numbers of the map, and what one has to know of them."""
    lines = [*_tabulate_classes(evaluation.metrics), "", *_list_numbers(evaluation.metrics)]
    if len(evaluation.scenes) > 1:
        lines += ["", f"{'mask':<40} {'mean IoU':>9} {'pixels':>12}"]
        lines += [
            f"{scene.mask[-40:]:<40} {figure(scene.metrics.mean_iou):>9} "
            f"{scene.metrics.pixels:>12,}"
            for scene in evaluation.scenes
        ]
    return "\n".join([*lines, *(f"note: {note}" for note in evaluation.notes)])


def _tabulate_classes(metrics: Metrics) -> list[str]:
    width = max(12, *(len(item.name) for item in metrics.classes))
    head = f"{'class':<{width}} {'IoU':>7} {'Dice':>7} {'prec.':>7} {'recall':>7} {'pixels':>14}"
    return [head] + [
        f"{c.name:<{width}} {figure(c.iou):>7} {figure(c.dice):>7} {figure(c.precision):>7} "
        f"{figure(c.recall):>7} {c.support:>14,}"
        for c in metrics.classes
    ]


def _list_numbers(metrics: Metrics) -> list[str]:
    return [f"{label:<23} {figure(getattr(metrics, name)):>7}" for label, name in NUMBERS]
