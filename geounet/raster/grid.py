"""A grid: CRS, transform and size. Coordinates become pixels here and nowhere else."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Geod, Transformer

from geounet.errors import InputError
from geounet.raster.sensor import SensorModel
from geounet.raster.window import Window

Bounds = tuple[float, float, float, float]
"""West, south, east, north in the units of a CRS."""

SAMPLES = 256
"""Rows and columns of pixels at most that tell how much of a grid lies in another one."""

STRETCHED_PROJECTIONS = ("Popular Visualisation", "Mercator", "Equidistant Cylindrical")
"""Projection methods, by the start of their names, whose scale changes with the latitude."""


@dataclass(frozen=True)
class Grid:
    """Where the pixels of a raster lie.

    `transform` maps (column, row) to CRS coordinates; pixel (0, 0) covers (0, 0)-(1, 1).
    Without a georeference `crs` is None and `transform` the identity: units are pixels. An image
    placed by ground control points or RPCs only has pixel coordinates too, and a `sensor` model.
    """

    height: int
    width: int
    transform: Affine
    crs: CRS | None = None
    sensor: SensorModel | None = None

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(f"a grid cannot be {self.height} x {self.width} pixels")

    @property
    def extent(self) -> Window:
        """All pixels."""
        return Window(row_off=0, col_off=0, height=self.height, width=self.width)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    @property
    def is_georeferenced(self) -> bool:
        """Whether coordinates mean a place on Earth."""
        return self.crs is not None

    @cached_property
    def pixel_size(self) -> float:
        """Side of a square of one pixel's area, in CRS units."""
        return math.sqrt(abs(self.transform.determinant))

    @cached_property
    def metres_per_unit(self) -> float | None:
        """Metres per CRS unit; None if there is no such number: lengths are then geodesic.

        That is so for geographic CRSs and for Mercator and its like, whose metres are metres at
        the equator only (in Kathmandu 1 m of EPSG:3857 is 0.89 m); None also without a CRS.
        """
        if self.crs is None or not is_true_to_scale(self.crs):
            return None
        return float(find_horizontal(self.crs).axis_info[0].unit_conversion_factor)

    @cached_property
    def pixel_size_m(self) -> float | None:
        """Side of a square of the central pixel's area, in metres; None without a CRS."""
        if self.crs is None:
            return None
        if self.metres_per_unit is not None:
            return self.pixel_size * self.metres_per_unit
        row, col = self.height // 2, self.width // 2
        corners = [self.transform @ p for p in _corners(row, col, row + 1, col + 1)]
        lons, lats = to_lonlat(self.crs, *np.array(corners).T)
        area, _ = geod_of(self.crs).polygon_area_perimeter(lons, lats)
        return math.sqrt(abs(area))

    def bounds(self, window: Window | None = None) -> Bounds:
        """West, south, east, north of a window (default: of the whole grid)."""
        w = window or self.extent
        points = [self.transform @ p for p in _corners(w.row_off, w.col_off, w.row_end, w.col_end)]
        xs, ys = zip(*points, strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    def crop(self, window: Window) -> Grid:
        """The grid of a window of this one."""
        transform = self.transform @ Affine.translation(window.col_off, window.row_off)
        sensor = self.sensor and self.sensor.crop(window)
        return Grid(window.height, window.width, transform, self.crs, sensor)

    def window_of(self, bounds: Bounds) -> Window:
        """The pixels that bounds in the grid's CRS touch, cut to the grid.

        An edge within 1/1000 of a pixel of a pixel's edge counts as on it, so that the bounds of
        a window give back that window.

        Raises:
            InputError: they touch none.
        """
        west, south, east, north = bounds
        corners = [(west, south), (west, north), (east, south), (east, north)]
        cols, rows = zip(*(~self.transform @ p for p in corners), strict=True)
        row_off, col_off = math.floor(min(rows) + 1e-3), math.floor(min(cols) + 1e-3)
        touched = Window(
            row_off=row_off,
            col_off=col_off,
            height=max(0, math.ceil(max(rows) - 1e-3) - row_off),
            width=max(0, math.ceil(max(cols) - 1e-3) - col_off),
        )
        window = touched.intersect(self.extent)
        if window.area == 0:
            raise InputError(
                f"the area {_format(bounds)} lies outside the raster {_format(self.bounds())}; "
                "give coordinates in the raster's CRS"
            )
        return window

    def matches(self, other: Grid, tolerance_px: float = 0.01) -> bool:
        """Same CRS and size, and no corner further apart than `tolerance_px` pixels."""
        if self.shape != other.shape or self.crs != other.crs:
            return False
        return self.offset_px(other) <= tolerance_px

    def offset_px(self, other: Grid) -> float:
        """Largest distance between the two grids' corresponding corners, in pixels of this."""
        pairs = zip(_corners(0, 0, *self.shape), _corners(0, 0, *other.shape), strict=True)
        return max(math.dist(p, ~self.transform @ (other.transform @ q)) for p, q in pairs)

    def share_in(self, other: Grid) -> float:
        """The share of pixels, by their centres, that lie in another grid; both have a CRS.

        Counted on a lattice of pixels that has the four edges; 0 only if no pixel of such a
        lattice of either grid lies in the other.
        """
        share = float(_lie_inside(self, other).mean())
        if share == 0 and _lie_inside(other, self).any():
            return 1 / self.extent.area
        return share


def geod_of(crs: CRS) -> Geod:
    """The CRS's ellipsoid, for geodesic lengths and areas (WGS 84 if it names none)."""
    return crs.get_geod() or Geod(ellps="WGS84")


def is_true_to_scale(crs: CRS) -> bool:
    """Whether lengths in the CRS are lengths on the ground, but for the usual part in 1000."""
    crs = find_horizontal(crs)
    if crs.is_geographic or crs.is_geocentric or not crs.axis_info:
        return False
    operation = crs.coordinate_operation
    return operation is None or not operation.method_name.startswith(STRETCHED_PROJECTIONS)


def find_horizontal(crs: CRS) -> CRS:
    """The CRS itself, without heights or a transformation to another datum beside it."""
    if crs.is_bound and crs.source_crs is not None:
        return find_horizontal(crs.source_crs)
    return find_horizontal(crs.sub_crs_list[0]) if crs.is_compound else crs


def to_lonlat(
    crs: CRS, xs: NDArray[np.float64], ys: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitudes and latitudes in degrees, on the CRS's own datum."""
    geographic = crs.geodetic_crs
    if crs.is_geographic or geographic is None:
        return xs, ys
    transformer = Transformer.from_crs(crs, geographic, always_xy=True)
    lons, lats = transformer.transform(xs, ys)
    return lons, lats


def pixel_grid(height: int, width: int) -> Grid:
    """The grid of an image without georeference: pixel coordinates, row 0 at the top."""
    return Grid(height=height, width=width, transform=Affine.identity())


def _lie_inside(grid: Grid, other: Grid) -> NDArray[np.bool_]:
    """Of a lattice of pixels whether the centres lie in another grid, bool (rows, columns)."""
    rows, cols = (np.unique(np.linspace(0, size - 1, SAMPLES).round()) + 0.5 for size in grid.shape)
    xs, ys = _transform(grid.transform, *np.meshgrid(cols, rows))
    if grid.crs != other.crs:
        xs, ys = Transformer.from_crs(grid.crs, other.crs, always_xy=True).transform(xs, ys)
    with np.errstate(invalid="ignore"):  # infinite where the other CRS has no such place
        xs, ys = _transform(~other.transform, xs, ys)
        inside: NDArray[np.bool_] = (xs >= 0) & (xs <= other.width)
        return inside & (ys >= 0) & (ys <= other.height)


def _transform(
    t: Affine, xs: NDArray[np.float64], ys: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return t.a * xs + t.b * ys + t.c, t.d * xs + t.e * ys + t.f


def _corners(row: float, col: float, row_end: float, col_end: float) -> list[tuple[float, float]]:
    return [(col, row), (col_end, row), (col_end, row_end), (col, row_end)]


def _format(bounds: Bounds) -> str:
    return f"({', '.join(np.format_float_positional(v, precision=6, trim='-') for v in bounds)})"
