"""Strips of a mask in, polygons of complete regions out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from geounet.classes import NODATA
from geounet.vector.boundaries.archive import (
    archive_corners,
    compact_archive,
    make_archive,
    take_rings,
)
from geounet.vector.boundaries.clearance import Lookahead, Rows
from geounet.vector.boundaries.front import REGION, ROW, Records, grow_front, make_front
from geounet.vector.boundaries.outlines import RAW, Outlines, shape_rings
from geounet.vector.boundaries.regions import Closing, close_regions, sweep
from geounet.vector.boundaries.tracing import cut_rings, place_rings

SWEEP_PIXELS = 1 << 20
"""Pixels swept before complete regions are taken out: their corners fit a processor's cache."""

WEIGHT = 1 << 24
"""Weight of confidence 1: whole numbers have the same sum in any order."""

FULL_CONFIDENCE = 254
"""Confidence 1 in rasters of uint8."""


@dataclass(frozen=True)
class Regions:
    """Connected regions of a mask: arrays of one length.

    Ordered by their last row, then by their uppermost corner, of these the leftmost.

    Attributes:
        values: class values, uint8.
        pixels: number of pixels, int64.
        confidence: mean confidence of the pixels, float64; None if not known. This and what follows
            leaves out pixels of which nothing is known.
        lowest_confidence: smallest confidence of a pixel; None if not known.
        scores: mean scores of the pixels, float64 (N, bands); no bands if not known.
        geometries: valid polygons, shells counter-clockwise; with 8-connectivity, a multipolygon
            where parts of a region meet at corners only.
    """

    values: NDArray[np.uint8]
    pixels: NDArray[np.int64]
    confidence: NDArray[np.float64] | None
    lowest_confidence: NDArray[np.float64] | None
    scores: NDArray[np.float64]
    geometries: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class _Parts:
    """Complete 4-connected regions, whose group may still be open: arrays of one length."""

    records: Records
    sums: NDArray[np.int64]  # of the scores of their pixels, (N, bands)
    first: NDArray[np.int64]  # the uppermost corner, of these the leftmost, counted row by row
    polygons: NDArray[np.object_]

    def select(self, which: NDArray[Any]) -> _Parts:
        return _Parts(*(a[which] for a in (self.records, self.sums, self.first, self.polygons)))


