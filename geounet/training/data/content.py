"""What the training pixels show, cell by cell: from this balanced chips are drawn.

A *fragment* is what one class, or one instance, has in one cell of 64 x 64 pixels: a few bytes for
thousands of pixels, and enough to draw any of them by reading that cell again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from geounet.classes import NODATA
from geounet.raster import Window
from geounet.training.data.sources import Reading, Sample, Source, SourceReader
from geounet.vector import find_amorphous, is_vectors, number_regions

Kind = Literal["class", "instance"]

Columns = dict[str, NDArray[Any]]

CELL = 64
"""Side in pixels: reading one takes a fraction of a chip's time."""


@dataclass(frozen=True)
class Content:
    """Fragments, as arrays of the same length F.

    Attributes:
        kind: what they are of.
        scene: int32 (F,), index of the scene.
        cell: int32 (F, 4), row and column of the cell's first pixel, its height and width.
        value: uint8 (F,), class.
        first: int32 (F,), the first pixel in the cell, counted row by row.
        pixels: int32 (F,), how many.
        group: int32 (F,), the instance, or the class by its position among all.
    """

    kind: Kind
    scene: NDArray[np.int32]
    cell: NDArray[np.int32]
    value: NDArray[np.uint8]
    first: NDArray[np.int32]
    pixels: NDArray[np.int32]
    group: NDArray[np.int32]

    def window(self, index: int) -> Window:
        """The cell of a fragment."""
        row, col, height, width = self.cell[index].tolist()
        return Window(row_off=row, col_off=col, height=height, width=width)

    def sum_groups(self, amounts: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sum over each class or instance of what its fragments (F,) have."""
        return np.bincount(self.group, amounts).astype(np.float64, copy=False)


@dataclass(frozen=True)
class Numbering:
    """How the fragments of a cell are told from each other.

    Attributes:
        kind: what they are of.
        values: of the classes, in their order.
        amorphous: values whose pixels are of no instance.
        has_features: of each scene, whether its instances are features, known by their numbers;
            else they are connected regions of a class.
    """

    kind: Kind
    values: tuple[int, ...]
    amorphous: frozenset[int]
    has_features: tuple[bool, ...]

    def number(
        self, reader: SourceReader, scene: int, window: Window, sample: Sample
    ) -> NDArray[np.int32]:
        """Which fragment each labelled pixel is of, int32 (H, W) from 1; 0: of none.

        Args:
            reader: of the scenes.
            scene: which.
            window: of it; cells are counted from its first pixel.
            sample: what is in it.
        """
        if self.kind == "class":
            channels = np.zeros(256, np.int32)
            channels[list(self.values)] = np.arange(1, len(self.values) + 1)
            return channels[sample.labels]
        if not self.has_features[scene]:
            return number_in_cells(sample.labels, self.amorphous)
        ids = reader.read_instances(scene, window)
        return np.where(sample.labels == NODATA, np.int32(0), ids)


def plan_numbering(kind: Kind, sources: Sequence[Source], reading: Reading) -> Numbering:
    """How the fragments of these scenes are told from each other."""
    options = reading.label_options
    by_feature = options.separate_px is not None
    return Numbering(
        kind=kind,
        values=tuple(item.value for item in reading.classes),
        amorphous=find_amorphous(reading.classes, options),
        has_features=tuple(by_feature and is_vectors(source.labels) for source in sources),
    )


def number_in_cells(
    values: NDArray[np.uint8], amorphous: Collection[int], side: int = CELL
) -> NDArray[np.int32]:
    """4-connected regions of each class in each cell, int32 (H, W) from 1; 0 where amorphous."""
    rows, cols = (np.arange(size) + np.arange(size) // side for size in values.shape)
    spaced = np.full((rows[-1] + 1, cols[-1] + 1), NODATA, np.uint8)  # a line between the cells
    spaced[np.ix_(rows, cols)] = values
    numbered: NDArray[np.int32] = number_regions(spaced, amorphous)[np.ix_(rows, cols)]
    return numbered


class ContentBuilder:
    """Takes the windows of the training pixels, in any order; makes their content."""

    def __init__(self, numbering: Numbering) -> None:
        self._numbering = numbering
        self._parts: list[Columns] = []
        self._count = 0
        self._edges: list[NDArray[np.int32]] = [np.empty((2, 0), np.int32)]
        # of windows: fragments along their edges, by scene, axis and line, before and after it
        self._sides: dict[tuple[int, int, int], tuple[list[NDArray[np.int32]], ...]] = {}

    def add(self, reader: SourceReader, scene: int, window: Window, sample: Sample) -> None:
        """Take account of a window that has no pixel in common with those before."""
        ids = self._numbering.number(reader, scene, window, sample)
        index = self._add_fragments(scene, window, sample, ids)
        if self._numbering.kind == "instance" and not self._numbering.has_features[scene]:
            for axis, lines in enumerate((index, index.T)):
                self._join_cells(lines)
                self._keep_side(scene, axis, window, lines)

    def build(self) -> Content:
        """The content of all windows."""
        empty: Columns = {
            "scene": np.empty(0, np.int32),
            "cell": np.empty((0, 4), np.int32),
            "value": np.empty(0, np.uint8),
            "first": np.empty(0, np.int32),
            "pixels": np.empty(0, np.int32),
            "id": np.empty(0, np.int32),
        }
        parts = [empty, *self._parts]
        columns = {name: np.concatenate([part[name] for part in parts]) for name in empty}
        group = self._find_groups(columns)
        del columns["id"]
        return Content(kind=self._numbering.kind, group=group, **columns)

    def _add_fragments(
        self, scene: int, window: Window, sample: Sample, ids: NDArray[np.int32]
    ) -> NDArray[np.int32]:
        """Position of each pixel's fragment among all, from 1 (H, W); 0: it is of none."""
        rows, cols = (np.arange(size) // CELL for size in ids.shape)
        cell = rows[:, None] * (cols[-1] + 1) + cols
        key = np.where(ids > 0, cell.astype(np.int64) << 32 | ids, -1).ravel()
        keys, first, inverse, pixels = np.unique(
            key, return_index=True, return_inverse=True, return_counts=True
        )
        absent = int(keys.size > 0 and keys[0] < 0)
        first, pixels = first[absent:], pixels[absent:]
        row, col = np.divmod(first, window.width)
        top, left = row // CELL * CELL, col // CELL * CELL
        height = np.minimum(CELL, window.height - top)
        width = np.minimum(CELL, window.width - left)
        self._parts.append(
            {
                "scene": np.full(first.size, scene, np.int32),
                "cell": np.stack(
                    [top + window.row_off, left + window.col_off, height, width], axis=1
                ).astype(np.int32),
                "value": sample.labels.ravel()[first],
                "first": ((row - top) * width + col - left).astype(np.int32),
                "pixels": pixels.astype(np.int32),
                "id": (keys[absent:] & 0xFFFFFFFF).astype(np.int32),
            }
        )
        index = np.where(key < 0, 0, inverse.ravel() + 1 - absent + self._count)
        self._count += first.size
        return index.reshape(ids.shape).astype(np.int32)

    def _join_cells(self, lines: NDArray[np.int32]) -> None:
        for line in range(CELL, len(lines), CELL):
            self._join(lines[line - 1], lines[line])

    def _join(self, before: NDArray[np.int32], after: NDArray[np.int32]) -> None:
        """Fragments that lie beside each other may be of one instance."""
        pairs = np.stack([before, after])[:, (before > 0) & (after > 0)]
        if pairs.size:
            self._edges.append(np.unique(pairs, axis=1) - 1)

    def _keep_side(self, scene: int, axis: int, window: Window, lines: NDArray[np.int32]) -> None:
        """Keep where fragments touch the first and last line of a window."""
        start = (window.row_off, window.col_off)[axis]
        along = (window.col_off, window.row_off)[axis]
        for line, is_after, values in ((start, 1, lines[0]), (start + len(lines), 0, lines[-1])):
            (where,) = values.nonzero()
            if where.size:
                sides = self._sides.setdefault((scene, axis, line), ([], []))
                sides[is_after].append(np.stack([where + along, values[where]]).astype(np.int32))

    def _find_groups(self, columns: Columns) -> NDArray[np.int32]:
        """Which class or instance each fragment is of."""
        ids: NDArray[np.int64] = columns["id"].astype(np.int64)
        if self._numbering.kind == "class":
            return (ids - 1).astype(np.int32)
        for sides in self._sides.values():
            if all(sides):
                before, after = (np.concatenate(side, axis=1) for side in sides)
                _, left, right = np.intersect1d(
                    before[0], after[0], assume_unique=True, return_indices=True
                )
                self._join(before[1, left], after[1, right])
        edges = np.concatenate(self._edges, axis=1)
        edges = edges[:, columns["value"][edges[0]] == columns["value"][edges[1]]]
        graph = coo_array(
            (np.ones(edges.shape[1], np.int8), (edges[0], edges[1])), (self._count,) * 2
        )
        _, regions = connected_components(graph, directed=False)
        has_features = np.array(self._numbering.has_features, bool)[columns["scene"]]
        scene = columns["scene"].astype(np.int64)
        key = np.where(has_features, scene << 32 | ids, -1 - regions.astype(np.int64))
        return np.unique(key, return_inverse=True)[1].astype(np.int32).ravel()
