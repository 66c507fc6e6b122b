"""From tiles to masks: read, predict, in order, each stage in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from geounet.classes import NODATA
from geounet.inference.engine import Engine, Outputs
from geounet.inference.pipeline import Stopwatch, interleave, threaded
from geounet.inference.predictor import nodata_of
from geounet.inference.tiling import Tile, fit_tile, plan_tiles
from geounet.raster import Scene, Window
from geounet.vector import rasterize_inside


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
    """

    open_source: Callable[[], Scene]
    engine: Engine
    aoi: BaseGeometry | None = None
    batch: int = 1
    readers: int = 1
    depth: int = 2
    watch: Stopwatch = field(default_factory=Stopwatch)

    def run(self, tiles: Sequence[tuple[Window, Tile]]) -> Generator[PredictedTile]:
        """The results of (part, tile) pairs, in their order."""
        readers = [
            threaded(self._read(tiles[i :: self.readers], i), self.depth)
            for i in range(self.readers)
        ]
        return threaded(self._predict(interleave(readers)), self.depth)

    def _read(self, tiles: Sequence[tuple[Window, Tile]], reader: int) -> Generator[LoadedTile]:
        stage = "read" if self.readers == 1 else f"read {reader}"
        with self.open_source() as scene:
            for part, tile in tiles:
                with self.watch.measure(stage):
                    loaded = load_tile(scene, part, tile, self.aoi)
                yield loaded

    def _predict(self, tiles: Generator[LoadedTile]) -> Generator[PredictedTile]:
        with closing(tiles):
            for group in batch_tiles(tiles, self.batch):
                with self.watch.measure("network"):
                    results = predict_tiles(self.engine, group)
                yield from results


def load_tile(
    scene: Scene, part: Window, tile: Tile, aoi: BaseGeometry | None = None
) -> LoadedTile:
    """Read what a tile needs. Polygons of the AOI are in the scene's CRS."""
    image, valid = scene.read(tile.read)
    wanted = valid[tile.write.relative_to(tile.read).slices()]
    if aoi is not None:
        wanted = wanted & rasterize_inside(aoi, scene.grid, tile.write)
    return LoadedTile(part, tile, image, valid, wanted)


def batch_tiles(tiles: Iterable[LoadedTile], size: int) -> Iterator[list[LoadedTile]]:
    """Runs of tiles in order, each with at most `size` that need the network.

    A run is at most 4 * `size` tiles long, so that memory is bounded where few are needed.
    """
    group: list[LoadedTile] = []
    needed = 0
    for loaded in tiles:
        group.append(loaded)
        needed += loaded.needs_network
        if needed in (0, size) or len(group) == 4 * size:
            yield group
            group, needed = [], 0
    if group:
        yield group


def predict_tiles(engine: Engine, group: Sequence[LoadedTile]) -> list[PredictedTile]:
    """The results of some tiles of one shape; those without a wanted pixel skip the network."""
    needed = [loaded for loaded in group if loaded.needs_network]
    if not needed:
        return [_blank_tile(engine, loaded) for loaded in group]
    outputs = engine(
        np.stack([loaded.image for loaded in needed]), np.stack([loaded.valid for loaded in needed])
    )
    results = iter([_cut_tile(outputs, i, loaded) for i, loaded in enumerate(needed)])
    return [
        next(results) if loaded.needs_network else _blank_tile(engine, loaded) for loaded in group
    ]


def predict_window(
    engine: Engine, scene: Scene, window: Window, tile: int = 512
) -> NDArray[np.uint8]:
    """The mask of a window of a scene, uint8 (H, W): the cut of the mask of the whole scene.

    Reads by the given handle, in the calling thread.
    """
    geometry = engine.geometry
    shape = fit_tile(window, max(tile, geometry.stride), geometry.stride)
    mask = np.full(window.shape, NODATA, np.uint8)
    for one in plan_tiles(window, shape, geometry.stride, geometry.read_margin):
        (result,) = predict_tiles(engine, [load_tile(scene, window, one)])
        mask[result.window.relative_to(window).slices()] = result.outputs["mask"]
    return mask


def _cut_tile(outputs: Outputs, index: int, loaded: LoadedTile) -> PredictedTile:
    rows, cols = loaded.tile.kept()
    kept = {}
    for kind, batch in outputs.items():
        values = batch[index, ..., rows, cols]
        kept[kind] = np.where(loaded.wanted, values, values.dtype.type(nodata_of(values.dtype)))
    return PredictedTile(loaded.part, loaded.tile.write, kept, is_skipped=False)


def _blank_tile(engine: Engine, loaded: LoadedTile) -> PredictedTile:
    request, shape = engine.request, loaded.tile.write.shape
    blank = {kind: request.make_blank(kind, engine.classes, shape) for kind in request.kinds}
    return PredictedTile(loaded.part, loaded.tile.write, blank, is_skipped=True)
