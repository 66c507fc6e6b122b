"""Which scenes lie on the same ground. Pure geometry."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from geounet.raster import Bounds, Grid, Window
from geounet.training.data.room import span


@dataclass(frozen=True, slots=True)
class Area:
    """Pixels of one scene.

    Attributes:
        path: the scene's file.
        grid: all its pixels.
        window: those that are meant.
    """

    path: str
    grid: Grid
    window: Window


class Footprints:
    """The ground that areas cover. Without a CRS an area is known by its file only."""

    def __init__(self, areas: Sequence[Area]) -> None:
        self.areas = areas
        self._by_path: dict[str, list[int]] = {}
        for i, area in enumerate(areas):
            self._by_path.setdefault(os.path.realpath(area.path), []).append(i)
        members: dict[CRS, list[int]] = {}
        for i, area in enumerate(areas):
            if area.grid.crs is not None and area.window.area:
                members.setdefault(area.grid.crs, []).append(i)
        self._by_crs = {crs: (indices, self._measure(indices)) for crs, indices in members.items()}

    def find(self, area: Area, guard: int) -> Iterator[tuple[int, Window]]:
        """Where the ground of `area` lies in each of these areas that it touches.

        Yields:
            Index of an area, and a window of its grid: the pixels that `area` touches, grown by
            `guard` of them; it has pixels in common with the indexed area.
        """
        same_file = self._by_path.get(os.path.realpath(area.path), [])
        yield from self._cut((i, area.window.pad(guard)) for i in same_file)
        if area.grid.crs is None:
            return
        for crs in self._by_crs:
            for bounds in _project(area.grid.bounds(area.window), area.grid.crs, crs):
                others = (i for i in self._near(bounds, crs, guard) if i not in same_file)
                yield from self._cut(
                    (i, _window_around(bounds, self.areas[i].grid).pad(guard)) for i in others
                )

    def _cut(self, found: Iterable[tuple[int, Window]]) -> Iterator[tuple[int, Window]]:
        return ((i, window) for i, window in found if window.intersect(self.areas[i].window).area)

    def _near(self, bounds: Bounds, crs: CRS, guard: int) -> list[int]:
        """Areas of this CRS that may have a pixel within `guard` pixels of the bounds."""
        indices, table = self._by_crs[crs]
        west, south, east, north = bounds
        slack = (guard + 1) * 2 * table[:, 4]  # 2: a rotated grid's diagonal
        touches = (table[:, 0] - slack <= east) & (table[:, 2] + slack >= west)
        touches &= (table[:, 1] - slack <= north) & (table[:, 3] + slack >= south)
        return [indices[i] for i in np.flatnonzero(touches)]

    def _measure(self, indices: Sequence[int]) -> NDArray[np.float64]:
        """West, south, east, north, pixel size of each."""
        chosen = [self.areas[i] for i in indices]
        return np.array([(*a.grid.bounds(a.window), a.grid.pixel_size) for a in chosen])


def _window_around(bounds: Bounds, grid: Grid) -> Window:
    """The pixels that bounds touch, counted on beyond the grid's edges."""
    west, south, east, north = bounds
    corners = [(west, south), (west, north), (east, south), (east, north)]
    cols, rows = zip(*(~grid.transform @ corner for corner in corners), strict=True)
    # 1/1000 of a pixel is rounding, not ground
    return span(
        math.floor(min(rows) + 1e-3),
        math.floor(min(cols) + 1e-3),
        math.ceil(max(rows) - 1e-3) - 1,
        math.ceil(max(cols) - 1e-3) - 1,
    )


def _project(bounds: Bounds, source: CRS, target: CRS) -> list[Bounds]:
    """The bounds in another CRS; two where the 180th meridian is between.

    None where nothing leads there, as from the CRS of a building site.
    """
    if source == target:
        return [bounds]
    try:
        west, south, east, north = _transformer(source, target).transform_bounds(*bounds)
    except ProjError:
        return []
    if west <= east:
        return [(west, south, east, north)]
    return [(west, south, 180.0, north), (-180.0, south, east, north)]


@lru_cache(maxsize=64)
def _transformer(source: CRS, target: CRS) -> Transformer:
    return Transformer.from_crs(source, target, always_xy=True)
