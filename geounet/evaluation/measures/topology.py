"""Whether a mask has the objects of the labels, wherever exactly their boundaries are.

The three errors by which the challenge of the U-Net's paper was judged (ISBI 2012: Arganda-Carreras
et al. 2015, Crowdsourcing the creation of image segmentation algorithms for connectomics). Objects
are the connected components of each class but the background.

* Pixel error: the share of pixels whose class is not that of the labels.
* Rand error, restricted to what is an object in the labels: 1 - F1 of pairs of pixels. With n_ij
  the pixels of label object i and mask object j, a_i = sum_j n_ij, b_j = sum_i n_ij, n all these
  pixels, and the background of the mask as one more object j = 0: precision, which merges lower, is
  (sum n_ij^2 - n) / (sum b_j^2 - n), and recall, which splits lower, (sum n_ij^2 - n) /
  (sum a_i^2 - n). So it is in skimage.metrics.adapted_rand_error (whose code exchanges the two).
  With `rand_error_single` each background pixel of the mask is an object by itself, as in the code
  of the challenge SNEMI3D: 1 - 2 p / (sum a_i^2 + b), p = sum_{j>0} n_ij^2 + n_0,
  b = sum_{j>0} b_j^2 + n_0, n_0 = sum_i n_i0.
* Warping error, by class: the labels are warped towards the mask by flipping simple points, which
  leaves their topology as it is; what still differs is the error, as a share of the pixels. Jain et
  al. 2010 (Boundary learning by optimization with topological constraints) look for the smallest
  one, with points flipped one by one in an order of their own. Here they flip in a fixed order and
  in a bounded number of rounds (see `warp`), so that a boundary moves by at most as many pixels,
  and what becomes of a pixel depends on those near it alone, not on windows. The error is then
  never less than the smallest one. Each component of what differs is also counted by its kind
  (see `Mismatches`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geounet.classes import NODATA, ClassInfo
from geounet.evaluation.measures.blocks import BlockTally, cut_out
from geounet.evaluation.measures.components import Components, Pairs, Table, extend, number_objects
from geounet.evaluation.measures.family import (
    BlockSums,
    Piece,
    Scope,
    cut_blocks,
    divide,
    mean_of_defined,
    name_classes,
)
from geounet.evaluation.measures.mismatches import KINDS, Mismatches
from geounet.evaluation.measures.warping import STEPS, tabulate_simple, warp
from geounet.raster import Window

PIXELS, WRONG, FOREGROUND, LABELS, MASK, BOTH, IN_BACKGROUND, SQUARED_BACKGROUND = range(8)
HEAD = 8
"""Sums: pixels, wrong ones; and for the Rand error n, sum a_i^2, sum b_j^2 and sum n_ij^2 for
j > 0, n_0, sum n_i0^2. They are numbers of float64, whole ones up to 2^53 exact."""

WIDTH = 1 + len(KINDS)
"""Sums of a class: error pixels after warping, and errors by kind."""


@dataclass(frozen=True)
class TopologyFamily:
    """Metrics of topology.

    Attributes:
        classes: sorted by value.
        background: positions in the classes of what has no objects.
        eight: pixels of a class that touch at a corner are of one object.
        rounds: so many pixels a boundary may be warped.
    """

    classes: tuple[ClassInfo, ...]
    background: frozenset[int]
    eight: bool
    rounds: int
    name: str = "topology"

    @property
    def positions(self) -> list[int]:
        """Of the classes that have objects."""
        return [k for k in range(len(self.classes)) if k not in self.background]

    @property
    def size(self) -> int:
        """Length of the sums."""
        return HEAD + WIDTH * len(self.positions)

    def start(self, scope: Scope) -> TopologyAccumulator:
        """What looks at the topology of a scene."""
        return TopologyAccumulator(self, scope)

    def measure(self, sums: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
        """The errors; the warping error also by class, of which it is the mean."""
        names = [self.classes[k].name for k in self.positions]
        pixels = sums[..., PIXELS]
        warping = divide(self._by_class(sums)[..., 0], pixels[..., None])
        return {
            "pixel_error": divide(sums[..., WRONG], pixels),
            **_measure_rand(sums),
            "warping_error": mean_of_defined(warping),
            **name_classes("warping_error", names, warping),
        }

    def describe(self, sums: NDArray[Any]) -> dict[str, Any]:
        """Errors of topology by class and kind."""
        counts = zip(self.positions, self._by_class(sums)[:, 1:].tolist(), strict=True)
        return {
            "errors": {
                self.classes[k].name: dict(zip(KINDS, map(int, row), strict=True))
                for k, row in counts
            },
            "warped_px": self.rounds,
            "connectivity": 8 if self.eight else 4,
        }

    def _by_class(self, sums: NDArray[Any]) -> NDArray[Any]:
        return sums[..., HEAD:].reshape(*sums.shape[:-1], len(self.positions), WIDTH)


class TopologyAccumulator:
    """Finds the objects of a scene, and warps those of the labels."""

    def __init__(self, family: TopologyFamily, scope: Scope) -> None:
        self.halo = STEPS * family.rounds + 1
        self._family, self._scope = family, scope
        amorphous, eight = {*family.background, NODATA}, family.positions if family.eight else ()
        self._labels, self._mask = (Components(scope.area, amorphous, eight) for _ in range(2))
        self._pairs = Pairs()
        self._simple = tabulate_simple(eight=family.eight)
        self._mismatches = [Mismatches(scope.area, eight=family.eight) for _ in family.positions]
        self._tally = BlockTally(scope.block_px, family.size, np.float64)

    def add(self, piece: Piece) -> None:
        """Take in a piece."""
        window = extend(piece.window, self._scope.area)
        inner = piece.window.relative_to(window).slices()
        around = piece.window.pad(self.halo)
        sides = [cut_out(piece, values, around) for values in (piece.labels, piece.mask)]
        labels, mask = (side[window.relative_to(around).slices()] for side in sides)
        ones = number_objects(self._labels, piece, window, labels)
        others = self._mask.add(piece.window, mask)
        self._pairs.add(ones[inner], others[inner])
        self._count(piece.window, PIXELS, labels[inner] != NODATA)
        self._count(piece.window, WRONG, labels[inner] != mask[inner])
        for index, value in enumerate(self._family.positions):
            wrong = self._warp(index, piece.window, sides[0] == value, sides[1] == value)
            self._count(piece.window, HEAD + index * WIDTH, wrong)

    def finish(self) -> BlockSums:
        """The sums: of an object and an error in the block of the first pixel."""
        labels, mask = self._labels.finish(), self._mask.finish()
        self._count_pairs(labels, mask, *self._pairs.finish(labels, mask))
        for index, mismatches in enumerate(self._mismatches):
            kinds, places = mismatches.finish()
            self._tally.add(places, HEAD + index * WIDTH + 1 + kinds, 1)
        return self._tally.sums

    def _warp(
        self, index: int, window: Window, labels: NDArray[np.bool_], mask: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Error pixels (H, W) of a class after warping; of its pixels with the halo."""
        around = window.pad(self.halo)
        parity = (around.row_off & 1, around.col_off & 1)
        warped = warp(labels, mask, self._family.rounds, self._simple, parity)
        seen = extend(window, self._scope.area).relative_to(around).slices()
        return self._mismatches[index].add(window, warped[seen], mask[seen])

    def _count(self, window: Window, column: int, wanted: NDArray[np.bool_]) -> None:
        for block, where in cut_blocks(window, self._scope.block_px):
            sums = np.zeros(self._family.size)
            sums[column] = np.count_nonzero(wanted[where])
            self._tally.add_block(block, sums)

    def _count_pairs(
        self, labels: Table, mask: Table, pairs: NDArray[np.int64], pixels: NDArray[np.int64]
    ) -> None:
        """What the Rand error is made of."""
        ones, others = pairs.T
        is_object, places = others >= 0, labels.firsts[ones]
        counts, squares = pixels.astype(np.float64), pixels.astype(np.float64) ** 2
        sums = np.zeros(len(mask.pixels))
        np.add.at(sums, others[is_object], counts[is_object])
        self._tally.add(labels.firsts, FOREGROUND, labels.pixels)
        self._tally.add(labels.firsts, LABELS, labels.pixels.astype(np.float64) ** 2)
        self._tally.add(mask.firsts, MASK, sums**2)
        self._tally.add(places[is_object], BOTH, squares[is_object])
        self._tally.add(places[~is_object], IN_BACKGROUND, counts[~is_object])
        self._tally.add(places[~is_object], SQUARED_BACKGROUND, squares[~is_object])


def _measure_rand(sums: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    pixels, labels, mask, both, background, squared = (
        sums[..., k] for k in (FOREGROUND, LABELS, MASK, BOTH, IN_BACKGROUND, SQUARED_BACKGROUND)
    )
    found = both + squared - pixels
    in_labels, in_mask = labels - pixels, mask + background**2 - pixels
    single = divide(2 * (both + background), labels + mask + background)
    return {
        "rand_error": 1 - divide(2 * found, in_labels + in_mask),
        "rand_precision": divide(found, in_mask),
        "rand_recall": divide(found, in_labels),
        "rand_error_single": 1 - single,
    }
