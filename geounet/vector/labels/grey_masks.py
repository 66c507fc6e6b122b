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


def are_masks(contents: Sequence[Content], edge_values: int = EDGE_VALUES) -> bool:
    """Whether rasters look like masks of 0 and 255, perhaps with grey edges, all together."""
    greys = [content.greys for content in contents]
    known = [counts for counts in greys if counts is not None]
    return len(known) == len(greys) and _is_mask(sum(known, Counter[float]()), edge_values)


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
