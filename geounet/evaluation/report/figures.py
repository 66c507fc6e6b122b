"""Figures of the report, drawn without matplotlib's global state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from geounet.classes import ClassInfo
from geounet.evaluation.measures.confusion import ConfusionMatrix
from geounet.page import shade_line

DARK = "#101418"
"""Ink on pale cells, also where the page is dark."""

MOST_TEXTS = 12
"""Classes up to which the cells of a confusion matrix have numbers in them."""

MUTED = "#7d868f"
"""What is there for comparison, on white and on black."""


def draw_confusion(matrix: ConfusionMatrix) -> Figure:
    """Pixels by class of the label (rows) and of the map (columns): shares of each row, counts."""
    names = [item.name for item in matrix.classes]
    totals = matrix.counts.sum(axis=1, keepdims=True)
    shares = matrix.counts / np.maximum(totals, 1)
    size = len(names)
    side = 1.0 * size if size <= MOST_TEXTS else 0.34 * size
    figure = Figure(figsize=(side + 2.4, side + 1.3), layout="constrained", dpi=110)
    axes = figure.subplots()
    axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=1)
    ticks = np.arange(size) + 0.5
    axes.set_xticks(ticks, names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, names)
    axes.set(xlabel="in the map", ylabel="in the labels", aspect="equal")
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if size <= MOST_TEXTS:
        for row, col in np.ndindex(*shares.shape):
            _write_cell(axes, (row, col), float(shares[row, col]), int(matrix.counts[row, col]))
    return figure


def draw_reliability(bins: Sequence[Mapping[str, Any]], ece: float | None) -> Figure:
    """Share of correct pixels by the highest probability, and how many there are.

    Args:
        bins: "from", "to", "confidence", "accuracy" and "pixels" of each; None is undefined.
        ece: expected calibration error.
    """
    figure = Figure(figsize=(4.6, 4.9), layout="constrained", dpi=110)
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[3.4, 1])
    edges = np.array([item["from"] for item in bins])
    width = bins[0]["to"] - bins[0]["from"]
    defined = [item for item in bins if item["accuracy"] is not None]
    axes.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1, label="as it should be")
    axes.plot(
        [item["confidence"] for item in defined],
        [item["accuracy"] for item in defined],
        marker="o", markersize=4, linewidth=1.6, color=shade_line((49, 130, 189)), label="the map",
    )  # fmt: skip
    calibration = "" if ece is None else f"calibration error {ece:.3f}"
    axes.set(ylim=(0, 1), xlim=(0, 1), ylabel="share that is correct", title=calibration)
    axes.title.set_fontsize("medium")
    axes.legend(loc="upper left", frameon=False, fontsize="small")
    pixels = np.array([item["pixels"] for item in bins], np.float64)
    shares = pixels / max(1.0, pixels.sum())
    below.bar(edges, shares, width=width * 0.9, align="edge", color=MUTED)
    below.set(xlabel="highest probability of a class", ylabel="pixels")
    below.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    for each in (axes, below):
        each.grid(alpha=0.3)
        each.set_axisbelow(True)
    return figure


def draw_precision_recall(
    curves: Mapping[str, Mapping[str, Sequence[float | None]]],
    areas: Mapping[str, float | None],
    classes: Sequence[ClassInfo],
) -> Figure:
    """Precision by recall of each class, with its average precision.

    Args:
        curves: by class "precision" and "recall", at falling recall; None is undefined.
        areas: average precision by class.
        classes: whose colours the lines have, or near ones that show on white and black.
    """
    figure = Figure(figsize=(4.6, 4.9), layout="constrained", dpi=110)
    axes = figure.subplots()
    for item in classes:
        if areas.get(item.name) is None or item.name not in curves:
            continue
        curve = curves[item.name]
        x, y = (np.array(curve[name], np.float64) for name in ("recall", "precision"))
        label = f"{item.name} {areas[item.name]:.3f}"
        axes.plot(x, y, linewidth=1.6, color=shade_line(item.rgb), label=label)
    axes.set(xlim=(0, 1), ylim=(0, 1.01), xlabel="recall", ylabel="precision")
    axes.set_title("average precision in the legend", fontsize="medium")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", frameon=False, fontsize="small", ncols=1 + len(classes) // 12)
    return figure


def _write_cell(axes: Axes, cell: tuple[int, int], share: float, count: int) -> None:
    row, col = cell
    ink = "white" if share > 0.55 else DARK
    place: dict[str, Any] = {"ha": "center", "color": ink}
    axes.text(col + 0.5, row + 0.47, f"{share:.1%}", va="bottom", fontsize="medium", **place)
    axes.text(col + 0.5, row + 0.55, _shorten(count), va="top", fontsize="x-small", **place)


def _shorten(count: int) -> str:
    """Up to seven characters: 1,234 or 12.3 M."""
    for unit, name in ((10**9, "G"), (10**6, "M")):
        if count >= 10 * unit:
            return f"{count / unit:.1f} {name}"
    return f"{count:,}"
