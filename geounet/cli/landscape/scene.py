"""A landscape as a scene with labels and polygons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from shapely import Polygon
from shapely.affinity import affine_transform

from geounet.classes import NODATA, ClassInfo
from geounet.cli.landscape.buildings import Building
from geounet.cli.landscape.light import cast_shadows, choose_sun, expose
from geounet.cli.landscape.objects import paint_buildings, paint_cars, paint_trees
from geounet.cli.landscape.plan import make_plan
from geounet.cli.landscape.surfaces import (
    BUILDING,
    OPEN_LAND,
    PIXEL_M,
    ROAD,
    TREES,
    WATER,
    burn,
    paint,
)
from geounet.raster import Grid

CLASSES = (
    ClassInfo(OPEN_LAND, "open land", "#e4dfb8"),
    ClassInfo(BUILDING, "building", "#d7402b"),
    ClassInfo(ROAD, "road", "#8c8c8c"),
    ClassInfo(WATER, "water", "#3182bd"),
    ClassInfo(TREES, "trees", "#2e7d4f"),
)
BAND_NAMES = ("red", "green", "blue", "nir")


@dataclass(frozen=True)
class Landscape:
    """A scene that nobody has flown over.

    Attributes:
        image: uint16 (4, H, W): red, green, blue, near infrared; 0 where nothing was seen.
        labels: uint8 (H, W): class values of `CLASSES`, of what is seen from above; 255 where
            nothing was seen.
        grid: where the pixels lie, 0.5 m each.
        buildings: footprints, in the grid's CRS, of all buildings of which something is seen;
            neighbours of a row share walls.
    """

    image: NDArray[np.uint16]
    labels: NDArray[np.uint8]
    grid: Grid
    buildings: tuple[Polygon, ...]


def make_landscape(seed: int, height: int = 1024, width: int = 1024) -> Landscape:
    """A landscape of fields, woods, a river, roads and a village; the same for the same seed.

    Height and width are pixels of half a metre, two at least.

    Landscapes of different seeds have the same kinds of things in other places, under other
    light. The corner that a turned flight strip leaves empty is nodata.
    """
    rng = np.random.default_rng(seed)
    plan = make_plan(rng, height * PIXEL_M, width * PIXEL_M)
    sun = choose_sun(rng)
    canvas = paint(rng, plan)
    paint_cars(rng, canvas, plan.borders)
    paint_buildings(rng, canvas, plan.buildings, sun)
    paint_trees(rng, canvas, plan.trees, sun)
    seen = expose(rng, canvas.colour, cast_shadows(canvas.height, sun, PIXEL_M))
    image = np.clip(np.rint(150 + 4000 * seen), 1, 10_000).astype(np.uint16)
    empty = _empty_corner(rng, height, width)
    image[:, empty] = 0
    canvas.labels[empty] = NODATA
    grid = _place(seed, height, width)
    return Landscape(image, canvas.labels, grid, _footprints(plan.buildings, grid, ~empty))


def _empty_corner(rng: np.random.Generator, height: int, width: int) -> NDArray[np.bool_]:
    """True beyond a slanting line that cuts one corner off, about 6 % of the scene: (H, W)."""
    down, right = rng.uniform(0.36, 0.5), rng.uniform(0.24, 0.32)
    rows = (np.arange(height) + 0.5) / (down * height)
    cols = (np.arange(width) + 0.5) / (right * width)
    empty = rows[:, None] + cols[None, :] < 1
    flip_rows, flip_cols = rng.choice([-1, 1], 2)
    return np.asarray(empty[::flip_rows, ::flip_cols])


def _place(seed: int, height: int, width: int) -> Grid:
    """A place of its own for every seed (of a hundred in a row), in UTM zone 32 north."""
    west, north = 600_000.0 + 4_000.0 * (seed % 100), 5_200_000.0
    transform = Affine(PIXEL_M, 0, west, 0, -PIXEL_M, north)
    return Grid(height=height, width=width, transform=transform, crs=CRS.from_epsg(32632))


def _footprints(
    buildings: list[Building], grid: Grid, seen: NDArray[np.bool_]
) -> tuple[Polygon, ...]:
    """Outlines, in the grid's CRS, of the buildings that cover a pixel that is `seen`."""
    outlines = [building.footprint for building in buildings]
    numbers = np.unique(burn(outlines, grid.shape)[seen])
    to_crs = (grid.transform @ Affine.scale(1 / PIXEL_M)).to_shapely()
    return tuple(affine_transform(outlines[i - 1], to_crs) for i in numbers if i > 0)
