"""From the pixels of a label raster, numbers or colours, to class values."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geounet.classes import NODATA, ClassInfo
from geounet.errors import InputError
from geounet.raster import Scene, open_scene
from geounet.vector.labels.label_keys import (
    GREY,
    format_code,
    format_number,
    ignored_colours,
    ignored_in_palette,
    ignored_numbers,
    number_keys,
    order_halves,
    palette_keys,
    reads_by_colour,
    rgb_keys,
)
from geounet.vector.labels.label_options import LabelOptions
from geounet.vector.labels.label_values import list_classes
from geounet.vector.source import modified_at
from geounet.wording import counted

MAX_DISTINCT = 1000
"""More different values than this are measurements or identifiers, not classes."""

BLOCK = 1024
"""Rows and columns counted at a time."""

SHOWN = 3
"""Of what is no class so many are named in an error."""

UNKNOWN = -1


@dataclass(frozen=True, eq=False)
class Decoder:
    """What the pixels of a label raster mean.

    Attributes:
        keys: class value, 255 for no label, by what a pixel holds: a number, or a colour's code.
        threshold: if not None, what is at least this, and no key, is the second of `halves`, else
            the first; of colours the greys alone, from 0 to 255.
        halves: class values below the threshold, and from it on.
        name_colour: the colour that a pixel stands for, `#rrggbb`; None if it is but a number.
    """

    keys: Mapping[int, int]
    threshold: float | None = None
    halves: tuple[int, int] = (0, 1)
    name_colour: Callable[[float], str] | None = None

    def decode(
        self, pixels: NDArray[np.generic], valid: NDArray[np.bool_]
    ) -> tuple[NDArray[np.uint8], bool]:
        """Class values (H, W), 255 where not valid or ignored; whether all others were known.

        Args:
            pixels: (1 or 3, H, W).
            valid: bool (H, W), True = data.
        """
        values = self.look_up(to_codes(pixels))
        values[~valid] = NODATA
        return values.astype(np.uint8), bool((values != UNKNOWN).all())

    def look_up(self, codes: NDArray[Any]) -> NDArray[np.int16]:
        """Class value of each code, 255 for no label, -1 for what is no class."""
        if codes.dtype.kind in "iu" and codes.dtype.itemsize <= 2:
            table = self._table(codes.dtype)
            found: NDArray[np.int16] = table[codes]  # negative ones count from the end, as meant
            return found
        values = self._otherwise(codes)
        for code, value in self.keys.items():
            values[codes == code] = value
        return values

    def _table(self, dtype: np.dtype[Any]) -> NDArray[np.int16]:
        if dtype not in self._tables:
            size, info = 256**dtype.itemsize, np.iinfo(dtype)
            table = self._otherwise(np.arange(size).astype(dtype))
            for code, value in self.keys.items():
                if info.min <= code <= info.max:
                    table[code % size] = value
            self._tables[dtype] = table
        return self._tables[dtype]

    @cached_property
    def _tables(self) -> dict[np.dtype[Any], NDArray[np.int16]]:
        return {}

    def _otherwise(self, codes: NDArray[Any]) -> NDArray[np.int16]:
        """What codes mean that are no keys."""
        if self.threshold is None:
            return np.full(codes.shape, UNKNOWN, np.int16)
        levels = codes if self.name_colour is None else codes % 256
        halves = np.where(levels >= self.threshold, *self.halves[::-1]).astype(np.int16)
        if self.name_colour is not None:
            halves[codes != levels * GREY] = UNKNOWN
        return halves


def to_codes(pixels: NDArray[Any]) -> NDArray[Any]:
    """What each pixel holds, (H, W): the number of one band, or the code of three."""
    if len(pixels) == 1:
        numbers: NDArray[Any] = pixels[0]
        return numbers
    red, green, blue = pixels.astype(np.int32)
    codes: NDArray[np.int32] = (red << 16) | (green << 8) | blue
    return codes


def open_label_raster(source: str | Path) -> Scene:
    """A raster of classes on its own grid: one band of numbers, or three of colours.

    Raises:
        InputError: GDAL opens it neither as a raster nor as vectors, or it has other bands.
    """
    labels = open_scene(source, allow_palette=True)
    if labels.count == 1 or (labels.count == 3 and labels.dtype == np.uint8):
        return labels
    labels.close()
    raise InputError(
        f"{source} has {counted(labels.count, 'band')} of {labels.dtype}; labels have one, with "
        "the number of the class, or red, green and blue of 8 bits"
    )


def has_colours(source: str | Path) -> bool:
    """Whether a label raster has colours, of its pixels or in a palette."""
    with open_label_raster(source) as labels:
        return labels.count == 3 or labels.palette is not None


def make_decoder(raster: Scene, classes: Sequence[ClassInfo], options: LabelOptions) -> Decoder:
    """What the pixels of this raster mean.

    Raises:
        InputError: its palette or its nodata value contradicts the classes.
        UsageError: two classes have the same colour, and colours are to tell them apart; or what
            is mapped or ignored is not what it holds.
    """
    if options.threshold is not None:
        halves = dark, bright = order_halves(classes)
        ignored = ignored_numbers(options)
        pure = {0: dark.value, 255: bright.value}
        if raster.count == 1:
            _require_no_contradiction(raster, pure | ignored, halves)
            return Decoder(ignored, options.threshold, (dark.value, bright.value))
        keys = {number * GREY: NODATA for number in ignored} | ignored_colours(options)
        greys = {number * GREY: value for number, value in pure.items()}
        _require_no_contradiction(raster, greys | keys, halves)
        return Decoder(keys, options.threshold, (dark.value, bright.value), format_code)
    if raster.count == 3:
        keys = rgb_keys(classes, options)
        _require_no_contradiction(raster, keys, classes)
        return Decoder(keys, name_colour=format_code)
    palette = raster.palette
    if palette is not None and reads_by_colour(palette, raster.path, classes, options):
        keys = palette_keys(palette, classes, options)
        return Decoder(keys, name_colour=lambda index: palette.get(int(index), f"number {index}"))
    keys = number_keys(classes, options) | ignored_in_palette(palette or {}, options)
    _require_no_contradiction(raster, keys, classes)
    return Decoder(keys)


def _require_no_contradiction(
    raster: Scene, keys: Mapping[int, int], classes: Sequence[ClassInfo]
) -> None:
    """Nothing, unless the file calls a declared class nodata, as tools that burn labels like to."""
    nodata, cure = raster.nodata, f"remove the mark: gdal_edit.py -unsetnodata {raster.path}"
    if nodata is None or (raster.count == 3 and nodata not in range(256)):
        return
    code = nodata if raster.count == 1 else int(nodata) * GREY
    value = next((v for label, v in keys.items() if label == code), NODATA)
    if value != NODATA:
        name = next(item.name for item in classes if item.value == value)
        raise InputError(
            f"{raster.path} says that {format_number(nodata)} is nodata, but it is the class "
            f"{name!r}; {cure}"
        )
    if raster.count == 1:
        return
    ignored = frozenset(code for code, value in keys.items() if value == NODATA)
    path = os.fspath(raster.path)
    hidden = _find_hidden(path, modified_at(path), int(nodata), ignored)
    if hidden is not None:
        fill = format_code(code)
        raise InputError(
            f"{path} says that {int(nodata)} is nodata in each band, which hides the colour "
            f"{hidden}; {cure} and, if {fill} means 'no label', say --ignore {fill}"
        )


@lru_cache(maxsize=64)
def _find_hidden(path: str, modified_at: float, nodata: int, ignored: frozenset[int]) -> str | None:
    """A colour with this level in one or two of its bands only: as an image, it would be no data.

    Read once for all threads; colours to be ignored do not count.
    """
    with open_label_raster(path) as labels:
        for window in labels.grid.extent.blocks(BLOCK, BLOCK):
            pixels, _ = labels.read(window)
            is_level = pixels == nodata
            codes = to_codes(pixels)[is_level.any(axis=0) & ~is_level.all(axis=0)]
            if found := set(np.unique(codes).tolist()) - ignored:
                return format_code(min(found))
    return None


def count_codes(labels: Scene, limit: int | None = None) -> Counter[float]:
    """How many valid pixels of a label raster hold each number or colour; streamed.

    Args:
        labels: as from `open_label_raster`.
        limit: pixels after which to stop; None: none.

    Raises:
        InputError: it has too many different values to be one, or is damaged.
    """
    counts: Counter[float] = Counter()
    seen = 0
    for window in labels.grid.extent.blocks(BLOCK, BLOCK):
        pixels, valid = labels.read(window)
        values, numbers = np.unique(to_codes(pixels)[valid], return_counts=True)
        counts.update(dict(zip(values.tolist(), numbers.tolist(), strict=True)))
        seen += window.area
        if len(counts) > MAX_DISTINCT:
            raise InputError(
                f"{labels.path} has more than {MAX_DISTINCT} different "
                f"{'values' if labels.count == 1 else 'colours'}; labels hold one number or colour "
                "per class, and are not compressed with loss, as JPEG does"
            )
        if limit is not None and seen >= limit:
            break
    return counts


def refuse_pixels(source: str | Path, decoder: Decoder, classes: Sequence[ClassInfo]) -> InputError:
    """The error that says what in a label raster is no class, how often, and where."""
    counts, places = _find_unknown(source, decoder)
    commonest = counts.most_common(SHOWN)
    shown = [
        f"the {_name(code, decoder)} in {counted(count, 'pixel')} (one at row {places[code][0]}, "
        f"column {places[code][1]})"
        for code, count in commonest
    ]
    more = f" and {len(counts) - len(shown)} more such" if len(counts) > len(shown) else ""
    return InputError(
        f"{source} has {', '.join(shown)}{more}, none of the classes {list_classes(classes)}; "
        + _advise(commonest[0][0], decoder, classes)
    )


def _find_unknown(
    source: str | Path, decoder: Decoder
) -> tuple[Counter[float], dict[float, tuple[int, int]]]:
    """What is no class in a file: how often, and the row and column of one."""
    counts: Counter[float] = Counter()
    places: dict[float, tuple[int, int]] = {}
    with open_label_raster(source) as labels:
        for window in labels.grid.extent.blocks(BLOCK, BLOCK):
            pixels, valid = labels.read(window)
            codes = to_codes(pixels)
            unknown = valid & (decoder.look_up(codes) == UNKNOWN)
            found, firsts, numbers = np.unique(
                codes[unknown], return_index=True, return_counts=True
            )
            rows, cols = np.nonzero(unknown)
            counts.update(dict(zip(found.tolist(), numbers.tolist(), strict=True)))
            for code, first in zip(found.tolist(), firsts, strict=True):
                places.setdefault(code, (window.row_off + int(rows[first]), int(cols[first])))
    return counts, places


def _name(code: float, decoder: Decoder) -> str:
    """`value 7`, or `colour #ff0000`."""
    if decoder.name_colour is None:
        return f"value {format_number(code)}"
    return f"colour {decoder.name_colour(code)}"


def _advise(code: float, decoder: Decoder, classes: Sequence[ClassInfo]) -> str:
    if decoder.name_colour is not None:
        colour = decoder.name_colour(code)
        if decoder.threshold is not None:
            return (
                "a threshold is for masks of greys; say which class each colour is, with --classes "
                f"NAME={colour},... and without --threshold, or leave it out: --ignore {colour}"
            )
        return f"declare it with --classes NAME={colour},..., or leave it out: --ignore {colour}"
    if code != int(code):
        return "labels hold a whole number for each class; give such ones"
    names = {item.value: item.name for item in classes}
    labels = [f"{n}={names[value]}" for n, value in decoder.keys.items() if value in names]
    known = ",".join(labels[:3]) + (",..." if len(labels) > 3 else "")
    number = format_number(code)
    mask = "; if this is a mask of 0 to 255, give --threshold 128" if code > 127 else ""
    return (
        f"declare it: --classes {known},{number}=NAME, or, of labels, leave it out with --ignore "
        f"{number}{mask}"
    )
