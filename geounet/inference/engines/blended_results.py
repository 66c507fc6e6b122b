"""From the scores of overlapping tiles to the outputs of the pixels below them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from itertools import groupby

from geounet.inference.engines.blended_engine import BlendedEngine
from geounet.inference.engines.blending import Accumulator
from geounet.inference.planning.tiling import Tile
from geounet.inference.running.streaming import PredictedTile
from geounet.raster import Window


def blend_results(
    engine: BlendedEngine,
    tiles: Iterable[tuple[Window, Tile]],
    results: Iterable[PredictedTile],
) -> Generator[PredictedTile]:
    """The outputs of each part, in pieces that partition it, left to right.

    A piece is given as soon as no later tile counts in it, so that no more than a tile's width of
    a part is held.

    Args:
        engine: whose tiles they are.
        tiles: part and tile, as `plan_blended_tiles` orders them.
        results: the scores of these tiles.
    """
    pairs = zip(tiles, results, strict=True)
    for part, group in groupby(pairs, key=lambda pair: pair[1].part):
        strip = Accumulator(part, engine.classes, engine.blend)
        for (_, tile), result in group:
            yield from _finish(engine, strip, tile.write.col_off)
            if not result.is_skipped:
                strip.add(tile, result.outputs["scores"])
        yield from _finish(engine, strip, part.col_end)


def _finish(engine: BlendedEngine, strip: Accumulator, end: int) -> Iterator[PredictedTile]:
    for window, scores in strip.finish(end):
        yield PredictedTile(strip.region, window, engine.decide(scores), is_skipped=False)
