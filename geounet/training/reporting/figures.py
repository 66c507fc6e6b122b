"""Pictures of a run, drawn without matplotlib's global state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from geounet.classes import NODATA, ClassInfo
from geounet.page import shade_line
from geounet.raster import HATCH, colour_mask, hatch, stretch


@dataclass(frozen=True)
class Example:
    """A held-out window.

    Attributes:
        image: (bands, H, W), the image's own values.
        valid: bool (H, W), True = data.
        labels: uint8 (H, W) class values, 255 = none.
        mask: uint8 (H, W) predicted class values, 255 = no data.
    """

    image: NDArray[np.generic]
    valid: NDArray[np.bool_]
    labels: NDArray[np.uint8]
    mask: NDArray[np.uint8]


@dataclass(frozen=True)
class Version:
    """A chip as it was read, or augmented.

    Attributes:
        picture: uint8 (H, W, 3).
        valid: bool (H, W), True = data.
        labels: uint8 (H, W) class values, 255 = ignored.
    """

    picture: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    labels: NDArray[np.uint8]


def draw_curves(
    history: Sequence[Mapping[str, float | None]], classes: Sequence[ClassInfo]
) -> Figure:
    """Loss, and IoU of each class, over the epochs.

    Args:
        history: rows with "epoch", "loss", "mean_iou" and "iou_NAME" for each class.
        classes: of the map, whose colours the lines have, or near ones that show on white and
            on black.
    """
    figure = Figure(figsize=(10, 4), layout="constrained", dpi=120)
    left, right = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in history]
    left.plot(epochs, _column(history, "loss"), marker=".", color="black")
    left.set(xlabel="epoch", ylabel="training loss")
    for item in classes:
        values = _column(history, f"iou_{item.name}")
        colour = shade_line(item.rgb)
        right.plot(epochs, values, marker=".", linewidth=1, color=colour, label=item.name)
    right.plot(epochs, _column(history, "mean_iou"), marker=".", color="black", label="mean")
    right.set(xlabel="epoch", ylabel="validation IoU", ylim=(0, 1))
    right.legend(loc="lower right", frameon=False, fontsize="small", ncols=1 + len(classes) // 8)
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def draw_examples(examples: Sequence[Example], classes: Sequence[ClassInfo]) -> Figure:
    """Image, labels and prediction side by side, one row per example."""
    figure = Figure(figsize=(9, 3.1 * len(examples) + 0.5), layout="constrained", dpi=120)
    rows = figure.subplots(len(examples), 3, squeeze=False)
    for row, example in zip(rows, examples, strict=True):
        pictures = (
            stretch(example.image, example.valid),
            colour_mask(example.labels, classes),
            colour_mask(example.mask, classes),
        )
        for axes, picture in zip(row, pictures, strict=True):
            _show(axes, picture)
    for axes, title in zip(rows[0], ("image", "labels", "prediction"), strict=True):
        axes.set_title(title)
    figure.legend(
        handles=[Patch(facecolor=c.colour, edgecolor="black", label=c.name) for c in classes],
        loc="outside lower center",
        ncols=min(len(classes), 6),
        frameon=False,
    )
    return figure


def draw_versions(chips: Sequence[Sequence[Version]], classes: Sequence[ClassInfo]) -> Figure:
    """Chips and their augmented versions: images above labels; the first column as they were."""
    columns, rows = len(chips[0]), 2 * len(chips)
    figure = Figure(figsize=(1.7 * columns, 1.7 * rows + 0.7), layout="constrained", dpi=160)
    grid = figure.subplots(rows, columns, squeeze=False)
    for i, versions in enumerate(chips):
        for column, version in enumerate(versions):
            labels = colour_mask(version.labels, classes)
            _show(grid[2 * i, column], hatch(version.picture, ~version.valid))
            _show(grid[2 * i + 1, column], hatch(labels, version.labels == NODATA))
    for axes, title in zip(grid[0], ("as read", *range(1, columns)), strict=True):
        axes.set_title(title, fontsize="medium")
    face, edge = (str(shade / 255) for shade in HATCH)
    ignored = Patch(facecolor=face, edgecolor=edge, hatch="////", label="no data, or ignored")
    named = [Patch(facecolor=c.colour, edgecolor="black", label=c.name) for c in classes]
    figure.legend(handles=[*named, ignored], loc="outside lower center", ncols=6, frameon=False)
    return figure


def _column(history: Sequence[Mapping[str, float | None]], name: str) -> list[float]:
    return [np.nan if (value := row[name]) is None else value for row in history]


def _show(axes: Axes, picture: NDArray[np.uint8]) -> None:
    axes.imshow(picture, interpolation="nearest")
    axes.set_axis_off()
