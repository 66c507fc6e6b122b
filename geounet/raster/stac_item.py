"""A raster, above all a mask, as an Item of STAC (extensions projection 2.0.0, raster 2.0.0)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from pyproj import CRS, Transformer
from rasterio.io import DatasetReader
from shapely import Polygon, box
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry
from shapely.geometry.polygon import orient

from geounet.errors import InputError
from geounet.raster.class_table import read_classes
from geounet.raster.dataset import grid_of, open_dataset
from geounet.raster.grid import Grid
from geounet.stac import (
    changed_at,
    describe_classes,
    describe_file,
    format_moment,
    make_item,
)

EDGE_POINTS = 16
"""Points along each edge of a raster: edges are no straight lines in longitude and latitude."""

COG = "image/tiff; application=geotiff; profile=cloud-optimized"
MEDIA_TYPES = {
    ".gpkg": "application/geopackage+sqlite3", ".geojson": "application/geo+json",
    ".parquet": "application/vnd.apache.parquet", ".fgb": "application/vnd.flatgeobuf",
}  # fmt: skip

DATE_TAGS = (("IMAGERY", "ACQUISITIONDATETIME"), (None, "TIFFTAG_DATETIME"))
"""Where GDAL keeps dates: namespace and name."""


def describe_raster_item(
    path: Path,
    folder: Path,
    *,
    moment: str | tuple[str, str] | None = None,
    others: Mapping[str, Path] | None = None,
    derived_from: str | None = None,
) -> dict[str, Any]:
    """The Item of a raster of this machine, to be written in a folder.

    Args:
        path: The raster; with classes it is a mask.
        folder: Where the Item will lie.
        moment: When the scene was taken, RFC 3339, or its first and last pixel; None: what the file
            says, else when it was written.
        others: More files of the same place, by what they are called.
        derived_from: Address of the Item that it was made of.

    Raises:
        InputError: it is no raster of this machine.
    """
    if not path.is_file():
        raise InputError(f"{path} is no file of this machine; describe a local copy of it")
    with open_dataset(path) as dataset:
        grid = grid_of(dataset, path)
        properties = {
            **_describe_moment(moment or _find_date(dataset) or changed_at(path)),
            **_describe_origin(dataset),
            **describe_projection(grid),
        }
        asset = describe_file(path, folder, _find_type(dataset), "data")
        asset |= _list_bands(dataset, grid)
        classes = read_classes(path) if dataset.count == 1 else None
    if grid.pixel_size_m is not None:
        properties["gsd"] = grid.pixel_size_m
    if classes:
        asset["classification:classes"] = describe_classes(classes)
    assets = {"mask" if classes else "data": asset}
    for name, file in (others or {}).items():
        assets[name] = describe_file(
            file, folder, MEDIA_TYPES.get(file.suffix.lower(), COG), "data"
        )
    extensions = (
        "file",
        "projection",
        "raster",
        "processing",
        *(("classification",) * bool(classes)),
    )
    item = make_item(path.stem, properties, assets, extensions, find_place(grid))
    if derived_from:
        link = {"rel": "derived_from", "href": derived_from, "type": "application/geo+json"}
        item["links"].append(link)
    return item


def describe_projection(grid: Grid) -> dict[str, Any]:
    """Fields of the projection extension; `proj:wkt2` where the CRS has no code."""
    fields: dict[str, Any] = {
        "proj:code": None,
        "proj:shape": list(grid.shape),
        "proj:transform": [*list(grid.transform)[:6], 0.0, 0.0, 1.0],
    }
    if grid.crs is None:
        return fields
    authority = grid.crs.to_authority()  # of the most similar CRS there is
    if authority and CRS.from_authority(*authority).equals(grid.crs, ignore_axis_order=True):
        fields["proj:code"] = ":".join(authority)
    else:
        fields["proj:wkt2"] = grid.crs.to_wkt()
    return {**fields, "proj:bbox": list(grid.bounds())}


def find_place(grid: Grid) -> tuple[dict[str, Any], list[float]] | None:
    """The grid's outline as GeoJSON in WGS 84, and its bounds; None if it is nowhere on Earth.

    An outline across the antimeridian is two polygons, and its bounds begin in the east, as
    RFC 7946 (3.1.9, 5.2) has it.
    """
    if grid.crs is None:
        return None
    xs, ys = _walk_edges(grid)
    lons, lats = Transformer.from_crs(grid.crs, CRS.from_epsg(4326), always_xy=True).transform(
        xs, ys
    )
    if not (np.isfinite(lons).all() and np.isfinite(lats).all()):
        return None
    lons = np.unwrap(lons, period=360)
    if abs(lons[-1] - lons[0]) > 180:  # the outline goes round a pole: all longitudes
        is_north = lats.sum() > 0
        south, north = (float(lats.min()), 90.0) if is_north else (-90.0, float(lats.max()))
        return _to_geojson([box(-180, south, 180, north)]), [-180.0, south, 180.0, north]
    # pixels whose centres are the poles reach beyond them
    outline = shapely.make_valid(Polygon(np.stack([lons, lats.clip(-90, 90)], axis=1)))
    west, south, east, north = outline.bounds
    if east - west >= 360:
        return _to_geojson([box(-180, south, 180, north)]), [-180.0, south, 180.0, north]
    parts = [part for n in (-1, 0, 1) for part in _find_turn(outline, n)]
    bounds = [_wrap(west), south, _wrap(east), north] if len(parts) > 1 else [*parts[0].bounds]
    return _to_geojson(parts), bounds


def _find_turn(outline: BaseGeometry, turn: int) -> list[Polygon]:
    """What of an outline lies in the so many-th turn round the globe, between -180 and 180."""
    within = outline.intersection(box(360 * turn - 180, -90, 360 * turn + 180, 90))
    return [
        translate(part, -360 * turn)
        for part in shapely.get_parts(within)
        if isinstance(part, Polygon) and part.area > 0
    ]


def _wrap(lon: float) -> float:
    return (lon + 180) % 360 - 180


def _walk_edges(grid: Grid) -> tuple[Any, Any]:
    """CRS coordinates of points along the four edges, closed."""
    steps = np.linspace(0, 1, EDGE_POINTS, endpoint=False)
    zeros, ones = np.zeros_like(steps), np.ones_like(steps)
    cols = np.concatenate([zeros, steps, ones, 1 - steps, [0]]) * grid.width
    rows = np.concatenate([steps, ones, 1 - steps, zeros, [0]]) * grid.height
    t = grid.transform
    return t.a * cols + t.b * rows + t.c, t.d * cols + t.e * rows + t.f


def _to_geojson(polygons: Sequence[Polygon]) -> dict[str, Any]:
    """One polygon or several without holes, outer rings counterclockwise (RFC 7946, 3.1.6)."""
    rings = [
        [[[float(x), float(y)] for x, y in orient(polygon).exterior.coords]] for polygon in polygons
    ]
    if len(rings) == 1:
        return {"type": "Polygon", "coordinates": rings[0]}
    return {"type": "MultiPolygon", "coordinates": rings}


def _find_type(dataset: DatasetReader) -> str:
    if dataset.driver == "GTiff":
        is_cog = dataset.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG"
        return COG if is_cog else "image/tiff; application=geotiff"
    return {"PNG": "image/png", "JPEG": "image/jpeg", "JP2OpenJPEG": "image/jp2"}.get(
        dataset.driver, "application/octet-stream"
    )


def _list_bands(dataset: DatasetReader, grid: Grid) -> dict[str, Any]:
    """Type and no-data value of the pixels: of the asset if all bands agree, else of each."""
    names = [name or f"band {n}" for n, name in enumerate(dataset.descriptions, start=1)]
    facts = [_describe_band(dataset, index) for index in range(dataset.count)]
    size = grid.pixel_size_m
    fields: dict[str, Any] = {} if size is None else {"raster:spatial_resolution": size}
    if all(fact == facts[0] for fact in facts):
        return {**fields, **facts[0], "bands": [{"name": name} for name in names]}
    bands = [{"name": name, **fact} for name, fact in zip(names, facts, strict=True)]
    return {**fields, "bands": bands}


def _describe_band(dataset: DatasetReader, index: int) -> dict[str, Any]:
    """What the pixels of a band are; values are scale x pixel + offset where the file has those."""
    nodata, scale, offset = (
        values[index] for values in (dataset.nodatavals, dataset.scales, dataset.offsets)
    )
    return {
        "data_type": _word_dtype(dataset.dtypes[index]),
        **({} if nodata is None else {"nodata": _word(nodata)}),
        **({} if scale == 1 else {"raster:scale": scale}),
        **({} if offset == 0 else {"raster:offset": offset}),
    }


def _word_dtype(dtype: str) -> str:
    return {"complex64": "cfloat32", "complex128": "cfloat64", "complex_int16": "cint16"}.get(
        dtype, dtype
    )


def _word(nodata: float) -> float | str:
    """JSON knows no NaN; STAC writes it, and infinity, as words."""
    if np.isfinite(nodata):
        return int(nodata) if float(nodata).is_integer() else float(nodata)
    return "nan" if np.isnan(nodata) else "inf" if nodata > 0 else "-inf"


def _describe_moment(moment: str | tuple[str, str]) -> dict[str, str | None]:
    if isinstance(moment, str):
        return {"datetime": moment}
    return {"datetime": None, "start_datetime": moment[0], "end_datetime": moment[1]}


def _find_date(dataset: DatasetReader) -> str | None:
    for namespace, name in DATE_TAGS:
        text = dataset.tags(ns=namespace).get(name)
        for read in (datetime.fromisoformat, lambda t: datetime.strptime(t, "%Y:%m:%d %H:%M:%S")):
            with suppress(ValueError, TypeError):
                return format_moment(read(text))
    return None


def _describe_origin(dataset: DatasetReader) -> dict[str, Any]:
    """How a mask of ours came about, from its tags, in words and for the processing extension."""
    tags = dataset.tags()
    if "GEOUNET_VERSION" not in tags:
        return {}
    return {
        "description": f"{tags.get('GEOUNET_SCENE', 'a scene')}, mapped by the model "
        f"{tags.get('GEOUNET_MODEL', '?')} (SHA-256 {tags.get('GEOUNET_MODEL_SHA256', '?')})",
        "processing:software": {"geounet": tags["GEOUNET_VERSION"]},
    }
