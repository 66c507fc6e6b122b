"""Vector files as pyogrio opens them: which layer, and why one cannot be used, in one line."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError

from geounet.errors import InputError
from geounet.raster import Bounds, find_local, find_stored

LAYER_MARK = "|layername="
"""What stands between file and layer, as in QGIS: `roads.gpkg|layername=paved`."""

VECTOR_SUFFIXES = frozenset({".geojson", ".gpkg", ".shp", ".fgb", ".parquet", ".kml", ".gml"})
"""Files that are vectors even if they turn out to be missing or damaged."""

RASTER_SUFFIXES = frozenset({".tif", ".tiff", ".png", ".jpg", ".jpeg", ".jp2"})
"""Files that are never vectors: asking GDAL takes some milliseconds, for each of many chips."""


EDGE_POINTS = 21
"""On each side of bounds in another CRS."""


@dataclass(frozen=True)
class VectorSource:
    """One layer with geometries of a vector file.

    Attributes:
        path: the file, without layer name.
        layer: name of the layer.
    """

    path: str
    layer: str

    def __str__(self) -> str:
        return self.path

    @property
    def features(self) -> int:
        """Number of features."""
        return int(self._info["features"])

    @property
    def crs(self) -> CRS | None:
        """The layer's CRS, if it has one.

        Raises:
            InputError: PROJ does not know it.
        """
        try:
            return CRS.from_user_input(self._info["crs"]) if self._info["crs"] else None
        except CRSError as error:
            raise InputError(f"{self} has a CRS that PROJ cannot use; assign another") from error

    @property
    def columns(self) -> tuple[str, ...]:
        """Attribute columns."""
        return tuple(str(name) for name in self._info["fields"])

    @property
    def bounds(self) -> Bounds | None:
        """Bounds of all features in the layer's CRS; None if there is none."""
        bounds: Bounds | None = self._info["total_bounds"]
        return bounds

    def require_column(self, column: str) -> None:
        """Nothing, if there is such a column.

        Raises:
            InputError: there is not; the message lists those there are.
        """
        if column not in self.columns:
            known = ", ".join(self.columns) or "none at all"
            raise InputError(f"{self} has no column {column!r} for the class; it has: {known}")

    @cached_property
    def _info(self) -> dict[str, Any]:
        """What pyogrio knows without reading features."""
        info: dict[str, Any] = pyogrio.read_info(
            self.path, layer=self.layer, force_feature_count=True, force_total_bounds=True
        )
        return info


def open_vectors(path: str | Path, *, may_be_empty: bool = False) -> VectorSource:
    """The layer that a path means: a file, or `FILE|layername=NAME` if it has several.

    Raises:
        InputError: no such file or layer, no vector file, several layers, or no features.
    """
    source = _open_cached(os.fspath(path), modified_at(path))
    if not (source.features or may_be_empty):
        raise InputError(f"{source} is empty; give a vector file with polygons")
    return source


def is_empty(path: str | Path) -> bool:
    """Whether it is a vector file without one feature, such as labels of a scene without houses."""
    return is_vectors(path) and not open_vectors(path, may_be_empty=True).features


@lru_cache(maxsize=64)
def _open_cached(path: str, modified_at: float) -> VectorSource:
    """GeoJSON is parsed whole to know anything about it, and one file may serve many scenes."""
    file, _, wanted = path.partition(LAYER_MARK)
    layers = _list_layers(file)
    if wanted:
        layers = [name for name in layers if name == wanted] or _refuse_layer(file, wanted, layers)
    if not layers:
        raise InputError(f"{file} has no geometries; give a vector file with polygons")
    if len(layers) > 1:
        raise InputError(
            f"{file} has the layers {', '.join(layers)}; "
            f'choose one: "{Path(file).name}{LAYER_MARK}{layers[0]}"'
        )
    return VectorSource(file, layers[0])


def is_vectors(path: str | Path) -> bool:
    """Whether pyogrio opens it, or its name says so, so that it is no raster."""
    file = os.fspath(path).partition(LAYER_MARK)[0]
    suffix = Path(file).suffix.lower()
    if suffix in VECTOR_SUFFIXES or suffix in RASTER_SUFFIXES:
        return suffix in VECTOR_SUFFIXES
    try:
        return bool(len(pyogrio.list_layers(file)))
    except DataSourceError:
        return False


def modified_at(path: str | Path) -> float:
    """When the file was written last, so that what is known of it can be kept; 0 of a URL."""
    file = find_stored(os.fspath(path).partition(LAYER_MARK)[0])
    return file.stat().st_mtime if file is not None else 0.0


