"""What a run covers: the pixels of its outputs, and what has to be computed for them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from geounet.inference.options import PredictOptions
from geounet.raster import Grid, Resampled, SceneLike, Window
from geounet.vector import limit_grid


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
    """The scene's pixels that --aoi and --bbox leave, see `limit_grid`.

    Raises:
        InputError: they leave none.
    """
    grid = (scene.source if isinstance(scene, Resampled) else scene).grid
    return Area(grid, *limit_grid(grid, options.bbox, options.aoi, scene.path))


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
