"""The page of an evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from geounet import __version__
from geounet.classes import ClassInfo
from geounet.evaluation.bootstrap import LEVEL
from geounet.evaluation.measures.family import Family
from geounet.evaluation.measures.outcomes import ERRORS, find_background
from geounet.evaluation.naming import list_names
from geounet.evaluation.report.figures import (
    draw_confusion,
    draw_precision_recall,
    draw_reliability,
)
from geounet.evaluation.report.pictures import BETTER
from geounet.evaluation.report.sketchbook import Sketchbook
from geounet.evaluation.report.survey import MOST_SCENES, Overview, WrongWindow
from geounet.evaluation.report.tables import (
    find_beyond,
    shorten_path,
    tabulate_agreement,
    tabulate_counts,
    tabulate_counts_of,
    tabulate_details,
    tabulate_differences,
    tabulate_family,
    tabulate_numbers,
    tabulate_pixels,
    tabulate_scenes,
    write_inline,
)
from geounet.evaluation.report.wording import (
    FAMILY_TITLES,
    GLOSSARY,
    name_metric,
    write_number,
    write_percent,
    write_share,
)
from geounet.evaluation.results import Estimate, Evaluation
from geounet.page import (
    Markup,
    Panel,
    bullets,
    fold,
    join,
    swatch,
    tabulate,
    tag,
    write_page,
    write_sections,
)
from geounet.wording import counted

MOST_TILES = 6

OTHER_TILES = ("object_f1", "boundary_iou", "boundary_f1", "rand_error", "ece")
"""Of families beside that of pixels, as far as there are such."""


@dataclass(frozen=True)
class Findings:
    """All that the page shows.

    Attributes:
        evaluation: the numbers.
        families: where these come from.
        scenes: those with the largest share of errors, with pictures of each.
        windows: those with most wrong pixels, likewise.
        models: what made the masks, as far as that is known.
        compared: names of the masks compared with.
        written_at: when.
    """

    evaluation: Evaluation
    families: Sequence[Family]
    scenes: Sequence[tuple[Overview, Sequence[Panel]]]
    windows: Sequence[tuple[WrongWindow, Sequence[Panel]]]
    models: Sequence[str] = ()
    compared: Sequence[str] = ()
    written_at: datetime = field(default_factory=lambda: datetime.now(UTC))


def write_report(found: Findings, book: Sketchbook) -> str:
    """The page, as HTML; figures go through the book."""
    title = _name_scenes(found.evaluation)
    families = {family.name: list_names(family) for family in found.families}
    sections = (
        ("Classes", _write_pixels(found.evaluation, families["pixel"])),
        ("What is taken for what", _write_confusion(found.evaluation, book)),
        *_write_families(found.evaluation, families, book),
        ("Comparison", _write_comparison(found)),
        ("Scenes", _write_scenes(found, book)),
        ("Worst windows", _write_windows(found, book)),
        ("Notes", bullets(found.evaluation.notes)),
        ("How it was made", _write_settings(found)),
    )
    head = tag("header", join([tag("h1", title), _write_origin(found), *_summarize(found)]))
    return write_page(title, join([head, write_sections(sections)], "\n"))


def _name_scenes(evaluation: Evaluation) -> str:
    names = [shorten_path(scene.name) for scene in evaluation.scenes]
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"Evaluation of {names[0]}{more}"


def _write_origin(found: Findings) -> Markup:
    labels = dict.fromkeys(shorten_path(scene.labels) for scene in found.evaluation.scenes)
    parts = [
        f"Map compared with {_enumerate(list(labels))}",
        f"model {_enumerate(found.models)}" if found.models else "",
        found.written_at.strftime("%d %B %Y").lstrip("0"),
        f"geounet {__version__}",
    ]
    return tag("p", " \N{MIDDLE DOT} ".join(filter(None, parts)), "soft")


def _summarize(found: Findings) -> Iterator[Markup]:
    """The main numbers, in sentences and in large."""
    evaluation, values = found.evaluation, found.evaluation.values
    pixels = evaluation.metrics.pixels
    count = len(evaluation.scenes)
    scenes = counted(count, "scene")
    sentences = [
        f"Of {pixels:,} labelled pixels in {scenes}, {write_percent(values['oa'].value)} have the "
        f"right class. The mean IoU is {write_inline(values['miou'])}.",
        _describe_classes(evaluation),
    ]
    yield tag("p", " ".join(filter(None, sentences)), "lead")
    if evaluation.failed:
        yield tag("p", _describe_failed(evaluation), "bad")
    tiles = [_write_tile(name_metric(name), values[name]) for name in _choose_tiles(evaluation)]
    yield tag("div", join(tiles), "tiles")


def _describe_classes(evaluation: Evaluation) -> str:
    """How good the one class is, or which of several is best and worst."""
    classes, values = evaluation.classes, evaluation.values
    one = _find_single(classes)
    if one is not None:
        recall, precision = (values[f"{name}.{one.name}"].value for name in ("recall", "precision"))
        return (
            f"The map finds {write_percent(recall)} of the pixels that are labelled {one.name}; of "
            f"those that it calls {one.name}, {write_percent(precision)} are."
        )
    ranked = [
        (value, item.name)
        for item in classes
        if (value := values[f"iou.{item.name}"].value) is not None
    ]
    if len(ranked) < 2:
        return ""
    (low, worst), (high, best) = min(ranked), max(ranked)
    return f"Best is {best} (IoU {high:.3f}), weakest {worst} ({low:.3f})."


def _choose_tiles(evaluation: Evaluation) -> list[str]:
    one = _find_single(evaluation.classes)
    names = ["miou", "oa", "balanced_accuracy", "kappa"]
    if one is not None:
        names = [f"{name}.{one.name}" for name in ("iou", "f1", "precision", "recall")]
    names += OTHER_TILES
    return [
        name
        for name in names
        if name in evaluation.values and evaluation.values[name].value is not None
    ][:MOST_TILES]


def _find_single(classes: Sequence[ClassInfo]) -> ClassInfo | None:
    """The class that is to be found, if there is just one beside the background."""
    background = find_background(classes)
    return classes[1 - background] if len(classes) == 2 and background is not None else None


def _write_tile(title: str, estimate: Estimate) -> Markup:
    low, high = estimate.low, estimate.high
    between = "" if low is None else f"95 %: {write_number(low)}\N{EN DASH}{write_number(high)}"
    number = tag("b", write_number(estimate.value))
    return tag("div", join([tag("span", title), number, tag("span", between)]), "tile")


def _describe_failed(evaluation: Evaluation) -> str:
    return "Not as it should be: " + "; ".join(
        f"{name_metric(item.metric)} is {write_number(item.value)}, should be {item.wanted} "
        f"{item.limit:g}"
        for item in evaluation.failed
    )


def _write_pixels(evaluation: Evaluation, names: Sequence[str]) -> Markup:
    return join(
        [
            tabulate_pixels(evaluation),
            tag("h3", "All classes"),
            tabulate_numbers(names, evaluation.values),
            fold("What the numbers mean", tag("p", GLOSSARY["pixel"])),
        ]
    )


def _write_confusion(evaluation: Evaluation, book: Sketchbook) -> Markup:
    drawn = book.embed(
        "confusion",
        draw_confusion(evaluation.confusion),
        "Confusion matrix",
        "Rows are the classes of the labels: shares of their pixels by class of the map, and "
        "pixels.",
    )
    return join([drawn, fold("All counts", tabulate_counts(evaluation))])


def _write_families(
    evaluation: Evaluation, families: Mapping[str, Sequence[str]], book: Sketchbook
) -> Iterator[tuple[str, Markup]]:
    """All but that of pixels."""
    for name, metrics in families.items():
        if name == "pixel":
            continue
        details = evaluation.details.get(name, {})
        parts = [
            tabulate_family(metrics, evaluation.values, evaluation.classes, find_beyond(details)),
            _draw_probability(evaluation, book) if name == "probability" else Markup(),
            tabulate_counts_of(details),
            fold("All counts and settings", tabulate_details(details)),
            fold("What the numbers mean", tag("p", GLOSSARY[name])) if name in GLOSSARY else "",
        ]
        yield FAMILY_TITLES.get(name, name.capitalize()), join(parts)


def _draw_probability(evaluation: Evaluation, book: Sketchbook) -> Markup:
    details, values = evaluation.details.get("probability", {}), evaluation.values
    if not details.get("pixels"):
        return Markup()
    areas = {
        item.name: values[f"average_precision.{item.name}"].value for item in evaluation.classes
    }
    reliability = draw_reliability(details["reliability"], values["ece"].value)
    curves = draw_precision_recall(details["precision_recall"], areas, evaluation.classes)
    figures = (
        book.embed("reliability", reliability, "Reliability diagram"),
        book.embed("precision-recall", curves, "Precision-recall curves"),
    )
    return tag("div", join(figures), "figures")


def _write_comparison(found: Findings) -> Markup:
    evaluation = found.evaluation
    comparison = evaluation.comparison
    if comparison is None:
        return Markup()
    names = _enumerate([shorten_path(name, 2) for name in found.compared])
    text = (
        f"The map compared with {names}, on the pixels that both have. Intervals of differences "
        "are drawn in pairs: where 0 is outside, one is better."
    )
    return join(
        [
            tag("p", text),
            tabulate_differences(comparison, evaluation.values),
            tag("h3", "Where they agree"),
            tabulate_agreement(comparison.agreement),
        ]
    )


def _write_scenes(found: Findings, book: Sketchbook) -> Markup:
    evaluation = found.evaluation
    parts = [tabulate_scenes(evaluation.scenes, evaluation.classes)]
    if len(evaluation.scenes) > MOST_SCENES:
        parts.append(tag("p", f"The {MOST_SCENES} scenes with the largest share of errors:"))
    kinds = [(item.name, item.colour) for item in _list_errors(evaluation.classes)]
    if evaluation.comparison is not None:
        words = ("only the map is right", "only the other is right")
        kinds += [
            (word, "#{:02x}{:02x}{:02x}".format(*rgb))
            for word, rgb in zip(words, BETTER, strict=True)
        ]
    parts.append(_write_legend(kinds))
    for number, (overview, panels) in enumerate(found.scenes, start=1):
        name = shorten_path(str(overview.job.name))
        caption = (
            f"{name}: {write_share(overview.wrong, overview.pixels)} of {overview.pixels:,} pixels "
            "are wrong"
        )
        parts.append(book.show(f"scene-{number:02}", panels, caption, is_large=True))
    return join(parts)


def _write_windows(found: Findings, book: Sketchbook) -> Markup:
    if not found.windows:
        return tag("p", "No pixel is wrong.") if found.evaluation.metrics.pixels else Markup()
    classes = found.evaluation.classes
    has_image = any(panel.name == "image" for _, panels in found.windows for panel in panels)
    hint = "" if has_image else " Give the images with --images to see them here."
    parts = [
        tag("p", f"Windows with most wrong pixels; none overlap.{hint}"),
        _write_legend([(item.name, item.colour) for item in classes]),
        _write_legend([(item.name, item.colour) for item in _list_errors(classes)]),
    ]
    for number, (wrong, panels) in enumerate(found.windows, start=1):
        window = wrong.window
        caption = (
            f"{number}. {shorten_path(str(wrong.job.name))}, rows {window.row_off:,} to "
            f"{window.row_end:,}, columns {window.col_off:,} to {window.col_end:,}: "
            f"{wrong.wrong:,} pixels are wrong ({write_share(wrong.wrong, window.area)})"
        )
        parts.append(book.show(f"window-{number:02}", panels, caption))
    return join(parts)


def _list_errors(classes: Sequence[ClassInfo]) -> tuple[ClassInfo, ...]:
    """The kinds that there can be."""
    if find_background(classes) is None:
        return ERRORS[2:]
    return ERRORS if len(classes) > 2 else ERRORS[:2]


def _write_legend(items: Sequence[tuple[str, str]]) -> Markup:
    shown = join(tag("span", swatch(colour, name)) for name, colour in items)
    return tag("div", shown, "legend")


def _write_settings(found: Findings) -> Markup:
    evaluation, resampling = found.evaluation, found.evaluation.resampling
    scenes = evaluation.scenes
    intervals = "none"
    if resampling.resamples:
        intervals = (
            f"{LEVEL:.0%}, from {resampling.resamples:,} draws of {resampling.blocks:,} blocks of "
            f"{resampling.block_px} px with replacement, seed {resampling.seed}"
        )
    rows = [
        ("classes", ", ".join(f"{item.value} {item.name}" for item in evaluation.classes)),
        ("models", _enumerate(found.models) or "not known"),
        ("intervals", intervals),
        ("metrics", ", ".join(family.name for family in found.families)),
        ("geounet", __version__),
        ("written", found.written_at.strftime("%Y-%m-%d %H:%M UTC")),
    ]
    files = [f"{scene.name} with {scene.labels}" for scene in scenes]
    listed = counted(len(files), "scene")
    return join([tabulate(rows, caption="Settings"), fold(listed, bullets(files))])


def _enumerate(names: Sequence[str], most: int = 4) -> str:
    """The first few of some names."""
    unique = list(dict.fromkeys(names))
    more = f" and {len(unique) - most} more" if len(unique) > most else ""
    return ", ".join(unique[:most]) + more
