"""What a run takes of the memory, by the size of its tiles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from geounet.inference.engines.blended_engine import BlendedEngine
from geounet.inference.engines.engine import Engine
from geounet.inference.engines.memory import activation_bytes
from geounet.inference.engines.runtime import Runtime, free_memory, held_memory
from geounet.inference.options import PredictOptions
from geounet.inference.planning.parts import BLOCK
from geounet.inference.running.streaming import TILES_AHEAD
from geounet.models import Model

CACHE_BYTES = 128 * 2**20
"""GDAL's block cache at most: neighbouring tiles share a margin, not more."""

STRIP_BYTES = 128 * 2**20
"""Bytes of the scores of blended tiles that wait for their neighbours, at most."""

DEFAULT_BYTES = 2 * 10**9
"""What a run on the CPU takes at most unless told otherwise."""

LIBRARY_BYTES = 800 * 2**20
"""What libraries and models hold before a run, at most; the rest of the process is not its own."""

POLYGONS_BYTES = 300 * 2**20
"""What the process takes that makes polygons, as measured."""

SLACK_BYTES = 48 * 2**20
"""What is loaded later, and what allocators keep of what was freed beside a share of the tiles."""

SLACK_SHARE = 0.1
"""That share, as measured."""


def choose_limit(runtime: Runtime) -> int:
    """Bytes that a run may take unless told otherwise: half of what is free; 2 GB on the CPU."""
    free = free_memory(runtime.device)
    if runtime.device.type != "cpu":
        return free // 2
    return min((free + held_memory()) // 2, DEFAULT_BYTES)


def choose_cache(limit: int | None) -> int:
    """Bytes of GDAL's block cache for a run that is limited; None: by default."""
    return min(CACHE_BYTES, (limit or DEFAULT_BYTES) // 16)


def count_memory(
    models: Sequence[Model], engine: Engine, side: int, batch: int, options: PredictOptions
) -> int:
    """Bytes that a run with batches of tiles of a side takes at most.

    On a device: of the device's memory. On the CPU: of all that the process holds, and the one that
    makes polygons.
    """
    if isinstance(engine, BlendedEngine):
        scores = 4 * engine.classes * side**2 * (TILES_AHEAD + 2 * batch)
        # one row of tiles is held at least; what is finished is taken out as a copy
        strip = max(STRIP_BYTES, 4 * engine.classes * engine.blend.kept * engine.blend.step)
        return 2 * strip + scores + count_memory(models, engine.tiles, side, batch, options)
    read = (side + 2 * engine.geometry.read_margin) ** 2
    computed = batch * (_count_computing(models, engine, side) + _count_scores(engine, side))
    if engine.runtime.device.type != "cpu":
        return computed
    pixel_bytes = 1 + sum(np.dtype(band.dtype).itemsize for band in models[0].spec.bands)
    waiting = ((TILES_AHEAD + 1) * options.readers + 2 * batch) * pixel_bytes * read
    results = (2 * TILES_AHEAD + 2 + batch) * count_output_bytes(engine) * side**2
    columns = 2 * count_output_bytes(engine) * side * (side + BLOCK)
    slack = SLACK_BYTES + round(SLACK_SHARE * computed)
    kept = min(held_memory(), LIBRARY_BYTES) + choose_cache(options.max_memory)
    kept += 0 if options.polygons is None else POLYGONS_BYTES
    return kept + slack + computed + waiting + results + columns


def count_output_bytes(engine: Engine) -> int:
    """Bytes of one pixel of all outputs."""
    request = engine.request
    return sum(request.make_blank(k, engine.classes, (1, 1)).nbytes for k in request.kinds)


def _count_scores(engine: Engine, side: int) -> int:
    """Bytes of a tile's scores in float32, where more is made of them than their argmax."""
    request = engine.request
    copies = 2 if request.confidence or request.scores is not None else 0
    copies = 3 if request.tta != "none" else copies
    return copies * 4 * engine.classes * side**2


def _count_computing(models: Sequence[Model], engine: Engine, side: int) -> int:
    """Bytes of a tile's feature maps, and of its pixels in float32 while they are normalised."""
    read, dtype = side + 2 * engine.geometry.read_margin, engine.runtime.dtype
    is_planned = engine.name == "openvino"  # which lays feature maps out before it computes
    return max(
        activation_bytes(one.network, len(one.spec.bands), read, dtype, joins_in_place=is_planned)
        + 3 * 4 * len(one.spec.bands) * read**2
        for one in models
    )
