"""A mask checked against itself: random windows computed again with another tiling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.random import Generator

from geounet.inference.engines.blended_engine import BlendedEngine, move_tiles
from geounet.inference.options import PredictOptions
from geounet.inference.planning.area import is_inside
from geounet.inference.planning.budget import count_output_bytes
from geounet.inference.running.loading import ModelLike
from geounet.inference.running.preparation import ImageLike, Prepared, prepare
from geounet.inference.running.returning import choose_chunk, return_outputs
from geounet.inference.windows import predict_window_outputs
from geounet.raster import Resampled, Window, open_scene

SIDE = 256
"""Side in pixels of the windows, unless too many pixels of the resampled scene lie under it."""


@dataclass(frozen=True)
class Verification:
    """How far two tilings agree.

    Attributes:
        windows: number of windows computed again.
        pixels: their pixels.
        labels_changed: pixels of them whose class in the mask is another.
        largest_score_difference: between the scores of two tilings, of 1.
    """

    windows: int
    pixels: int
    labels_changed: int
    largest_score_difference: float


def verify(
    image: ImageLike,
    model: ModelLike | Sequence[ModelLike],
    mask: str | Path,
    options: PredictOptions,
    windows: int,
    seed: int = 0,
) -> Verification:
    """Compute random windows of a finished mask again, in tiles that lie elsewhere.

    Args:
        image: the scene.
        model: as for `predict`.
        mask: what `predict` made of them.
        options: those of `predict`.
        windows: how many.
        seed: of their places.

    Raises:
        UsageError, InputError, ModelError, ResourceError: as `predict`.
    """
    options = replace(options, scores=Path("scores.tif"), scores_dtype="float32")
    generator = np.random.default_rng(seed)
    pixels, changed, difference = 0, 0, 0.0
    with prepare(image, model, options) as prepared, open_scene(mask, allow_palette=True) as done:
        for _ in range(windows):
            extent = prepared.plan.area.extent
            window = _choose_window(extent, _choose_side(prepared), generator)
            kept, _ = done.read(window.relative_to(extent))
            labels, gap = _compute_twice(prepared, window)
            pixels += window.area
            changed += int((labels != kept[0]).sum())
            difference = max(difference, gap)
    return Verification(windows, pixels, changed, difference)


def _choose_side(prepared: Prepared) -> int:
    if not isinstance(prepared.scene, Resampled):
        return SIDE
    return min(choose_chunk(prepared.scene, (SIDE, SIDE), count_output_bytes(prepared.engine)))


def _choose_window(extent: Window, side: int, generator: Generator) -> Window:
    height, width = min(side, extent.height), min(side, extent.width)
    return Window(
        row_off=extent.row_off + int(generator.integers(extent.height - height + 1)),
        col_off=extent.col_off + int(generator.integers(extent.width - width + 1)),
        height=height,
        width=width,
    )


def _compute_twice(prepared: Prepared, window: Window) -> tuple[np.ndarray, float]:
    """Labels in one tile around the window, and how much scores differ from those in small ones.

    Blended tiles keep their side, and are moved by half of their step.
    """
    scene, _, engine, plan = prepared
    computed = scene.window_under(window) if isinstance(scene, Resampled) else window
    moved = move_tiles(engine) if isinstance(engine, BlendedEngine) else engine
    whole = predict_window_outputs(moved, scene, computed, tile=2 * SIDE)
    small = predict_window_outputs(engine, scene, computed, tile=SIDE // 2)
    gaps = np.abs(whole["scores"] - small["scores"])
    labels = whole["mask"]
    if isinstance(scene, Resampled):
        outputs = {"mask": labels}
        labels = return_outputs(scene, plan.area, window, (computed, outputs))["mask"]
    elif plan.aoi is not None:
        inside = is_inside(plan.aoi, scene.grid, window)
        labels = np.where(inside, labels, np.uint8(255))
    return labels, float(np.nanmax(gaps)) if np.isfinite(gaps).any() else 0.0
