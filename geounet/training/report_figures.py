"""Figures of the report: what is taken for what."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from geounet.evaluation import ConfusionMatrix


def draw_confusion(matrix: ConfusionMatrix) -> Figure:
    """Pixels by class of the label (rows) and of the map (columns); shares of each row."""
    names = [item.name for item in matrix.classes]
    totals = matrix.counts.sum(axis=1, keepdims=True)
    shares = matrix.counts / np.maximum(totals, 1)
    side = 2.2 + 0.7 * len(names)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained", dpi=110)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(names))
    axes.set_xticks(ticks, names, rotation=45, ha="right")
    axes.set_yticks(ticks, names)
    axes.set(xlabel="in the map", ylabel="in the labels")
    if len(names) <= 12:
        for row, col in np.ndindex(*shares.shape):
            colour = "white" if shares[row, col] > 0.6 else "black"
            text = f"{shares[row, col]:.1%}" if totals[row, 0] else "-"
            axes.text(col, row, text, ha="center", va="center", color=colour, fontsize="small")
    return figure
