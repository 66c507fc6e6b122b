"""An evaluation as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from geounet.cli.summary import figure, share

if TYPE_CHECKING:
    from geounet.evaluation import Comparison, Estimate, Evaluation, Metrics

NUMBERS = {
    "oa": "overall accuracy",
    "miou": "mean IoU",
    "fwiou": "frequency-weighted IoU",
    "balanced_accuracy": "balanced accuracy",
    "kappa": "kappa",
    "mcc": "MCC",
}
"""Metrics of the map in words; others are called as `--fail-under` calls them."""

PER_CLASS = ("iou", "f1", "precision", "recall", "specificity")
"""Metrics that the table of classes has."""

WIDTH = 26
"""Columns of names."""


def describe(evaluation: Evaluation) -> str:
    """A table of the classes, the numbers of the map, and what one has to know of them."""
    lines = [*_tabulate_classes(evaluation.metrics, evaluation.values), ""]
    lines += _list_numbers(evaluation.values)
    lines += _tabulate_others(evaluation)
    if len(evaluation.scenes) > 1:
        lines += ["", *_tabulate_scenes(evaluation)]
    if evaluation.comparison is not None:
        lines += ["", *_compare(evaluation.comparison, evaluation.values)]
    lines += [f"note: {note}" for note in evaluation.notes]
    return "\n".join(lines)


def name_failed(evaluation: Evaluation) -> str:
    """What is not as `--fail-under` and `--fail-over` want it, in one line."""
    return "; ".join(
        f"{item.metric} is undefined; it should be defined"
        if item.value is None
        else f"{item.metric} is {item.value:.4f}; it should be {item.wanted} {item.limit:g}"
        for item in evaluation.failed
    )


def _tabulate_classes(metrics: Metrics, values: Mapping[str, Estimate]) -> list[str]:
    width = max(12, *(len(item.name) for item in metrics.classes))
    has_intervals = any(estimate.low is not None for estimate in values.values())
    between = f"{'95 %':>16}" if has_intervals else ""
    heads = f"{'F1':>7} {'prec.':>7} {'recall':>7} {'spec.':>7} {'pixels':>14}"
    lines = [f"{'class':<{width}} {'IoU':>7}{between} {heads}"]
    for item in metrics.classes:
        iou, *others = (values[f"{metric}.{item.name}"] for metric in PER_CLASS)
        between = f"{_interval(iou):>16}" if has_intervals else ""
        figures = " ".join(f"{figure(other.value):>7}" for other in others)
        lines.append(
            f"{item.name:<{width}} {figure(iou.value):>7}{between} {figures} {item.support:>14,}"
        )
    return lines


def _list_numbers(values: Mapping[str, Estimate]) -> list[str]:
    """All that is of no class, those of pixels first."""
    names = [*NUMBERS, *(name for name in values if "." not in name and name not in NUMBERS)]
    return [
        f"{NUMBERS.get(name, name):<{WIDTH}} {_figure(name, values[name].value):>9} "
        f"{_interval(values[name], name):>16}".rstrip()
        for name in names
    ]


def _tabulate_others(evaluation: Evaluation) -> Iterator[str]:
    """What is of a class and not in the table of classes: a row each, a column per class."""
    classes = [item.name for item in evaluation.classes]
    named = (name.partition(".")[0] for name in evaluation.values if "." in name)
    metrics = [name for name in dict.fromkeys(named) if name not in PER_CLASS]
    if not metrics:
        return
    widths = [max(9, len(name)) for name in classes]
    heads = (f"{name:>{width}}" for name, width in zip(classes, widths, strict=True))
    yield ""
    yield f"{'':<{WIDTH}} {' '.join(heads)}"
    values = {name: _figure(name, item.value) for name, item in evaluation.values.items()}
    values |= _find_beyond(evaluation)
    for metric in metrics:
        cells = (
            f"{values.get(f'{metric}.{name}', '-'):>{width}}"
            for name, width in zip(classes, widths, strict=True)
        )
        yield f"{metric:<{WIDTH}} {' '.join(cells)}"


def _find_beyond(evaluation: Evaluation) -> dict[str, str]:
    """What is known of distances that are more than was looked for: `> 32`."""
    told = evaluation.details.get("boundary", {})
    names = told.get("hausdorff_more_than_cap", ())
    return {f"hausdorff95_px.{name}": f"> {told['hausdorff_cap_px']}" for name in names}


def _tabulate_scenes(evaluation: Evaluation) -> Iterator[str]:
    yield f"{'mask':<40} {'mean IoU':>9} {'95 %':>16} {'pixels':>12}"
    for scene in evaluation.scenes:
        miou = scene.results.values["miou"]
        yield (
            f"{scene.name[-40:]:<40} {figure(miou.value):>9} {_interval(miou):>16} "
            f"{scene.metrics.pixels:>12,}"
        )


def _compare(comparison: Comparison, values: Mapping[str, Estimate]) -> Iterator[str]:
    names = ", ".join(dict.fromkeys(scene.other for scene in comparison.scenes))
    yield f"compared with {names}"
    yield f"{'':<{WIDTH}} {'mask':>9} {'other':>9} {'mask - other':>13} {'95 %':>19}"
    for name, difference in comparison.differences.items():
        metric, _, class_name = name.partition(".")
        if metric in PER_CLASS[2:]:
            continue
        label = f"{metric} {class_name}" if class_name else NUMBERS.get(name, name)
        mine, theirs = values[name].value, comparison.results.values[name].value
        signed = "-" if difference.value is None else f"{difference.value:+.4f}"
        between = (
            ""
            if difference.low is None or difference.high is None
            else f"{difference.low:+.4f} {difference.high:+.4f}"
        )
        row = f"{label:<{WIDTH}} {_figure(name, mine):>9} {_figure(name, theirs):>9}"
        yield f"{row} {signed:>13} {between:>19}".rstrip()
    yield _describe_agreement(comparison)


def _describe_agreement(comparison: Comparison) -> str:
    pixels = sum(comparison.agreement)
    if not pixels:
        return "no pixel is in both"
    words = ("both right", "only the mask right", "only the other right", "both wrong")
    return ", ".join(
        f"{word} {share(count, pixels)}"
        for word, count in zip(words, comparison.agreement, strict=True)
    )


def _figure(name: str, value: float | None) -> str:
    """Four digits of shares; what may be larger, such as a distance, has fewer."""
    return figure(value) if value is None or abs(value) < 10 else f"{value:.1f}"


def _interval(estimate: Estimate, name: str = "") -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{_figure(name, estimate.low)} {_figure(name, estimate.high)}"
