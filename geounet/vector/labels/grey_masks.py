"""Masks of 0 and 255, perhaps with grey edges, that are to show two classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geounet.vector.labels.label_keys import NEAR, is_grey
from geounet.vector.labels.label_pixels import count_codes, open_label_raster

HALF = 128
"""What is at least this in a mask of 0 to 255 is the brighter class."""

PURE_SHARE = 0.7
"""Share of a mask's pixels that are pure, at least."""

EDGE_VALUES = 4
"""So many different values from 128 to 254 are edges; fewer may be numbers of classes."""

FEW = 0.02
"""Share of a mask's pixels that are 1 because of weak compression, at most."""


@dataclass(frozen=True)
class Content:
    """What a label raster holds.

    Attributes:
        counts: valid pixels by number, or by colour as from `to_code`.
        bands: 1 for numbers, 3 for colours.
        greys: counts by grey, if it can be a mask: 8 bits, no palette, no colour; else None.
    """

    counts: Counter[float]
    bands: int
    greys: Counter[float] | None


def read_content(source: str | Path, limit: int | None = None) -> Content:
    """Count what a label raster holds, up to `limit` pixels.

    Raises:
        InputError: it is none, or is damaged.
    """
    with open_label_raster(source) as labels:
        counts = count_codes(labels, limit)
        is_bytes = labels.dtype == "uint8" and labels.palette is None
        greys = _to_greys(counts, labels.count) if is_bytes else None
        return Content(counts, labels.count, greys)


def _to_greys(codes: Counter[float], bands: int) -> Counter[float] | None:
    if bands == 1:
        return codes
    if not all(is_grey(int(code)) for code in codes):
        return None
    return Counter({int(code) % 256: count for code, count in codes.items()})


def are_masks(contents: Sequence[Content], numbers: Sequence[int] | None = None) -> bool:
    """Whether rasters look like masks of 0 and 255, perhaps with grey edges, all together.

    Args:
        contents: of the rasters.
        numbers: of two declared classes, which are a hint: fewer greys make an edge then, unless
            the rasters hold these numbers. None: none were declared.
    """
    greys = [content.greys for content in contents]
    known = [counts for counts in greys if counts is not None]
    counts = sum(known, Counter[float]())
    if len(known) < len(greys) or (numbers is not None and _holds_numbers(counts, numbers)):
        return False
    return _is_mask(counts, EDGE_VALUES if numbers is None else 1)


def _holds_numbers(counts: Counter[float], numbers: Sequence[int]) -> bool:
    """Whether 8-bit values are two numbers of classes and flags, such as 250 for "not seen".

    Both numbers occur, and the higher is commoner than all other greys; or there are none between
    it and 128, though edges have them. The edges of a weakly compressed image may have but 1 and
    254: both, and in few pixels.
    """
    top = max(numbers)
    if top >= HALF or not all(counts[number] for number in numbers):
        return False
    bright = sum(n for value, n in counts.items() if value >= HALF)
    between = sum(n for value, n in counts.items() if top < value < HALF)
    if counts[top] > max(bright, between):
        return True
    return not between and (not counts[254] or counts[top] > FEW * counts.total())


def _is_mask(counts: Counter[float], edge_values: int) -> bool:
    """Whether counts of 8-bit values are those of a mask.

    Edges have values on both sides; numbers of classes are few or small, perhaps with 255 for "no
    label".
    """
    if max(counts, default=0) <= 255 - NEAR:
        return False
    if counts.keys() <= {0, 255}:
        return True
    pure = sum(n for value, n in counts.items() if value < NEAR or value > 255 - NEAR)
    upper = sum(HALF <= value < 255 for value in counts)
    return upper >= edge_values and pure >= PURE_SHARE * counts.total()
