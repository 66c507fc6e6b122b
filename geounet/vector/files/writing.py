"""Vector files that appear whole or not at all, written in batches and in bounded memory.

Rows are collected in a GeoPackage, the *spool*, in a hidden folder beside the output. It becomes
the output if that is to be a new GeoPackage. Otherwise the layer is streamed into its final format
once, and the file moved to its name. Rows are added to a copy of a file, which is then moved
likewise.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyogrio.raw
import shapely
from numpy.typing import NDArray

from geounet.classes import ClassInfo
from geounet.errors import ResourceError
from geounet.files import publish
from geounet.raster import LOCK_FILE, locked_folder
from geounet.vector.files.appending import RowsHash, has_layer, require_same_names
from geounet.vector.files.geojson import convert_to_geojson
from geounet.vector.files.geopackage import (
    GEOMETRY,
    Addition,
    copy_geopackage,
    count_rows,
    finish_geopackage,
    read_additions,
)
from geounet.vector.files.geoparquet import convert_to_geoparquet
from geounet.vector.files.layer import Layer, check_vector_output
from geounet.vector.files.spool import OPTIONS, Spool, allow_no_crs
from geounet.vector.files.wkb import to_wkb

BATCH = 10_000
"""Rows that go to the spool at once."""

GROUP = 65_536
"""Rows that are held while the final file is written."""

DRIVERS = {".gpkg": "GPKG", ".fgb": "FlatGeobuf"}
"""GDAL's formats by suffix."""

SIDECARS = ("-wal", "-shm", "-journal")
"""What SQLite may have left beside a GeoPackage: it must not be taken for the next one's."""


class _Batch(NamedTuple):
    """Rows that wait for others."""

    bounds: NDArray[np.float64]  # (N, 4)
    wkb: NDArray[np.object_]  # (N,)
    columns: Mapping[str, NDArray[Any]]


