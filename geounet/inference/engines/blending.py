"""Blended tiles, for networks without a finite margin: where they lie and what each counts.

Along each axis, tile `i` sees `tile` pixels. A `rim` at both ends, where its own border disturbs
the network, does not count; what is kept weighs a trapezoid:

    |  rim  |  ramp  |  step - ramp  |  ramp  |  rim  |       tile = step + ramp + 2 * rim
        0     0 .. 1         1         1 .. 0     0
                  i * step             (i + 1) * step

so that the weights of all tiles sum to 1 at every pixel, and two tiles at most count along an axis.
Tiles are counted from pixel (0, 0) of the scene: the result depends on the scene, the network and
these numbers, not on how the work is cut. Pure geometry and numpy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geounet.errors import UsageError
from geounet.inference.planning.tiling import Tile
from geounet.raster import Window

STEPS = 2**12
"""Weights along an axis are multiples of 1 / STEPS: their products and sums are exact in float32,
so the sum over tiles is 1, not nearly 1."""


@dataclass(frozen=True, slots=True)
class Blend:
    """How the tiles of a run overlap.

    Attributes:
        tile: side of a tile in pixels.
        rim: pixels at each end of a tile that do not count.
        ramp: pixels over which a tile hands over to the next.
        shift: rows and columns by which all tiles are moved; another tiling, for comparison.
    """

    tile: int
    rim: int
    ramp: int
    shift: int = 0

    def __post_init__(self) -> None:
        if self.rim < 0 or self.ramp < 1 or self.step < self.ramp:
            raise UsageError(
                f"tiles of {self.tile} pixels are too small to overlap by {self.overlap}; "
                "use a larger --tile"
            )

    @property
    def overlap(self) -> int:
        """Pixels that neighbouring tiles share."""
        return 2 * self.rim + self.ramp

    @property
    def step(self) -> int:
        """Pixels from tile to tile."""
        return self.tile - self.overlap

    @property
    def kept(self) -> int:
        """Side of what counts of a tile."""
        return self.tile - 2 * self.rim

    def weights(self) -> NDArray[np.float32]:
        """Along an axis of what is kept, float32 (kept,): over all tiles they sum to 1.

        None is zero.
        """
        rising = np.rint((np.arange(self.ramp) + 0.5) * (STEPS / self.ramp)).clip(1, STEPS - 1)
        half = self.ramp // 2
        rising[self.ramp - half :] = STEPS - rising[:half][::-1]
        level = np.full(self.step - self.ramp, STEPS)
        return (np.concatenate([rising, level, rising[::-1]]) / STEPS).astype(np.float32)

    def start_of(self, index: int) -> int:
        """First row or column that counts of a tile."""
        return index * self.step - self.ramp + self.shift

    def indices(self, start: int, end: int) -> range:
        """The tiles that count somewhere in `start <= pixel < end`."""
        first = (start - self.shift) // self.step
        last = (end - 1 + self.ramp - self.shift) // self.step
        return range(first, last + 1)


def plan_blended_tiles(region: Window, blend: Blend) -> Iterator[Tile]:
    """All tiles that count in a region, column by column.

    Each writes the pixels of the region for which it counts, so write windows overlap.
    """
    for col in blend.indices(region.col_off, region.col_end):
        for row in blend.indices(region.row_off, region.row_end):
            kept = Window(
                row_off=blend.start_of(row),
                col_off=blend.start_of(col),
                height=blend.kept,
                width=blend.kept,
            )
            cover = kept.pad(blend.rim)
            yield Tile(write=kept.intersect(region), cover=cover, read=cover)


class Accumulator:
    """Sums the weighted scores of the tiles of a region, of which it holds a strip.

    Tiles come column by column; what lies left of the latest is finished. Every pixel sums its
    tiles in the same order in float32, whatever the region: to the last bit the same.

    Attributes:
        region: pixels of the scene.
        done: first column that is not finished.
    """

    def __init__(self, region: Window, classes: int, blend: Blend) -> None:
        self.region, self.done = region, region.col_off
        self._weights, self._blend = blend.weights(), blend
        shape = (region.height, min(blend.kept, region.width))
        self._total = np.zeros((classes, *shape), np.float32)
        self._wanted = np.zeros(shape, bool)

    def add(self, tile: Tile, scores: NDArray[np.float32]) -> None:
        """Add the scores (K, H, W) of a tile's write window; NaN where not wanted.

        Columns left of the tile must have been taken with `finish`.
        """
        write = tile.write
        kept = write.relative_to(tile.cover.pad(-self._blend.rim))
        rows, cols = kept.slices()
        weights = self._weights[rows, None] * self._weights[None, cols]
        here = (
            slice(write.row_off - self.region.row_off, write.row_end - self.region.row_off),
            slice(write.col_off - self.done, write.col_end - self.done),
        )
        wanted = ~np.isnan(scores[0])
        self._wanted[here] |= wanted
        self._total[:, *here] += np.where(wanted, scores, np.float32(0)) * weights

    def finish(self, end: int) -> Iterator[tuple[Window, NDArray[np.float32]]]:
        """The finished columns up to `end`, in pieces: windows and scores, NaN where not wanted."""
        while self.done < end:
            width = min(end - self.done, self._wanted.shape[1])
            window = Window(
                row_off=self.region.row_off,
                col_off=self.done,
                height=self.region.height,
                width=width,
            )
            scores = np.where(self._wanted[:, :width], self._total[..., :width], np.float32(np.nan))
            self._drop(width)
            yield window, scores

    def _drop(self, width: int) -> None:
        for array in (self._total, self._wanted):
            array[..., :-width] = array[..., width:].copy()
            array[..., -width:] = 0
        self.done += width
