"""Adding rows to a GeoPackage: to a copy, which then takes its place."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj import CRS

from geounet.errors import InputError
from geounet.vector.files.geopackage import read_names
from geounet.vector.files.layer import Layer


class RowsHash:
    """A hash of all rows of a layer, whatever the batches in which they come."""

    def __init__(self) -> None:
        self._hashes: dict[str, Any] = {}

    def add(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Take in more rows: arrays of one length, of numbers, texts or bytes."""
        for name, column in columns.items():
            update = self._hashes.setdefault(name, hashlib.sha256()).update
            if column.dtype != object:
                update(np.ascontiguousarray(column).tobytes())
                continue
            for item in column:  # one by one: a single geometry may be very large
                content = item.encode() if isinstance(item, str) else item
                update(len(content).to_bytes(8, "little"))
                update(content)

    def hexdigest(self) -> str:
        """64 hexadecimal digits."""
        whole = hashlib.sha256()
        for name, of_column in sorted(self._hashes.items()):
            whole.update(f"{name} {of_column.hexdigest()}\n".encode())
        return whole.hexdigest()


def has_layer(path: Path, layer: Layer) -> bool:
    """Whether a GeoPackage has a layer of this name, so that rows can be added to it.

    Raises:
        InputError: it is no GeoPackage, or its layer is of other columns, geometries or CRS.
    """
    try:
        kinds = dict(pyogrio.list_layers(path).tolist())
    except (DataSourceError, DataLayerError) as error:
        raise InputError(
            f"{path} is no GeoPackage that GDAL can open, so that nothing can be added; "
            "choose another name, or use --overwrite"
        ) from error
    if layer.name not in kinds:
        return False
    info = pyogrio.read_info(path, layer=layer.name)
    if (problem := _compare(info, layer)) is not None:
        raise InputError(
            f"{path}, layer {layer.name}, {problem}; "
            "add to it with the same options, or name another layer with --layer"
        )
    return True


def require_same_names(path: Path, layer: Layer, name_field: str, names: Mapping[int, str]) -> None:
    """Nothing, if the classes in a layer have the names that they have here.

    Raises:
        InputError: one has another.
        sqlite3.Error: the file cannot be read.
    """
    for value, known in sorted(read_names(path, layer.name, layer.style_field, name_field).items()):
        if names.get(value, known) != known:
            raise InputError(
                f"{path} calls class {value} {known!r}, the mask {names[value]!r}; "
                "write another file, or name another layer with --layer"
            )


def _compare(info: Mapping[str, Any], layer: Layer) -> str | None:
    """What is different in a layer of a file; None if nothing is."""
    columns = dict(zip(info["fields"], info["dtypes"], strict=True))
    wanted = {name: np.dtype(dtype).name for name, dtype in layer.columns.items()}
    if more := [name for name in columns if name not in wanted]:
        return f"has columns that these polygons lack: {', '.join(more)}"
    if more := [name for name in wanted if name not in columns]:
        return f"lacks columns of these polygons: {', '.join(more)}"
    if more := [name for name in wanted if columns[name] != wanted[name]]:
        return f"has another type in columns: {', '.join(more)}"
    if info["geometry_type"] != layer.geometry_type:
        return f"has {info['geometry_type']}s, these are {layer.geometry_type}s"
    crs = CRS.from_user_input(info["crs"]) if info["crs"] else None
    if not _is_same(crs, layer.crs):
        found, new = (item.name if item else "no CRS" for item in (crs, layer.crs))
        return f"is in {found}, these polygons in {new}"
    return None


def _is_same(one: CRS | None, other: CRS | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.equals(other, ignore_axis_order=True)
