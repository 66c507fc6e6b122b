"""Training pixels: images with the labels that lie on them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from geounet.classes import NODATA, ClassInfo
from geounet.errors import InputError
from geounet.raster import Bounds, Grid, Scene, Window, open_scene
from geounet.training.holdout.footprints import Area
from geounet.vector import (
    LabelOptions,
    Labels,
    Pair,
    is_vectors,
    limit_grid,
    open_labels,
    rasterize_inside,
)

OPEN_PAIRS = 32
"""Images with labels that one reader keeps open; the least recently used is closed first."""


Bands = tuple[tuple[str | None, ...], np.dtype[np.generic]]
"""Names and dtype of the bands of an image."""


@dataclass(frozen=True)
class Source:
    """An image with its labels.

    Attributes:
        image: anything that GDAL opens.
        labels: raster or vectors.
        area: the image's pixels that may be used at all.
        aoi: polygons in the image's CRS; what is outside is as if not labelled. None: everywhere.
        bands: name of each band that is read, if it has one, and their dtype.
        weight: how often its pixels are shown, compared with other sources.
    """

    image: str | Path
    labels: str | Path
    area: Area
    aoi: BaseGeometry | None
    bands: Bands | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Reading:
    """How images and labels are to be read.

    Attributes:
        bands: 1-based, in the model's order; None: all but alpha.
        classes: sorted by value; a class's position is its channel in the network.
        label_options: how the labels are to be understood.
    """

    bands: tuple[int, ...] | None
    classes: tuple[ClassInfo, ...]
    label_options: LabelOptions


@dataclass(frozen=True)
class Sample:
    """What is known of a window, H x W, and of the window around it, h x w.

    Attributes:
        image: (bands, h, w), the image's own dtype and values.
        valid: bool (h, w), True = data.
        usable: bool (H, W), True = data and inside the AOI.
        labels: uint8 (H, W) class values; 255 where there is no label, or not usable.
    """

    image: NDArray[np.generic]
    valid: NDArray[np.bool_]
    usable: NDArray[np.bool_]
    labels: NDArray[np.uint8]


class SourceReader:
    """Reads windows of some sources through its own handles: use it in one thread.

    Attributes:
        noted: what had to be done to labels that were opened, and to which files.
    """

    def __init__(self, sources: Sequence[Source], reading: Reading) -> None:
        self.noted: dict[str, dict[str, None]] = {}
        self._sources = sources
        self._reading = reading
        self._open: OrderedDict[int, tuple[Scene, Labels, ExitStack]] = OrderedDict()

    def read(self, index: int, window: Window, around: Window | None = None) -> Sample:
        """A window of the `index`-th source's grid; beyond the grid all is mirrored.

        Args:
            index: which source.
            window: where labels are wanted.
            around: where the image is wanted: contains `window`; None: `window` itself.

        Raises:
            InputError: a file cannot be read, or has a label that is not of a declared class.
        """
        scene, labels = self.open(index)
        around = around or window
        image, valid = scene.read(around)
        usable = valid[window.relative_to(around).slices()]
        aoi = self._sources[index].aoi
        if aoi is not None:
            usable = usable & rasterize_inside(aoi, scene.grid, window)
        values = labels.read(window)
        return Sample(image, valid, usable, np.where(usable, values, np.uint8(NODATA)))

    def read_instances(self, index: int, window: Window) -> NDArray[np.int32]:
        """Which instance each pixel is of, int32 (H, W) from 1; 0: of none, or outside the AOI.

        Of all instances that are labelled, whether the image has data there or not.

        Raises:
            InputError: as for `read`.
        """
        scene, labels = self.open(index)
        ids, aoi = labels.read_instances(window), self._sources[index].aoi
        if aoi is None:
            return ids
        return np.where(rasterize_inside(aoi, scene.grid, window), ids, np.int32(0))

    def check_rasters(self) -> None:
        """Open all labels that are rasters, so that what does not fit is found before work begins.

        Raises:
            InputError: some labels do not fit their image.
        """
        for source in self._sources:
            if not is_vectors(source.labels):
                self._open_labels(source, source.area.grid).close()

    def open(self, index: int) -> tuple[Scene, Labels]:
        """The open image and labels of the `index`-th source."""
        if index not in self._open:
            while len(self._open) >= OPEN_PAIRS:
                self._open.popitem(last=False)[1][2].close()
            self._open[index] = self._open_pair(self._sources[index])
        self._open.move_to_end(index)
        return self._open[index][:2]

    def close(self) -> None:
        """Close all files."""
        while self._open:
            self._open.popitem()[1][2].close()

    def _open_pair(self, source: Source) -> tuple[Scene, Labels, ExitStack]:
        with ExitStack() as stack:
            scene = stack.enter_context(open_scene(source.image, self._reading.bands))
            labels = stack.enter_context(self._open_labels(source, scene.grid))
            return scene, labels, stack.pop_all()

    def _open_labels(self, source: Source, grid: Grid) -> Labels:
        classes, options = self._reading.classes, self._reading.label_options
        labels = open_labels(source.labels, grid, classes, options, scene=source.image)
        if labels.note is not None:
            self.noted.setdefault(labels.note, {})[str(source.labels)] = None
        return labels

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def find_sources(
    pairs: Sequence[Pair],
    bbox: Bounds | None,
    aoi: str | Path | None,
    bands: tuple[int, ...] | None = None,
) -> tuple[list[Source], list[str]]:
    """The images that have pixels in the bbox and the AOI, and notes on those that have none.

    Args:
        pairs: images with their labels.
        bbox: west, south, east, north in the images' CRS; None: everywhere.
        aoi: vector file; None: everywhere.
        bands: 1-based; None: all but alpha.

    Raises:
        InputError: an image or the AOI cannot be read, or no image has pixels there.
    """
    found, outside = [], []
    doubts: list[str] = []
    for pair in pairs:
        with open_scene(pair.image, bands) as scene:
            grid, known = scene.grid, (scene.band_names, scene.dtype)
            doubts += scene.notes
        try:
            window, geometry = limit_grid(grid, bbox, aoi, pair.image)
        except InputError as error:  # other images may lie there
            outside.append((pair.image, error))
            continue
        area = Area(str(pair.image), grid, window)
        found.append(Source(pair.image, pair.labels, area, geometry, known, pair.weight))
    if not found:
        raise outside[0][1]
    left_out = [f"left out: {image}: {reason}" for image, reason in outside]
    notes = [_first_of(some) for some in (left_out, doubts) if some]
    return found, notes


def _first_of(notes: Sequence[str]) -> str:
    """The first of notes of one kind, and how many there are."""
    return notes[0] + (f" (and {len(notes) - 1} more images)" if len(notes) > 1 else "")


def collect_notes(readers: Iterable[SourceReader]) -> list[str]:
    """What had to be done to the labels that these opened: each thing once."""
    noted: dict[str, list[str]] = {}
    for reader in readers:
        for note, files in reader.noted.items():
            noted.setdefault(note, []).extend(files)
    return [f"{_list_files(files)}: {note}" for note, files in noted.items()]


def _list_files(names: Iterable[str]) -> str:
    files = list(dict.fromkeys(names))
    return f"{files[0]} and {len(files) - 1} more" if len(files) > 1 else files[0]
