"""Which course the outlines of polygons take: that of the pixels' edges, or a simpler one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geounet.raster import Grid
from geounet.vector.boundaries.archive import Rings
from geounet.vector.boundaries.clearance import FREE, JUNCTION, LARGEST_REACH, SHARED, STEPS
from geounet.vector.boundaries.front import CLEARANCE, ROW
from geounet.vector.boundaries.regularizing import measure_rings, square_rings
from geounet.vector.boundaries.room import Outline, Raw
from geounet.vector.boundaries.scaling import ground_matrices, longest_pixel_m
from geounet.vector.boundaries.simplifying import (
    EXACT,
    LARGEST_TOLERANCE,
    reach_for,
    simplify_rings,
)
from geounet.vector.boundaries.smoothing import FINE, smooth_rings
from geounet.vector.options import PolygonizeOptions

SPARE = 0.495
"""Of its clearance that a point may move where coordinates are rounded afterwards."""

LEAST_TOLERANCE = 1.0
"""In pixels, of smooth outlines: the steps of slanting borders are not to be rounded one by one."""

ROUNDING_REACH = 8
"""How far to look for other borders, in pixels, to round corners."""


SQUARING_REACH = 20
"""How far to look for other borders, in pixels, to give an outline right angles."""

DETAIL = 1.5
"""In pixels: the least tolerance with which an outline is simplified to find its main edges. What
is shorter than twice the tolerance is no edge."""


@dataclass(frozen=True)
class Outlines:
    """What may be done to outlines.

    Attributes:
        tolerance: how far they may be from the edges of pixels, in pixels.
        smooth: round corners.
        squared: grid in whose metres outlines get right angles, where they can; None for not.
    """

    tolerance: float = 0
    smooth: bool = False
    squared: Grid | None = None

    def __post_init__(self) -> None:
        tolerance = max(self.tolerance, LEAST_TOLERANCE) if self.smooth else self.tolerance
        object.__setattr__(self, "tolerance", min(tolerance, LARGEST_TOLERANCE))

    @property
    def is_raw(self) -> bool:
        """Whether outlines are the edges of pixels."""
        return self.tolerance == 0 and self.squared is None

    @property
    def reach(self) -> int:
        """How far to look for other borders, in pixels."""
        rounding = ROUNDING_REACH if self.smooth else 0
        squaring = SQUARING_REACH if self.squared is not None else 0
        return min(LARGEST_REACH, max(reach_for(self.tolerance), rounding, squaring))


RAW = Outlines()
"""The edges of pixels."""


def make_outlines(options: PolygonizeOptions, grid: Grid) -> Outlines:
    """The outlines that the options ask for."""
    tolerance = options.simplify_m / longest_pixel_m(grid) if options.simplify_m > 0 else 0
    return Outlines(tolerance, options.smooth, grid if options.regularize else None)


def shape_rings(rings: Rings, outlines: Outlines) -> Rings:
    """Rings with clearances, shaped: their points in pixels, float64."""
    shaped = _bend(rings, outlines)
    if outlines.squared is None or len(rings.regions) == 0:
        return shaped
    return _square_shells(rings, shaped, outlines, outlines.squared)


def _bend(rings: Rings, outlines: Outlines) -> Rings:
    """Simplified rings, with rounded corners if asked for.

    Of smooth outlines, simplifying and rounding may each take half of the tolerance.
    """
    if not outlines.smooth:
        border = simplify_rings(rings, max(outlines.tolerance, EXACT), outlines.reach)
        return Rings(border.points / 2, border.offsets, rings.regions)
    half = outlines.tolerance / 2
    border = simplify_rings(rings, half, outlines.reach, SPARE)
    rounded = smooth_rings(border, rings.regions, half)
    return Rings(rounded.points / FINE, rounded.offsets, rings.regions)


def _square_shells(rings: Rings, shaped: Rings, outlines: Outlines, grid: Grid) -> Rings:
    """The shaped rings, but right-angled ones for shells that stand alone."""
    is_shell = _find_shells(rings)
    places = _to_pixels(rings)
    areas = np.abs(measure_rings(Outline(places.points, places.offsets)))
    holes = np.bincount(rings.regions, np.where(is_shell, 0, areas)).astype(np.float64)
    chosen = _select(rings, is_shell & _find_lonely(rings) & _find_inner(places, grid))
    detail = max(outlines.tolerance, DETAIL)
    simplified = simplify_rings(chosen, detail, outlines.reach)
    places = _to_pixels(chosen)
    clearances, most = chosen.points[:, 0] >> CLEARANCE & FREE, outlines.reach * SPARE
    raw = Raw(
        Outline(places.points, places.offsets),
        rooms=np.where(clearances == FREE, most, clearances * (SPARE / STEPS)),
        most=most,
        holes=holes[chosen.regions],
    )
    squared, usable = square_rings(
        raw,
        Outline(simplified.points / 2, simplified.offsets),
        ground_matrices(grid, places.points[places.offsets[:-1]]),
        2 * detail,
    )
    new = Rings(squared.points, squared.offsets, chosen.regions)
    return _replace_shells(shaped, is_shell, _select(new, usable))


def _find_shells(rings: Rings) -> NDArray[np.bool_]:
    """Which rings (R) are the shells of their regions: a shell begins above all of its holes."""
    order = np.lexsort((rings.first, rings.regions))
    is_shell = np.zeros(len(order), np.bool_)
    is_shell[order[np.diff(rings.regions[order], prepend=-1) > 0]] = True
    return is_shell


def _find_lonely(rings: Rings) -> NDArray[np.bool_]:
    """Which rings (R) have no junction, and no polygon on the other side."""
    clearances = rings.points[:, 0] >> CLEARANCE
    lonely = (clearances & FREE != JUNCTION) & (clearances & SHARED == 0)
    found: NDArray[np.bool_] = np.logical_and.reduceat(lonely, rings.offsets[:-1])
    return found


def _find_inner(rings: Rings, grid: Grid) -> NDArray[np.bool_]:
    """Which rings (R) do not touch the edge of the grid: they are whole, and have room."""
    rows, cols = rings.points.T
    inner = (rows > 0) & (cols > 0) & (rows < grid.height) & (cols < grid.width)
    found: NDArray[np.bool_] = np.logical_and.reduceat(inner, rings.offsets[:-1])
    return found


def _to_pixels(rings: Rings) -> Rings:
    """Rings with clearances without them, float64."""
    rows, cols = rings.points.T
    points = np.column_stack([rows & ROW, cols]).astype(np.float64)
    return Rings(points, rings.offsets, rings.regions)


def _select(rings: Rings, which: NDArray[np.bool_]) -> Rings:
    """Some of the rings (R)."""
    sizes = np.diff(rings.offsets)
    offsets = np.concatenate([[0], np.cumsum(sizes[which])])
    return Rings(rings.points[np.repeat(which, sizes)], offsets, rings.regions[which])


def _replace_shells(rings: Rings, is_shell: NDArray[np.bool_], new: Rings) -> Rings:
    """The rings with new ones in place of the shells of the same regions."""
    sources = np.arange(len(rings.regions))
    shells = np.full(int(rings.regions.max()) + 1, -1)
    shells[rings.regions[is_shell]] = sources[is_shell]
    sources[shells[new.regions]] = len(sources) + np.arange(len(new.regions))
    begins = np.concatenate([rings.offsets[:-1], len(rings.points) + new.offsets[:-1]])[sources]
    sizes = np.concatenate([np.diff(rings.offsets), np.diff(new.offsets)])[sources]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    index = np.arange(offsets[-1]) + np.repeat(begins - offsets[:-1], sizes)
    points = np.concatenate([rings.points, new.points])[index]
    return Rings(points, offsets, rings.regions)
