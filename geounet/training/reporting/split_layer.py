"""Where is trained and where is validated, as polygons: `split.gpkg`."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyogrio
import shapely
from geopandas import GeoDataFrame
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError
from shapely import MultiPolygon
from shapely.geometry.base import BaseGeometry

from geounet.classes import ClassInfo
from geounet.raster import Grid, Window
from geounet.training.data.sources import Source
from geounet.training.task import Task
from geounet.vector import allow_no_crs

Role = Literal["training", "guard", "validation"]

BEND_PX = 128
"""Sides bend in another CRS: so long are the pieces that stay straight."""


@dataclass(frozen=True)
class Region:
    """Pixels of one scene with one role.

    Attributes:
        role: "guard" pixels are of no use, since they are too near to what validates.
        scene: the image.
        grid: its pixels.
        geometry: polygons in pixels, x = column, y = row.
        counts: int64 (classes,), pixels of each class that were looked at; None: none were.
    """

    role: Role
    scene: str
    grid: Grid
    geometry: BaseGeometry
    counts: NDArray[np.int64] | None = None

    @property
    def pixels(self) -> int:
        """How many."""
        return round(self.geometry.area)


def list_regions(task: Task) -> list[Region]:
    """What trains and what is guard, one of each scene; each block that validates."""
    inputs, survey = task.inputs, task.survey
    rooms = {room.scene: room.pieces for room in task.split.training}
    counts = dict(zip(rooms, survey.training_counts, strict=True))
    held_out = [
        _make_region("validation", inputs.validation_sources[block.scene], [block.window], n)
        for block, n in zip(task.split.validation, survey.validation_counts, strict=True)
    ]
    regions: list[Region] = []
    for scene, source in enumerate(inputs.sources):
        own = [region for region in held_out if region.scene == str(source.image)]
        training = _make_region("training", source, rooms.get(scene, ()), counts.get(scene))
        whole = _make_region("guard", source, [source.area.window])
        used = shapely.union_all([training.geometry, *(region.geometry for region in own)])
        guard = Region("guard", whole.scene, whole.grid, whole.geometry.difference(used))
        regions += [region for region in (training, guard) if region.pixels]
    return sorted([*regions, *held_out], key=lambda region: region.scene)


def write_layer(regions: Sequence[Region], classes: Sequence[ClassInfo]) -> bytes:
    """A GeoPackage with a row for each region: role, scene, pixels, share of each class.

    In the CRS of the scenes; if they have several, in EPSG:4326, and those without have no
    geometry. If none has a CRS, x is the column and y the row.
    """
    known = {region.grid.crs for region in regions} - {None}
    crs = known.pop() if len(known) == 1 else CRS.from_epsg(4326) if known else None
    frame = GeoDataFrame(
        {
            "role": [region.role for region in regions],
            "scene": [region.scene for region in regions],
            "pixels": [region.pixels for region in regions],
            **dict(_list_shares(regions, classes)),
        },
        geometry=[_place(region, crs) for region in regions],
        crs=crs,
    )
    file = io.BytesIO()
    with allow_no_crs(crs):
        pyogrio.write_dataframe(
            frame, file, driver="GPKG", layer="split", geometry_type="MultiPolygon"
        )
    return file.getvalue()


def _make_region(
    role: Role, source: Source, windows: Iterable[Window], counts: NDArray[np.int64] | None = None
) -> Region:
    boxes = [shapely.box(w.col_off, w.row_off, w.col_end, w.row_end) for w in windows]
    return Region(role, str(source.image), source.area.grid, shapely.union_all(boxes), counts)


def _list_shares(
    regions: Sequence[Region], classes: Sequence[ClassInfo]
) -> Iterator[tuple[str, list[float | None]]]:
    """Column and values for each class: shares of the labelled pixels; None: not looked at."""
    names = [item.name.casefold() for item in classes]  # columns of SQLite know no case
    for i, item in enumerate(classes):
        twin = f"_{item.value}" if names.count(item.name.casefold()) > 1 else ""
        yield (
            f"share_{item.name}{twin}",
            [
                None if r.counts is None or not r.counts.sum() else r.counts[i] / r.counts.sum()
                for r in regions
            ],
        )


def _place(region: Region, crs: CRS | None) -> BaseGeometry | None:
    """The polygons in a CRS; None if the scene is nowhere, or nowhere that leads to it."""
    grid = region.grid
    if grid.crs is None and crs is not None:
        return None
    shape = region.geometry if grid.crs == crs else shapely.segmentize(region.geometry, BEND_PX)
    placed = shapely.transform(shape, lambda xy: np.stack(grid.transform @ tuple(xy.T), axis=1))
    if grid.crs != crs:
        try:
            project = Transformer.from_crs(grid.crs, crs, always_xy=True)
        except ProjError:  # that of a building site, say
            return None
        placed = shapely.transform(placed, lambda xy: np.stack(project.transform(*xy.T), axis=1))
    return MultiPolygon(list(shapely.get_parts(placed)))
