"""Exact overlap-tile: which pixels each tile writes, and which it must read. Pure geometry.

Ronneberger et al. (2015), figure 2: the prediction of a tile needs the pixels around it; beyond
the border of the scene they are mirrored. A network with pooling sees the scene through a lattice
of period `stride`, so tiles start at multiples of it, counted from pixel (0, 0) of the scene:
then no label depends on how the scene was cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from geounet.errors import UsageError
from geounet.raster import Window


@dataclass(frozen=True, slots=True)
class Tile:
    """A unit of prediction.

    Attributes:
        write: the pixels whose labels are kept.
        cover: the pixels that are computed; contains `write`; edges on the lattice.
        read: `cover` grown by the read margin: what the network needs. May reach beyond the scene.
    """

    write: Window
    cover: Window
    read: Window

    def kept(self) -> tuple[slice, slice]:
        """Slices of `write` in an array of the pixels of `cover`."""
        return self.write.relative_to(self.cover).slices()


def fit_tile(extent: Window, tile: int, stride: int) -> tuple[int, int]:
    """Height and width of the tiles for an extent: multiples of the stride, at most `tile`.

    The sides are balanced: ceil(side / tile) tiles of nearly equal size rather than full ones
    and a sliver, because every tile is computed at the full shape.

    Raises:
        UsageError: `tile` is smaller than the stride.
    """
    if tile < stride:
        raise UsageError(f"a tile of {tile} pixels is smaller than the network's stride {stride}")
    height, width = extent.aligned(stride).shape
    return _balance(height, tile, stride), _balance(width, tile, stride)


def plan_tiles(
    region: Window, tile_shape: tuple[int, int], stride: int, read_margin: int
) -> Iterator[Tile]:
    """Tiles of one shape over a region, row by row.

    The write windows partition the region; all covers have `tile_shape` and start at multiples
    of the stride; all reads have `tile_shape` plus twice the read margin.
    """
    for block in region.aligned(stride).blocks(*tile_shape):
        cover = Window(
            row_off=block.row_off, col_off=block.col_off, height=tile_shape[0], width=tile_shape[1]
        )
        yield Tile(write=block.intersect(region), cover=cover, read=cover.pad(read_margin))


def _balance(side: int, tile: int, stride: int) -> int:
    largest = tile // stride * stride
    count = -(-side // largest)
    return -(-side // (count * stride)) * stride
