"""How well the boundaries of a mask follow those of the labels, class by class.

Distances are from pixel centre to pixel centre, Euclidean, exact. Only what is known makes a
boundary: neither the edge of the area nor a pixel that does not count (no label, no data in the
mask, outside of the AOI) does. A class ends where a pixel of another class is.

* Boundary IoU (Cheng et al. 2021, arXiv:2103.16562): with G_d the pixels of the class in the labels
  that are within d of a pixel of another class, P_d those in the mask, |G_d & P_d| / |G_d | P_d|.
  (There G & G_d is written where here G_d is.) The paper's d, 2 % of the diagonal of the image,
  means nothing for a scene of any size; here it is a number of pixels or metres. The paper's code
  counts the image's edge as a boundary, and erodes by squares: distance is there that of a king.
* Boundary F1 (Csurka et al. 2013, What is a good evaluation measure for semantic segmentation?):
  the contour is what the class has beside another class, edge to edge; precision is the share of
  the mask's contour pixels within d of the labels' contour, recall the other way round.
* Hausdorff distance, 95th percentile: the larger of the two directed ones, from each contour pixel
  to the nearest of the other contour; percentiles as numpy's `linear`. It is exact up to a cap.
  Above (if only the larger of the two distances between which a percentile lies), and where just
  one of the two has a contour, all that is known is that it is more: it is no number then.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geounet.classes import ClassInfo
from geounet.errors import UsageError
from geounet.evaluation.measures.blocks import BlockTally, cut_out
from geounet.evaluation.measures.distances import mark_contour, mark_near, measure_distances
from geounet.evaluation.measures.family import (
    BlockSums,
    Piece,
    Scope,
    cut_blocks,
    divide,
    mean_of_defined,
    name_classes,
)
from geounet.evaluation.measures.sizes import Size, to_pixels, to_square
from geounet.raster import Grid, Window
from geounet.vector import ground_matrices

PERCENTILE = 0.95

BOTH, LABELS, MASK, RECALLED, PRECISE = range(5)
HEAD = 5
"""Sums of a class: pixels near a boundary, in both, labels and mask; contour pixels of the labels
and of the mask that are near the other contour; then two histograms of distances, from the labels'
contour pixels and from the mask's."""

GROUND, KNOWN = -2, -1
"""Last of all: contour pixels times their size in micrometres, and how many have a size."""

MICRO = 1_000_000

OBLONG = 1.05
"""A pixel is no square if it is so many times as long as wide."""


