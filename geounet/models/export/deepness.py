"""What Deepness, a plugin of QGIS, reads in an ONNX file so that nothing need be typed there.

Keys and their meaning: "Adding metadata to ONNX model" of its documentation, and what its source
reads beyond that. Every value is JSON. It divides pixels by 255, subtracts a mean and divides by a
deviation per band; tiles overlap by a percentage, half of which it cuts off on each side.
"""

from __future__ import annotations

import json
from typing import Any

from geounet.models.export.options import ExportOptions
from geounet.models.spec import ModelSpec

TILINGS = ((512, 25), (1024, 25), (1024, 50), (2048, 50), (4096, 50))
"""Sides and overlaps in percent, the cheaper first; steps are multiples of every usual stride."""

WHITE = 255
"""What it divides all pixels by."""


def describe_for_deepness(spec: ModelSpec, options: ExportOptions) -> dict[str, str]:
    """The metadata of a model as its keys and values."""
    tile, overlap = choose_tiling(spec, options.tile)
    offsets, scales = [0.0] * len(spec.bands), [1.0] * len(spec.bands)
    if options.normalisation == "outside":
        offsets, scales = [b.offset for b in spec.bands], [b.scale for b in spec.bands]
    content: dict[str, Any] = {
        "model_type": "Segmentor",
        "class_names": {index: item.name for index, item in enumerate(spec.classes)},
        "tile_size": tile,
        "tiles_size": tile,  # so the documentation; the source reads the other
        "tiles_overlap": overlap,
        "standardization_mean": [offset / WHITE for offset in offsets],
        "standardization_std": [scale / WHITE for scale in scales],
        "seg_thresh": 0.0,  # the most probable class, however probable
        "seg_small_segment": 0,  # no median filter
    }
    if spec.pixel_size_m is not None:
        content["resolution"] = 100 * spec.pixel_size_m  # centimetres
    return {key: json.dumps(value) for key, value in content.items()}


def choose_tiling(spec: ModelSpec, tile: int | None) -> tuple[int, int]:
    """Side and overlap in percent of tiles whose kept parts no padding reaches, if there are any.

    A network without a margin gets a quarter.
    """
    margin = spec.margin or 0
    if tile is None:
        fitting = [(side, percent) for side, percent in TILINGS if side * percent // 200 >= margin]
        return fitting[0] if fitting else TILINGS[-1]
    reaching = [percent for percent in range(100) if tile * percent // 100 // 2 >= margin]
    aligned = [p for p in reaching if (tile - tile * p // 100) % spec.stride == 0]
    if spec.margin is None or not reaching:
        return tile, 25
    return tile, aligned[0] if aligned and aligned[0] <= 50 else reaching[0]