class LayerWriter:
    """Takes rows; `publish` makes a file of them. Until then there is nothing at the path."""

    def __init__(
        self, path: Path, layer: Layer, folder: Path, there: tuple[bool, bool] = (False, False)
    ) -> None:
        """Collect rows for this path in a folder of the same file system.

        `there` says whether a file is to be added to, and whether the layer in it.
        Prefer `open_writer`, which checks the path and cleans up.
        """
        self.path = path
        self._adds_to_file, self._adds_to_layer = there
        self._hash = RowsHash()
        self.layer = layer
        self._becomes_file = path.suffix.lower() == ".gpkg" and not self._adds_to_file
        self._waiting: list[_Batch] = []
        with _writing(path):
            self._spool = Spool(folder / "spool.gpkg", layer, is_indexed=self._becomes_file)

    def require_names(self, name_field: str, names: Mapping[int, str]) -> None:
        """Nothing, if rows there already call the classes by these names, in this column.

        Raises:
            InputError: they do not.
            ResourceError: they cannot be read.
        """
        if self._adds_to_layer:
            with _writing(self.path):
                require_same_names(self.path, self.layer, name_field, names)

    def write(self, geometries: NDArray[np.object_], columns: Mapping[str, NDArray[Any]]) -> None:
        """Add rows: geometries (N,), and for each column of the layer an array (N,).

        Raises:
            ResourceError: they cannot be written.
        """
        if sum(len(batch.wkb) for batch in self._waiting) >= BATCH:
            self._flush()  # not those that come now: the caller still holds their geometries
        self._waiting.append(_Batch(shapely.bounds(geometries), to_wkb(geometries), columns))

    def publish(
        self,
        classes: Sequence[ClassInfo] = (),
        source: str = "",
        release: Callable[[Path], bool] = lambda _: True,
    ) -> bool:
        """Write the file, with these classes' colours where the format has room for them.

        A GeoPackage remembers the rows, and the name of their source. Rows that were added to it
        before, all of them the same, are not added again. The file is moved to its place once it is
        whole and `release`, which is given it, says so.

        Returns:
            Whether it was moved: not if just these rows are there already.

        Raises:
            ResourceError: it cannot be written; what was there before is untouched.
        """
        self._flush()
        addition = Addition(source, self._spool.rows, self._hash.hexdigest())
        suffix = self.path.suffix.lower()
        finished = self._spool.path.with_name(f"finished{suffix}")
        with _writing(self.path):
            self._spool.finish()
            if self._adds_to_layer and self._is_known(addition):
                return False
            if self._adds_to_file:
                copy_geopackage(self.path, finished)
            before = self._count(finished) if self._adds_to_layer else 0
            if self._becomes_file:
                self._spool.path.rename(finished)
            else:
                self._convert(finished)
            if suffix == ".gpkg":
                finish_geopackage(finished, self.layer.notes, classes, addition)
            if not self._is_whole(finished, before):
                raise OSError("it came out incomplete")
            if not release(finished):
                return False
            for sidecar in SIDECARS:
                self.path.with_name(self.path.name + sidecar).unlink(missing_ok=True)
            publish(finished, self.path)
        return True

    def close(self) -> None:
        """Let go of the files."""
        self._spool.close()

    def _is_known(self, addition: Addition) -> bool:
        known = {item.sha256 for item in read_additions(self.path, self.layer.name)}
        return addition.sha256 in known

    def _count(self, path: Path) -> int:
        return count_rows(path, self.layer.name, indexed=True)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not any(len(batch.wkb) for batch in waiting):
            return
        bounds = np.concatenate([batch.bounds for batch in waiting])
        wkb = np.concatenate([batch.wkb for batch in waiting])
        columns = {
            name: np.concatenate([batch.columns[name] for batch in waiting]).astype(dtype)
            for name, dtype in self.layer.columns.items()
        }
        self._hash.add({**columns, GEOMETRY: wkb})
        with _writing(self.path):
            self._spool.add(bounds, wkb, columns)

    def _convert(self, target: Path) -> None:
        suffix, layer, spool = target.suffix, self.layer, self._spool
        if suffix == ".parquet":
            convert_to_geoparquet(spool.path, target, layer.crs, spool.bounds, GROUP)
        elif suffix == ".geojson" and layer.crs is not None:
            convert_to_geojson(spool.path, target, layer.name, layer.crs, BATCH)
        else:
            self._convert_by_gdal(target, DRIVERS[suffix])

    def _convert_by_gdal(self, target: Path, driver: str) -> None:
        source = self._spool.path
        with (
            pyogrio.raw.open_arrow(source, use_pyarrow=False, batch_size=GROUP) as (meta, rows),
            allow_no_crs(self.layer.crs),
        ):
            geometry = meta["geometry_name"]
            pyogrio.raw.write_arrow(
                rows,
                target,
                driver=driver,
                geometry_name=geometry,
                append=self._adds_to_layer,
                dataset_options=OPTIONS if driver == "GPKG" else None,
                **self.layer.gdal,
            )

    def _is_whole(self, path: Path, before: int = 0) -> bool:
        """Whether all rows are there: GDAL may be silent about a disk that was full at the end."""
        if path.suffix == ".gpkg":
            return self._count(path) == before + self._spool.rows
        if path.suffix == ".fgb":
            fids = pyogrio.raw.read(path, columns=[], read_geometry=False, return_fids=True)[1]
            return len(fids) == self._spool.rows
        return True


@contextmanager
def open_writer(
    path: Path, layer: Layer, *, overwrite: bool = False, append: bool = False
) -> Iterator[LayerWriter]:
    """A writer of one vector file. Without `publish`, nothing is left behind.

    Args:
        path: the file; its suffix is the format.
        layer: what it is to hold.
        overwrite: replace an existing file.
        append: add to the layer of a GeoPackage, or add the layer; if there is none, make it.

    Raises:
        UsageError: the path cannot be meant; the message says why.
        InputError: the file cannot be added to; the message says why.
        ResourceError: nothing can be written there, or another run is writing there.
    """
    check_vector_output(path, layer.crs, overwrite=overwrite, append=append)
    is_there = append and path.exists()
    has_rows = is_there and has_layer(path, layer)
    folder = path.with_name(f".{path.name}.tmp")
    with locked_folder(folder, path):
        _clear(folder)
        try:
            with closing(LayerWriter(path, layer, folder, (is_there, has_rows))) as writer:
                yield writer
        finally:
            _clear(folder)


def _clear(folder: Path) -> None:
    with suppress(OSError):
        for file in folder.iterdir():
            if file.name != LOCK_FILE:
                file.unlink()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn what goes wrong while writing a file into a ResourceError that names it."""
    try:
        yield
    except ResourceError:
        raise
    except (OSError, sqlite3.Error, RuntimeError) as error:  # pyogrio's are RuntimeErrors
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise ResourceError(
            f"{path} cannot be written ({reason}); check the folder and the free space"
        ) from error
