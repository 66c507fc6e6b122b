"""Parts assembled into one cloud optimised GeoTIFF (COG)."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import copyfile, disk_usage
from types import MappingProxyType
from xml.etree.ElementTree import Element, SubElement

import numpy as np
import rasterio.shutil
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError, RasterioIOError

from geounet.classes import NODATA, ClassInfo
from geounet.errors import InputError, ResourceError
from geounet.files import flush
from geounet.raster.class_table import CLASSES_TAG, dump_classes
from geounet.raster.dataset import limit_cache, open_dataset
from geounet.raster.grid import Grid
from geounet.raster.locking import LOCK_FILE, locked_folder
from geounet.raster.overviews import write_overviews
from geounet.raster.vrt import (
    add_band,
    add_metadata,
    add_source,
    add_text,
    make_dataset,
    to_bytes,
)
from geounet.raster.window import Window
from geounet.raster.writing import (
    BLOCK,
    HALF_BITS,
    check_blocks,
    choose_predictor,
    guard_writing,
)

CACHE_BYTES = 128 * 2**20
"""GDAL's block cache while assembling: a row of blocks of a scene 250,000 pixels wide. Of a wider
one, blocks of parts are decoded twice."""

FULL_BYTES = 2**20
"""A disk with less free is full."""

_COLUMNS = (
    ("Value", "0", "5"), ("Class", "2", "2"), ("Red", "0", "6"), ("Green", "0", "7"),
    ("Blue", "0", "8"),
)  # fmt: skip
"""Of the attribute table: name, GDALRATFieldType, GDALRATFieldUsage."""


def assemble(  # noqa: PLR0913 - what a file is made of
    parts: Sequence[tuple[Path, Window]],
    grid: Grid,
    output: Path,
    *,
    nodata: float,
    scale: float = 1.0,
    classes: Sequence[ClassInfo] | None = None,
    tags: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Make one COG of parts, each a file and its window in the grid; nodata where there is none.

    With classes it is a mask: their colours, names (in the file `.aux.xml` beside it, where GDAL
    and QGIS look) and overviews by majority; otherwise overviews are averages, and
    viewers show pixels times the scale. Type, number and names of bands are those of the first
    part. The same parts give the same bytes. Memory does not grow with the grid. `output` is
    replaced if it exists, and untouched if this fails.

    Raises:
        ResourceError: it cannot be written, or a part not be read.
    """
    with guard_writing(output), _workspace(output) as folder, _blame_full_disk(folder):
        _check_space([path for path, _ in parts], output)
        mosaic, target = folder / "mosaic.vrt", folder / "whole.tif"
        root = _describe(parts, grid, nodata, classes, tags)
        if scale != 1:
            _add_scale(root, scale)
        mosaic.write_bytes(to_bytes(root))
        with limit_cache(CACHE_BYTES):
            overviews = write_overviews(mosaic, folder, "mode" if classes else "average")
            _add_overviews(root, overviews)
            mosaic.write_bytes(to_bytes(root))
            _convert(mosaic, target, _is_half(parts[0][0]))
            _check(target, len(overviews))
        _publish_both(target, _name_classes(classes) if classes else None, output)


PREDICTORS = {1: "no", 2: "standard", 3: "floating_point"}
"""TIFF's predictors in the words of the COG driver."""


def read_tags(path: str | Path) -> dict[str, str]:
    """GDAL's metadata of a raster, as given to `assemble`.

    Raises:
        InputError: it is no raster.
    """
    with open_dataset(path) as dataset:
        return dict(dataset.tags())


def _check_space(parts: Sequence[Path], output: Path) -> None:
    """Refuse what cannot end well: a COG of these parts, with overviews twice, takes more still.

    Raises:
        ResourceError: less is free than the parts take.
    """
    needed, free = sum(path.stat().st_size for path in parts), disk_usage(output.parent).free
    if free < needed:
        raise ResourceError(
            f"{output} cannot be written (No space left on device); it takes about "
            f"{1.7 * needed / 1e6:.0f} MB to assemble it, and {free / 1e6:.0f} MB are free: "
            "make free space, and the same command goes on"
        )


@contextmanager
def _blame_full_disk(folder: Path) -> Iterator[None]:
    """Say so if a disk is full: GDAL says that it cannot read, or find a directory."""
    try:
        yield
    except (RasterioError, CPLE_BaseError, SystemError, InputError) as error:
        if disk_usage(folder).free < FULL_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise


@contextmanager
def _workspace(output: Path) -> Iterator[Path]:
    """A folder beside the output, for GDAL's temporary files; one left by a crash is cleared."""
    folder = _name_workspace(output)
    with locked_folder(folder, output):
        _clear(folder)
        try:
            yield folder
        finally:
            _clear(folder)


def clear_workspace(output: Path) -> None:
    """Remove what an `assemble` that was killed has left beside its output.

    Raises:
        ResourceError: another run is writing the output.
    """
    if _name_workspace(output).exists():
        with _workspace(output):
            pass


def _clear(folder: Path) -> None:
    with suppress(OSError):
        for file in folder.iterdir():
            if file.name != LOCK_FILE:
                file.unlink()


