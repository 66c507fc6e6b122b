"""The middle of a run: its missing parts, computed and kept one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import groupby
from threading import Event

from geounet.errors import Interrupted
from geounet.heap import trim_memory
from geounet.inference.engines.blended_engine import BlendedEngine, engine_of_tiles
from geounet.inference.engines.blended_results import blend_results
from geounet.inference.options import PredictOptions
from geounet.inference.planning.plan import list_tiles
from geounet.inference.planning.tiling import Tile
from geounet.inference.running.keeping import keep_part
from geounet.inference.running.pipeline import threaded
from geounet.inference.running.preparation import open_image
from geounet.inference.running.run import Run
from geounet.inference.running.streaming import PredictedTile, Stream
from geounet.progress import Progress, ProgressCallback
from geounet.raster import Window


def compute_parts(
    run: Run,
    parts: Sequence[Window],
    options: PredictOptions,
    progress: ProgressCallback,
    stop: Event | None,
    announce: Callable[[Window], None],
) -> None:
    """Predict and keep the given parts, one after the other; announce each that is on disk."""
    engine, tiles = run.engine, _list_all(run, parts)
    is_blended = isinstance(engine, BlendedEngine)  # whose tiles overlap
    windows = parts if is_blended else (tile.write for _, tile in tiles())
    total = sum(window.area for window in windows)
    done = 0
    trim_memory()  # of what looking at the parts of an earlier run took
    progress(Progress("predict", done, total, "px"))
    with closing(threaded(stream_parts(run, parts, options))) as kept:
        for part, pixels in kept:
            done += pixels
            progress(Progress("predict", done, total, "px"))
            if pixels == 0:
                announce(part)
            if stop is not None and stop.is_set() and pixels == 0 and part != parts[-1]:
                raise Interrupted(
                    f"{run.outputs['mask']} is unfinished: {done} of {total} pixels are done and "
                    f"kept in {run.job.folder}; the same command goes on from there"
                )
    engine.rest()  # what comes now needs the memory more
    trim_memory()


def stream_parts(
    run: Run, parts: Sequence[Window], options: PredictOptions
) -> Iterator[tuple[Window, int]]:
    """Predict and keep parts: each with the pixels of a piece that came, and 0 once on disk."""
    tiles = _list_all(run, parts)
    stream = Stream(
        open_source=lambda: open_image(run.image, options),
        engine=engine_of_tiles(run.engine),
        aoi=run.plan.aoi,
        batch=run.plan.batch,
        readers=options.readers,
        watch=run.watch,
    )
    with closing(stream.run(tiles)) as results:
        pieces = _count_tiles(run, results)
        if isinstance(run.engine, BlendedEngine):
            pieces = blend_results(run.engine, tiles(), pieces)
        for part, group in groupby(pieces, key=lambda piece: piece.part):
            for pixels in keep_part(run, part, group):
                yield part, pixels
            yield part, 0


def _list_all(run: Run, parts: Sequence[Window]) -> Callable[[], Iterator[tuple[Window, Tile]]]:
    """The tiles of parts, listed anew at each call: all at once they would take 450 bytes each."""

    def tiles() -> Iterator[tuple[Window, Tile]]:
        for part in parts:
            for tile in list_tiles(run.plan, part, run.engine, run.scene):
                yield part, tile

    return tiles


def _count_tiles(run: Run, results: Iterable[PredictedTile]) -> Iterator[PredictedTile]:
    for result in results:
        run.tiles += 1
        run.tiles_skipped += result.is_skipped
        yield result
