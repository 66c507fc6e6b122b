"""The middle of a run: its missing parts, computed and kept one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import groupby
from threading import Event

from geounet.errors import Interrupted
from geounet.inference.blended_engine import BlendedEngine, engine_of_tiles
from geounet.inference.blended_results import blend_results
from geounet.inference.engine import Outputs
from geounet.inference.options import PredictOptions
from geounet.inference.plan import list_tiles
from geounet.inference.predictor import nodata_of
from geounet.inference.preparation import open_image
from geounet.inference.run import Run
from geounet.inference.streaming import PredictedTile, Stream
from geounet.progress import Progress, ProgressCallback
from geounet.raster import Window, write_part


def compute_parts(
    run: Run,
    parts: Sequence[Window],
    options: PredictOptions,
    progress: ProgressCallback,
    stop: Event | None,
) -> None:
    """Predict and keep the given parts, one after the other."""
    engine = run.engine
    tiles = [
        (part, tile) for part in parts for tile in list_tiles(run.plan, part, engine, run.scene)
    ]
    stream = Stream(
        open_source=lambda: open_image(run.image, options),
        engine=engine_of_tiles(engine),
        aoi=run.plan.aoi,
        batch=run.plan.batch,
        readers=options.readers,
        watch=run.watch,
    )
    is_blended = isinstance(engine, BlendedEngine)  # whose tiles overlap
    windows = parts if is_blended else [tile.write for _, tile in tiles]
    total = sum(window.area for window in windows)
    done = 0
    progress(Progress("predict", done, total, "px"))
    with closing(stream.run(tiles)) as results:
        pieces = _count_tiles(run, results)
        if isinstance(engine, BlendedEngine):
            pieces = blend_results(engine, tiles, pieces)
        for part, group in groupby(pieces, key=lambda piece: piece.part):
            arrays = {
                kind: engine.request.make_blank(kind, engine.classes, part.shape)
                for kind in run.outputs
            }
            for piece in group:
                _place(piece, arrays)
                done += piece.window.area
                progress(Progress("predict", done, total, "px"))
            with run.watch.measure("write"):
                _keep_part(run, part, arrays)
            if stop is not None and stop.is_set() and part != parts[-1]:
                raise Interrupted(
                    f"{run.outputs['mask']} is unfinished: {done} of {total} pixels are done and "
                    f"kept in {run.job.folder}; the same command goes on from there"
                )


def _count_tiles(run: Run, results: Iterable[PredictedTile]) -> Iterator[PredictedTile]:
    for result in results:
        run.tiles += 1
        run.tiles_skipped += result.is_skipped
        yield result


def _place(result: PredictedTile, arrays: Outputs) -> None:
    rows, cols = result.window.relative_to(result.part).slices()
    for kind, array in arrays.items():
        array[..., rows, cols] = result.outputs[kind]


def _keep_part(run: Run, part: Window, arrays: Outputs) -> None:
    grid = run.scene.grid.crop(part)
    for kind, array in arrays.items():
        write_part(
            run.job.part_path(kind, part), grid, array, nodata_of(array.dtype), run.name_bands(kind)
        )
    run.add_counts(arrays["mask"])
