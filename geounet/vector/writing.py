"""Vector files that appear whole or not at all, written in batches and in bounded memory.

Rows are collected in a plain GeoPackage, the *spool*, in a hidden folder beside the output. From
there the layer is streamed into its final format once, and the file moved to its name. Rows are
added to a copy of a file, which is then moved likewise.
"""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio.raw
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from geounet.classes import ClassInfo
from geounet.errors import ResourceError
from geounet.raster import LOCK_FILE, locked_folder, publish
from geounet.vector.appending import RowsHash, has_layer, require_same_names
from geounet.vector.geojson import convert_to_geojson
from geounet.vector.geopackage import (
    GEOMETRY,
    Addition,
    copy_geopackage,
    count_rows,
    finish_geopackage,
    read_additions,
)
from geounet.vector.geoparquet import convert_to_geoparquet
from geounet.vector.layer import Layer, check_vector_output

BATCH = 10_000
"""Rows that go to the spool at once."""

GROUP = 65_536
"""Rows that are held while the final file is written."""

DRIVERS = {".gpkg": "GPKG", ".fgb": "FlatGeobuf"}
"""GDAL's formats by suffix."""

SIDECARS = ("-wal", "-shm", "-journal")
"""What SQLite may have left beside a GeoPackage: it must not be taken for the next one's."""

OPTIONS = {"GPKG": {"VERSION": "1.2"}}  # what GDAL wrote from 2.4 to 3.8, and all programs know
"""Of GDAL, for new files by format."""


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
        self.rows = 0
        self.bounds = np.full(4, np.nan)
        self.spool = folder / "spool.gpkg"
        self._waiting: list[tuple[NDArray[np.object_], Mapping[str, NDArray[Any]]]] = []
        nothing = {name: np.zeros(0, dtype) for name, dtype in layer.columns.items()}
        self._append(np.zeros(0, np.object_), nothing, layer_options={"SPATIAL_INDEX": "NO"})

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
        self._waiting.append((geometries, columns))
        if sum(len(some) for some, _ in self._waiting) >= BATCH:
            self._flush()

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
        addition = Addition(source, self.rows, self._hash.hexdigest())
        suffix = self.path.suffix.lower()
        finished = self.spool.with_name(f"finished{suffix}")
        with _writing(self.path):
            if self._adds_to_layer and self._is_known(addition):
                return False
            if self._adds_to_file:
                copy_geopackage(self.path, finished)
            before = self._count(finished) if self._adds_to_layer else 0
            self._convert(finished)
            if suffix == ".gpkg":
                finish_geopackage(finished, self.layer.notes, classes, addition)
            if not self._is_whole(self.spool) or not self._is_whole(finished, before):
                raise OSError("it came out incomplete")
            if not release(finished):
                return False
            for sidecar in SIDECARS:
                self.path.with_name(self.path.name + sidecar).unlink(missing_ok=True)
            publish(finished, self.path)
        return True

    def _is_known(self, addition: Addition) -> bool:
        known = {item.sha256 for item in read_additions(self.path, self.layer.name)}
        return addition.sha256 in known

    def _count(self, path: Path) -> int:
        return count_rows(path, self.layer.name, indexed=path != self.spool)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not any(len(geometries) for geometries, _ in waiting):
            return
        geometries = np.concatenate([geometries for geometries, _ in waiting])
        columns = {
            name: np.concatenate([some[name] for _, some in waiting]).astype(dtype)
            for name, dtype in self.layer.columns.items()
        }
        self.rows += len(geometries)
        bounds = shapely.total_bounds(geometries)
        self.bounds[:2] = np.fmin(self.bounds[:2], bounds[:2])
        self.bounds[2:] = np.fmax(self.bounds[2:], bounds[2:])
        wkb = np.asarray(shapely.to_wkb(geometries), np.object_)
        self._hash.add({**columns, GEOMETRY: wkb})
        self._append(wkb, columns, append=True)

    def _append(
        self,
        wkb: NDArray[np.object_],
        columns: Mapping[str, NDArray[Any]],
        **options: Any,  # noqa: ANN401  pyogrio's
    ) -> None:
        with _writing(self.path), _allow_no_crs(self.layer.crs):
            pyogrio.raw.write(
                self.spool,
                wkb,
                [columns[name] for name in self.layer.columns],
                list(self.layer.columns),
                driver="GPKG",
                dataset_options=OPTIONS["GPKG"],
                promote_to_multi=self.layer.geometry_type == "MultiPolygon",
                **self.layer.gdal,
                **options,
            )

    def _convert(self, target: Path) -> None:
        suffix, layer = target.suffix, self.layer
        if suffix == ".parquet":
            convert_to_geoparquet(self.spool, target, layer.crs, self.bounds, GROUP)
        elif suffix == ".geojson" and layer.crs is not None:
            convert_to_geojson(self.spool, target, layer.name, layer.crs, BATCH)
        else:
            self._convert_by_gdal(target, DRIVERS[suffix])

    def _convert_by_gdal(self, target: Path, driver: str) -> None:
        with (
            pyogrio.raw.open_arrow(self.spool, use_pyarrow=False, batch_size=GROUP) as (meta, rows),
            _allow_no_crs(self.layer.crs),
        ):
            geometry = meta["geometry_name"]
            pyogrio.raw.write_arrow(
                rows,
                target,
                driver=driver,
                geometry_name=geometry,
                append=self._adds_to_layer,
                dataset_options=OPTIONS.get(driver),
                **self.layer.gdal,
            )

    def _is_whole(self, path: Path, before: int = 0) -> bool:
        """Whether all rows are there: GDAL may be silent about a disk that was full at the end."""
        if path.suffix == ".gpkg":
            return self._count(path) == before + self.rows
        if path.suffix == ".fgb":
            fids = pyogrio.raw.read(path, columns=[], read_geometry=False, return_fids=True)[1]
            return len(fids) == self.rows
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
            yield LayerWriter(path, layer, folder, (is_there, has_rows))
        finally:
            _clear(folder)


def _clear(folder: Path) -> None:
    with suppress(OSError):
        for file in folder.iterdir():
            if file.name != LOCK_FILE:
                file.unlink()


@contextmanager
def _allow_no_crs(crs: CRS | None) -> Iterator[None]:
    """Keep pyogrio from warning that there is no CRS where there is none."""
    if crs is not None:
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'crs' was not provided")
        yield


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