def _publish_both(target: Path, names: Element | None, output: Path) -> None:
    """Move the finished file and its sidecar to their places, or neither.

    The sidecar first: a run that is killed in between sees that the output is missing. One that is
    replaced is there until then, and comes back if the file cannot follow.
    """
    folder, sidecar = target.parent, output.with_name(f"{output.name}.aux.xml")
    new, old = folder / "names.xml", folder / "old.xml"
    if names is not None:
        new.write_bytes(to_bytes(names))
        flush(new)
    flush(target)
    if sidecar.exists():
        copyfile(sidecar, old)
    try:
        if names is None:
            sidecar.unlink(missing_ok=True)
        else:
            new.replace(sidecar)
        target.replace(output)
    except OSError:
        if old.exists():
            old.replace(sidecar)
        else:
            sidecar.unlink(missing_ok=True)
        raise
    flush(output.parent)


def _name_workspace(output: Path) -> Path:
    return output.with_name(f".{output.name}.tmp")


def _is_half(path: Path) -> bool:
    """Whether a part is stored as float16."""
    with open_dataset(path) as part:
        return bool(part.tags(1, ns="IMAGE_STRUCTURE").get("NBITS") == str(HALF_BITS))


def _convert(source: Path, target: Path, is_half: bool) -> None:
    with open_dataset(source) as dataset:
        rasterio.shutil.copy(
            dataset,
            target,
            driver="COG",
            compress="deflate",
            level=3,  # 4 times as fast as 6, for files an eighth larger
            predictor=PREDICTORS[choose_predictor(np.dtype(dataset.dtypes[0]))],
            blocksize=BLOCK,
            bigtiff="if_safer",
            num_threads="all_cpus",
            **({"nbits": HALF_BITS} if is_half else {}),
        )


def _check(path: Path, overviews: int) -> None:
    """GDAL may be silent about a write that failed: find all overviews, and decode every block."""
    with open_dataset(path) as dataset:
        is_cog = dataset.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG"
        if not is_cog or len(dataset.overviews(1)) != overviews:
            raise RasterioIOError("GDAL's COG driver wrote something else")
    for level in (None, *range(overviews)):
        check_blocks(path, level)


def _describe(
    parts: Sequence[tuple[Path, Window]],
    grid: Grid,
    nodata: float,
    classes: Sequence[ClassInfo] | None,
    tags: Mapping[str, str],
) -> Element:
    """The virtual raster that shows the parts in their places."""
    root = make_dataset(grid)
    add_metadata(root, {CLASSES_TAG: dump_classes(classes), **tags} if classes else tags)
    with open_dataset(parts[0][0]) as first:
        dtypes, names = first.dtypes, first.descriptions
    for number, (dtype, name) in enumerate(zip(dtypes, names, strict=True), start=1):
        band = add_band(root, dtype, name)
        add_text(band, "NoDataValue", repr(nodata))
        if classes:
            add_text(band, "ColorInterp", "Palette")
            _add_colours(band, classes)
        for path, window in parts:
            extent = window.relative_to(window)
            add_source(band, str(path.absolute()), number, extent, window)
    return root


def _add_scale(root: Element, scale: float) -> None:
    """Let QGIS show stored values times the scale; what reads pixels gets them as stored."""
    for band in root.findall("VRTRasterBand"):
        add_text(band, "Offset", "0.0")
        add_text(band, "Scale", repr(scale))


def _add_overviews(root: Element, paths: Sequence[Path]) -> None:
    for number, band in enumerate(root.findall("VRTRasterBand"), start=1):
        for path in paths:
            overview = SubElement(band, "Overview")
            add_text(overview, "SourceFilename", path.name, relativeToVRT="1")
            add_text(overview, "SourceBand", str(number))


def _add_colours(band: Element, classes: Sequence[ClassInfo]) -> None:
    """256 colours: those of the classes, black for unused values, nodata transparent."""
    known = {item.value: item.rgb for item in classes}
    table = SubElement(band, "ColorTable")
    for value in range(256):
        channels = (*known.get(value, (0, 0, 0)), 0 if value == NODATA else 255)
        entry = {f"c{n}": str(channel) for n, channel in enumerate(channels, start=1)}
        SubElement(table, "Entry", entry)


def _name_classes(classes: Sequence[ClassInfo]) -> Element:
    """GDAL's sidecar: class names as category names, and with colours as attribute table."""
    root = Element("PAMDataset")
    band = SubElement(root, "PAMRasterBand", band="1")
    names = {item.value: item.name for item in classes}
    categories = SubElement(band, "CategoryNames")
    for value in range(max(names) + 1):
        add_text(categories, "Category", names.get(value, ""))
    table = SubElement(band, "GDALRasterAttributeTable", tableType="thematic")
    for index, (name, kind, usage) in enumerate(_COLUMNS):
        column = SubElement(table, "FieldDefn", index=str(index))
        for tag, text in (("Name", name), ("Type", kind), ("Usage", usage)):
            add_text(column, tag, text)
    for index, item in enumerate(classes):
        row = SubElement(table, "Row", index=str(index))
        for cell in (item.value, item.name, *item.rgb):
            add_text(row, "F", str(cell))
    return root
