"""Parts: the horizontal bands in which a result is computed, kept and resumed. Pure geometry."""

from __future__ import annotations

from collections.abc import Iterator

from geounet.raster import Window

PART_PIXELS = 8 * 2**20
"""A part is at least about this large, so that its overhead (milliseconds) does not count."""

BLOCK = 512
"""Parts are written in multiples of so many columns, the side of the files' blocks."""

PART_BYTES = 32 * 2**20
"""Bytes of all outputs of a part of several rows of tiles at most: it is held in memory."""

BLENDED_STEPS = 8
"""Steps of blended tiles in a part: then an eighth of the tiles is computed twice."""


def choose_part_rows(extent: Window, tile_rows: int, pixel_bytes: int) -> int:
    """Rows of a part: as many whole rows of tiles as give `PART_PIXELS`, at least one.

    Args:
        extent: the pixels that are computed.
        tile_rows: rows of a tile.
        pixel_bytes: bytes of a pixel in all outputs.
    """
    row = tile_rows * extent.width
    return tile_rows * max(1, min(round(PART_PIXELS / row), PART_BYTES // (row * pixel_bytes)))


def choose_blended_rows(extent: Window, step: int, most: int) -> int:
    """Rows of a part of blended tiles, a multiple of their step.

    At least `BLENDED_STEPS` steps, since the tiles of one are computed again by the next part; but
    at most `most` rows, and at least one step.
    """
    steps = max(BLENDED_STEPS, round(PART_PIXELS / (step * extent.width)))
    return step * max(1, min(steps, most // step))


def plan_parts(extent: Window, part_rows: int, stride: int) -> Iterator[Window]:
    """Bands of at most `part_rows` rows that partition the extent, top to bottom.

    Cuts lie at multiples of the stride, counted from row 0 of the scene, so that the tiles of a
    part are on the network's lattice.
    """
    aligned = extent.aligned(stride)
    for band in aligned.blocks(cut_rows(part_rows, stride), aligned.width):
        yield band.intersect(extent)


def cut_rows(part_rows: int, stride: int) -> int:
    """Rows of the lattice that a part of so many rows takes: a multiple of the stride."""
    return max(1, part_rows // stride) * stride
