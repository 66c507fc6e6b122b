"""GeoParquet 1.1, streamed in row groups. Needs pyarrow, which nothing else here does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from geounet.errors import UsageError

EDGES = ("xmin", "ymin", "xmax", "ymax")
"""Fields of the column `bbox`, by which readers skip row groups outside of their window."""


def import_pyarrow() -> Any:  # noqa: ANN401  a module without types
    """The package pyarrow, and with it pyarrow.parquet.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(
            ".parquet needs pyarrow, which is not installed; pip install pyarrow, or write .gpkg"
        ) from error
    return pyarrow


def convert_to_geoparquet(
    source: Path, target: Path, crs: CRS | None, bounds: NDArray[np.float64], rows: int
) -> None:
    """Write the only layer of a vector file, in groups of this many rows.

    Args:
        source: any vector file; the geometry types are those it declares.
        target: the file to write.
        crs: of the coordinates; None if unknown.
        bounds: west, south, east, north of all geometries; NaN if there are none.
        rows: in a group.
    """
    import pyogrio.raw  # brings geopandas, and predict checks its output in here

    pyarrow = import_pyarrow()
    with pyogrio.raw.open_arrow(source, use_pyarrow=True, batch_size=rows) as (meta, reader):
        geometry = meta["geometry_name"]
        description = _describe(meta["geometry_type"], crs, bounds)
        schema = _make_schema(reader.schema, geometry, description)
        with pyarrow.parquet.ParquetWriter(target, schema, compression="zstd") as writer:
            for batch in reader:
                boxes = shapely.bounds(shapely.from_wkb(batch[geometry].to_numpy(False)))
                edges = [pyarrow.array(column) for column in boxes.T]
                bbox = pyarrow.StructArray.from_arrays(edges, EDGES)
                attributes = [batch[name] for name in reader.schema.names if name != geometry]
                columns = [*attributes, batch[geometry].cast(pyarrow.binary()), bbox]
                writer.write_batch(pyarrow.RecordBatch.from_arrays(columns, schema=schema))


def _make_schema(schema: Any, geometry: str, description: dict[str, Any]) -> Any:  # noqa: ANN401
    pyarrow = import_pyarrow()
    fields = [pyarrow.field(f.name, f.type) for f in schema if f.name != geometry]
    fields.append(pyarrow.field("geometry", pyarrow.binary()))
    fields.append(pyarrow.field("bbox", pyarrow.struct([(e, pyarrow.float64()) for e in EDGES])))
    return pyarrow.schema(fields, metadata={"geo": json.dumps(description)})


def _describe(kind: str, crs: CRS | None, bounds: NDArray[np.float64]) -> dict[str, Any]:
    """The file's metadata `geo`: https://geoparquet.org/releases/v1.1.0."""
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": [kind],
        "crs": None if crs is None else crs.to_json_dict(),
        "orientation": "counterclockwise",
        "edges": "planar",
        "covering": {"bbox": {edge: ["bbox", edge] for edge in EDGES}},
    }
    if np.isfinite(bounds).all():
        column["bbox"] = bounds.tolist()
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
