"""From the files of a scene to the sums of its blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from geounet.classes import NODATA
from geounet.evaluation.jobs import Job
from geounet.evaluation.measures.family import (
    Accumulator,
    Block,
    BlockSums,
    Family,
    Piece,
    Scope,
    cut_blocks,
)
from geounet.evaluation.reading import Legends, Reading, read_pieces
from geounet.inference import threaded

AHEAD = 2
"""Windows that are read while one is counted."""

Tables = Mapping[str, NDArray[Any]]
"""By the name of a family its sums (blocks, size)."""


@dataclass(frozen=True)
class SceneSums:
    """All that counts of a scene.

    Attributes:
        blocks: those that have pixels which count, row by row.
        tables: sums of the mask, in the order of the blocks.
        other_tables: of the mask compared with; empty if there is none.
        agreement: int64 (blocks, 4), as in `Blocks`; None likewise.
        unpredicted: int64 (K,), labelled pixels where the mask has no data, by class.
        left_out: pixels that do not count since only the other mask has no data there.
        scored: pixels that count and have scores, and
        unlike: those of them whose scores favour another class than the mask.
        note: what was done to the labels, and
        other_note: to the other mask; None if nothing.
    """

    blocks: tuple[Block, ...]
    tables: Tables
    other_tables: Tables
    agreement: NDArray[np.int64] | None
    unpredicted: NDArray[np.int64]
    left_out: int
    scored: int
    unlike: int
    note: str | None
    other_note: str | None


class Watcher(Protocol):
    """Sees the pixels that count, scene by scene, and makes something else of them than sums."""

    def start(self, job: Job) -> None:
        """A scene begins."""

    def add(self, piece: Piece, other: NDArray[np.uint8] | None) -> None:
        """Take in a piece without halo, in the order of `Accumulator.add`.

        Args:
            piece: labels and mask.
            other: as the piece's mask, of the mask to compare with; None if there is none.
        """

    def finish(self) -> None:
        """The scene is over."""


def count_scene(
    job: Job,
    how: Legends,
    families: Sequence[Family],
    block_px: int,
    advance: Callable[[int], None],
    watchers: Sequence[Watcher] = (),
) -> SceneSums:
    """Count what the families want of a scene; `advance` hears the pixels of every window.

    Memory is that of some windows, and of the sums.

    Raises:
        InputError: a file cannot be read, or has a value of no class.
    """
    scope = Scope(job.grid, job.area, block_px)
    compared = list_compared(families) if job.other else []
    mine = [family.start(scope) for family in families]
    theirs = [family.start(scope) for family in compared]
    tally = _Tally(len(how.classes), block_px)
    halo = max(accumulator.halo for accumulator in mine)
    for watcher in watchers:
        watcher.start(job)
    with closing(threaded(read_pieces(job, how, halo), AHEAD)) as readings:
        for reading in readings:
            counted = reading.find_counted()
            _add(mine, reading, reading.mask, counted)
            if reading.other is not None:
                _add(theirs, reading, reading.other, counted)
            tally.add(reading, counted)
            _show(watchers, reading, counted)
            advance(reading.window.area)
    for watcher in watchers:
        watcher.finish()
    sums = [accumulator.finish() for accumulator in mine]
    blocks = tuple(sorted(sums[0]))  # of the pixels
    return SceneSums(
        blocks=blocks,
        tables=_stack_all(families, sums, blocks),
        other_tables=_stack_all(compared, [each.finish() for each in theirs], blocks),
        agreement=stack_sums(tally.agreement, blocks, 4) if job.other else None,
        unpredicted=tally.unpredicted,
        left_out=tally.left_out,
        scored=tally.scored,
        unlike=tally.unlike,
        note=tally.note,
        other_note=tally.other_note,
    )


def list_compared(families: Sequence[Family]) -> list[Family]:
    """Those that two masks can be compared by: the other one has no scores."""
    return [family for family in families if family.name != "probability"]


def _stack_all(
    families: Sequence[Family], sums: Sequence[BlockSums], blocks: Sequence[Block]
) -> Tables:
    return {
        family.name: stack_sums(found, blocks, family.size)
        for family, found in zip(families, sums, strict=True)
    }


def stack_sums(sums: BlockSums, blocks: Sequence[Block], size: int) -> NDArray[Any]:
    """The sums of these blocks, (blocks, size); 0 where there are none.

    Raises:
        KeyError: there are sums of another block: a family counted what does not count.
    """
    dtype = next((array.dtype for array in sums.values()), np.dtype(np.int64))
    rows = {block: row for row, block in enumerate(blocks)}
    table = np.zeros((len(blocks), size), dtype)
    for block, array in sums.items():
        table[rows[block]] = array
    return table


def _add(
    accumulators: Sequence[Accumulator],
    reading: Reading,
    mask: NDArray[np.uint8],
    counted: NDArray[np.bool_],
) -> None:
    pieces = {}
    for accumulator in accumulators:
        halo = accumulator.halo
        if halo not in pieces:
            pieces[halo] = reading.cut(mask, counted, halo)
        accumulator.add(pieces[halo])


def _show(watchers: Sequence[Watcher], reading: Reading, counted: NDArray[np.bool_]) -> None:
    if not watchers:
        return
    piece = reading.cut(reading.mask, counted, 0)
    other = None if reading.other is None else reading.cut(reading.other, counted, 0).mask
    for watcher in watchers:
        watcher.add(piece, other)


class _Tally:
    """What is counted beside the families: what is missing, and where files agree."""

    def __init__(self, classes: int, block_px: int) -> None:
        self.agreement: dict[Block, NDArray[np.int64]] = {}
        self.unpredicted = np.zeros(classes, np.int64)
        self.left_out = self.scored = self.unlike = 0
        self.note: str | None = None
        self.other_note: str | None = None
        self._block_px = block_px

    def add(self, reading: Reading, counted: NDArray[np.bool_]) -> None:
        """Count a window without its halo."""
        halo = (len(counted) - reading.window.height) // 2
        height, width = reading.window.shape
        inner = (slice(halo, halo + height), slice(halo, halo + width))
        labels, mask, counted = reading.labels[inner], reading.mask[inner], counted[inner]
        self.note, self.other_note = reading.note, reading.other_note
        missing = labels[(mask == NODATA) & (labels != NODATA)]
        self.unpredicted += np.bincount(missing, minlength=len(self.unpredicted))
        if reading.scores is not None:
            self._compare_scores(mask, *reading.scores, counted)
        if reading.other is None:
            return
        other = reading.other[inner]
        self.left_out += int(((labels != NODATA) & (mask != NODATA) & ~counted).sum())
        outcome = 2 * (mask != labels) + (other != labels)
        for block, where in cut_blocks(reading.window, self._block_px):
            outcomes = np.bincount(outcome[where][counted[where]], minlength=4)
            if outcomes.any():
                self.agreement[block] = self.agreement.get(block, 0) + outcomes

    def _compare_scores(
        self,
        mask: NDArray[np.uint8],
        scores: NDArray[Any],
        scored: NDArray[np.bool_],
        counted: NDArray[np.bool_],
    ) -> None:
        where = counted & scored
        chosen = np.where(where, mask, np.uint8(0))[None].astype(np.intp)
        # rounding makes ties of what was less, but never more of it
        is_less = np.take_along_axis(scores, chosen, axis=0)[0] < scores.max(axis=0)
        self.scored += int(where.sum())
        self.unlike += int((where & is_less).sum())
