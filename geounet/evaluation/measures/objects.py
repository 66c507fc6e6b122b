"""How many objects a mask finds: matched one to one by IoU, split, merged, by size.

Objects are the connected components of a class in the mask, and in the labels the same, or given
instances. Pixels that do not count (no label, no data, outside of the area) are of no object, so
that one that reaches into them is compared by its other part, and one that they cut in two is two
in labels and mask alike; given instances stay one. There are no objects of the background.

A label object g and a mask object p of the same class match at a threshold t if
IoU(g, p) = |g & p| / |g | p| > t, *greater*, so that for t >= 0.5 no object has two matches
(Kirillov et al. 2019, Panoptic Segmentation, section 4.1). At each threshold matches are TP, other
objects of the mask FP, and of the labels FN:

    precision = TP / (TP + FP)    recall = TP / (TP + FN)    F1 = TP / (TP + FP/2 + FN/2)

at t = 0.5 and, as a mean, at t = 0.5, 0.55, ..., 0.95. Panoptic quality is PQ = SQ * RQ, where SQ
is the mean IoU of the matches at 0.5, RQ the F1 there.

A label object is *split* if two or more mask objects lie in it, each with more than half of its
pixels, and together have more than half of its pixels. A mask object is a *merge* if the same is
true with labels and mask exchanged (Hoover et al. 1996, An experimental comparison of range image
segmentation algorithms, section 3: over- and under-segmentation, with a tolerance just above 0.5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geounet.classes import NODATA, ClassInfo
from geounet.evaluation.measures.blocks import BlockTally, cut_out
from geounet.evaluation.measures.components import Components, Pairs, Table, extend, number_objects
from geounet.evaluation.measures.family import (
    BlockSums,
    Piece,
    Scope,
    divide,
    mean_of_defined,
    name_classes,
)
from geounet.evaluation.measures.sizes import Size, to_pixels

THRESHOLDS = tuple(range(50, 100, 5))
"""Of the IoU, in hundredths."""

SIZES = ("small", "medium", "large")

FIXED = 1 << 32
"""IoUs are summed as whole numbers of this share of 1: in any order the sum is the same."""

LABELS, MASK, SPLITS, MERGES, IOU = range(5)
FOUND = IOU + 1
HITS = FOUND + len(THRESHOLDS)
OF_SIZE = HITS + len(THRESHOLDS)
FOUND_OF_SIZE = OF_SIZE + len(SIZES)
WIDTH = FOUND_OF_SIZE + len(SIZES)
"""Sums of a class: objects of the labels and of the mask, splits, merges, IoU of matches; matches
by threshold, counted where the label object is and where the mask's is; label objects by size, and
those of them that are matched at 0.5."""


class Overlaps(NamedTuple):
    """Objects that share pixels: (P,) each."""

    labels: NDArray[np.int64]  # index of the label object
    mask: NDArray[np.int64]  # of the mask object
    pixels: NDArray[np.int64]  # that both have


@dataclass(frozen=True)
class ObjectFamily:
    """Metrics of objects.

    Attributes:
        classes: sorted by value.
        background: positions in the classes of what has no objects.
        eight: pixels of a class that touch at a corner are of one object.
        bounds: areas from which on a label object is medium, and large.
    """

    classes: tuple[ClassInfo, ...]
    background: frozenset[int]
    eight: bool
    bounds: tuple[Size, Size]
    name: str = "object"

    @property
    def positions(self) -> list[int]:
        """Of the classes that have objects."""
        return [k for k in range(len(self.classes)) if k not in self.background]

    @property
    def size(self) -> int:
        """Length of the sums."""
        return WIDTH * len(self.positions)

    def start(self, scope: Scope) -> ObjectAccumulator:
        """What finds the objects of a scene."""
        return ObjectAccumulator(self, scope)

    def measure(self, sums: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
        """Each metric by class, and its mean over the classes for which it is defined."""
        names = [self.classes[k].name for k in self.positions]
        found: dict[str, NDArray[np.float64]] = {}
        for metric, values in _measure(self._by_class(sums)).items():
            found[metric] = mean_of_defined(values)
            found |= name_classes(metric, names, values)
        return found

    def describe(self, sums: NDArray[Any]) -> dict[str, Any]:
        """Objects by class: how many, matched, split, merged, and by size."""
        low, high = ({"from": number, "unit": unit} for number, unit in self.bounds)
        counts = zip(self.positions, self._by_class(sums).tolist(), strict=True)
        return {
            "objects": {self.classes[k].name: _count(row) for k, row in counts},
            "sizes": {"medium": low, "large": high},
            "connectivity": 8 if self.eight else 4,
        }

    def _by_class(self, sums: NDArray[Any]) -> NDArray[Any]:
        return sums.reshape(*sums.shape[:-1], len(self.positions), WIDTH)


class ObjectAccumulator:
    """Finds the objects of a scene, and how they overlap."""

    halo = 1

    def __init__(self, family: ObjectFamily, scope: Scope) -> None:
        self._family, self._scope = family, scope
        self._bounds = [to_pixels(size, scope.grid, "--object-sizes") for size in family.bounds]
        amorphous = {*family.background, NODATA}
        eight = family.positions if family.eight else ()
        self._labels = Components(scope.area, amorphous, eight)
        self._mask = Components(scope.area, amorphous, eight)
        self._pairs = Pairs()

    def add(self, piece: Piece) -> None:
        """Take in a piece."""
        window = extend(piece.window, self._scope.area)
        inner = piece.window.relative_to(window).slices()
        labels, mask = (cut_out(piece, a, window) for a in (piece.labels, piece.mask))
        ones = number_objects(self._labels, piece, window, labels)
        others = self._mask.add(piece.window, mask)
        same = labels[inner] == mask[inner]
        self._pairs.add(np.where(same, ones[inner], np.int32(0)), others[inner])

    def finish(self) -> BlockSums:
        """The sums: of an object in the block of its first pixel, of a match in both."""
        labels, mask = self._labels.finish(), self._mask.finish()
        pairs, pixels = self._pairs.finish(labels, mask)
        overlaps = Overlaps(pairs[:, 0], pairs[:, 1], pixels)
        tally = BlockTally(self._scope.block_px, self._family.size, np.int64)
        self._count_objects(tally, labels, mask, overlaps)
        self._count_matches(tally, labels, mask, overlaps)
        return tally.sums

    def _count_objects(
        self, tally: BlockTally, labels: Table, mask: Table, overlaps: Overlaps
    ) -> None:
        swapped = Overlaps(overlaps.mask, overlaps.labels, overlaps.pixels)
        splits = find_splits(labels.pixels, mask.pixels, overlaps)
        merges = find_splits(mask.pixels, labels.pixels, swapped)
        for table, column in ((labels, LABELS), (mask, MASK)):
            tally.add(table.firsts, self._columns(table) + column, 1)
        tally.add(labels.firsts, self._columns(labels) + OF_SIZE + self._sizes(labels), 1)
        tally.add(labels.firsts, self._columns(labels) + SPLITS, splits)
        tally.add(mask.firsts, self._columns(mask) + MERGES, merges)

    def _count_matches(
        self, tally: BlockTally, labels: Table, mask: Table, overlaps: Overlaps
    ) -> None:
        union = labels.pixels[overlaps.labels] + mask.pixels[overlaps.mask] - overlaps.pixels
        for step, threshold in enumerate(THRESHOLDS):
            good = 100 * overlaps.pixels > threshold * union
            ones, others = overlaps.labels[good], overlaps.mask[good]
            tally.add(labels.firsts[ones], self._columns(labels)[ones] + FOUND + step, 1)
            tally.add(mask.firsts[others], self._columns(mask)[others] + HITS + step, 1)
            if step == 0:
                places, columns = labels.firsts[ones], self._columns(labels)[ones]
                iou = np.rint(overlaps.pixels[good] / union[good] * FIXED).astype(np.int64)
                tally.add(places, columns + IOU, iou)
                tally.add(places, columns + FOUND_OF_SIZE + self._sizes(labels)[ones], 1)

    def _columns(self, table: Table) -> NDArray[np.int64]:
        """Where in the sums those of each object's class begin."""
        order: NDArray[np.int64] = np.zeros(256, np.int64)
        order[self._family.positions] = np.arange(len(self._family.positions))
        columns: NDArray[np.int64] = order[table.values] * WIDTH
        return columns

    def _sizes(self, table: Table) -> NDArray[np.int64]:
        """0, 1, 2: small, medium, large."""
        # as long on the ground as a whole number of pixels is not below that number
        areas = table.pixels.astype(np.float64) * (1 + 1e-9)
        sizes: NDArray[np.int64] = np.digitize(areas, self._bounds).astype(np.int64)
        return sizes


