"""Sums by block of what has a place, such as an object's first pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from geounet.evaluation.measures.family import Block, Piece
from geounet.raster import Window


class BlockTally:
    """Arrays (size,) of sums, one for each block that has any."""

    def __init__(self, block_px: int, size: int, dtype: type[np.generic]) -> None:
        self.sums: dict[Block, NDArray[Any]] = {}
        self._block_px, self._size, self._dtype = block_px, size, dtype

    def add(
        self, places: NDArray[np.int64], columns: NDArray[Any] | int, amounts: NDArray[Any] | int
    ) -> None:
        """Add amounts (N,) to columns (N,) of the sums of the places, rows and columns (N, 2)."""
        rows, cols = (places // self._block_px).T
        blocks, index = np.unique(rows << 32 | cols, return_inverse=True)
        table = np.zeros(len(blocks) * self._size, self._dtype)
        np.add.at(table, index * self._size + columns, amounts)
        for block, sums in zip(blocks.tolist(), table.reshape(-1, self._size), strict=True):
            self.add_block((block >> 32, block & 0xFFFFFFFF), sums)

    def add_block(self, block: Block, sums: NDArray[Any]) -> None:
        """Add sums (size,) of a block, if there are any."""
        if sums.any():
            self.sums[block] = self.sums[block] + sums if block in self.sums else sums


def cut_out(piece: Piece, values: NDArray[Any], window: Window) -> NDArray[Any]:
    """The pixels of a window that lies in a piece with its halo, of an array of these."""
    halo = (values.shape[0] - piece.window.height) // 2
    return values[window.relative_to(piece.window.pad(halo)).slices()]
