"""Parts: the horizontal bands in which a result is computed, kept and resumed. Pure geometry."""

from __future__ import annotations

from collections.abc import Iterator

from geounet.raster import Window

PART_PIXELS = 8 * 2**20
"""A part is at least about this large, so that its overhead (milliseconds) does not count."""


def choose_part_rows(extent: Window, tile_rows: int) -> int:
    """Rows of a part: as many whole rows of tiles as give `PART_PIXELS`, at least one."""
    return tile_rows * max(1, round(PART_PIXELS / (tile_rows * extent.width)))


def plan_parts(extent: Window, part_rows: int, stride: int) -> Iterator[Window]:
    """Bands of at most `part_rows` rows that partition the extent, top to bottom.

    Cuts lie at multiples of the stride, counted from row 0 of the scene, so that the tiles of a
    part are on the network's lattice.
    """
    aligned = extent.aligned(stride)
    for band in aligned.blocks(max(stride, part_rows // stride * stride), aligned.width):
        yield band.intersect(extent)
