"""What a run covers: the pixels of its outputs, and what has to be computed for them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from geounet.errors import InputError
from geounet.inference.options import PredictOptions
from geounet.raster import Grid, Resampled, SceneLike, Window


@dataclass(frozen=True)
class Area:
    """What the outputs cover.

    Attributes:
        grid: that of the scene's files.
        extent: pixels of it.
        aoi: polygons in its CRS outside which nothing is mapped; None: everywhere.
    """

    grid: Grid
    extent: Window
    aoi: BaseGeometry | None

    @property
    def output_grid(self) -> Grid:
        """That of the outputs."""
        return self.grid.crop(self.extent)


def find_area(scene: SceneLike, options: PredictOptions) -> Area:
    """The scene's pixels that --aoi and --bbox leave.

    On a grid that is not rotated, --bbox leaves the pixels that it touches; on one that is, those
    whose centres are inside, as --aoi does everywhere.

    Raises:
        InputError: they leave none.
    """
    grid = (scene.source if isinstance(scene, Resampled) else scene).grid
    extent = grid.extent
    limits: list[BaseGeometry] = []
    if options.bbox is not None:
        extent = grid.window_of(options.bbox)
        if is_rotated(grid):
            limits.append(shapely.box(*options.bbox))
    if options.aoi is not None:
        from geounet.vector import read_aoi  # brings another GDAL: 100 MB

        limits.append(read_aoi(options.aoi, grid))
        extent = extent.intersect(grid.window_of(limits[-1].bounds))
    aoi = _intersect(limits)
    if extent.area == 0 or (aoi is not None and aoi.is_empty):
        raise InputError(f"{options.aoi} and --bbox have no pixel of {scene.path} in common")
    return Area(grid, extent, aoi)


def cover_area(scene: SceneLike, area: Area) -> tuple[Window, BaseGeometry | None]:
    """The scene's pixels, and the polygons, that hold all that the outputs need.

    They are the area's own unless the scene is resampled: then each of its pixels under the centre
    of one that is wanted.
    """
    extent, aoi = area.extent, area.aoi
    if isinstance(scene, Resampled):
        extent = scene.window_under(extent)
        aoi = aoi and aoi.buffer(_reach(scene.grid), quad_segs=2)
    if aoi is not None:
        shapely.prepare(aoi)
    return extent, aoi


def is_rotated(grid: Grid) -> bool:
    """Whether its rows run along no axis of the CRS, by 1/1000 of a pixel over its length."""
    t, slack = grid.transform, 1e-3 * grid.pixel_size / max(grid.shape)
    return max(abs(t.b), abs(t.d)) > slack and max(abs(t.a), abs(t.e)) > slack


def _intersect(limits: list[BaseGeometry]) -> BaseGeometry | None:
    """The polygons that all limits have in common; None: there is no limit."""
    if len(limits) < 2:
        return limits[0] if limits else None
    parts = shapely.get_parts(shapely.intersection_all(limits))
    return shapely.union_all(parts[shapely.get_dimensions(parts) == 2])


def _reach(grid: Grid) -> float:
    """From the centre of a pixel beyond all its corners, in CRS units.

    Half a diagonal, and a tenth more because a buffer's round corners are polygons.
    """
    t = grid.transform
    return 0.55 * max(math.hypot(t.a + t.b, t.d + t.e), math.hypot(t.a - t.b, t.d - t.e))


def is_inside(aoi: BaseGeometry, grid: Grid, window: Window) -> NDArray[np.bool_]:
    """Which pixels of a window have their centre in the AOI, (H, W)."""
    from geounet.vector import rasterize_inside

    return rasterize_inside(aoi, grid, window)
