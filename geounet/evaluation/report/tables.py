"""The tables of the report: numbers with their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from geounet.classes import ClassInfo
from geounet.evaluation.naming import SMALLER_IS_BETTER, split_name
from geounet.evaluation.report.wording import DETAILS, name_metric, write_number, write_share
from geounet.evaluation.results import Comparison, Estimate, Evaluation, SceneEvaluation
from geounet.page import Markup, fold, join, swatch, tabulate, tag

MOST_ROWS = 200
"""Scenes that the table of scenes has: those with the lowest mean IoU."""

MOST_CLASSES = 6
"""Classes up to which the table of scenes has the IoU of each."""

ALL = "all classes"


def write_estimate(estimate: Estimate | None) -> Markup:
    """A number, and below it its interval."""
    value = write_number(None if estimate is None else estimate.value)
    return join([value, tag("span", between, "range") if (between := _range(estimate)) else ""])


def write_inline(estimate: Estimate) -> str:
    """A number with its interval in a sentence."""
    between = _range(estimate)
    return write_number(estimate.value) + (f" (95 % interval {between})" if between else "")


def tabulate_pixels(evaluation: Evaluation) -> Markup:
    """A row for each class, with its pixels."""
    rows = []
    for item, metrics in zip(evaluation.classes, evaluation.metrics.classes, strict=True):
        found = [name for name in evaluation.values if split_name(name)[1] == item.name]
        shown = [name for name in found if split_name(name)[0] in PIXEL_METRICS]
        cells = [write_estimate(evaluation.values[name]) for name in shown]
        counts = [f"{metrics.support:,}", f"{metrics.predicted:,}"]
        rows.append([swatch(item.colour, item.name), *cells, *counts])
    heads = [name_metric(name) for name in PIXEL_METRICS]
    head = ["class", *heads, "pixels in labels", "in the map"]
    return tabulate(rows, head, caption="Pixel metrics by class")


PIXEL_METRICS = ("iou", "f1", "precision", "recall", "specificity")
"""By class, as the family calls them."""


def tabulate_numbers(names: Sequence[str], values: Mapping[str, Estimate]) -> Markup:
    """What is of no class: a row for each."""
    rows = [
        [name_metric(name), write_number(values[name].value), _range(values[name]) or "-"]
        for name in names
        if split_name(name)[1] is None
    ]
    return tabulate(rows, ("", "value", "95 % interval"), caption="Metrics of all classes")


def tabulate_family(
    names: Sequence[str],
    values: Mapping[str, Estimate],
    classes: Sequence[ClassInfo],
    beyond: Mapping[str, str],
) -> Markup:
    """Metrics of a family by class, with those of all classes: what is more makes the rows.

    Args:
        names: of the metrics.
        values: by name.
        classes: in this order.
        beyond: what to write for metrics that are no number, by name.
    """
    metrics = list(dict.fromkeys(split_name(name)[0] for name in names))
    present = {split_name(name)[1] for name in names}
    if len(present - {None}) <= 1 and None in present:  # one class and all are the same
        return tabulate_numbers(names, values)
    columns: list[tuple[str, str]] = [(ALL, "")] if None in present else []
    columns += [
        (swatch(item.colour, item.name), f".{item.name}")
        for item in classes
        if item.name in present
    ]
    cells = [
        [
            beyond.get(metric + suffix) or write_estimate(values.get(metric + suffix))
            for _, suffix in columns
        ]
        for metric in metrics
    ]
    titles, heads = [name_metric(metric) for metric in metrics], [shown for shown, _ in columns]
    if len(metrics) < len(columns):
        titles, heads, cells = heads, titles, [list(row) for row in zip(*cells, strict=True)]
    rows = [[title, *row] for title, row in zip(titles, cells, strict=True)]
    return tabulate(rows, ["", *heads], caption="Metrics by class")


def find_beyond(details: Mapping[str, Any]) -> dict[str, str]:
    """What is known of Hausdorff distances that are more than was looked for."""
    cap, names = details.get("hausdorff_cap_px"), details.get("hausdorff_more_than_cap", ())
    return {f"hausdorff95_px.{name}": f"> {cap}" for name in names}


def tabulate_counts_of(details: Mapping[str, Any]) -> Markup:
    """Counts of objects or errors by class, without those at every threshold."""
    shown = [(key, details[key]) for key in ("objects", "errors") if key in details]
    return join(_tabulate_nested(key, _drop_nested(table)) for key, table in shown)


def tabulate_details(details: Mapping[str, Any]) -> Markup:
    """All counts and settings that are no metrics: a table for each level of mappings."""
    plain = [
        [_write_key(key), _write_value(value)]
        for key, value in details.items()
        if not isinstance(value, Mapping) and not _is_long(value)
    ]
    tables = [
        _tabulate_nested(key, value)
        for key, value in details.items()
        if isinstance(value, Mapping) and not any(_is_long(v) for _, v in _flatten(value))
    ]
    parts = [*tables, tabulate(plain, caption="Settings and counts")]
    return tag("div", join(tag("div", part) for part in parts if part), "tables")


def tabulate_scenes(scenes: Sequence[SceneEvaluation], classes: Sequence[ClassInfo]) -> Markup:
    """A row for each scene, the worst first if there are too many."""
    shown = list(scenes)
    if len(scenes) > MOST_ROWS:
        shown = sorted(scenes, key=lambda scene: scene.metrics.mean_iou or 0.0)[:MOST_ROWS]
    names = ["miou", "oa"]
    if len(classes) <= MOST_CLASSES:
        names += [f"iou.{item.name}" for item in classes]
    rows = [
        [
            shorten_path(scene.name),
            *(write_estimate(scene.results.values[name]) for name in names),
            f"{scene.metrics.pixels:,}",
        ]
        for scene in shown
    ]
    head = ["scene", *map(name_metric, names), "pixels"]
    table = tabulate(rows, head, caption="Scenes")
    left = len(scenes) - len(shown)
    note = f"The {len(shown)} scenes with the lowest mean IoU; {left} more are in --csv and --json."
    return join([table, tag("p", note, "soft") if left else ""])


def tabulate_differences(comparison: Comparison, values: Mapping[str, Estimate]) -> Markup:
    """Both values, the difference with its interval, and what that says; by class in a fold."""
    names = [name for name in comparison.differences if name in values]
    plain = [name for name in names if split_name(name)[1] is None]
    head = ("", "the map", "compared with", "difference", "95 % interval", "")
    tables = [
        tabulate([_compare(name, comparison, values) for name in some], head, caption="Differences")
        for some in (plain, [name for name in names if name not in plain])
    ]
    return join([tables[0], fold("By class", tables[1])])


def tabulate_agreement(agreement: Sequence[int]) -> Markup:
    """Where both maps are right, or only one."""
    words = ("both are right", "only the map", "only the one it is compared with", "neither")
    pixels = sum(agreement)
    rows = [
        [word, write_share(count, pixels), f"{count:,}"]
        for word, count in zip(words, agreement, strict=True)
    ]
    return tabulate(rows, ("right is", "share", "pixels"), caption="Agreement of the two maps")


def tabulate_counts(evaluation: Evaluation) -> Markup:
    """The confusion matrix in pixels."""
    classes, counts = evaluation.classes, evaluation.confusion.counts
    rows = [
        [swatch(item.colour, item.name), *(f"{count:,}" for count in row)]
        for item, row in zip(classes, counts.tolist(), strict=True)
    ]
    head = ["in the labels", *(item.name for item in classes)]
    return tabulate(rows, head, caption="Pixels by class in labels and map")


def shorten_path(path: str, parts: int = 1) -> str:
    """The last parts of a path, or of an address."""
    return "/".join(path.replace("\\", "/").rstrip("/").split("/")[-parts:]) or path


def _compare(name: str, comparison: Comparison, values: Mapping[str, Estimate]) -> list[str]:
    difference = comparison.differences[name]
    mine, theirs = values[name].value, comparison.results.values[name].value
    signed = "-" if difference.value is None else f"{difference.value:+.3f}"
    between = ""
    if difference.low is not None and difference.high is not None:
        between = f"{difference.low:+.3f} to {difference.high:+.3f}"
    verdict = _judge(name, difference)
    return [name_metric(name), write_number(mine), write_number(theirs), signed, between, verdict]


def _judge(name: str, difference: Estimate) -> str:
    if difference.low is None or difference.high is None:
        return ""
    if difference.low <= 0 <= difference.high:
        return "no clear difference"
    is_better = (difference.low > 0) != (split_name(name)[0] in SMALLER_IS_BETTER)
    return tag("span", "better" if is_better else "worse", "good" if is_better else "bad")


def _range(estimate: Estimate | None) -> str:
    if estimate is None or estimate.low is None or estimate.high is None:
        return ""
    return f"{write_number(estimate.low)}\N{EN DASH}{write_number(estimate.high)}"


def _tabulate_nested(key: str, table: Mapping[str, Any]) -> Markup:
    """A mapping of mappings, such as of classes, as columns; another one as names and values."""
    caption, inner = _write_key(key).capitalize(), list(table.values())
    if inner and all(isinstance(value, Mapping) for value in inner):
        flat = [dict(_flatten(value)) for value in inner]
        names = dict.fromkeys(name for column in flat for name in column)
        rows = [[_write_key(n), *(_write_value(column.get(n)) for column in flat)] for n in names]
        shown = tabulate(rows, ["", *table], caption=caption)
    else:
        rows = [[_write_key(name), _write_value(value)] for name, value in table.items()]
        shown = tabulate(rows, caption=caption)
    return join([tag("h3", caption), shown]) if shown else Markup()


def _flatten(table: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{_write_key(name)}, ")
        else:
            yield name, value


def _drop_nested(table: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping of mappings without what is nested deeper."""
    return {
        key: {name: inner for name, inner in value.items() if not isinstance(inner, Mapping)}
        for key, value in table.items()
    }


def _is_long(value: object) -> bool:
    """Whether it is a list that is to be drawn, not written."""
    return isinstance(value, list) and not all(isinstance(item, str) for item in value)


def _write_key(key: str) -> str:
    return DETAILS.get(key, key.replace("_", " "))


def _write_value(value: object) -> str:
    if isinstance(value, float):
        return write_number(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None else str(value)