@dataclass(frozen=True)
class BoundaryFamily:
    """Metrics of boundaries.

    Attributes:
        classes: sorted by value.
        width: d of boundary IoU and F1.
        cap_px: up to this many pixels the Hausdorff distance is exact.
    """

    classes: tuple[ClassInfo, ...]
    width: Size
    cap_px: int
    name: str = "boundary"

    @property
    def size(self) -> int:
        """Length of the sums."""
        return len(self.classes) * self._stride + 2

    @cached_property
    def squares(self) -> NDArray[np.int64]:
        """Squares of the distances that there are up to the cap: n = a^2 + b^2."""
        steps = np.arange(self.cap_px + 1, dtype=np.int64) ** 2
        sums = np.unique(steps[:, None] + steps)
        return sums[sums <= self.cap_px**2]

    def start(self, scope: Scope) -> BoundaryAccumulator:
        """What looks at the boundaries of a scene."""
        return BoundaryAccumulator(self, scope)

    def measure(self, sums: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
        """Each metric by class, and its mean over the classes for which it is defined."""
        names = [item.name for item in self.classes]
        found: dict[str, NDArray[np.float64]] = {}
        for metric, values in self._measure(sums).items():
            found[metric] = mean_of_defined(values)
            found |= name_classes(metric, names, values)
        # what is above the cap is no number, but `describe` tells it
        return {name: np.where(np.isinf(values), np.nan, values) for name, values in found.items()}

    def describe(self, sums: NDArray[Any]) -> dict[str, Any]:
        """How the distances are limited, and the classes whose Hausdorff distance is more."""
        beyond = np.isinf(self._find_hausdorff(self.by_class(sums)))
        pairs = zip(self.classes, beyond, strict=True)
        return {
            "width": {"value": self.width[0], "unit": self.width[1]},
            "hausdorff_cap_px": self.cap_px,
            "hausdorff_more_than_cap": [item.name for item, is_beyond in pairs if is_beyond],
        }

    @property
    def _stride(self) -> int:
        return HEAD + 2 * (len(self.squares) + 1)

    def by_class(self, sums: NDArray[Any]) -> NDArray[Any]:
        """A view (..., K, numbers of a class) of sums."""
        return sums[..., :GROUND].reshape(*sums.shape[:-1], len(self.classes), self._stride)

    def _measure(self, sums: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
        """Metrics (..., K)."""
        by_class = self.by_class(sums)
        both, labels, mask = (by_class[..., k] for k in (BOTH, LABELS, MASK))
        contours = by_class[..., HEAD:].reshape(*by_class.shape[:-1], 2, -1).sum(axis=-1)
        recall = divide(by_class[..., RECALLED], contours[..., 0])
        precision = divide(by_class[..., PRECISE], contours[..., 1])
        hausdorff = self._find_hausdorff(by_class)
        size_m = divide(sums[..., GROUND], sums[..., KNOWN] * MICRO)
        is_known = contours.sum(axis=(-1, -2)) == sums[..., KNOWN]
        return {
            "boundary_iou": divide(both, labels + mask - both),
            "boundary_f1": _find_f1(precision, recall),
            "boundary_precision": precision,
            "boundary_recall": recall,
            "hausdorff95_px": hausdorff,
            "hausdorff95_m": hausdorff * np.where(is_known, size_m, np.nan)[..., None],
        }

    def _find_hausdorff(self, by_class: NDArray[Any]) -> NDArray[np.float64]:
        """In pixels, (..., K): NaN without contours, infinite where it is above the cap."""
        histograms = by_class[..., HEAD:].reshape(*by_class.shape[:-1], 2, -1)
        counts = histograms.sum(axis=-1)
        distances = np.append(np.sqrt(self.squares), np.inf)
        directed = find_percentile(histograms, distances)
        directed = np.where((counts == 0) & (counts[..., ::-1] > 0), np.inf, directed)
        larger: NDArray[np.float64] = directed.max(axis=-1)
        return larger


class BoundaryAccumulator:
    """Counts what is near boundaries, and how far these are apart."""

    def __init__(self, family: BoundaryFamily, scope: Scope) -> None:
        """For a scene.

        Raises:
            UsageError: pixels are so large that nothing is near, or so small that too much is.
            InputError: the width is in metres, and pixels have none.
        """
        width = to_pixels(family.width, scope.grid, "--boundary-width")
        self._near, self._limit = to_square(width), family.cap_px**2
        if not 1 <= self._near <= self._limit:
            raise UsageError(
                f"--boundary-width {family.width[0]:g}{family.width[1]} is {width:.3g} pixels; "
                f"give at least 1 pixel and at most --hausdorff-cap, which is {family.cap_px}"
            )
        self.halo = family.cap_px + 1
        self._family, self._scope = family, scope
        self._columns = np.full(self._limit + 2, -1, np.int64)
        self._columns[family.squares] = np.arange(len(family.squares))
        self._columns[-1] = len(family.squares)
        self._tally = BlockTally(scope.block_px, family.size, np.int64)

    def add(self, piece: Piece) -> None:
        """Take in a piece."""
        around = piece.window.pad(self.halo)
        inner = piece.window.relative_to(around)
        sides = [cut_out(piece, values, around) for values in (piece.labels, piece.mask)]
        shown = np.bincount(np.ravel([side[inner.slices()] for side in sides]), minlength=256)
        blocks = list(cut_blocks(piece.window, self._scope.block_px))
        sums = {block: np.zeros(self._family.size, np.int64) for block, _ in blocks}
        for k in range(len(self._family.classes)):
            if shown[k]:
                found = _look_at(sides, k, inner, (self._near, self._limit))
                for block, where in blocks:
                    self._family.by_class(sums[block])[k] += self._count(found, where)
        for block, array in sums.items():
            self._tally.add_block(block, array)

    def finish(self) -> BlockSums:
        """The sums, and the size of the pixels of contours."""
        size_m = self._scope.grid.pixel_size_m
        for sums in self._tally.sums.values():
            if size_m is not None:
                sums[KNOWN] = self._family.by_class(sums)[:, HEAD:].sum()
                sums[GROUND] = sums[KNOWN] * round(size_m * MICRO)
        return self._tally.sums

    def _count(self, found: _Found, where: tuple[slice, slice]) -> NDArray[np.int64]:
        """The sums of a class in a part of a window."""
        labels, mask = (near[where] for near in found.near)
        squares = [distances[where][distances[where] >= 0] for distances in found.squares]
        head = [
            np.count_nonzero(labels & mask),
            np.count_nonzero(labels),
            np.count_nonzero(mask),
            *(np.count_nonzero(each <= self._near) for each in squares),
        ]
        bins = len(self._family.squares) + 1
        histograms = [np.bincount(self._columns[each], minlength=bins) for each in squares]
        return np.concatenate([head, *histograms])


class _Found(NamedTuple):
    """A class in a window, in labels and mask: (H, W) each."""

    near: list[NDArray[np.bool_]]  # whether it is near a boundary
    squares: list[NDArray[np.int32]]  # of the distance to the other contour; -1: no contour here


def _look_at(
    sides: list[NDArray[np.uint8]], value: int, inner: Window, limits: tuple[int, int]
) -> _Found:
    """What is to be counted of a class: near a boundary, and up to what distance it is sought."""
    near, most = limits
    place = (inner.row_off, inner.col_off, inner.height, inner.width)
    contours = [mark_contour(side, value) for side in sides]
    return _Found(
        [mark_near(side, value, near, place) for side in sides],
        [
            measure_distances(contour, target, most, place)
            for contour, target in zip(contours, reversed(contours), strict=True)
        ],
    )


def find_percentile(
    histograms: NDArray[Any], distances: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The 95th percentile (...) of distances (D,), sorted, of which there are so many (..., D).

    Between two of them as numpy's `linear` does; NaN where there are none.
    """
    total = histograms.sum(axis=-1)
    rank = PERCENTILE * (total - 1)
    below = np.floor(rank)
    until = histograms.cumsum(axis=-1)
    last = len(distances) - 1
    low, high = (
        distances[np.minimum((until <= k[..., None]).sum(axis=-1), last)]
        for k in (below, np.ceil(rank))
    )
    share = rank - below
    with np.errstate(invalid="ignore"):
        between = np.where(low == high, low, low + (high - low) * share)
    return np.where(total > 0, between, np.nan)


def tell_oblong(grid: Grid) -> str | None:
    """What to tell of distances on the ground where pixels are no squares; None where they are."""
    if grid.crs is None:
        return None
    centre = np.array([[grid.height / 2, grid.width / 2]])
    longer, shorter = np.linalg.svd(ground_matrices(grid, centre)[0], compute_uv=False)
    if longer <= OBLONG * shorter:
        return None
    return (
        f"pixels are {longer:.3g} by {shorter:.3g} m on the ground; distances take them for "
        "squares of the same area: for exact ones, warp masks to square pixels"
    )


def _find_f1(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> NDArray[np.float64]:
    """2 P R / (P + R); what is undefined in one of them alone is 0."""
    nothing = np.isnan(precision) & np.isnan(recall)
    p, r = np.nan_to_num(precision), np.nan_to_num(recall)
    f1 = np.nan_to_num(divide(2 * p * r, p + r))
    return np.where(nothing, np.nan, f1)
