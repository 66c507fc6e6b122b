"""Figures of the report: where is trained and validated, and what is taken for what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from geounet.evaluation import ConfusionMatrix
from geounet.raster import Window, read_preview
from geounet.training.sources import Source
from geounet.training.task import Task

MOST_SCENES = 4
PREVIEW = 800
SHADE = 0.4
COLOURS = {"trained on": "#1b7837", "validated on": "#c51b7d"}


@dataclass
class _Place:
    """A scene's height and width in pixels, and the windows of each kind in it."""

    shape: tuple[int, int]
    windows: dict[str, list[Window]] = field(default_factory=lambda: {kind: [] for kind in COLOURS})


def draw_split(task: Task) -> Figure:
    """The first scenes with what is trained on and what is validated on; the rest is neither."""
    places = _find_places(task)
    shown = list(places.items())[:MOST_SCENES]
    figure = Figure(figsize=(4.5 * len(shown) + 0.5, 5), layout="constrained", dpi=110)
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    for axes, (image, place) in zip(panels, shown, strict=True):
        _draw_place(axes, image, place)
    handles = [Patch(facecolor=c, alpha=SHADE, label=kind) for kind, c in COLOURS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    if len(places) > len(shown):
        figure.suptitle(f"{len(shown)} of {len(places)} scenes", fontsize="small")
    return figure


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


def _find_places(task: Task) -> dict[str, _Place]:
    inputs, places = task.inputs, dict[str, _Place]()

    def add(source: Source, kind: str, windows: Iterable[Window]) -> None:
        place = places.setdefault(str(source.image), _Place(source.area.grid.shape))
        place.windows[kind].extend(windows)

    trained, validated = COLOURS
    for room in task.split.training:
        add(inputs.sources[room.scene], trained, room.pieces)
    for block in task.split.validation:
        add(inputs.validation_sources[block.scene], validated, [block.window])
    return places


def _draw_place(axes: Axes, image: str, place: _Place) -> None:
    height, width = place.shape
    axes.imshow(read_preview(image, PREVIEW)[0], extent=(0, width, height, 0))
    axes.set_title(Path(image).name, fontsize="small")
    axes.set_axis_off()
    for kind, windows in place.windows.items():
        for w in windows:
            corner, colour = (w.col_off, w.row_off), COLOURS[kind]
            axes.add_patch(Rectangle(corner, w.width, w.height, color=colour, lw=0, alpha=SHADE))
