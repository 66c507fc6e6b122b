"""Which pixels chips are centred on, so that what is rare is seen often: `--balance`.

* none: the centre is any training pixel, each with the same chance.
* class: the centre is of each class with the same chance, and of a class each pixel with the same.
  So as not to show one place again and again, no class is the centre more than `OVERSAMPLING` times
  as often as chips of `none` would show the cells that it is in (neighbouring cells counted as if
  they were apart, so never too few); the other classes share what it leaves.
* instance: the centre is in each instance with the same chance, whatever its size, and each of its
  pixels has the same. Instances are vector features, or connected regions of raster labels, as far
  as the training pixels show them; the background has none.

A scene's weight scales the chance of its pixels or instances against those of other scenes. Where a
chip centred on a pixel would leave the scene's area, it is moved as far as need be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from geounet.errors import InputError
from geounet.training.data.content import Content, Numbering
from geounet.training.data.sources import SourceReader

OVERSAMPLING = 10

KEPT = 2**15
"""Fragments whose pixels are kept in memory once they were read, half a kilobyte each."""


@dataclass(frozen=True)
class Anchors:
    """Pixels to centre chips on.

    Attributes:
        content: fragments.
        numbering: how to find a fragment's pixels again.
        chances: float64 (F,), that a pixel is of one of the first fragments; the last is 1.
        known: pixels of some fragments, as bits of their cells.
    """

    content: Content
    numbering: Numbering
    chances: NDArray[np.float64]
    known: dict[int, NDArray[np.uint8]] = field(default_factory=dict, compare=False)

    def draw(self, reader: SourceReader, rng: np.random.Generator) -> tuple[int, int, int]:
        """Scene, row and column of a pixel; all pixels of a fragment have the same chance."""
        index = int(np.searchsorted(self.chances, rng.random(), side="right"))
        scene, cell = int(self.content.scene[index]), self.content.window(index)
        number = int(rng.integers(self.content.pixels[index]))
        if self.content.pixels[index] < cell.area:
            (pixels,) = np.unpackbits(self._find_pixels(reader, index)).nonzero()
            number = int(pixels[number])
        row, col = divmod(number, cell.width)
        return scene, cell.row_off + row, cell.col_off + col

    def _find_pixels(self, reader: SourceReader, index: int) -> NDArray[np.uint8]:
        """Which pixels of its cell a fragment has, row by row, as bits."""
        found = self.known.get(index)
        if found is None:
            scene, cell = int(self.content.scene[index]), self.content.window(index)
            ids = self.numbering.number(reader, scene, cell, reader.read(scene, cell)).ravel()
            found = np.packbits(ids == ids[self.content.first[index]])
            if len(self.known) < KEPT:
                self.known[index] = found
        return found


def make_anchors(
    content: Content,
    numbering: Numbering,
    weights: Sequence[float],
    shown: float | None,
) -> Anchors:
    """Draw by class or by instance, as the content is.

    Args:
        content: of the training pixels.
        numbering: with which it was made.
        weights: of each scene.
        shown: share of the training pixels that a chip shows; None: each pixel has the same chance.

    Raises:
        InputError: there is no instance.
    """
    if not content.pixels.size:
        raise InputError(
            "--balance instance finds no instance among the training pixels; label some, or give "
            "--balance class"
        )
    weight = np.asarray(weights, np.float64)[content.scene]
    amounts = weight * content.pixels
    if shown is None:
        chances = amounts
    elif content.kind == "instance":
        chances = amounts / content.sum_groups(content.pixels.astype(np.float64))[content.group]
    else:
        shares = share_equally(content, shown)
        totals = content.sum_groups(amounts)
        chances = amounts * (shares / np.where(totals > 0, totals, 1))[content.group]
    cumulative = np.cumsum(chances)
    return Anchors(content, numbering, cumulative / cumulative[-1])


def share_equally(content: Content, shown: float) -> NDArray[np.float64]:
    """How often each class is the centre: all the same, but for what would be shown too often.

    Args:
        content: by class.
        shown: share of the training pixels that a chip shows.
    """
    cells = content.sum_groups(np.ones(content.group.size))
    limits = np.where(cells > 0, np.minimum(1, OVERSAMPLING * np.minimum(1, cells * shown)), 0)
    return fill_equally(limits)


def fill_equally(limits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares with sum 1: as equal as their limits allow; if these are too low, in proportion."""
    if limits.sum() <= 1:
        shares: NDArray[np.float64] = limits / limits.sum()
        return shares
    order = np.argsort(limits)
    ascending = limits[order]
    left = 1 - np.concatenate([[0], np.cumsum(ascending)[:-1]])
    level = left / np.arange(len(limits), 0, -1)  # of those from here on, if all before are full
    first = int(np.argmax(ascending >= level))
    equal: NDArray[np.float64] = np.minimum(limits, level[first])
    return equal
