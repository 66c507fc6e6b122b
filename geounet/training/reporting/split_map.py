"""Where is trained and where is validated, as a picture: `split.png`."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path as Outline
from numpy.typing import NDArray
from shapely import get_exterior_ring, get_interior_ring, get_num_interior_rings, get_parts
from shapely.geometry.base import BaseGeometry

from geounet.classes import ClassInfo
from geounet.raster import read_preview
from geounet.training.reporting.split_layer import Region, Role

MOST_SCENES = 4
PREVIEW = 900

MOST_PIXELS = 2**30
"""Larger scenes are not shown behind: without overviews, all of their pixels would be read."""

CHARACTERS = 80
"""Of a small font, over the width of a scene."""

MOST_CLASSES = 8
"""Whose shares are written."""

STYLES: dict[Role, dict[str, Any]] = {
    "training": {"facecolor": "#1b9e7714", "edgecolor": "#1b9e77", "linewidth": 1.5},
    "guard": {"facecolor": "#00000066", "edgecolor": "#ffffff99", "hatch": "///", "linewidth": 0},
    "validation": {"facecolor": "#e7298a40", "edgecolor": "#e7298a", "linewidth": 2},
}


def draw_split(
    regions: Sequence[Region], classes: Sequence[ClassInfo], bands: Sequence[int] | None = None
) -> Figure:
    """A few scenes, those with validation first, with what trains, guards and validates.

    Args:
        regions: sorted by scene.
        classes: in the order of the regions' counts.
        bands: of the images; None: all but alpha.
    """
    scenes = [list(group) for _, group in groupby(regions, key=lambda region: region.scene)]
    scenes.sort(key=lambda group: all(region.role != "validation" for region in group))
    shown = scenes[:MOST_SCENES]
    figure = Figure(figsize=(5 * len(shown) + 0.5, 6.5), layout="constrained", dpi=120)
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    for axes, group in zip(panels, shown, strict=True):
        _draw_scene(axes, group, bands)
    more = f"{len(shown)} of {len(scenes)} scenes; " if len(scenes) > len(shown) else ""
    title = textwrap.fill(more + describe_classes(regions, classes), CHARACTERS * len(shown))
    figure.suptitle(title, fontsize="small")
    figure.legend(handles=_make_legend(regions), loc="outside lower center", ncols=3, frameon=False)
    return figure


def describe_classes(regions: Sequence[Region], classes: Sequence[ClassInfo]) -> str:
    """The share of each class in what trains and in what validates."""
    training, validation = (_share_classes(regions, role) for role in ("training", "validation"))
    texts = [
        f"{item.name} {share:.1%} / {other:.1%}"
        for item, share, other in zip(classes, training, validation, strict=False)
    ]
    more = ", ..." if len(texts) > MOST_CLASSES else ""
    return f"share in training / validation: {', '.join(texts[:MOST_CLASSES])}{more}"


def _share_classes(regions: Sequence[Region], role: Role) -> NDArray[np.float64]:
    counts = [r.counts for r in regions if r.role == role and r.counts is not None]
    total = np.sum(counts, axis=0, dtype=np.float64)
    shares: NDArray[np.float64] = total / max(1.0, total.sum())
    return shares


def _make_legend(regions: Sequence[Region]) -> list[Patch]:
    pixels = {role: sum(r.pixels for r in regions if r.role == role) for role in STYLES}
    whole = sum(pixels.values())
    return [
        Patch(**style, label=f"{role} {pixels[role] / whole:.1%}") for role, style in STYLES.items()
    ]


def _draw_scene(axes: Axes, regions: Sequence[Region], bands: Sequence[int] | None) -> None:
    scene, grid = regions[0].scene, regions[0].grid
    if grid.extent.area <= MOST_PIXELS:
        shown = bands and (bands[:3] if len(bands) >= 3 else bands[:1])
        axes.imshow(read_preview(scene, PREVIEW, shown)[0], extent=(0, grid.width, grid.height, 0))
    axes.set(xlim=(0, grid.width), ylim=(grid.height, 0), aspect="equal")
    axes.set_title(Path(scene).name, fontsize="small")
    axes.set_axis_off()
    for region in regions:
        axes.add_patch(PathPatch(_trace(region.geometry), **STYLES[region.role]))


def _trace(geometry: BaseGeometry) -> Outline:
    """All rings of some polygons, holes too."""
    rings = [
        ring
        for part in get_parts(geometry)
        for ring in (
            get_exterior_ring(part),
            *(get_interior_ring(part, i) for i in range(get_num_interior_rings(part))),
        )
    ]
    return Outline.make_compound_path(*(Outline(ring.coords, closed=True) for ring in rings))
