"""Vector files that appear whole or not at all, written in batches and in bounded memory.

Rows are collected in a plain GeoPackage, the *spool*, in a hidden folder beside the output. From
there the layer is streamed into its final format once, and the file moved to its name.
"""

from __future__ import annotations

import sqlite3
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyogrio.raw
import shapely
from numpy.typing import DTypeLike, NDArray
from pyproj import CRS

from geounet.classes import ClassInfo
from geounet.errors import ResourceError, UsageError
from geounet.raster import publish
from geounet.vector.geojson import convert_to_geojson
from geounet.vector.geopackage import count_rows, finish_geopackage
from geounet.vector.geoparquet import convert_to_geoparquet, import_pyarrow

BATCH = 10_000
"""Rows that go to the spool at once."""

GROUP = 65_536
"""Rows that are held while the final file is written."""

DRIVERS = {".gpkg": "GPKG", ".fgb": "FlatGeobuf"}
"""GDAL's formats by suffix."""

FORMATS = (".gpkg", ".parquet", ".fgb", ".geojson")

SIDECARS = ("-wal", "-shm", "-journal")
"""What SQLite may have left beside a GeoPackage: it must not be taken for the next one's."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """What a vector file is to hold.

    Attributes:
        name: of the layer, in formats that have names.
        crs: of the coordinates; None if there is none.
        columns: type by name, in order; object is text.
        geometry_type: of every row; single polygons may be given for multipolygons.
        style_field: column of class values by which to colour.
    """

    name: str
    crs: CRS | None
    columns: Mapping[str, DTypeLike]
    geometry_type: Literal["Polygon", "MultiPolygon"]
    style_field: str

    @property
    def gdal(self) -> dict[str, str | None]:
        """What GDAL needs to know to create it."""
        crs = None if self.crs is None else self.crs.to_wkt()
        return {"layer": self.name, "crs": crs, "geometry_type": self.geometry_type}


class LayerWriter:
    """Takes rows; `publish` makes a file of them. Until then there is nothing at the path."""

    def __init__(self, path: Path, layer: Layer, folder: Path) -> None:
        """Collect rows for this path in a folder of the same file system.

        Prefer `open_writer`, which checks the path and cleans up.
        """
        self.path = path
        self.layer = layer
        self.rows = 0
        self.bounds = np.full(4, np.nan)
        self.spool = folder / "spool.gpkg"
        self._waiting: list[tuple[NDArray[np.object_], Mapping[str, NDArray[Any]]]] = []
        nothing = {name: np.zeros(0, dtype) for name, dtype in layer.columns.items()}
        self._append(np.zeros(0, np.object_), nothing, layer_options={"SPATIAL_INDEX": "NO"})

    def write(self, geometries: NDArray[np.object_], columns: Mapping[str, NDArray[Any]]) -> None:
        """Add rows: geometries (N,), and for each column of the layer an array (N,).

        Raises:
            ResourceError: they cannot be written.
        """
        self._waiting.append((geometries, columns))
        if sum(len(some) for some, _ in self._waiting) >= BATCH:
            self._flush()

    def publish(self, classes: Sequence[ClassInfo] = ()) -> None:
        """Write the file, with these classes' colours where the format has room for them.

        Raises:
            ResourceError: it cannot be written; what was there before is untouched.
        """
        self._flush()
        suffix = self.path.suffix.lower()
        finished = self.spool.with_name(f"finished{suffix}")
        with _writing(self.path):
            self._convert(finished)
            if suffix == ".gpkg":
                finish_geopackage(finished, self.layer.name, self.layer.style_field, classes)
            if not self._is_whole(self.spool) or not self._is_whole(finished):
                raise OSError("it came out incomplete")
            for sidecar in SIDECARS:
                self.path.with_name(self.path.name + sidecar).unlink(missing_ok=True)
            publish(finished, self.path)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not any(len(geometries) for geometries, _ in waiting):
            return
        geometries = np.concatenate([geometries for geometries, _ in waiting])
        columns = {
            name: np.concatenate([some[name] for _, some in waiting]) for name in self.layer.columns
        }
        self.rows += len(geometries)
        bounds = shapely.total_bounds(geometries)
        self.bounds[:2] = np.fmin(self.bounds[:2], bounds[:2])
        self.bounds[2:] = np.fmax(self.bounds[2:], bounds[2:])
        self._append(np.asarray(shapely.to_wkb(geometries), np.object_), columns, append=True)

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
                [columns[name].astype(dtype) for name, dtype in self.layer.columns.items()],
                list(self.layer.columns),
                driver="GPKG",
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
                rows, target, driver=driver, geometry_name=geometry, **self.layer.gdal
            )

    def _is_whole(self, path: Path) -> bool:
        """Whether all rows are there: GDAL may be silent about a disk that was full at the end."""
        if path.suffix == ".gpkg":
            return count_rows(path, self.layer.name, indexed=path != self.spool) == self.rows
        if path.suffix == ".fgb":
            fids = pyogrio.raw.read(path, columns=[], read_geometry=False, return_fids=True)[1]
            return len(fids) == self.rows
        return True


@contextmanager
def open_writer(path: Path, layer: Layer, *, overwrite: bool = False) -> Iterator[LayerWriter]:
    """A writer of one vector file. Without `publish`, nothing is left behind.

    Raises:
        UsageError: the path cannot be meant; the message says why.
        ResourceError: nothing can be written there.
    """
    check_vector_output(path, layer.crs, overwrite=overwrite)
    with ExitStack() as stack:
        with _writing(path):
            temporary = tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent)
            folder = Path(stack.enter_context(temporary))
        yield LayerWriter(path, layer, folder)


def check_vector_output(path: Path, crs: CRS | None, *, overwrite: bool) -> None:
    """Refuse a path that no layer in this CRS can be written to.

    Raises:
        UsageError: the message says why.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(f"{path} is of no format that can be written; use {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent} is no folder; make it first")
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists; choose another name, or use --overwrite")
    if suffix == ".geojson" and crs is None:
        raise UsageError(
            f"{path} would hold longitudes and latitudes, but the mask has no CRS; write .gpkg"
        )
    if suffix == ".parquet":
        import_pyarrow()


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
    except (OSError, sqlite3.Error, RuntimeError) as error:  # pyogrio's are RuntimeErrors
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise ResourceError(
            f"{path} cannot be written ({reason}); check the folder and the free space"
        ) from error
