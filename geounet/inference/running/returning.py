"""What was computed of a resampled scene, brought back onto the grid of its files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geounet.classes import NODATA
from geounet.inference.engines.engine import Outputs
from geounet.inference.engines.predictor import nodata_of
from geounet.inference.planning.area import Area, is_inside
from geounet.inference.planning.budget import count_output_bytes
from geounet.inference.planning.parts import PART_BYTES, choose_part_rows
from geounet.inference.running.keeping import open_file, write_outputs
from geounet.inference.running.run import Run
from geounet.raster import Resampled, Window, read_parts

BLOCK = 512
"""Rows of a strip are a multiple of this, which most files' blocks divide."""

CHUNK_COLS = 4096
"""Columns that are brought back at a time, at most."""


def return_outputs(
    scene: Resampled, area: Area, window: Window, computed: tuple[Window, Outputs]
) -> Outputs:
    """The outputs of a window of the scene's files: of each pixel those under its centre.

    Pixels that are no data in the files, or outside the AOI, are no data. Every other one has an
    output, since data of the scene are data of the resampled scene.

    Args:
        scene: the resampled one.
        area: what the outputs cover.
        window: pixels of the files.
        computed: a window of the resampled scene that holds all that lies under, and its outputs.
    """
    origin, outputs = computed
    rows = scene.rows_under(window) - origin.row_off
    cols = scene.cols_under(window) - origin.col_off
    _, wanted = scene.source.read(window)
    if area.aoi is not None:
        wanted &= is_inside(area.aoi, area.grid, window)
    return {
        kind: np.where(wanted, values[..., rows[:, None], cols], _nodata(values))
        for kind, values in outputs.items()
    }


def return_parts(run: Run, scene: Resampled, parts: Sequence[Window]) -> list[Window]:
    """Bring the parts of a run back as strips of its outputs, which are kept as further parts.

    Counts the run's pixels anew. Strips that are there already are kept.
    """
    extent, pixel_bytes = run.plan.area.extent, count_output_bytes(run.engine)
    aligned = extent.aligned(BLOCK)
    bands = aligned.blocks(choose_part_rows(extent, BLOCK, pixel_bytes), aligned.width)
    strips = [strip for strip in (band.intersect(extent) for band in bands) if strip.area]
    kinds = tuple(map(name_strip, run.outputs))
    run.counts[:] = 0
    for strip in strips:
        if run.job.is_done(kinds, strip):
            run.count_classes(run.job.part_path(name_strip("mask"), strip))
        else:
            _keep_strip(run, scene, strip, parts)
    return strips


def choose_chunk(scene: Resampled, shape: tuple[int, int], pixel_bytes: int) -> tuple[int, int]:
    """Rows and columns, of at most a shape, to bring back at a time.

    `window_under(chunk).area * pixel_bytes <= PART_BYTES`, wherever the chunk lies.

    Args:
        scene: the resampled one, whose pixels may be many times those of its files.
        shape: rows and columns of the files.
        pixel_bytes: bytes of a pixel in all outputs.
    """
    most = PART_BYTES // pixel_bytes
    rows = min(shape[0], _count_over(math.isqrt(most), scene.scale))
    rows_under = math.ceil(rows / scene.scale) + 1
    return rows, min(shape[1], _count_over(most // rows_under, scene.scale))


def _count_over(size: int, scale: float) -> int:
    """Rows of the files that lie over at most `size` resampled ones; 1, since one has one."""
    return max(1, int((size - 1) * scale))


def name_strip(kind: str) -> str:
    """What a strip of an output is called beside its parts."""
    return f"scene-{kind}"


def _keep_strip(run: Run, scene: Resampled, strip: Window, parts: Sequence[Window]) -> None:
    """Bring a strip back column by column, so that its width takes no memory."""
    grid = run.plan.area.grid.crop(strip)
    most = PART_BYTES // (strip.height * count_output_bytes(run.engine))
    cols = min(max(BLOCK, most // BLOCK * BLOCK), CHUNK_COLS)
    with ExitStack() as files:
        writers = {
            kind: files.enter_context(
                open_file(run, kind, run.job.part_path(name_strip(kind), strip), grid)
            )
            for kind in run.outputs
        }
        for window in strip.blocks(strip.height, cols):
            outputs = _return_window(run, scene, window, parts)
            write_outputs(run, writers, window.relative_to(strip), outputs)


def _return_window(run: Run, scene: Resampled, whole: Window, parts: Sequence[Window]) -> Outputs:
    arrays = {kind: _make_blank(run, kind, whole) for kind in run.outputs}
    for window in whole.blocks(*choose_chunk(scene, whole.shape, count_output_bytes(run.engine))):
        under = scene.window_under(window)
        near = [part for part in parts if part.intersect(under).area]
        computed = {
            kind: read_parts(
                [(run.job.part_path(kind, part), part) for part in near],
                under,
                _make_blank(run, kind, under),
            )
            for kind in run.outputs
        }
        if (computed["mask"] == NODATA).all():  # far from the AOI: the scene need not be read
            continue
        rows, cols = window.relative_to(whole).slices()
        returned = return_outputs(scene, run.plan.area, window, (under, computed))
        for kind, values in returned.items():
            arrays[kind][..., rows, cols] = values
    return arrays


def _make_blank(run: Run, kind: str, window: Window) -> NDArray[Any]:
    return run.engine.request.make_blank(kind, run.engine.classes, window.shape)


def _nodata(values: NDArray[Any]) -> Any:  # noqa: ANN401 - a scalar of their dtype
    return values.dtype.type(nodata_of(values.dtype))
