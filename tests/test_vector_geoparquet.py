"""GeoParquet 1.1 against its specification: https://geoparquet.org/releases/v1.1.0."""

from __future__ import annotations

import json
import re

import geopandas
import numpy as np
import pytest
import shapely
from pyproj import CRS
from rasters import UTM, write_raster

from geounet.vector import PolygonizeOptions, polygonize
from geounet.vector.files import writing

parquet = pytest.importorskip("pyarrow.parquet")
pyarrow = pytest.importorskip("pyarrow")

TYPE = r"(GeometryCollection|(Multi)?(Point|LineString|Polygon))( Z)?"
COLUMN_KEYS = {
    "encoding", "geometry_types", "crs", "orientation", "edges", "bbox", "epoch", "covering",
}  # fmt: skip


def make_file(folder, mask, connectivity=4, transform=UTM):
    path, output = folder / "mask.tif", folder / "out.parquet"
    write_raster(path, mask, transform=transform)
    polygonize(path, output, PolygonizeOptions(connectivity=connectivity))
    return output


def make_mask(seed=0):
    return np.random.default_rng(seed).choice([0, 1, 2], (60, 80), p=(0.2, 0.55, 0.25)).astype("u1")


def check_metadata(path):
    """What the specification requires of the file's metadata; the description of its column."""
    schema = parquet.read_schema(path)
    geo = json.loads(schema.metadata[b"geo"])
    assert set(geo) == {"version", "primary_column", "columns"}
    assert geo["version"] == "1.1.0"
    assert [*geo["columns"]] == [geo["primary_column"]]
    column = geo["columns"][geo["primary_column"]]
    assert {"encoding", "geometry_types"} <= set(column) <= COLUMN_KEYS
    assert column["encoding"] == "WKB"
    assert len(set(column["geometry_types"])) == len(column["geometry_types"])
    assert all(re.fullmatch(TYPE, kind) for kind in column["geometry_types"])
    assert column["orientation"] == "counterclockwise"
    assert column["edges"] == "planar"
    assert schema.field(geo["primary_column"]).type == pyarrow.binary()
    covering = column["covering"]["bbox"]
    assert covering == {edge: ["bbox", edge] for edge in ("xmin", "ymin", "xmax", "ymax")}
    box = schema.field("bbox").type
    assert {field.name for field in box} == set(covering)
    assert {field.type for field in box} == {pyarrow.float64()}
    return column


@pytest.mark.parametrize("connectivity", [4, 8])
def test_metadata_rows_and_boxes_agree(tmp_path, monkeypatch, connectivity):
    monkeypatch.setattr(writing, "GROUP", 100)
    path = make_file(tmp_path, make_mask(), connectivity)
    column = check_metadata(path)
    assert CRS.from_json_dict(column["crs"]) == CRS.from_epsg(32633)
    assert column["crs"]["$schema"].startswith("https://proj.org/schemas/")
    table = parquet.read_table(path)
    geometries = shapely.from_wkb(table["geometry"].to_numpy())
    assert set(column["geometry_types"]) == set(geopandas.GeoSeries(geometries).geom_type)
    polygons = shapely.get_parts(geometries)
    assert shapely.is_ccw(shapely.get_exterior_ring(polygons)).all()
    holes = [ring for polygon in polygons for ring in polygon.interiors]
    assert len(holes) > 5
    assert not shapely.is_ccw(holes).any()
    boxes = np.array([[*box.values()] for box in table["bbox"].to_pylist()])
    assert (boxes == shapely.bounds(geometries)).all()
    assert column["bbox"] == shapely.total_bounds(geometries).tolist()


def test_row_groups_outside_of_a_window_can_be_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "GROUP", 100)
    path = make_file(tmp_path, make_mask())
    file = parquet.ParquetFile(path)
    whole = geopandas.read_parquet(path)
    assert file.num_row_groups == -(-len(whole) // 100) > 2
    names = [file.schema.column(n).path for n in range(len(file.schema))]
    for number in range(file.num_row_groups):
        group = file.metadata.row_group(number)
        rows = whole.iloc[100 * number : 100 * (number + 1)]
        low = group.column(names.index("bbox.ymin")).statistics.min
        high = group.column(names.index("bbox.ymax")).statistics.max
        assert (low, high) == (rows.bounds.miny.min(), rows.bounds.maxy.max())
    window = whole.geometry.iloc[-1].bounds
    found = geopandas.read_parquet(path, bbox=window)
    assert len(found) == whole.intersects(shapely.box(*window)).sum()


def test_without_crs_and_without_rows_it_is_valid_too(tmp_path):
    path = make_file(tmp_path, np.zeros((4, 4), np.uint8), transform=None)
    column = check_metadata(path)
    assert column["crs"] is None
    assert "bbox" not in column
    frame = geopandas.read_parquet(path)
    assert len(frame) == 0
    assert [*frame.columns[:3]] == ["class_id", "class", "area_m2"]
