"""What a run would do, without doing it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from geounet.inference.engines.blended_engine import engine_of_tiles
from geounet.inference.options import PredictOptions
from geounet.inference.planning.budget import count_memory
from geounet.inference.planning.fit import find_notes
from geounet.inference.planning.plan import adopt_cut, list_parts, list_tiles
from geounet.inference.running.beginning import find_own
from geounet.inference.running.job import find_job
from geounet.inference.running.loading import ModelLike
from geounet.inference.running.preparation import ImageLike, Prepared, check_outputs, prepare
from geounet.inference.running.provenance import describe_tiling, make_fingerprint
from geounet.inference.running.streaming import load_tile, predict_tiles
from geounet.raster import Window

TIMED_TILES = 3
"""Tiles that are computed to tell the time; the first, which is slower, does not count."""


@dataclass(frozen=True)
class Outlook:
    """The plan of a run, in numbers.

    Attributes:
        width: columns of the output.
        height: rows of the output.
        tiles: number of tiles.
        tiles_missing: those to be computed; without those of parts that an earlier run has kept.
        tile_shape: their height and width.
        pixel_size_m: of the pixels that the network sees; None: not known.
        tiling: whether tiles are exact or blended, and how.
        margin: context read on each side of a tile, in pixels.
        batch: tiles per step.
        parts: number of parts.
        parts_kept: those that an earlier run has kept.
        part_rows: rows of a part.
        engine: what will run the network.
        device: where.
        precision: in which arithmetic.
        memory_bytes: of activations and what surrounds them, estimated.
        output_bytes: of the outputs before compression, by kind.
        expected_s: seconds for those missing, from the time of a few; None if there is no tile.
        notes: what of the scene one should know before one believes a mask of it.
    """

    width: int
    height: int
    tiles: int
    tiles_missing: int
    tile_shape: tuple[int, int]
    pixel_size_m: float | None
    tiling: str
    margin: int
    batch: int
    parts: int
    parts_kept: int
    part_rows: int
    engine: str
    device: str
    precision: str
    memory_bytes: int
    output_bytes: dict[str, int]
    expected_s: float | None
    notes: tuple[str, ...]


def foresee(
    image: ImageLike,
    model: ModelLike | Sequence[ModelLike],
    output: str | Path,
    options: PredictOptions | None = None,
    *,
    makes_folder: bool = False,
) -> Outlook:
    """What `predict` with these arguments would do. Writes nothing; computes a few tiles.

    Args:
        image: as for `predict`.
        model: as for `predict`.
        output: as for `predict`.
        options: as for `predict`.
        makes_folder: the output's folder will be made, if it is not there.

    Raises:
        UsageError, InputError, ModelError, ResourceError: as `predict` would.
    """
    options = options or PredictOptions()
    outputs: dict[str, Path] = {}
    if Path(output).parent.exists() or not makes_folder:
        outputs = check_outputs(image, Path(output), options)
    with prepare(image, model, options) as prepared:
        fingerprint = make_fingerprint(*prepared, options)
        finished = find_own(outputs, prepared.scene, fingerprint, options)
        job = find_job(outputs["mask"], fingerprint) if outputs else None
        if job is not None:
            plan = adopt_cut(prepared.plan, job.cut, prepared.engine, options)
            prepared = prepared._replace(plan=plan)
        tiles = _count_tiles(prepared)
        kept = {part for part in tiles if job is not None and job.is_done(tuple(outputs), part)}
        if outputs and finished >= set(outputs.values()):
            kept = set(tiles)
        return _describe(prepared, options, tiles, kept)


def _count_tiles(prepared: Prepared) -> dict[Window, int]:
    """Tiles of each part."""
    scene, _, engine, plan = prepared
    return {
        part: sum(1 for _ in list_tiles(plan, part, engine, scene))
        for part in list_parts(plan, engine, scene)
    }


def _describe(
    prepared: Prepared, options: PredictOptions, tiles: Mapping[Window, int], kept: set[Window]
) -> Outlook:
    scene, models, engine, plan = prepared
    missing = sum(count for part, count in tiles.items() if part not in kept)
    per_tile = _time_tile(prepared)
    return Outlook(
        width=plan.area.extent.width,
        height=plan.area.extent.height,
        tiles=sum(tiles.values()),
        tiles_missing=missing,
        tile_shape=plan.tile_shape,
        pixel_size_m=scene.grid.pixel_size_m,
        tiling=describe_tiling(engine),
        margin=engine.geometry.read_margin,
        batch=plan.batch,
        parts=len(tiles),
        parts_kept=len(kept),
        part_rows=plan.part_rows,
        engine=engine.name,
        device=str(engine.runtime.device),
        precision=engine.runtime.precision,
        memory_bytes=count_memory(models, engine, max(plan.tile_shape), plan.batch, options),
        output_bytes=_count_bytes(prepared),
        expected_s=None if per_tile is None else per_tile * missing,
        notes=find_notes([one.spec for one in models], scene, options),
    )


def _count_bytes(prepared: Prepared) -> dict[str, int]:
    """Of each output, before compression."""
    engine, pixels = prepared.engine, prepared.plan.area.extent.area
    request = engine.request
    return {
        kind: request.make_blank(kind, engine.classes, (1, 1)).nbytes * pixels
        for kind in request.kinds
    }


def _time_tile(prepared: Prepared) -> float | None:
    """Seconds to read and compute a tile, all pixels taken for data."""
    scene, _, engine, plan = prepared
    parts = list_parts(plan, engine, scene)
    tiles = (tile for part in parts for tile in list_tiles(plan, part, engine, scene))
    elapsed = []
    for tile in islice(tiles, TIMED_TILES):
        started = time.perf_counter()
        loaded = load_tile(scene, plan.extent, tile)
        loaded.wanted.fill(True)
        predict_tiles(engine_of_tiles(engine), [loaded])
        elapsed.append(time.perf_counter() - started)
    return float(np.min(elapsed)) if elapsed else None
