"""Virtual rasters (VRT): the XML with which GDAL reads several files, or bands, as one raster."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np
from numpy.typing import DTypeLike

from geounet.raster.grid import Grid
from geounet.raster.sensor import SensorModel
from geounet.raster.window import Window

_TYPES = {
    "uint8": "Byte", "int8": "Int8", "uint16": "UInt16", "int16": "Int16", "uint32": "UInt32",
    "int32": "Int32", "uint64": "UInt64", "int64": "Int64", "float32": "Float32",
    "float64": "Float64",
}  # fmt: skip


def make_dataset(grid: Grid) -> Element:
    """A raster on the grid, as yet without bands."""
    root = Element("VRTDataset", rasterXSize=str(grid.width), rasterYSize=str(grid.height))
    if grid.crs is not None:
        add_text(root, "SRS", grid.crs.to_wkt())
    if grid.sensor is not None:
        _add_sensor(root, grid.sensor)
    elif not grid.transform.is_identity:
        add_text(root, "GeoTransform", ", ".join(map(repr, grid.transform.to_gdal())))
    return root


def add_band(root: Element, dtype: DTypeLike, description: str | None = None) -> Element:
    """A further band, as yet without pixels."""
    number = str(len(root.findall("VRTRasterBand")) + 1)
    band = SubElement(root, "VRTRasterBand", dataType=_TYPES[np.dtype(dtype).name], band=number)
    if description:
        add_text(band, "Description", description)
    return band


def add_source(
    band: Element, filename: str, source_band: int | str, source: Window, target: Window
) -> Element:
    """Fill the target window of a band with a window of a file.

    `source_band` is a number, or "mask,1" for the mask of band 1.
    """
    element = SubElement(band, "SimpleSource")
    add_text(element, "SourceFilename", filename, relativeToVRT="0")
    add_text(element, "SourceBand", str(source_band))
    for name, window in (("SrcRect", source), ("DstRect", target)):
        offsets = {"xOff": str(window.col_off), "yOff": str(window.row_off)}
        SubElement(element, name, offsets, xSize=str(window.width), ySize=str(window.height))
    return element


def add_text(parent: Element, name: str, text: str, **attributes: str) -> Element:
    """A child element that holds text."""
    child = SubElement(parent, name, attributes)
    child.text = text
    return child


def add_metadata(parent: Element, items: Mapping[str, str], domain: str | None = None) -> None:
    """Metadata of a dataset or band; nothing if there is none."""
    if not items:
        return
    group = SubElement(parent, "Metadata", {"domain": domain} if domain else {})
    for key, value in items.items():
        add_text(group, "MDI", value, key=key)


def to_bytes(root: Element) -> bytes:
    """The XML as UTF-8."""
    data: bytes = tostring(root, encoding="utf-8")
    return data


def find_missing_source(path: Path) -> str | None:
    """The first file that a virtual raster is made of and that is not there, as it names it."""
    if path.suffix.lower() != ".vrt":
        return None
    text = path.read_text(encoding="utf-8", errors="replace")
    for found in re.findall(r"<Source(?:Filename|Dataset)\b[^>]*>([^<]+)<", text):
        name = html.unescape(found)
        is_local = not name.startswith("/vsi") and ":" not in name
        if is_local and not (path.parent / name).exists() and not Path(name).exists():
            return name
    return None


def _add_sensor(root: Element, sensor: SensorModel) -> None:
    if sensor.gcps:
        projection = sensor.gcps_crs.to_wkt() if sensor.gcps_crs else ""
        points = SubElement(root, "GCPList", Projection=projection)
        for number, values in enumerate(sensor.gcps, start=1):
            names = ("Pixel", "Line", "X", "Y", "Z")
            fields = {name: repr(value) for name, value in zip(names, values, strict=True)}
            SubElement(points, "GCP", {"Id": str(number), **fields})
    add_metadata(root, dict(sensor.rpcs), "RPC")