def find_splits(
    wholes: NDArray[np.int64], parts: NDArray[np.int64], overlaps: Overlaps
) -> NDArray[np.int64]:
    """1 for each whole (N,) that is split into several of the parts (M,), else 0; all by pixels.

    Of the overlaps, `labels` are wholes and `mask` are parts.
    """
    inside = 2 * overlaps.pixels > parts[overlaps.mask]
    number = np.bincount(overlaps.labels[inside], minlength=len(wholes))
    covered = np.zeros(len(wholes), np.int64)
    np.add.at(covered, overlaps.labels[inside], overlaps.pixels[inside])
    return ((number >= 2) & (2 * covered > wholes)).astype(np.int64)


def _measure(sums: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """Metrics (..., K) of sums (..., K, WIDTH)."""
    steps = len(THRESHOLDS)
    labels, mask = sums[..., LABELS], sums[..., MASK]
    found, hits = sums[..., FOUND : FOUND + steps], sums[..., HITS : HITS + steps]
    precision = divide(hits, mask[..., None])
    recall = divide(found, labels[..., None])
    # TP where the label object is and where the mask's is: the same, but for a part of the blocks
    f1 = divide(found + hits, (labels + mask)[..., None])
    quality = divide(sums[..., IOU] / FIXED, found[..., 0])
    sizes = divide(
        sums[..., FOUND_OF_SIZE : FOUND_OF_SIZE + len(SIZES)],
        sums[..., OF_SIZE : OF_SIZE + len(SIZES)],
    )
    return {
        "object_precision": precision[..., 0],
        "object_recall": recall[..., 0],
        "object_f1": f1[..., 0],
        "object_mean_precision": precision.mean(axis=-1),
        "object_mean_recall": recall.mean(axis=-1),
        "object_mean_f1": f1.mean(axis=-1),
        "panoptic_quality": divide(sums[..., IOU] / FIXED, (labels + mask) / 2),
        "segmentation_quality": quality,
        "recognition_quality": f1[..., 0],
        **{f"object_recall_{name}": sizes[..., k] for k, name in enumerate(SIZES)},
    }


def _count(row: list[int]) -> Mapping[str, Any]:
    """What there is of a class, of its sums."""
    return {
        "labels": row[LABELS],
        "mask": row[MASK],
        "matched": row[FOUND],
        "splits": row[SPLITS],
        "merges": row[MERGES],
        "matched_by_iou": {
            f"{threshold / 100:.2f}": row[FOUND + step] for step, threshold in enumerate(THRESHOLDS)
        },
        "by_size": {
            name: {"labels": row[OF_SIZE + k], "matched": row[FOUND_OF_SIZE + k]}
            for k, name in enumerate(SIZES)
        },
    }
