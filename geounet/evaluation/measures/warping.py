"""Labels that are warped towards a mask, as far as their topology stays what it is.

A pixel is simple if flipping it changes neither how many objects there are nor how many holes:
among the eight pixels around it there is one component of the object that touches it, and one of
what is outside (Rosenfeld 1979, Digital topology; Kong & Rosenfeld 1989). Objects connect by edges,
then what is outside connects by corners, or the other way round.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geounet.vector import compiled

AROUND = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
"""The pixels around one, in the order of the bits that say which of them are of the object."""

STEPS = 8
"""Pixels that a round looks beyond the one before: those of four lattices flip in turn, twice,
since at a corner one may have to wait for those beside it."""


def tabulate_simple(*, eight: bool) -> NDArray[np.bool_]:
    """Whether a pixel is simple, (256,), by which of the pixels around it are of the object.

    `eight`: the object connects by corners, and what is outside by edges.
    """
    return np.array([_is_simple(bits, eight=eight) for bits in range(256)])


def _is_simple(bits: int, *, eight: bool) -> bool:
    around = np.zeros((3, 3), np.bool_)
    for bit, (row, col) in enumerate(AROUND):
        around[row + 1, col + 1] = bits >> bit & 1
    outside = ~around
    outside[1, 1] = False
    return _count_touching(around, eight=eight) == 1 == _count_touching(outside, eight=not eight)


def _count_touching(around: NDArray[np.bool_], *, eight: bool) -> int:
    """Components of what is around a pixel that touch it."""
    near = np.ones((3, 3), np.bool_) if eight else ndimage.generate_binary_structure(2, 1)
    regions, _ = ndimage.label(around, near)
    return len(np.unique(regions[near & (regions > 0)]))


def warp(
    labels: NDArray[np.bool_],
    mask: NDArray[np.bool_],
    rounds: int,
    simple: NDArray[np.bool_],
    parity: tuple[int, int],
) -> NDArray[np.bool_]:
    """Labels (H, W) with simple pixels flipped to what the mask has there, in some rounds.

    In a round, those pixels flip that are not as in the mask and touch one that is as they should
    become, seen before the round: a boundary moves by one pixel, over edge or corner. Of these, the
    pixels of four lattices flip in turn, twice: rows and columns even and even, even and odd, odd
    and even, odd and odd, counted from `parity`. No two pixels of a lattice are neighbours, so that
    in any order, and in all windows, the same ones are simple. What becomes of a pixel is known
    from the `STEPS * rounds` pixels around it; of those at the edge of the arrays nothing is.
    """
    warped = labels.copy()
    _warp(warped, mask, rounds, simple, parity)
    return warped


@compiled
def _warp(
    warped: NDArray[np.bool_],
    mask: NDArray[np.bool_],
    rounds: int,
    simple: NDArray[np.bool_],
    parity: tuple[int, int],
) -> None:
    rows, cols = np.nonzero(warped != mask)
    for _ in range(rounds):
        turns = _find_turns(warped, mask, rows, cols, parity)
        for step in range(STEPS):
            for index in range(len(rows)):
                row, col = rows[index], cols[index]
                is_due = turns[index] == step & 3 and warped[row, col] != mask[row, col]
                if is_due and simple[_look_around(warped, row, col)]:
                    warped[row, col] = mask[row, col]
        kept = np.zeros(len(rows), np.bool_)
        for index in range(len(rows)):
            kept[index] = warped[rows[index], cols[index]] != mask[rows[index], cols[index]]
        if kept.all():
            return
        rows, cols = rows[kept], cols[kept]


@compiled
def _find_turns(
    warped: NDArray[np.bool_],
    mask: NDArray[np.bool_],
    rows: NDArray[np.intp],
    cols: NDArray[np.intp],
    parity: tuple[int, int],
) -> NDArray[np.uint8]:
    """Of each pixel the lattice with which it may flip in this round; 4: it may not."""
    turns = np.full(len(rows), 4, np.uint8)
    for index in range(len(rows)):
        row, col = rows[index], cols[index]
        is_inner = 0 < row < warped.shape[0] - 1 and 0 < col < warped.shape[1] - 1
        if is_inner and _look_around(warped, row, col) != (0 if mask[row, col] else 255):
            turns[index] = ((row + parity[0]) & 1) * 2 + ((col + parity[1]) & 1)
    return turns


@compiled
def _look_around(values: NDArray[np.bool_], row: int, col: int) -> int:
    """Which of the pixels around one are True, as bits in the order of `AROUND`."""
    bits = 0
    bit = 1
    for y in range(row - 1, row + 2):
        for x in range(col - 1, col + 2):
            if y != row or x != col:
                if values[y, x]:
                    bits |= bit
                bit <<= 1
    return bits
