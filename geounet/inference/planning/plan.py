"""The plan of a run: what is computed, in which tiles, batches and parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from threading import Lock
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from geounet.errors import InputError, ResourceError
from geounet.inference.engines.blended_engine import BlendedEngine
from geounet.inference.engines.blending import plan_blended_tiles
from geounet.inference.engines.engine import Engine
from geounet.inference.options import PredictOptions
from geounet.inference.planning.area import Area, cover_area, find_area
from geounet.inference.planning.budget import (
    STRIP_BYTES,
    choose_limit,
    count_memory,
    count_output_bytes,
)
from geounet.inference.planning.parts import (
    choose_blended_rows,
    choose_part_rows,
    cut_rows,
    plan_parts,
)
from geounet.inference.planning.tiling import Tile, fit_tile, plan_tiles
from geounet.models import Model
from geounet.raster import Grid, SceneLike, Window

TILE_SIDES = (2048, 1792, 1536, 1280, 1024, 896, 768, 640, 512, 384, 256, 128)
"""Tiles that `--tile auto` tries. The larger, the less is spent on margins."""

_ASKING = Lock()
"""Prepared geometries complete themselves when asked, and readers ask in threads of their own."""


@dataclass(frozen=True)
class Plan:
    """What a run will do. Nothing here changes a label, but the tiles of blended networks do.

    Attributes:
        area: what the outputs cover.
        extent: the scene's pixels that are computed.
        aoi: polygons in the scene's CRS outside which nothing is computed; None: everywhere.
        tile_shape: height and width of the tiles, multiples of the stride.
        batch: tiles per step.
        part_rows: rows of a part.
    """

    area: Area
    extent: Window
    aoi: BaseGeometry | None
    tile_shape: tuple[int, int]
    batch: int
    part_rows: int


def make_plan(
    scene: SceneLike, models: Sequence[Model], engine: Engine, options: PredictOptions
) -> Plan:
    """Decide the extent, tiles, batches and parts.

    Raises:
        InputError: the AOI or bbox touches no pixel of the scene.
        ResourceError: no tile fits the memory.
    """
    area = find_area(scene, options)
    extent, aoi = cover_area(scene, area)
    runtime = engine.runtime
    batch = options.batch or (4 if runtime.device.type == "cuda" else 1)
    budget = options.max_memory or choose_limit(runtime)
    if isinstance(engine, BlendedEngine):
        _check_memory(models, engine, engine.blend.tile, batch, options)
        shape = (engine.blend.tile, engine.blend.tile)
        return Plan(area, extent, aoi, shape, batch, _choose_blended_rows(extent, engine))
    if options.tile is not None:
        _check_memory(models, engine, min(options.tile, max(extent.shape)), batch, options)
    side = options.tile or _choose_tile(models, engine, batch, options, budget)
    tile_shape = fit_tile(extent, max(side, engine.geometry.stride), engine.geometry.stride)
    part_rows = choose_part_rows(extent, tile_shape[0], count_output_bytes(engine))
    return Plan(area, extent, aoi, tile_shape, batch, part_rows)


def describe_cut(plan: Plan, options: PredictOptions) -> dict[str, Any]:
    """How a plan cuts the work, and what of it was asked for, as JSON."""
    return {
        "part_rows": plan.part_rows,
        "tile_shape": list(plan.tile_shape),
        "batch": plan.batch,
        "asked": [options.tile, options.batch, options.max_memory],
    }


def adopt_cut(plan: Plan, cut: Mapping[str, Any], engine: Engine, options: PredictOptions) -> Plan:
    """The plan of a run that goes on: with the parts of the one that began the job.

    Also with its tiles and batches, on whose shape the last bits of a score depend on some devices:
    another amount of memory may be free now. Not if others are asked for, or if they would be too
    large for a CPU's memory; a device's is found to be too small, and batches are halved.
    """
    plan = replace(plan, part_rows=cut["part_rows"])
    tile_shape = cut["tile_shape"][0], cut["tile_shape"][1]
    fits = engine.runtime.device.type != "cpu" or max(tile_shape) <= max(plan.tile_shape)
    if not fits or cut["asked"] != describe_cut(plan, options)["asked"]:
        return plan
    return replace(plan, tile_shape=tile_shape, batch=cut["batch"])


def list_tiles(plan: Plan, part: Window, engine: Engine, scene: SceneLike) -> Iterator[Tile]:
    """The tiles of a part that the AOI touches."""
    tiles = _plan_part(plan, part, engine)
    return tiles if plan.aoi is None else _choose_touched(tiles, plan.aoi, scene.grid)


def _choose_touched(tiles: Iterator[Tile], aoi: BaseGeometry, grid: Grid) -> Iterator[Tile]:
    listed = list(tiles)
    bounds = np.array([grid.bounds(tile.write) for tile in listed])
    with _ASKING:
        is_touched = shapely.intersects(aoi, shapely.box(*bounds.T))
    return compress(listed, is_touched)


def _plan_part(plan: Plan, part: Window, engine: Engine) -> Iterator[Tile]:
    """All tiles of a part, of the same shape in every part: engines keep memory for each shape."""
    if isinstance(engine, BlendedEngine):
        yield from plan_blended_tiles(part, engine.blend)
        return
    stride, margin = engine.geometry.stride, engine.geometry.read_margin
    shape = (min(plan.tile_shape[0], cut_rows(plan.part_rows, stride)), plan.tile_shape[1])
    aligned = part.aligned(stride)
    for column in aligned.blocks(aligned.height, shape[1]):  # as parts are written
        yield from plan_tiles(column.intersect(part), shape, stride, margin)


def list_parts(plan: Plan, engine: Engine, scene: SceneLike) -> list[Window]:
    """The parts that have tiles, top to bottom.

    Raises:
        InputError: there is none.
    """
    parts = plan_parts(plan.extent, plan.part_rows, engine.geometry.stride)
    found = [part for part in parts if any(True for _ in list_tiles(plan, part, engine, scene))]
    if not found:
        raise InputError(f"the AOI and --bbox have no pixel of {scene.path} in common")
    return found


def _choose_tile(
    models: Sequence[Model], engine: Engine, batch: int, options: PredictOptions, budget: int
) -> int:
    for side in TILE_SIDES:
        if count_memory(models, engine, side, batch, options) <= budget:
            return side
    tiles = f"tiles of {TILE_SIDES[-1]}" + (f" and batches of {batch}" if batch > 1 else "")
    raise ResourceError(
        f"{budget / 1e6:.0f} MB of memory are too little for this model even at {tiles}; "
        f"give more with --max-memory{', or make --batch smaller' if batch > 1 else ''}"
    )


def _check_memory(
    models: Sequence[Model], engine: Engine, side: int, batch: int, options: PredictOptions
) -> None:
    """Refuse tiles that are not for us to choose and do not fit what is allowed."""
    needed = count_memory(models, engine, side, batch, options)
    if options.max_memory is not None and needed > options.max_memory:
        is_blended = isinstance(engine, BlendedEngine)
        effect = " (which changes the result of this model a little)" if is_blended else ""
        raise ResourceError(
            f"tiles of {side} need about {needed / 1e6:.0f} MB of memory, "
            f"{options.max_memory / 1e6:.0f} MB are allowed; give more with --max-memory, or "
            f"choose smaller ones with --tile{effect}"
        )


def _choose_blended_rows(extent: Window, engine: BlendedEngine) -> int:
    most = STRIP_BYTES // (4 * engine.classes * engine.blend.kept)
    return choose_blended_rows(extent, engine.blend.step, most)
