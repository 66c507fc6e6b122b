"""The outputs of a window of a scene, without a run around it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from geounet.inference.engines.blended_engine import BlendedEngine
from geounet.inference.engines.blended_results import blend_results
from geounet.inference.engines.blending import plan_blended_tiles
from geounet.inference.engines.engine import Engine, Outputs
from geounet.inference.planning.tiling import fit_tile, plan_tiles
from geounet.inference.running.streaming import PredictedTile, load_tile, predict_tiles
from geounet.raster import SceneLike, Window


def predict_window(
    engine: Engine, scene: SceneLike, window: Window, tile: int = 512
) -> NDArray[np.uint8]:
    """The mask of a window of a scene, uint8 (H, W): the cut of the mask of the whole scene.

    Reads by the given handle, in the calling thread.

    Args:
        engine: the network.
        scene: the scene.
        window: pixels of it.
        tile: side of the tiles; those of a blended engine are its own.
    """
    return predict_window_outputs(engine, scene, window, tile)["mask"]


def predict_window_outputs(engine: Engine, scene: SceneLike, window: Window, tile: int) -> Outputs:
    """All outputs of a window of a scene, as `predict_window`."""
    request = engine.request
    outputs = {k: request.make_blank(k, engine.classes, window.shape) for k in request.kinds}
    results = (
        _predict_blended(engine, scene, window)
        if isinstance(engine, BlendedEngine)
        else _predict_exact(engine, scene, window, tile)
    )
    for result in results:
        rows, cols = result.window.relative_to(window).slices()
        for kind, values in result.outputs.items():
            outputs[kind][..., rows, cols] = values
    return outputs


def _predict_exact(
    engine: Engine, scene: SceneLike, window: Window, tile: int
) -> Iterator[PredictedTile]:
    geometry = engine.geometry
    shape = fit_tile(window, max(tile, geometry.stride), geometry.stride)
    for one in plan_tiles(window, shape, geometry.stride, geometry.read_margin):
        yield from predict_tiles(engine, [load_tile(scene, window, one)])


def _predict_blended(
    engine: BlendedEngine, scene: SceneLike, window: Window
) -> Iterator[PredictedTile]:
    tiles = [(window, one) for one in plan_blended_tiles(window, engine.blend)]
    results = (
        result
        for _, one in tiles
        for result in predict_tiles(engine.tiles, [load_tile(scene, window, one)])
    )
    yield from blend_results(engine, tiles, results)
