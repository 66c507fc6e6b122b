"""Windows of scenes for an exported network: to compare, to calibrate and to judge it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geounet.errors import InputError
from geounet.inference.options import PredictOptions
from geounet.inference.planning.fit import check_fit
from geounet.models import ModelSpec
from geounet.raster import Scene, Window, open_scene
from geounet.vector import LabelOptions, Labels, match_labels, open_labels, resolve_legend


@dataclass(frozen=True)
class Sample:
    """A window of a scene.

    Attributes:
        image: (bands, H, W), the scene's values, float32, or float64 where their type has more
            digits than float32 holds; the model's mean where not valid.
        valid: bool (H, W), True = data.
        labels: uint8 (H, W) class values, 255 = no label; None: none were given.
    """

    image: NDArray[np.floating[Any]]
    valid: NDArray[np.bool_]
    labels: NDArray[np.uint8] | None


def read_samples(
    spec: ModelSpec,
    scenes: Sequence[str],
    labels: Sequence[str] | None,
    bands: tuple[int, ...] | None,
    size: tuple[int, int],
) -> list[Sample]:
    """Windows spread over scenes, where there is data.

    Args:
        spec: of the model; the scenes must fit it.
        scenes: files.
        labels: of the scenes, as `match_labels` takes them.
        bands: of the scenes, 1-based; None: all.
        size: how many windows at most, and their side in pixels.

    Raises:
        ModelError: the model does not fit a scene.
        InputError: a file cannot be read, or there is no data in any.
    """
    count, side = size
    files = [None] * len(scenes) if labels is None else [b for _, b in match_labels(scenes, labels)]
    share = -(-count // len(scenes))
    found: list[Sample] = []
    for path, file in zip(scenes, files, strict=True):
        with open_scene(path, bands) as scene:
            check_fit(spec, scene, PredictOptions(bands=bands, allow_pixel_size=True))
            found += _read_scene(spec, scene, None if file is None else str(file), (share, side))
    if not found:
        raise InputError(f"{', '.join(scenes)}: no window has data; give other scenes")
    return found[:count]


def _read_scene(
    spec: ModelSpec, scene: Scene, labels: str | None, size: tuple[int, int]
) -> list[Sample]:
    count, side = size
    if labels is None:
        return list(_read_windows(spec, scene, None, count, side))
    legend = resolve_legend(spec.classes, [labels], [scene.grid], LabelOptions(), may_be_empty=True)
    opened = open_labels(labels, scene.grid, legend.classes, legend.options, scene=scene.path)
    with opened as file:
        return list(_read_windows(spec, scene, file, count, side))


def _read_windows(
    spec: ModelSpec, scene: Scene, labels: Labels | None, count: int, side: int
) -> Iterator[Sample]:
    windows = list(scene.grid.extent.blocks(side, side))
    chosen = np.linspace(0, len(windows) - 1, min(2 * count, len(windows))).round().astype(int)
    found = 0
    for window in (windows[index] for index in chosen):
        whole = Window(row_off=window.row_off, col_off=window.col_off, height=side, width=side)
        pixels, valid = scene.read(whole)
        if found == count or not valid.any():
            continue
        found += 1
        dtype = np.result_type(pixels.dtype, np.float32)
        mean = np.array([band.offset for band in spec.bands], dtype)[:, None, None]
        image = np.where(valid, pixels.astype(dtype), mean)
        yield Sample(image, valid, None if labels is None else labels.read(whole))
