"""What a vector file is to hold, and whether it can be written where it is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from numpy.typing import DTypeLike
from pyproj import CRS

from geounet.errors import UsageError
from geounet.vector.files.geopackage import Notes
from geounet.vector.files.geoparquet import import_pyarrow

FORMATS = (".gpkg", ".parquet", ".fgb", ".geojson")


@dataclass(frozen=True, kw_only=True)
class Layer:
    """What a vector file is to hold.

    Attributes:
        name: of the layer, in formats that have names.
        crs: of the coordinates; None if there is none.
        columns: type by name, in order; object is text.
        geometry_type: of every row; single polygons may be given for multipolygons.
        style_field: column of class values by which to colour.
        text: what it is, in formats that have room for it.
        column_texts: what columns mean, likewise.
    """

    name: str
    crs: CRS | None
    columns: Mapping[str, DTypeLike]
    geometry_type: Literal["Polygon", "MultiPolygon"]
    style_field: str
    text: str = ""
    column_texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def gdal(self) -> dict[str, str | None]:
        """What GDAL needs to know to create it."""
        crs = None if self.crs is None else self.crs.to_wkt()
        return {"layer": self.name, "crs": crs, "geometry_type": self.geometry_type}

    @property
    def notes(self) -> Notes:
        """What a GeoPackage says about it."""
        return Notes(self.name, self.text, self.column_texts, self.style_field)


def check_vector_output(
    path: Path, crs: CRS | None, *, overwrite: bool, append: bool = False
) -> None:
    """Refuse a path that no layer in this CRS can be written to.

    Raises:
        UsageError: the message says why.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(f"{path} is of no format that can be written; use {', '.join(FORMATS)}")
    if append and suffix != ".gpkg":
        raise UsageError(f"{path} cannot be added to; write .gpkg, or one file for each scene")
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent} is no folder; make it first")
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file")
    if path.exists() and not (overwrite or append):
        more = ", or --append" if suffix == ".gpkg" else ""
        raise UsageError(f"{path} exists; choose another name, or use --overwrite{more}")
    if suffix == ".geojson" and crs is None:
        raise UsageError(
            f"{path} would hold longitudes and latitudes, but the mask has no CRS; write .gpkg"
        )
    if suffix == ".parquet":
        import_pyarrow()
