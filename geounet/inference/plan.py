"""The plan of a run: what is computed, in which tiles, batches and parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shapely import box, prepare
from shapely.geometry.base import BaseGeometry

from geounet.errors import InputError, ResourceError
from geounet.inference.engine import Engine
from geounet.inference.memory import activation_bytes
from geounet.inference.options import PredictOptions
from geounet.inference.parts import choose_part_rows, plan_parts
from geounet.inference.runtime import Runtime, free_memory
from geounet.inference.tiling import Tile, fit_tile, plan_tiles
from geounet.models import Model, to_inference_form
from geounet.raster import Scene, Window
from geounet.vector import read_aoi

TILE_SIDES = (2048, 1536, 1024, 768, 512, 384, 256, 128)
"""Tiles that `--tile auto` tries. The larger, the less is spent on margins."""

BASE_MEMORY = 600 * 2**20
"""Bytes of a run beside activations: libraries, GDAL's cache, tiles on their way."""

DEFAULT_MEMORY = 2 * 2**30
"""Bytes a run on the CPU takes at most unless told otherwise."""


@dataclass(frozen=True)
class Plan:
    """What a run will do. Nothing here changes a label.

    Attributes:
        extent: the scene's pixels that the output covers.
        aoi: polygons in the scene's CRS outside which nothing is mapped; None: everywhere.
        tile_shape: height and width of the tiles, multiples of the stride.
        batch: tiles per step.
        part_rows: rows of a part.
    """

    extent: Window
    aoi: BaseGeometry | None
    tile_shape: tuple[int, int]
    batch: int
    part_rows: int


def make_plan(
    scene: Scene, models: Sequence[Model], engine: Engine, options: PredictOptions
) -> Plan:
    """Decide the extent, tiles, batches and parts.

    Raises:
        InputError: the AOI or bbox touches no pixel of the scene.
        ResourceError: no tile fits the memory.
    """
    extent, aoi = _find_extent(scene, options)
    runtime = engine.runtime
    side = options.tile or _choose_tile(models, engine, runtime, options.max_memory)
    side = max(side, engine.geometry.stride)
    tile_shape = fit_tile(extent, side, engine.geometry.stride)
    part_rows = choose_part_rows(extent, tile_shape[0])
    batch = options.batch or (4 if runtime.device.type == "cuda" else 1)
    return Plan(extent, aoi, tile_shape, batch, part_rows)


def list_tiles(plan: Plan, part: Window, engine: Engine, scene: Scene) -> Iterator[Tile]:
    """The tiles of a part that the AOI touches."""
    geometry = engine.geometry
    shape = (
        min(plan.tile_shape[0], part.aligned(geometry.stride).height),
        plan.tile_shape[1],
    )
    for tile in plan_tiles(part, shape, geometry.stride, geometry.read_margin):
        if plan.aoi is None or plan.aoi.intersects(box(*scene.grid.bounds(tile.write))):
            yield tile


def list_parts(plan: Plan, part_rows: int, engine: Engine, scene: Scene) -> list[Window]:
    """The parts that have tiles, top to bottom."""
    parts = plan_parts(plan.extent, part_rows, engine.geometry.stride)
    return [part for part in parts if any(True for _ in list_tiles(plan, part, engine, scene))]


def _find_extent(scene: Scene, options: PredictOptions) -> tuple[Window, BaseGeometry | None]:
    extent = scene.grid.extent
    if options.bbox is not None:
        extent = scene.grid.window_of(options.bbox)
    if options.aoi is None:
        return extent, None
    aoi = read_aoi(options.aoi, scene.grid)
    extent = scene.grid.window_of(aoi.bounds).intersect(extent)
    if extent.area == 0:
        raise InputError(f"{options.aoi} and --bbox have no pixel of {scene.path} in common")
    prepare(aoi)
    return extent, aoi


def _choose_tile(
    models: Sequence[Model], engine: Engine, runtime: Runtime, max_memory: int | None
) -> int:
    free = free_memory(runtime.device)
    on_host = runtime.device.type == "cpu"
    budget = max_memory or (min(free // 2, DEFAULT_MEMORY) if on_host else free // 2)
    forms = [(to_inference_form(one.network), len(one.spec.bands)) for one in models]
    for side in TILE_SIDES:
        read = side + 2 * engine.geometry.read_margin
        needed = max(activation_bytes(form, bands, read, runtime.dtype) for form, bands in forms)
        if needed + (BASE_MEMORY if on_host else 0) <= budget:
            return side
    raise ResourceError(
        f"{budget / 2**20:.0f} MB of memory are too little for this model even at tiles of "
        f"{TILE_SIDES[-1]}; give more with --max-memory"
    )
