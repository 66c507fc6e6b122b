"""From tiles to masks: read, predict, in order, each stage in a thread of its own."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from geounet.errors import ModelError, ResourceError
from geounet.inference.engines.engine import Engine, Outputs, Pending
from geounet.inference.engines.predictor import SOUND, nodata_of
from geounet.inference.planning.area import is_inside
from geounet.inference.planning.tiling import Tile
from geounet.inference.running.pipeline import Stopwatch, interleave, threaded
from geounet.models import Geometry
from geounet.raster import SceneLike, Window

TILES_AHEAD = 2
"""Tiles that each stage may be ahead of the next."""


@dataclass(frozen=True, slots=True)
class LoadedTile:
    """A tile on its way to the network.

    Attributes:
        part: the part it belongs to.
        tile: where it lies.
        image: (bands, h, w) of the read window, the scene's dtype.
        valid: (h, w) of the read window, True = data.
        wanted: (H, W) of the write window, True = to be mapped: valid and inside the AOI.
    """

    part: Window
    tile: Tile
    image: NDArray[np.generic]
    valid: NDArray[np.bool_]
    wanted: NDArray[np.bool_]

    @property
    def needs_network(self) -> bool:
        """Whether any pixel is wanted."""
        return bool(self.wanted.any())


@dataclass(frozen=True, slots=True)
class PredictedTile:
    """The result of a tile.

    Attributes:
        part: the part it belongs to.
        window: the scene's pixels it holds.
        outputs: what the engine gives, by kind, (H, W) or (K, H, W); no data where not wanted.
        is_skipped: no pixel was wanted, so the network did not run.
    """

    part: Window
    window: Window
    outputs: Outputs
    is_skipped: bool


PendingTiles = Callable[[], list[PredictedTile]]
"""Tiles that were begun: calling it waits for their results."""


@dataclass
class Limit:
    """What is known of the device's memory: batches of so many read pixels did not fit."""

    pixels: float = math.inf


@dataclass(frozen=True)
class Stream:
    """How tiles flow.

    Attributes:
        open_source: opens the scene anew; each reader thread has its own handle.
        engine: the network.
        aoi: polygons in the scene's CRS; None: everywhere.
        batch: tiles per step.
        readers: reading threads.
        depth: tiles that each stage may be ahead; 0: no threads, same result.
        watch: collects the seconds of each stage.
        limit: of the device's memory, learnt on the way.
    """

    open_source: Callable[[], SceneLike]
    engine: Engine
    aoi: BaseGeometry | None = None
    batch: int = 1
    readers: int = 1
    depth: int = TILES_AHEAD
    watch: Stopwatch = field(default_factory=Stopwatch)
    limit: Limit = field(default_factory=Limit)

    def run(self, tiles: Callable[[], Iterable[tuple[Window, Tile]]]) -> Generator[PredictedTile]:
        """The results of (part, tile) pairs, in their order. Each reader lists them anew."""
        readers = [
            threaded(self._read(islice(tiles(), i, None, self.readers), i), self.depth)
            for i in range(self.readers)
        ]
        return threaded(self._predict(interleave(readers)), self.depth)

    def _read(self, tiles: Iterable[tuple[Window, Tile]], reader: int) -> Generator[LoadedTile]:
        stage = "read" if self.readers == 1 else f"read {reader}"
        with self.open_source() as scene:
            for part, tile in tiles:
                with self.watch.measure(stage):
                    loaded = load_tile(scene, part, tile, self.aoi)
                yield loaded

    def _predict(self, tiles: Generator[LoadedTile]) -> Generator[PredictedTile]:
        begun: deque[PendingTiles] = deque()
        with closing(tiles):
            for group in batch_tiles(tiles, self.batch):
                with self.watch.measure("network"):
                    begun.append(begin_tiles(self.engine, group, self.limit))
                if len(begun) > self.engine.ahead:
                    yield from self._finish(begun.popleft())
            for pending in begun:
                yield from self._finish(pending)

    def _finish(self, pending: PendingTiles) -> list[PredictedTile]:
        with self.watch.measure("network"):
            return pending()


def load_tile(
    scene: SceneLike, part: Window, tile: Tile, aoi: BaseGeometry | None = None
) -> LoadedTile:
    """Read what a tile needs. Polygons of the AOI are in the scene's CRS."""
    image, valid = scene.read(tile.read)
    wanted = valid[tile.write.relative_to(tile.read).slices()]
    if aoi is not None:
        wanted = wanted & is_inside(aoi, scene.grid, tile.write)
    return LoadedTile(part, tile, image, valid, wanted)


def batch_tiles(tiles: Iterable[LoadedTile], size: int) -> Iterator[list[LoadedTile]]:
    """Runs of tiles of one shape in order, each with at most `size` that need the network.

    A run is at most 4 * `size` tiles long, so that memory is bounded where few are needed. None
    reaches into another part: on a GPU the last bits of scores depend on how many tiles are
    computed together, and a part must be the same whichever others are computed before it.
    """
    group: list[LoadedTile] = []
    needed = 0
    for loaded in tiles:
        if group and loaded.part != group[0].part:
            yield group
            group, needed = [], 0
        group.append(loaded)
        needed += loaded.needs_network
        if needed in (0, size) or len(group) == 4 * size:
            yield group
            group, needed = [], 0
    if group:
        yield group


