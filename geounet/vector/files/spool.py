"""Rows on their way into a file: a GeoPackage that GDAL makes, filled by SQLite alone.

For a GeoPackage it becomes the file itself. It is nobody's before it is whole: a broken one is
thrown away, so that SQLite need not be able to undo anything.
"""

from __future__ import annotations

import sqlite3
import struct
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio.raw
from numpy.typing import NDArray
from pyproj import CRS

from geounet.errors import InputError
from geounet.vector.files.geopackage import GEOMETRY, quote
from geounet.vector.files.layer import Layer
from geounet.vector.files.spatial_index import CELL, fill_index, make_cells

OPTIONS = {"VERSION": "1.2"}  # what GDAL wrote from 2.4 to 3.8, and all programs know
"""Of GDAL, for new GeoPackages."""

HEAD = np.dtype([
    ("magic", "S2"), ("version", "u1"), ("flags", "u1"), ("srs_id", "<i4"),
    ("envelope", "<f8", 4),  # west, east, south, north
])  # fmt: skip
"""What stands before the WKB of a geometry in a GeoPackage."""

LITTLE_ENDIAN, ENVELOPE = 1, 2
"""Flags: how numbers are written, and that there is an envelope of two dimensions."""

POLYGON = struct.pack("<BI", 1, 3)
"""How WKB of a polygon begins."""

MULTI_OF_ONE = struct.pack("<BII", 1, 6, 1)
"""What stands before it in a multipolygon of nothing else."""

LARGEST = 10**9 - 1000
"""Bytes of a geometry for which SQLite has room in a row."""

CHUNK = 1 << 16
"""Rows that are sorted at once for the index."""


class Spool:
    """A layer's rows in a GeoPackage that is whole after `finish`."""

    def __init__(self, path: Path, layer: Layer, *, is_indexed: bool) -> None:
        """Make a GeoPackage with an empty layer; beside it there must be room for a file `boxes`.

        Raises:
            OSError, RuntimeError, sqlite3.Error: it cannot be written.
        """
        self.path, self.rows, self.bounds = path, 0, np.full(4, np.nan)
        self._layer, self._is_indexed, self._boxes = layer, is_indexed, path.with_name("boxes")
        self._is_multi = layer.geometry_type == "MultiPolygon"
        _make_empty(path, layer, is_indexed=is_indexed)
        self._database = sqlite3.connect(path, isolation_level=None)
        ask = self._database.execute
        ask("PRAGMA synchronous = OFF")
        ask("PRAGMA journal_mode = OFF")
        ask("BEGIN EXCLUSIVE")  # one for all rows: the file counts its transactions
        ((self._srs_id,),) = ask(
            "SELECT srs_id FROM gpkg_contents WHERE table_name = ?", [layer.name]
        )
        triggers = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?"
        self._triggers = dict(ask(triggers, [layer.name]).fetchall())
        for name in self._triggers:  # they take time, and know functions of GDAL's
            ask(f"DROP TRIGGER {quote(name)}")

    def add(
        self,
        bounds: NDArray[np.float64],
        wkb: NDArray[np.object_],
        columns: Mapping[str, NDArray[Any]],
    ) -> None:
        """Add rows: bounds (N, 4), little-endian WKB (N,), and for each column an array (N,).

        Of a layer of multipolygons, the WKB may be that of polygons. A bytearray is changed.

        Raises:
            InputError: a geometry is too large for a GeoPackage.
            OSError, sqlite3.Error: they cannot be written.
        """
        if self._is_indexed:
            with self._boxes.open("ab") as file:
                make_cells(self.rows + 1, bounds).tofile(file)
        names = ", ".join(map(quote, (GEOMETRY, *self._layer.columns)))
        values = ", ".join("?" * (1 + len(self._layer.columns)))
        lists = [columns[name].tolist() for name in self._layer.columns]
        self._database.executemany(
            f"INSERT INTO {quote(self._layer.name)} ({names}) VALUES ({values})",
            zip(self._make_blobs(wkb, bounds), *lists, strict=True),
        )
        self.rows += len(wkb)
        self.bounds[:2] = np.fmin(self.bounds[:2], bounds[:, :2].min(axis=0))
        self.bounds[2:] = np.fmax(self.bounds[2:], bounds[:, 2:].max(axis=0))

    def finish(self) -> None:
        """Make a whole GeoPackage of it. Nothing can be added afterwards.

        Raises:
            OSError, sqlite3.Error: it cannot be written.
        """
        name, ask = self._layer.name, self._database.execute
        if self.rows > 0 and self._is_indexed:
            fill_index(self._database, f"rtree_{name}_{GEOMETRY}", self._read_boxes())
        for statement in self._triggers.values():
            ask(statement)
        ask(
            "UPDATE gpkg_ogr_contents SET feature_count = ? WHERE table_name = ?", [self.rows, name]
        )
        edges = [float(edge) if self.rows > 0 else None for edge in self.bounds]
        ask(
            "UPDATE gpkg_contents SET min_x = ?, min_y = ?, max_x = ?, max_y = ? "
            "WHERE table_name = ?",
            [*edges, name],
        )
        ask("COMMIT")
        self.close()

    def close(self) -> None:
        """Let go of the file; without `finish`, it is broken."""
        self._database.close()

    def _make_blobs(
        self, wkb: NDArray[np.object_], bounds: NDArray[np.float64]
    ) -> Iterator[bytes | bytearray]:
        heads = np.zeros(len(wkb), HEAD)
        heads["magic"], heads["flags"] = b"GP", LITTLE_ENDIAN | ENVELOPE
        heads["srs_id"] = self._srs_id
        heads["envelope"] = bounds[:, [0, 2, 1, 3]]
        if (largest := max(map(len, wkb), default=0)) > LARGEST:
            raise InputError(
                f"a polygon has {largest // 16_000_000} million vertices, more than a "
                "GeoPackage can hold; use --simplify, or leave its class out with --classes"
            )
        for before, geometry in zip(heads.view(f"V{HEAD.itemsize}").tolist(), wkb, strict=True):
            if self._is_multi and geometry.startswith(POLYGON):
                before += MULTI_OF_ONE
            if isinstance(geometry, bytearray):
                geometry[:0] = before  # in place: it may be very large
                yield geometry
            else:
                yield before + geometry

    def _read_boxes(self) -> Iterator[NDArray[np.void]]:
        with self._boxes.open("rb") as file:
            while (cells := np.fromfile(file, CELL, CHUNK)).size:
                yield cells


def _make_empty(path: Path, layer: Layer, *, is_indexed: bool) -> None:
    columns = [np.zeros(0, dtype) for dtype in layer.columns.values()]
    with allow_no_crs(layer.crs):
        pyogrio.raw.write(
            path,
            np.zeros(0, np.object_),
            columns,
            list(layer.columns),
            driver="GPKG",
            dataset_options=OPTIONS,
            layer_options={"SPATIAL_INDEX": "YES" if is_indexed else "NO"},
            **layer.gdal,
        )


@contextmanager
def allow_no_crs(crs: CRS | None) -> Iterator[None]:
    """Keep pyogrio from warning that there is no CRS where there is none."""
    if crs is not None:
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'crs' was not provided")
        yield
