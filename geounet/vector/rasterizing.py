"""Vectors -> a class raster on a scene's grid: the labels as training sees them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from geounet.classes import NODATA, ClassInfo
from geounet.errors import UsageError
from geounet.progress import Progress, ProgressCallback, ignore_progress
from geounet.raster import (
    LOCK_FILE,
    Grid,
    Window,
    assemble,
    locked_folder,
    open_scene,
    write_part,
)
from geounet.vector.aoi import rasterize_inside
from geounet.vector.labels.label_classes import resolve_legend
from geounet.vector.labels.label_options import LabelOptions
from geounet.vector.labels.labels import is_read_by_bounds, open_labels
from geounet.vector.limits import limit_grid
from geounet.vector.rasterize_options import RasterizeOptions
from geounet.vector.source import is_vectors

PART = 4096
"""Rows and columns burnt at once: about 150 MB with instances apart."""


@dataclass(frozen=True)
class RasterizeSummary:
    """What rasterize did.

    Attributes:
        output: the file written.
        class_pixels: pixels by class, of all classes.
        unlabelled: pixels without a label: those to be ignored.
        note: what had to be done to bring the vectors onto the grid; None if nothing.
        elapsed_s: how long it took.
    """

    output: Path
    class_pixels: Mapping[str, int]
    unlabelled: int
    note: str | None
    elapsed_s: float


def rasterize(
    vectors: str | Path,
    like: str | Path,
    output: str | Path,
    options: RasterizeOptions = RasterizeOptions(),  # noqa: B008  frozen
    progress: ProgressCallback = ignore_progress,
) -> RasterizeSummary:
    """Burn vectors into a class raster on the grid of a scene, as `train` sees them as labels.

    The rules are those of `open_labels`. The scene's pixels are not looked at: where it has no data
    there are labels all the same. The output is a COG, uint8, 255 where there is no label, with
    class names and colours; it appears whole or not at all. Memory does not grow with the scene,
    and of files with many features only those of the place at hand are held.

    Args:
        vectors: any vector file, `FILE|layername=NAME` if it has several layers.
        like: a raster of the wanted grid.
        output: the .tif to write.
        options: which classes, and how features are to be understood.
        progress: called after each part.

    Raises:
        InputError: vectors or scene cannot be used.
        UsageError: the output cannot be meant, or it exists.
        ResourceError: the output cannot be written.
    """
    started, output = time.monotonic(), Path(output)
    _check_output(output, overwrite=options.overwrite)
    with open_scene(like, allow_palette=True) as scene:
        grid = scene.grid
    if not is_vectors(vectors):
        raise UsageError(f"{vectors} is a raster already; give vectors")
    legend = resolve_legend(options.classes, [vectors], [grid], options.label_options)
    classes = legend.classes
    limits = _Limits(*limit_grid(grid, options.bbox, options.aoi, like))
    counts = np.zeros(NODATA + 1, np.int64)
    notes: set[str | None] = set()
    with _workspace(output) as folder:
        parts = []
        progress(Progress("rasterize", 0, grid.extent.area, "px"))
        for window, values, note in _burn_parts(vectors, grid, classes, legend.options):
            values = np.where(limits.hold(grid, window), values, np.uint8(NODATA))
            path = folder / f"{window.row_off}-{window.col_off}.tif"
            write_part(path, grid.crop(window), values, nodata=NODATA)
            parts.append((path, window))
            counts += np.bincount(values.ravel(), minlength=NODATA + 1)
            notes.add(note)
            progress(Progress("rasterize", int(counts.sum()), grid.extent.area, "px"))
        assemble(parts, grid, output, nodata=NODATA, classes=classes)
    return RasterizeSummary(
        output=output,
        class_pixels={item.name: int(counts[item.value]) for item in classes},
        unlabelled=int(counts[NODATA]),
        note=next(iter(notes)),
        elapsed_s=time.monotonic() - started,
    )


class _Limits(NamedTuple):
    """Where there may be labels: pixels of a window whose centre is in the AOI, if there is one."""

    area: Window
    aoi: BaseGeometry | None

    def hold(self, grid: Grid, window: Window) -> NDArray[np.bool_]:
        """Whether pixels (H, W) are within them."""
        inside = np.zeros(window.shape, np.bool_)
        inside[window.intersect(self.area).relative_to(window).slices()] = True
        return inside if self.aoi is None else inside & rasterize_inside(self.aoi, grid, window)


def _burn_parts(
    vectors: str | Path, grid: Grid, classes: Sequence[ClassInfo], options: LabelOptions
) -> Iterator[tuple[Window, NDArray[np.uint8], str | None]]:
    """Windows that partition the grid, their labels, and what had to be done to these."""
    windows = grid.extent.blocks(PART, PART)
    if is_read_by_bounds(vectors):
        for window in windows:
            with open_labels(vectors, grid, classes, options, window) as labels:
                yield window, labels.read(window), labels.note
        return
    with open_labels(vectors, grid, classes, options) as labels:
        for window in windows:
            yield window, labels.read(window), labels.note


def _check_output(path: Path, *, overwrite: bool) -> None:
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise UsageError(f"{path} is no GeoTIFF by its name; write to a .tif")
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent} is no folder; make it first")
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists; choose another name, or use --overwrite")


@contextmanager
def _workspace(output: Path) -> Iterator[Path]:
    """A folder for the parts, beside the output; what a killed run has left there is cleared."""
    folder = output.with_name(f".{output.name}.parts")
    with locked_folder(folder, output):
        _clear(folder)
        try:
            yield folder
        finally:
            _clear(folder)


def _clear(folder: Path) -> None:
    with suppress(OSError):
        for file in folder.iterdir():
            if file.name != LOCK_FILE:
                file.unlink()
