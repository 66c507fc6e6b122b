"""A mask file -> a polygon file, streamed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from geounet.classes import NODATA
from geounet.errors import InputError
from geounet.progress import Progress, ProgressCallback, ignore_progress
from geounet.raster import ClassTable, Scene, read_class_table
from geounet.vector.attributes import measure_polygons, name_scores
from geounet.vector.layer import Layer, check_vector_output
from geounet.vector.masks import (
    MaskFiles,
    Strip,
    match_bands,
    open_confidence,
    open_mask,
    open_scores,
    read_strips,
)
from geounet.vector.options import PolygonizeOptions
from geounet.vector.polygonizer import Polygonizer, Regions
from geounet.vector.sieving import SieveCounts, make_sieve, sieve_strips
from geounet.vector.writing import open_writer

COLUMNS: Mapping[str, DTypeLike] = {
    "class_id": np.int32,
    "class": np.object_,
    "area_m2": np.float64,
    "perimeter_m": np.float64,
    "pixels": np.int64,
}
"""Columns of the polygons whatever is known of their pixels."""

SURENESS = ("confidence", "confidence_min")
"""Columns of the mean and the least confidence."""


@dataclass(frozen=True)
class PolygonizeSummary:
    """What polygonize did.

    Attributes:
        output: the file written.
        polygons: its rows.
        small: regions smaller than asked for, which were dissolved or dropped.
        holes: holes smaller than asked for, which were filled.
        class_polygons: rows by class, of the classes that occur.
        elapsed_s: how long it took.
    """

    output: Path
    polygons: int
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
    """Write a row for each connected region of a class of a mask, edges exactly on pixel edges.

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
        InputError: mask, confidence or scores cannot be used.
        UsageError: the output cannot be meant, or it exists.
        ResourceError: the output cannot be written.
    """
    started, output = time.monotonic(), Path(output)
    counts: Counter[int] = Counter()
    sieved = SieveCounts()
    with ExitStack() as stack:
        scene = stack.enter_context(open_mask(mask))
        check_vector_output(output, scene.grid.crs, overwrite=options.overwrite)
        table = read_class_table(mask)
        values = _choose_values(table, options, mask)
        files = _open_files(scene, table, values, options, stack)
        layer = _make_layer(files, options)
        writer = stack.enter_context(open_writer(output, layer, overwrite=options.overwrite))
        strips = read_strips(files, values)
        if (sieve := make_sieve(options, scene.grid, values)) is not None:
            strips = sieve_strips(strips, sieve, sieved)
        for regions in _find_regions(strips, files, values, options, progress):
            counts.update(regions.values.tolist())
            writer.write(regions.geometries, _make_columns(regions, table, files))
        writer.publish([table.class_of(value) for value in sorted(counts)])
    return PolygonizeSummary(
        output=output,
        polygons=counts.total(),
        small=sieved.small,
        holes=sieved.holes,
        class_polygons={table.class_of(value).name: counts[value] for value in sorted(counts)},
        elapsed_s=time.monotonic() - started,
    )


def _choose_values(table: ClassTable, options: PolygonizeOptions, mask: str | Path) -> list[int]:
    """Values of the classes to make polygons of; those that the mask does not name are numbers."""
    if options.classes is None:
        return list(range(1, NODATA))
    values = {table.class_of(value).name: value for value in range(NODATA)}
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


def _make_layer(files: MaskFiles, options: PolygonizeOptions) -> Layer:
    known = [*(SURENESS if files.is_sure else ()), *name_scores(files.score_names)]
    return Layer(
        name=options.layer,
        crs=files.mask.grid.crs,
        columns={**COLUMNS, **dict.fromkeys(known, np.float64)},
        geometry_type="Polygon" if options.connectivity == 4 else "MultiPolygon",
        style_field="class_id",
    )


def _find_regions(
    strips: Iterator[Strip],
    files: MaskFiles,
    values: list[int],
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
    )
    progress(Progress("polygonize", 0, total, "px"))
    for strip in strips:
        yield polygonizer.add(strip.values, strip.confidence, strip.scores)
        progress(Progress("polygonize", strip.window.row_end * grid.width, total, "px"))
    yield polygonizer.finish()


def _make_columns(regions: Regions, table: ClassTable, files: MaskFiles) -> dict[str, NDArray[Any]]:
    area_m2, perimeter_m = measure_polygons(regions.geometries, files.mask.grid)
    columns: dict[str, NDArray[Any]] = {
        "class_id": regions.values,
        "class": _name_classes(regions.values, table),
        "area_m2": area_m2,
        "perimeter_m": perimeter_m,
        "pixels": regions.pixels,
    }
    if regions.confidence is not None and regions.lowest_confidence is not None:
        both = regions.confidence, regions.lowest_confidence
        columns |= zip(SURENESS, both, strict=True)
    columns |= zip(name_scores(files.score_names), regions.scores.T, strict=True)
    return columns


def _name_classes(values: NDArray[np.uint8], table: ClassTable) -> NDArray[np.object_]:
    names = np.array([table.class_of(value).name for value in range(NODATA)], np.object_)
    return np.asarray(names[values], np.object_)