def require_same_world(source: VectorSource, crs: CRS | None) -> None:
    """Nothing, if coordinates of the source can be brought to the CRS of a raster.

    Raises:
        InputError: just one of the two has a CRS, or nothing leads from one to the other.
    """
    if source.crs is None and crs is not None:
        raise InputError(
            f"{source} has no CRS, but the raster has {crs.name}; assign the CRS it was drawn in"
        )
    if source.crs is not None and crs is None:
        raise InputError(
            f"{source} is in {source.crs.name}, but the raster has no georeference; "
            "georeference the raster, or give labels as a raster of its size"
        )
    require_way(source, source.crs, crs)


def require_way(path: object, crs: CRS | None, target: CRS | None) -> None:
    """Nothing, if coordinates of a file can be brought from its CRS to the one of a raster.

    Raises:
        InputError: they cannot, as from the CRS of a building site or of another planet.
    """
    if crs is None or target is None or crs == target or _has_way(crs, target):
        return
    raise InputError(
        f"{path} is in {crs.name}, the raster in {target.name}, and nothing leads from one to the "
        "other; georeference both in a CRS of the Earth, or both in the same"
    )


@lru_cache(maxsize=64)
def _has_way(crs: CRS, target: CRS) -> bool:
    try:
        Transformer.from_crs(crs, target, always_xy=True)
    except ProjError:
        return False
    return True


def project_bounds(bounds: Bounds, crs: CRS | None, target: CRS | None) -> Bounds:
    """Bounds that hold all of these bounds, in another CRS."""
    if crs is None or target is None or crs == target:
        return bounds
    transformer = Transformer.from_crs(crs, target, always_xy=True)
    west, south, east, north = transformer.transform_bounds(*bounds, densify_pts=EDGE_POINTS)
    return west, south, east, north


def format_bounds(bounds: Bounds) -> str:
    """Bounds as a person reads them: `(85.518, 27.629, 85.523, 27.634)`."""
    return f"({', '.join(f'{v:.8g}' for v in bounds)})"


def search_box(
    own: CRS | None, crs: CRS | None, bounds: Bounds | None, width_m: float = 0.0
) -> Bounds | None:
    """Bounds in a CRS as bounds to search a source in, with room for lines of a width.

    None, which means everything, if there are no bounds or they cannot be said in the source's
    `own` CRS (too far from where it is used, or across the edge of its world).
    """
    if bounds is None or not _come_back(bounds, crs, own):
        return None
    west, south, east, north = project_bounds(bounds, crs, own)
    if not (west <= east and south <= north and math.isfinite(east - west + north - south)):
        return None
    # tenfold, since Mercator metres and degrees of longitude stretch up to that at 84 degrees
    room = 10 * width_m * (1e-5 if own is not None and own.is_geographic else 1.0)
    return west - room, south - room, east + room, north + room


def _come_back(bounds: Bounds, crs: CRS | None, target: CRS | None) -> bool:
    """Whether the edge of bounds is where it was after a way there and back.

    Far from where a CRS is used it is elsewhere: UTM shows the whole world as a strip of it.
    """
    if crs is None or target is None or crs == target:
        return True
    west, south, east, north = bounds
    x, y = np.linspace(west, east, EDGE_POINTS), np.linspace(south, north, EDGE_POINTS)
    xs = np.concatenate([x, x, np.full_like(y, west), np.full_like(y, east)])
    ys = np.concatenate([np.full_like(x, south), np.full_like(x, north), y, y])
    there = Transformer.from_crs(crs, target, always_xy=True)
    back = np.array(there.transform(*there.transform(xs, ys), direction="INVERSE"))
    slack = max(east - west, north - south) * 1e-3
    return bool((np.abs(back - (xs, ys)) <= slack).all())


def _list_layers(file: str) -> list[str]:
    """Names of the layers that have geometries."""
    try:
        return [str(name) for name, kind in pyogrio.list_layers(file) if kind is not None]
    except DataSourceError as error:
        # of a file that is there, GDAL may miss a library
        is_missing = any(text in str(error) for text in ("No such file", "response code: 404"))
        if is_missing and find_local(file) is None:
            raise InputError(f"{file} does not exist; check the path") from error
        if Path(file).suffix.lower() == ".parquet":
            raise InputError(
                f"{file} is GeoParquet, which this GDAL cannot read; write it as GeoPackage: "
                f"geopandas.read_parquet({file!r}).to_file('polygons.gpkg')"
            ) from error
        raise InputError(
            f"{file} is not a vector file that GDAL can open; give GeoPackage, GeoJSON, Shapefile"
        ) from error
    except DataLayerError as error:
        raise InputError(f"{file} is damaged: {' '.join(str(error).split())}") from error


def _refuse_layer(file: str, wanted: str, layers: list[str]) -> list[str]:
    raise InputError(f"{file} has no layer {wanted!r} with geometries; it has: {', '.join(layers)}")
