"""Filling the R-tree of a GeoPackage's layer, bottom up and in bounded memory.

SQLite adds one row after the other, which takes several times as long, and GDAL's way to add them
at once holds them all. Here rows come in chunks; those of a chunk that lie close together are a
leaf. The levels above are made of the leaves' boxes, of which there are few.

The tables are those of https://www.sqlite.org/rtree.html
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

ROOT = 1
"""Number of the root, which is always there."""

EDGES = ("west", "east", "south", "north")

CELL = np.dtype([("id", ">i8"), *((edge, ">f4") for edge in EDGES)])
"""What a node knows of a row, or of a node below it."""

HEAD = np.dtype([("depth", ">u2"), ("cells", ">u2")])
"""What a node begins with: how many levels are below it, which only the root says; its cells."""


def make_cells(first: int, bounds: NDArray[np.float64]) -> NDArray[np.void]:
    """Cells of consecutive rows: west, south, east, north (N, 4), rounded outwards."""
    cells = np.empty(len(bounds), CELL)
    cells["id"] = np.arange(first, first + len(bounds))
    for edge, column, end in zip(EDGES, (0, 2, 1, 3), (-1, 1, -1, 1), strict=True):
        exact = bounds[:, column]
        near = exact.astype(np.float32)
        is_inside = near > exact if end < 0 else near < exact
        beyond = np.nextafter(near, np.float32(end * np.inf))
        cells[edge] = np.where(is_inside, beyond, near)
    return cells


def fill_index(
    database: sqlite3.Connection, index: str, chunks: Iterable[NDArray[np.void]]
) -> None:
    """Fill an empty R-tree with chunks of cells, whose rows are near each other.

    Raises:
        sqlite3.Error: it cannot be written.
    """
    tree = _Tree(database, index)
    found = [tree.add_nodes(chunk, "rowid") for chunk in chunks if len(chunk) > 0]
    if not found:
        return
    cells, depth = np.concatenate(found, dtype=CELL), 1  # it would make them native-endian
    while len(cells) > tree.capacity:
        cells, depth = tree.add_nodes(cells, "parent"), depth + 1
    tree.set_root(cells, depth)


class _Tree:
    """The tables of an R-tree, and the next number of a node."""

    def __init__(self, database: sqlite3.Connection, index: str) -> None:
        self._database, self._index, self._next = database, index.replace('"', '""'), ROOT + 1
        ((size,),) = database.execute(f'SELECT length(data) FROM "{self._index}_node"')
        self._size = int(size)
        self.capacity = (self._size - HEAD.itemsize) // CELL.itemsize

    def add_nodes(self, cells: NDArray[np.void], table: str) -> NDArray[np.void]:
        """Put cells into nodes, those that are close together in one; the cells of these nodes.

        The table says in which node a cell is.
        """
        cells = cells[_order(cells, self.capacity)]
        starts = np.arange(0, len(cells), self.capacity)
        nodes = np.empty(len(starts), CELL)
        nodes["id"] = np.arange(self._next, self._next + len(starts))
        self._next += len(starts)
        for edge, reduce in zip(EDGES, (np.minimum, np.maximum) * 2, strict=True):
            nodes[edge] = reduce.reduceat(cells[edge].astype(np.float32), starts)
        data = (self._pack(cells[start : start + self.capacity]) for start in starts)
        self._database.executemany(
            f'INSERT INTO "{self._index}_node" VALUES (?, ?)',
            zip(nodes["id"].tolist(), data, strict=True),
        )
        self._place(cells["id"], nodes["id"].repeat(self.capacity)[: len(cells)], table)
        return nodes

    def set_root(self, cells: NDArray[np.void], depth: int) -> None:
        """Make these cells, of nodes at the other end of so many levels, those of the root."""
        self._database.execute(
            f'UPDATE "{self._index}_node" SET data = ? WHERE nodeno = {ROOT}',
            [self._pack(cells, depth)],
        )
        self._place(cells["id"], np.full(len(cells), ROOT), "parent")

    def _place(self, ids: NDArray[np.int64], nodes: NDArray[np.int64], table: str) -> None:
        order = np.argsort(ids)
        self._database.executemany(
            f'INSERT INTO "{self._index}_{table}" VALUES (?, ?)',
            zip(ids[order].tolist(), nodes[order].tolist(), strict=True),
        )

    def _pack(self, cells: NDArray[np.void], depth: int = 0) -> bytes:
        head = np.array([(depth, len(cells))], HEAD)
        return (head.tobytes() + cells.tobytes()).ljust(self._size, b"\0")


def _order(cells: NDArray[np.void], capacity: int) -> NDArray[np.intp]:
    """An order in which those next to each other lie close together: by tiles of equal number.

    Leutenegger, Lopez, Edgington: STR, a simple and efficient algorithm for R-tree packing (1997).
    """
    west, east, south, north = (cells[edge].astype(np.float64) for edge in EDGES)
    columns = int(np.ceil(np.sqrt(len(cells) / capacity)))
    rows = -(-len(cells) // (columns * capacity))  # nodes in a column
    column = np.empty(len(cells), np.int64)
    column[np.argsort(west + east, kind="stable")] = np.arange(len(cells)) // (rows * capacity)
    return np.lexsort((south + north, column))
