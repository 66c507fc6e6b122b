"""Where a map is wrong, as polygons: connected pixels with one label and one other prediction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from geounet.classes import ClassInfo
from geounet.errors import UsageError
from geounet.evaluation.jobs import Job
from geounet.evaluation.measures.family import Piece
from geounet.evaluation.measures.outcomes import ERRORS, make_table
from geounet.raster import Grid, name_of
from geounet.vector import (
    WGS84,
    Layer,
    LayerWriter,
    Polygonizer,
    Projection,
    Regions,
    measure_polygons,
    open_writer,
)

NONE = 255
"""Code of a pixel that is in no polygon."""

CODES = 254
"""Pairs of classes that one polygonizer tells apart: with up to 16 classes one does for all."""

PART_PIXELS = 4 << 20
"""Pixels after which complete regions are handed on: they may be very many."""

COLUMNS = {
    "kind_id": (np.int32, "1 false negative, 2 false positive, 3 confusion"),
    "kind": (np.object_, "false negative: missed; false positive: where there is nothing"),
    "label_id": (np.int32, "value of the class in the labels"),
    "label": (np.object_, "name of the class in the labels"),
    "predicted_id": (np.int32, "value of the class in the mask"),
    "predicted": (np.object_, "name of the class in the mask"),
    "pixels": (np.int64, "number of pixels"),
    "area_m2": (np.float64, "area on the ground in square metres; without CRS in pixels"),
    "scene": (np.object_, "the mask, or the image that it was made of"),
}
"""Type and meaning of each."""


@contextmanager
def open_error_layer(
    path: Path, jobs: Sequence[Job], classes: Sequence[ClassInfo], *, overwrite: bool
) -> Iterator[ErrorLayer]:
    """A watcher that collects polygons; `publish` makes the file, which else does not appear.

    The layer is in the CRS of the first scene, a GeoJSON in longitude and latitude.

    Raises:
        UsageError: the path cannot be meant, or only some of the scenes have a CRS.
        ResourceError: it cannot be written.
    """
    projections = choose_projections(path, [job.grid for job in jobs])
    first = projections[0]
    layer = Layer(
        name="errors",
        crs=jobs[0].grid.crs if first is None else first.crs,
        columns={name: kind for name, (kind, _) in COLUMNS.items()},
        geometry_type="MultiPolygon" if any(p and p.is_cut for p in projections) else "Polygon",
        style_field="kind_id",
        text="Connected pixels where a mask has another class than the labels; made by geounet",
        column_texts={name: text for name, (_, text) in COLUMNS.items()},
    )
    with open_writer(path, layer, overwrite=overwrite) as writer:
        yield ErrorLayer(writer, classes, projections)


def choose_projections(path: Path, grids: Sequence[Grid]) -> list[Projection | None]:
    """What brings each scene into the CRS of the layer; None where it is in it.

    Raises:
        UsageError: only some of the scenes have a CRS.
    """
    target = WGS84 if path.suffix.lower() == ".geojson" else grids[0].crs
    return [_choose_projection(path, grid, target) for grid in grids]


def _choose_projection(path: Path, grid: Grid, target: CRS | None) -> Projection | None:
    if (grid.crs is None) != (target is None):
        raise UsageError(
            f"{path} has one CRS for all scenes, but only some have one; evaluate those without "
            "by themselves, or write no .geojson"
        )
    if grid.crs is None or target is None or target.equals(grid.crs, ignore_axis_order=True):
        return None
    return Projection(grid, target)


class ErrorLayer:
    """Makes polygons of what it watches."""

    def __init__(
        self,
        writer: LayerWriter,
        classes: Sequence[ClassInfo],
        projections: Sequence[Projection | None],
    ) -> None:
        """For scenes with these projections, in their order. Prefer `open_error_layer`."""
        self._writer, self._classes, self._projections = writer, classes, iter(projections)
        self._groups = list(_make_groups(len(classes)))
        self._kinds = make_table(classes)
        self._sources: list[str] = []
        self._scene: _Scene | None = None

    def start(self, job: Job) -> None:
        """A scene begins."""
        self._sources.append(name_of(job.name))
        self._scene = _Scene(job, next(self._projections), len(self._groups))

    def add(self, piece: Piece, other: NDArray[np.uint8] | None) -> None:
        """Take in a piece; the windows of a row make a strip."""
        scene = self._current()
        area, window = scene.job.area, piece.window
        if window.col_off == area.col_off:
            scene.strip = np.full((len(self._groups), window.height, area.width), NONE, np.uint8)
        cols = slice(window.col_off - area.col_off, window.col_end - area.col_off)
        for strip, (_, codes) in zip(scene.strip, self._groups, strict=True):
            strip[:, cols] = codes[piece.labels, piece.mask]
        if window.col_end == area.col_end:
            self._sweep(scene)

    def finish(self) -> None:
        """The scene is over: what reaches its last row is complete."""
        scene = self._current()
        for polygonizer, (pairs, _) in zip(scene.polygonizers, self._groups, strict=True):
            self._write(scene, polygonizer.finish(), pairs)
        self._scene = None

    def publish(self) -> None:
        """Make the file.

        Raises:
            ResourceError: it cannot be written.
        """
        self._writer.publish(ERRORS, ", ".join(dict.fromkeys(self._sources)))

    def _current(self) -> _Scene:
        if self._scene is None:
            raise ValueError("no scene has begun")
        return self._scene

    def _sweep(self, scene: _Scene) -> None:
        rows = max(1, PART_PIXELS // scene.job.area.width)
        for strip, polygonizer, (pairs, _) in zip(
            scene.strip, scene.polygonizers, self._groups, strict=True
        ):
            for row in range(0, len(strip), rows):
                self._write(scene, polygonizer.add(strip[row : row + rows]), pairs)

    def _write(self, scene: _Scene, regions: Regions, pairs: NDArray[np.intp]) -> None:
        """Pairs (P, 2) of positions, of label and prediction, by value of the regions."""
        labels, predicted = pairs[regions.values].T
        kinds = self._kinds[labels, predicted]
        values = np.array([item.value for item in self._classes])
        names = np.array([item.name for item in self._classes], np.object_)
        kind_names = np.array(["", *(item.name for item in ERRORS)], np.object_)
        columns: dict[str, NDArray[Any]] = {
            "kind_id": kinds,
            "kind": kind_names[kinds],
            "label_id": values[labels],
            "label": names[labels],
            "predicted_id": values[predicted],
            "predicted": names[predicted],
            "pixels": regions.pixels,
            "area_m2": measure_polygons(regions.geometries, scene.grid).area_m2,
            "scene": np.full(len(regions), name_of(scene.job.name), np.object_),
        }
        placed = regions.geometries
        if scene.projection is not None:
            placed = scene.projection.apply(placed)
        self._writer.write(placed, columns)


class _Scene:
    """A scene that is being watched."""

    def __init__(self, job: Job, projection: Projection | None, groups: int) -> None:
        self.job, self.projection = job, projection
        self.grid = job.grid.crop(job.area)
        self.strip = np.zeros((groups, 0, job.area.width), np.uint8)
        self.polygonizers = [
            Polygonizer(job.area.width, self.grid.transform, range(CODES)) for _ in range(groups)
        ]


def _make_groups(classes: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.uint8]]]:
    """Pairs (P, 2) of different positions, and codes (256, 256) by position: a row of the pairs."""
    pairs = list(permutations(range(classes), 2))
    for start in range(0, len(pairs), CODES):
        group = np.array(pairs[start : start + CODES], np.intp)
        codes = np.full((256, 256), NONE, np.uint8)
        codes[group[:, 0], group[:, 1]] = np.arange(len(group))
        yield group, codes
