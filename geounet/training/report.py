"""report.html: all of a run on one page that needs no other file."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from matplotlib.figure import Figure

from geounet.evaluation import Metrics
from geounet.training.figures import draw_curves, draw_examples
from geounet.training.report_figures import draw_confusion
from geounet.training.review import Review, View
from geounet.training.run import Run
from geounet.training.split_layer import list_regions
from geounet.training.split_map import draw_split

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; background: #fff }
h1 { font-size: 1.6rem }
h2 { font-size: 1.15rem; margin-top: 2.2rem; border-bottom: 1px solid #ccc }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
td, th { padding: .15rem .8rem .15rem 0; text-align: left; vertical-align: top }
td.number, th.number { text-align: right }
img { max-width: 100%; height: auto; display: block }
summary { cursor: pointer }
"""


def write_report(
    run: Run, settings: Mapping[str, Any], review: Review, tested: Metrics | None = None
) -> str:
    """The page, as HTML.

    Args:
        run: that is over.
        settings: as in settings.json.
        review: of its best model.
        tested: metrics of this model on the test scenes; None without any.
    """
    rows = [epoch.to_row() for epoch in run.epochs]
    examples, classes = review.pictures, run.spec.classes
    count = len(review.best)
    sections = (
        ("Held-out pixels", _tabulate_metrics(review.matrix.metrics())),
        ("Test scenes", "" if tested is None else _tabulate_metrics(tested)),
        ("What is taken for what", embed(draw_confusion(review.matrix))),
        ("Epochs", embed(draw_curves(rows, run.spec.classes))),
        ("Best windows", _show_views(review.best, draw_examples(examples[:count], classes)))
        if count
        else ("Best windows", "<p>There are too few to tell.</p>"),
        ("Worst windows", _show_views(review.worst, draw_examples(examples[count:], classes))),
        ("Where is trained and validated", embed(_draw_split(run))),
        ("Notes", _list(run.task.notes)),
        ("Settings", _tabulate_settings(settings)),
    )
    body = "".join(f"<h2>{title}</h2>\n{content}\n" for title, content in sections if content)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>geounet train</title>'
        f"<style>{STYLE}</style></head><body>\n<h1>{escape(run.spec.architecture)}: mean IoU "
        f"{_figure(run.best.metrics.mean_iou)}</h1>\n<p>{escape(_summarise(run, settings))}</p>\n"
        f"{body}</body></html>\n"
    )


def embed(figure: Figure) -> str:
    """A figure as an image that lies in the page."""
    png = io.BytesIO()
    figure.savefig(png, format="png")
    text = base64.b64encode(png.getvalue()).decode("ascii")
    return f'<img alt="" src="data:image/png;base64,{text}">'


def _summarise(run: Run, settings: Mapping[str, Any]) -> str:
    steps = sum(epoch.result.steps for epoch in run.epochs)
    chips = steps * run.options.accumulate * run.chosen.batch
    seconds = run.epochs[-1].elapsed_s
    return (
        f"Epoch {run.best.number} of {len(run.epochs)}, {steps} steps, {chips} chips of "
        f"{run.options.chip} pixels in {seconds / 60:.1f} minutes on {settings['device']} "
        f"({settings['precision']}), {run.spec.training['date']}."
    )


def _draw_split(run: Run) -> Figure:
    inputs = run.task.inputs
    return draw_split(list_regions(run.task), inputs.classes, inputs.reading.bands)


def _tabulate_metrics(metrics: Metrics) -> str:
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
        f"<p>Overall accuracy {_figure(metrics.overall_accuracy)}, kappa "
        f"{_figure(metrics.kappa)}, {metrics.pixels:,} pixels.</p>"
    )
    return _table(rows, head) + total


def _show_views(views: Sequence[View], figure: Figure) -> str:
    lines = [
        f"mean IoU {view.score:.3f}, rows {view.block.window.row_off} to "
        f"{view.block.window.row_end}, columns {view.block.window.col_off} to "
        f"{view.block.window.col_end}"
        for view in views
    ]
    return _list(lines) + embed(figure)


def _tabulate_settings(settings: Mapping[str, Any]) -> str:
    """The options that were given a value, and what was found."""
    found = {key: settings[key] for key in ("batch", "lr", "geounet", "torch") if key in settings}
    options = {
        key: value
        for key, value in settings["options"].items()
        if value not in (None, "", (), []) and not isinstance(value, dict)
    }
    rows = [(key.replace("_", " "), str(value)) for key, value in {**options, **found}.items()]
    scenes = [f"{scene['image']} with {scene['labels']}" for scene in settings["scenes"]]
    return (
        _table(rows)
        + f"<details><summary>{len(scenes)} scene(s)</summary>{_list(scenes)}</details>"
    )


def _table(rows: Iterable[Sequence[str]], head: Sequence[str] = ()) -> str:
    lines = [_row(head, "th")] if head else []
    return f"<table>{''.join([*lines, *(_row(row, 'td') for row in rows)])}</table>"


def _row(cells: Sequence[str], tag: str) -> str:
    kinds = ("", *[' class="number"' if len(cells) > 2 else ""] * (len(cells) - 1))
    inner = "".join(
        f"<{tag}{kind}>{escape(cell)}</{tag}>" for kind, cell in zip(kinds, cells, strict=True)
    )
    return f"<tr>{inner}</tr>"


def _list(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