class Polygonizer:
    """Makes polygons of a mask that comes from top to bottom in strips of any height.

    The regions returned one after the other are the same, in the same order, for any heights.
    Memory: one strip, and the boundaries of the regions that reach its last row.
    """

    def __init__(
        self,
        width: int,
        transform: Affine,
        values: Iterable[int],
        *,
        connectivity: int = 4,
        bands: int = 0,
        outlines: Outlines = RAW,
    ) -> None:
        """Begin above row 0.

        Args:
            width: columns of the mask.
            transform: maps (column, row) to coordinates.
            values: class values to make polygons of; all others, and 255, are left out.
            connectivity: 4, or 8: pixels that touch at a corner are of one region.
            bands: of the scores that come with every strip.
            outlines: the course of the polygons' edges.
        """
        if connectivity not in (4, 8):
            raise ValueError(f"connectivity is 4 or 8, not {connectivity}")
        wanted = np.zeros(NODATA + 1, np.bool_)
        wanted[list(values)] = True
        wanted[NODATA] = False
        self._front = make_front(width, wanted, eight=connectivity == 8, bands=bands)
        self._archive = make_archive()
        self._held = _Parts(
            np.zeros(0, REGION),
            np.zeros((0, bands), np.int64),
            np.zeros(0, np.int64),
            np.zeros(0, np.object_),
        )
        self._transform = transform
        self._outlines = outlines
        self._lookahead = None if outlines.is_raw else Lookahead(width, wanted, outlines.reach)
        self._is_weighted = False

    def add(
        self,
        strip: NDArray[np.uint8],
        confidence: NDArray[Any] | None = None,
        scores: NDArray[Any] | None = None,
    ) -> Regions:
        """Take in the next rows, uint8 (H, W), and return the regions that they complete.

        Confidence, (H, W) and then with every strip, is float 0-1 or uint8 0-254; it counts only
        in pixels that become polygons. So are scores, (bands, H, W). A pixel counts in neither
        where both are 255 or under 0.
        """
        width, bands = self._front.width, self._front.sums.shape[1]
        if strip.dtype != np.uint8 or strip.ndim != 2 or strip.shape[1] != width:
            raise ValueError(f"a strip is uint8 (H, {width}), not {strip.dtype} {strip.shape}")
        if (0 if scores is None else len(scores)) != bands:
            raise ValueError(f"scores are ({bands}, H, {width})")
        if self._front.state["row"][0] + len(strip) > ROW:
            raise ValueError(f"a mask has no more than {ROW} rows")
        self._is_weighted = confidence is not None
        rows = max(1, SWEEP_PIXELS // width)
        found = []
        for row in range(0, len(strip), rows):
            some = slice(row, row + rows)
            sure = None if confidence is None else confidence[some]
            found.append(self._add(strip[some], sure, None if scores is None else scores[:, some]))
        return _concatenate(found) if found else self._merge(self._held.select(np.zeros(0, int)))

    def finish(self) -> Regions:
        """The regions that reach the last row. Nothing can be added afterwards."""
        below = np.full((1, self._front.width), NODATA, np.uint8)
        if self._lookahead is None:
            return self._add(below, None, None)
        return self._sweep(self._lookahead.finish())

    def _add(
        self,
        strip: NDArray[np.uint8],
        confidence: NDArray[Any] | None,
        scores: NDArray[Any] | None,
    ) -> Regions:
        strip = np.ascontiguousarray(strip)
        weights, bands = _weigh(confidence, 2), _weigh(scores, 3)
        if self._lookahead is None:
            return self._sweep(Rows(strip, weights, bands, np.empty((len(strip), 0), np.uint8)))
        return self._sweep(self._lookahead.add(strip, weights, bands))

    def _sweep(self, rows: Rows) -> Regions:
        row = 0
        while (row := sweep(*rows, row, self._front)) < len(rows.values):
            self._front = grow_front(self._front)
        closing, parts = self._close()
        self._held.records["group"] = closing.groups[self._held.records["group"]]
        parts = _join(self._held, parts)
        numbers = closing.numbers[parts.records["group"]]
        self._held = parts.select(numbers >= 0)
        self._held.records["group"] = numbers[numbers >= 0]
        return self._merge(parts.select(numbers < 0))

    def _close(self) -> tuple[Closing, _Parts]:
        """Take out what is complete. One region may have most vertices: nothing is held twice."""
        archive = archive_corners(self._front, self._archive)
        closing = close_regions(self._front, archive.rings)
        rings = cut_rings(take_rings(closing.regions, archive))
        self._archive = compact_archive(self._front, archive)
        del archive
        first = rings.first
        order = np.lexsort((first, rings.regions))  # a shell begins above all of its holes
        first = first[order]
        shells = np.searchsorted(rings.regions, np.arange(len(closing.regions) + 1))
        if self._lookahead is not None:
            rings = shape_rings(rings, self._outlines)
        coordinates, offsets = place_rings(rings, order, self._transform)
        del rings
        polygons = shapely.from_ragged_array(
            shapely.GeometryType.POLYGON, coordinates, (offsets, shells)
        )
        return closing, _Parts(closing.regions, closing.sums, first[shells[:-1]], polygons)

    def _merge(self, parts: _Parts) -> Regions:
        """The regions of complete groups."""
        parts = parts.select(np.lexsort((parts.first, parts.records["group"])))
        records = parts.records
        _, starts, sizes = np.unique(records["group"], return_index=True, return_counts=True)
        last_row = np.maximum.reduceat(records["last_row"], starts)
        order = np.lexsort((parts.first[starts], last_row))
        pixels = np.add.reduceat(records["pixels"], starts)[order]
        sure = pixels - np.add.reduceat(records["unsure"], starts)[order]
        weight = np.add.reduceat(records["weight"], starts)[order]
        lowest = np.minimum.reduceat(records["lowest"], starts)[order]
        sums = np.add.reduceat(parts.sums, starts)[order]
        return Regions(
            values=records["value"][starts][order].astype(np.uint8),
            pixels=pixels,
            confidence=weight / (sure * float(WEIGHT)) if self._is_weighted else None,
            lowest_confidence=lowest / float(WEIGHT) if self._is_weighted else None,
            scores=sums / (sure[:, None] * float(WEIGHT)),
            geometries=_gather(parts.polygons, starts, sizes)[order],
        )


def _weigh(confidence: NDArray[Any] | None, ndim: int) -> NDArray[np.int32]:
    """Weights of confidences or scores, in their shape; of None, nothing in so many dimensions."""
    if confidence is None:
        return np.empty((0,) * ndim, np.int32)
    if confidence.dtype == np.uint8:
        table = np.rint(np.arange(256) * (WEIGHT / FULL_CONFIDENCE)).astype(np.int32)
        table[FULL_CONFIDENCE + 1] = -1
        return cast(NDArray[np.int32], table[confidence])
    weights = np.rint(np.multiply(confidence, WEIGHT, dtype=np.float64))
    return cast(NDArray[np.int32], weights.astype(np.int32))


def _join(one: _Parts, other: _Parts) -> _Parts:
    return _Parts(
        np.concatenate([one.records, other.records]),
        np.concatenate([one.sums, other.sums]),
        np.concatenate([one.first, other.first]),
        np.concatenate([one.polygons, other.polygons]),
    )


def _gather(
    polygons: NDArray[np.object_], starts: NDArray[np.intp], sizes: NDArray[np.intp]
) -> NDArray[np.object_]:
    """One geometry for each group of consecutive polygons: the polygon itself if it is alone."""
    geometries = polygons[starts]
    several = sizes > 1
    if several.any():
        members = polygons[np.repeat(several, sizes)]
        owners = np.repeat(np.arange(several.sum()), sizes[several])
        geometries[several] = shapely.multipolygons(members, indices=owners)
    return geometries


def _concatenate(found: Sequence[Regions]) -> Regions:
    def join(name: str) -> Any:  # noqa: ANN401  an array, or None in all
        arrays = [getattr(regions, name) for regions in found]
        return None if arrays[0] is None else np.concatenate(arrays)

    return Regions(
        *map(join, ("values", "pixels", "confidence", "lowest_confidence", "scores", "geometries"))
    )
