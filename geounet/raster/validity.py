"""Which pixels are data: masks, alpha, nodata, NaN."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import iand
from typing import Any

import numpy as np
import rasterio.windows
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader

Range = tuple[float, float]
"""Lowest and highest value that count as nodata."""


@dataclass(frozen=True, slots=True)
class ValidityRule:
    """Where to look before a pixel of some bands counts as data. It must pass all of these.

    Attributes:
        masks: Bands whose mask in the file (internal or .msk) must not be 0.
        alphas: Alpha bands that must not be 0.
        nodata: For each chosen band the values that are no data, or None.
    """

    masks: tuple[int, ...]
    alphas: tuple[int, ...]
    nodata: tuple[Range | None, ...]

    def apply(
        self,
        dataset: DatasetReader,
        pixels: NDArray[np.generic],
        window: rasterio.windows.Window,
    ) -> NDArray[np.bool_]:
        """Whether each pixel of the window is data, (H, W), given what was read: (count, H, W)."""
        conditions = self._check(dataset, pixels, window)
        first = next(conditions, None)
        return np.ones(pixels.shape[1:], bool) if first is None else reduce(iand, conditions, first)

    def _check(
        self,
        dataset: DatasetReader,
        pixels: NDArray[np.generic],
        window: rasterio.windows.Window,
    ) -> Iterator[NDArray[np.bool_]]:
        """What must hold all together, arrays (H, W) of their own."""
        shape = pixels.shape[1:]
        for band in self.masks:
            yield dataset.read_masks(band, window=window, out_shape=shape) != 0
        for band in self.alphas:
            yield dataset.read(band, window=window, out_shape=shape) != 0
        for values, nodata in zip(pixels, self.nodata, strict=True):
            if values.dtype.kind == "f":
                yield np.isfinite(values)
            if nodata is not None:
                yield _outside(values, nodata)


def make_rule(dataset: DatasetReader, bands: Sequence[int]) -> ValidityRule:
    """The rule for these bands of a dataset; it reads nothing that the file says is all valid.

    GDAL looks at the first of .msk file, internal mask, nodata and alpha only, and takes its
    dataset mask as the union of the bands': here everything that the file says counts.
    """
    return ValidityRule(
        masks=_find_masks(dataset, bands),
        alphas=tuple(sorted(find_alphas(dataset) - set(bands))),
        nodata=tuple(_nodata_range(dataset, band) for band in bands),
    )


def find_alphas(dataset: DatasetReader) -> set[int]:
    """The alpha bands, counted from 1."""
    pairs = zip(dataset.indexes, dataset.colorinterp, strict=True)
    return {band for band, meaning in pairs if meaning == ColorInterp.alpha}


def _find_masks(dataset: DatasetReader, bands: Sequence[int]) -> tuple[int, ...]:
    """One band per mask in the file: one is shared by all bands unless its flag says otherwise."""
    elsewhere = {MaskFlags.all_valid, MaskFlags.alpha}  # alpha bands are read as such
    all_flags = dataset.mask_flag_enums  # rasterio asks GDAL about every band, each time
    masked = []
    for band in bands:
        flags = set(all_flags[band - 1])
        if flags & elsewhere or flags == {MaskFlags.nodata}:
            continue
        masked.append(band)
        if MaskFlags.per_dataset in flags:
            break
    return tuple(dict.fromkeys(masked))


def _nodata_range(dataset: DatasetReader, band: int) -> Range | None:
    """What counts as nodata: of integers the value, of floats also 4 epsilon around it as in GDAL.

    None if there is no such value, or if no pixel can have it.
    """
    value, dtype = dataset.nodatavals[band - 1], np.dtype(dataset.dtypes[band - 1])
    if value is None or not np.isfinite(value):
        return None
    if dtype.kind != "f":
        info = np.iinfo(dtype)
        possible = value == int(value) and info.min <= value <= info.max
        return (int(value), int(value)) if possible else None
    limits = np.finfo(dtype)
    slack = 4 * float(limits.eps) * abs(value)
    low, high = np.clip([value - slack, value + slack], limits.min, limits.max)
    return float(low), float(high)


def _outside(values: NDArray[Any], nodata: Range) -> NDArray[np.bool_]:
    low, high = nodata
    outside: NDArray[np.bool_] = values != low if low == high else (values < low) | (values > high)
    return outside