def predict_tiles(
    engine: Engine, group: Sequence[LoadedTile], limit: Limit | None = None
) -> list[PredictedTile]:
    """The results of some tiles of one shape; those without a wanted pixel skip the network.

    What does not fit the device's memory is halved, with the same result.

    Raises:
        ResourceError: not even the smallest tile fits.
    """
    return begin_tiles(engine, group, limit or Limit())()


def begin_tiles(engine: Engine, group: Sequence[LoadedTile], limit: Limit) -> PendingTiles:
    """Begin what `predict_tiles` does; calling the result waits for the rest."""
    pending = _submit(engine, [loaded for loaded in group if loaded.needs_network], limit)

    def finish() -> list[PredictedTile]:
        results = iter(pending())
        return [next(results) if one.needs_network else _blank_tile(engine, one) for one in group]

    return finish


def _submit(engine: Engine, needed: Sequence[LoadedTile], limit: Limit) -> PendingTiles:
    if not needed:
        return list
    pixels = sum(loaded.valid.size for loaded in needed)
    pending: Pending | None = None
    if pixels < limit.pixels:
        with suppress(MemoryError):
            pending = engine.submit(
                np.stack([loaded.image for loaded in needed]),
                np.stack([loaded.valid for loaded in needed]),
            )
        if pending is None:
            limit.pixels = pixels
            engine.rest()  # only now are the activations gone

    def finish() -> list[PredictedTile]:
        if pending is not None:
            with suppress(MemoryError):
                outputs = pending()
                return [_cut_tile(engine, outputs, i, loaded) for i, loaded in enumerate(needed)]
            limit.pixels = min(limit.pixels, pixels)
            engine.rest()
        return _run_halves(engine, needed, limit)

    return finish


def _run_halves(engine: Engine, needed: Sequence[LoadedTile], limit: Limit) -> list[PredictedTile]:
    """What did not fit, in two pieces; a single tile is split."""
    if len(needed) == 1:
        return [_run_split(engine, needed[0], limit)]
    middle = len(needed) // 2
    halves = (needed[:middle], needed[middle:])
    return [result for half in halves for result in _submit(engine, half, limit)()]


def _run_split(engine: Engine, loaded: LoadedTile, limit: Limit) -> PredictedTile:
    """One tile in two halves."""
    joined = _blank_tile(engine, loaded)
    for half in split_tile(loaded, engine.geometry):
        for result in predict_tiles(engine, [half], limit):
            rows, cols = result.window.relative_to(joined.window).slices()
            for kind, values in result.outputs.items():
                joined.outputs[kind][..., rows, cols] = values
    return replace(joined, is_skipped=False)


def split_tile(loaded: LoadedTile, geometry: Geometry) -> Iterator[LoadedTile]:
    """Two tiles that write what this one does, cut at a multiple of the stride.

    Raises:
        ResourceError: it is as small as a tile can be.
    """
    tile, stride = loaded.tile, geometry.stride
    height, width = tile.cover.shape
    if max(height, width) < 2 * stride:
        raise ResourceError(
            "the device's memory is too small for this network even with the smallest tiles; "
            "free some, or use --device cpu"
        )
    half = -(-max(height, width) // (2 * stride)) * stride
    for cover in tile.cover.blocks(*((half, width) if height >= width else (height, half))):
        write, read = tile.write.intersect(cover), cover.pad(geometry.read_margin)
        rows, cols = read.relative_to(tile.read).slices()
        wanted = loaded.wanted[write.relative_to(tile.write).slices()] if write.area else None
        if wanted is not None:
            yield LoadedTile(
                part=loaded.part,
                tile=Tile(write=write, cover=cover, read=read),
                image=loaded.image[:, rows, cols],
                valid=loaded.valid[rows, cols],
                wanted=wanted,
            )


def _cut_tile(engine: Engine, outputs: Outputs, index: int, loaded: LoadedTile) -> PredictedTile:
    if not outputs[SOUND][index]:
        raise ModelError(_explain_overflow(engine, loaded.tile.write))
    rows, cols = loaded.tile.kept()
    kept = {}
    for kind in engine.request.kinds:
        values = outputs[kind][index, ..., rows, cols]
        kept[kind] = np.where(loaded.wanted, values, values.dtype.type(nodata_of(values.dtype)))
    return PredictedTile(loaded.part, loaded.tile.write, kept, is_skipped=False)


def _explain_overflow(engine: Engine, window: Window) -> str:
    precision = engine.runtime.precision
    advice = "look for such values in the scene, or for damaged weights in the model"
    return (
        f"the scores at rows {window.row_off}-{window.row_end}, columns {window.col_off}-"
        f"{window.col_end} are infinite or not numbers in {precision}; "
        f"{advice if precision == 'float32' else 'use --precision float32'}"
    )


def _blank_tile(engine: Engine, loaded: LoadedTile) -> PredictedTile:
    request, shape = engine.request, loaded.tile.write.shape
    blank = {kind: request.make_blank(kind, engine.classes, shape) for kind in request.kinds}
    return PredictedTile(loaded.part, loaded.tile.write, blank, is_skipped=True)
