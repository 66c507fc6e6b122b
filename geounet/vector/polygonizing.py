"""A mask file -> a polygon file, streamed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from geounet.classes import NODATA
from geounet.errors import InputError
from geounet.progress import Progress, ProgressCallback, ignore_progress
from geounet.raster import ClassTable, Scene, limit_cache, read_class_table
from geounet.vector.boundaries.outlines import make_outlines
from geounet.vector.boundaries.polygonizer import Polygonizer, Regions
from geounet.vector.boundaries.sieving import SieveCounts, make_sieve, sieve_strips
from geounet.vector.files.columns import make_columns, make_layer
from geounet.vector.files.layer import check_vector_output
from geounet.vector.files.projecting import choose_projection
from geounet.vector.files.writing import open_writer
from geounet.vector.masks import (
    MaskFiles,
    MaskSource,
    Strip,
    match_bands,
    open_confidence,
    open_mask,
    open_scores,
    read_strips,
)
from geounet.vector.options import PolygonizeOptions

CACHE_BYTES = 64 * 2**20
"""GDAL's block cache: each block is read once."""

PART_PIXELS = 4 << 20
"""Pixels after which complete regions are handed on: a strip may have very many."""


@dataclass(frozen=True)
class PolygonizeSummary:
    """What polygonize did.

    Attributes:
        output: the file written.
        polygons: rows made of the mask.
        is_new: whether they were written: not if `append` finds all of them there already.
        small: regions smaller than asked for, which were dissolved or dropped.
        holes: holes smaller than asked for, which were filled.
        class_polygons: rows by class, of the classes that occur.
        elapsed_s: how long it took.
    """

    output: Path
    polygons: int
    is_new: bool
    small: int
    holes: int
    class_polygons: Mapping[str, int]
    elapsed_s: float


def polygonize(
    mask: str | Path,
    output: str | Path,
    options: PolygonizeOptions = PolygonizeOptions(),  # noqa: B008  frozen
    progress: ProgressCallback = ignore_progress,
) -> PolygonizeSummary:
    """Write a row for each connected region of a class of a mask.

    Edges lie exactly on pixel edges, unless the options say otherwise.

    Columns: class_id, class (`class 7` where the mask has no name), area_m2, perimeter_m (of shell
    and holes; both as in `measure_polygons`), pixels; confidence and confidence_min, the mean and
    the least over the pixels, if a raster of it is given, or one of the scores; and with scores,
    score_<class>, their means. No data (255, and what the file says) is in no polygon.

    Args:
        mask: raster with one integer band of values 0-255.
        output: file to write; its suffix is the format: .gpkg, .parquet, .fgb, .geojson.
        options: which classes and which regions.
        progress: called after each strip.

    Raises:
        InputError: mask, confidence or scores cannot be used, the wanted CRS cannot show the
            polygons, or the file to append to is of something else.
        UsageError: the output cannot be meant, or it exists.
        ResourceError: the output cannot be written.
    """
    output = Path(output)
    with ExitStack() as stack:
        stack.enter_context(limit_cache(CACHE_BYTES))
        scene = stack.enter_context(open_mask(mask))
        mode = {"overwrite": options.overwrite, "append": options.append}
        check_vector_output(output, scene.grid.crs, **mode)
        table = read_class_table(mask)
        values = _choose_values(table, options, mask)
        files = _open_files(scene, table, values, options, stack)
        source = MaskSource(Path(mask).name, files, table, values)
        return polygonize_source(source, output, options, progress)


def polygonize_source(
    source: MaskSource, output: Path, options: PolygonizeOptions, progress: ProgressCallback
) -> PolygonizeSummary:
    """As `polygonize`, of a mask that is open; its bands of rows may still be coming.

    The file is the same, whatever the bands.
    """
    started, files, table, values = time.monotonic(), source.files, source.table, source.values
    counts: Counter[int] = Counter()
    sieved, grid = SieveCounts(), files.mask.grid
    is_geojson = output.suffix.lower() == ".geojson"
    projection = choose_projection(options.crs, grid, is_geojson=is_geojson)
    layer = make_layer(files, options, projection)
    with open_writer(output, layer, overwrite=options.overwrite, append=options.append) as writer:
        writer.require_names("class", {value: table.name_of(value) for value in values})
        strips = read_strips(files, values, source.bands)
        if (sieve := make_sieve(options, grid, values)) is not None:
            strips = sieve_strips(strips, sieve, sieved)
        for regions in _find_regions(strips, files, values, options, progress):
            counts.update(regions.values.tolist())
            geometries = regions.geometries
            placed = geometries if projection is None else projection.apply(geometries)
            writer.write(placed, make_columns(regions, table, files))
        classes = [table.class_of(value) for value in sorted(counts)]
        is_new = writer.publish(classes, source.name, source.release)
    return PolygonizeSummary(
        output=output,
        polygons=counts.total(),
        is_new=is_new,
        small=sieved.small,
        holes=sieved.holes,
        class_polygons={item.name: counts[item.value] for item in classes},
        elapsed_s=time.monotonic() - started,
    )


def _choose_values(table: ClassTable, options: PolygonizeOptions, mask: str | Path) -> list[int]:
    """Values of the classes to make polygons of; those that the mask does not name are numbers."""
    if options.classes is None:
        return list(range(1, NODATA))
    values = {table.name_of(value): value for value in range(NODATA)}
    if unknown := [name for name in options.classes if name not in values]:
        known = ", ".join(table.names.values()) or "no names: write `class 1`, `class 2` ..."
        raise InputError(f"{mask} has no class {', '.join(unknown)}; it has {known}")
    return [values[name] for name in options.classes]


def _open_files(
    mask: Scene,
    table: ClassTable,
    values: list[int],
    options: PolygonizeOptions,
    stack: ExitStack,
) -> MaskFiles:
    """The mask with its confidence and its scores, which the stack will close."""
    confidence = scores = None
    if options.confidence is not None:
        confidence = stack.enter_context(open_confidence(options.confidence, mask))
    if options.scores is not None:
        scores = stack.enter_context(open_scores(options.scores, mask))
    bands = {} if scores is None else match_bands(scores, table, values)
    return MaskFiles(mask, confidence, scores, bands)


def _find_regions(
    strips: Iterator[Strip],
    files: MaskFiles,
    values: Collection[int],
    options: PolygonizeOptions,
    progress: ProgressCallback,
) -> Iterator[Regions]:
    grid = files.mask.grid
    total = grid.extent.area
    polygonizer = Polygonizer(
        grid.width,
        grid.transform,
        values,
        connectivity=options.connectivity,
        bands=len(files.score_names),
        outlines=make_outlines(options, grid),
    )
    progress(Progress("polygonize", 0, total, "px"))
    for strip in strips:
        for part in strip.split(max(1, PART_PIXELS // grid.width)):
            yield polygonizer.add(part.values, part.confidence, part.scores)
        progress(Progress("polygonize", strip.window.row_end * grid.width, total, "px"))
        del strip  # before there is another
    yield polygonizer.finish()
