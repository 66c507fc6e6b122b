"""report.html: all of a run on one page that needs no other file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from geounet.classes import NODATA, ClassInfo
from geounet.evaluation import ConfusionMatrix, Metrics, draw_confusion
from geounet.page import (
    Markup,
    Panel,
    bullets,
    embed_figure,
    embed_panels,
    embed_paper,
    fold,
    join,
    swatch,
    tabulate,
    tag,
    write_page,
    write_sections,
)
from geounet.raster import colour_mask, hatch, stretch
from geounet.training.reporting.figures import Example, draw_curves
from geounet.training.reporting.review import Review, View
from geounet.training.reporting.split_layer import list_regions
from geounet.training.reporting.split_map import draw_split
from geounet.training.run import Run


def write_report(
    run: Run, settings: Mapping[str, Any], review: Review, tested: Metrics | None = None
) -> str:
    """The page, as HTML.

    Args:
        run: that is over.
        settings: as in settings.json.
        review: of its kept model.
        tested: metrics of this model on the test scenes; None without any.
    """
    rows = [epoch.to_row() for epoch in run.epochs]
    classes = run.spec.classes
    pairs = list(zip((*review.best, *review.worst), review.pictures, strict=True))
    best, worst = pairs[: len(review.best)], pairs[len(review.best) :]
    sections = (
        ("Held-out pixels", _tabulate_metrics(review.matrix.metrics())),
        ("Test scenes", _tabulate_metrics(tested) if tested else Markup()),
        ("What is taken for what", _embed_confusion(review.matrix)),
        ("Epochs", embed_figure(draw_curves(rows, classes), "Loss and IoU over the epochs")),
        ("Best windows", _show_views(best, classes) or tag("p", "There are too few to tell.")),
        ("Worst windows", _show_views(worst, classes)),
        (
            "Where is trained and validated",
            embed_paper(_draw_split(run), "Map of what trains, validates and is guard"),
        ),
        ("Notes", bullets(run.task.notes)),
        ("Settings", _tabulate_settings(settings)),
    )
    title = f"{run.spec.architecture}: mean IoU {_figure(run.kept.metrics.mean_iou)}"
    head = join([tag("h1", title), tag("p", _summarise(run, settings), "lead")])
    return write_page(f"geounet train, {title}", join([head, write_sections(sections)], "\n"))


def _embed_confusion(matrix: ConfusionMatrix) -> Markup:
    caption = "Rows are the classes of the labels: shares of their pixels, and pixels."
    return embed_figure(draw_confusion(matrix), "Confusion matrix", caption)


def _summarise(run: Run, settings: Mapping[str, Any]) -> str:
    steps = sum(epoch.result.steps for epoch in run.epochs)
    chips = steps * run.options.accumulate * run.chosen.batch
    seconds = run.epochs[-1].elapsed_s
    return (
        f"Epoch {run.kept.number} of {len(run.epochs)}, {steps} steps, {chips} chips of "
        f"{run.options.chip} pixels in {seconds / 60:.1f} minutes on {settings['device']} "
        f"({settings['precision']}), {run.spec.training['date']}."
    )


def _draw_split(run: Run) -> Figure:
    inputs = run.task.inputs
    return draw_split(list_regions(run.task), inputs.classes, inputs.reading.bands)


def _tabulate_metrics(metrics: Metrics) -> Markup:
    head = ("class", "IoU", "Dice", "precision", "recall", "pixels")
    rows = [
        (
            item.name,
            *(_figure(x) for x in (item.iou, item.dice, item.precision, item.recall)),
            f"{item.support:,}",
        )
        for item in metrics.classes
    ]
    total = (
        f"Overall accuracy {_figure(metrics.overall_accuracy)}, kappa {_figure(metrics.kappa)}, "
        f"{metrics.pixels:,} pixels."
    )
    return join([tabulate(rows, head, caption="Metrics by class"), tag("p", total)])


def _show_views(views: Sequence[tuple[View, Example]], classes: Sequence[ClassInfo]) -> Markup:
    """Image, labels and prediction of each, with the colours of the classes above."""
    if not views:
        return Markup()
    legend = join(tag("span", swatch(item.colour, item.name)) for item in classes)
    rows = (embed_panels(_picture(example, classes), _describe(view)) for view, example in views)
    return join([tag("div", legend, "legend"), *rows])


def _describe(view: View) -> str:
    window = view.block.window
    return (
        f"Mean IoU {view.score:.3f}, rows {window.row_off} to {window.row_end}, columns "
        f"{window.col_off} to {window.col_end}"
    )


def _picture(example: Example, classes: Sequence[ClassInfo]) -> list[Panel]:
    labels, mask = (colour_mask(values, classes) for values in (example.labels, example.mask))
    return [
        Panel("image", stretch(example.image, example.valid), is_photo=True),
        Panel("labels", hatch(labels, example.labels == NODATA)),
        Panel("prediction", hatch(mask, example.mask == NODATA)),
    ]


def _tabulate_settings(settings: Mapping[str, Any]) -> Markup:
    """The options that were given a value, and what was found."""
    found = {key: settings[key] for key in ("batch", "lr", "geounet", "torch") if key in settings}
    options = {
        key: value
        for key, value in settings["options"].items()
        if value not in (None, "", (), []) and not isinstance(value, dict)
    }
    rows = [(key.replace("_", " "), str(value)) for key, value in {**options, **found}.items()]
    scenes = [f"{scene['image']} with {scene['labels']}" for scene in settings["scenes"]]
    listed = fold(f"{len(scenes)} scene(s)", bullets(scenes))
    return join([tabulate(rows, caption="Settings"), listed])


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
