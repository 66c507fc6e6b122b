"""The R-tree of a GeoPackage: sound by SQLite's own check, and as GDAL would make it."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import geopandas
import numpy as np
import pyogrio
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS

from geounet.errors import InputError
from geounet.vector import Layer, open_writer
from geounet.vector.files import spool
from geounet.vector.files.spatial_index import fill_index, make_cells

LAYER = Layer(
    name='of "2024"',
    crs=CRS.from_epsg(32633),
    columns={"class_id": np.int32},
    geometry_type="Polygon",
    style_field="class_id",
)


def make_bounds(seed, count):
    """Boxes of all sizes, whose edges float32 does not know."""
    rng = np.random.default_rng(seed)
    corner = rng.uniform(-1, 1, (count, 2)) * (500_000.1, 5e6)
    return np.column_stack([corner, corner + rng.uniform(0, 10, (count, 2)) ** 4])


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(0, 3000), st.integers(1, 1500))
def test_it_finds_what_a_search_of_all_rows_finds(seed, count, chunk):
    bounds = make_bounds(seed, count)
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE VIRTUAL TABLE boxes USING rtree(id, minx, maxx, miny, maxy)")
        cells = make_cells(1, bounds)
        fill_index(database, "boxes", (cells[n : n + chunk] for n in range(0, count, chunk)))
        assert database.execute("SELECT rtreecheck('boxes')").fetchone() == ("ok",)
        for west, south, east, north in make_bounds(seed + 1, 5):
            found = database.execute(
                "SELECT id FROM boxes WHERE maxx >= ? AND minx <= ? AND maxy >= ? AND miny <= ?",
                [west, east, south, north],
            )
            hits = (bounds[:, 2] >= west) & (bounds[:, 0] <= east)
            hits &= (bounds[:, 3] >= south) & (bounds[:, 1] <= north)
            near = {number for (number,) in found}
            assert set(np.flatnonzero(hits) + 1) <= near
            assert len(near) <= hits.sum() + 2  # float32 may let in one that is very near
        ((least, most),) = database.execute("SELECT min(minx), max(maxx) FROM boxes")
        if count:
            assert least == pytest.approx(bounds[:, 0].min())
            assert most == pytest.approx(bounds[:, 2].max())


def test_boxes_hold_what_they_are_of():
    bounds = make_bounds(0, 10_000)
    cells = make_cells(5, bounds)
    assert cells["id"].tolist() == list(range(5, 10_005))
    for edge, column, sign in (("west", 0, 1), ("south", 1, 1), ("east", 2, -1), ("north", 3, -1)):
        room = sign * (bounds[:, column] - cells[edge].astype(np.float64))
        assert room.min() >= 0
        assert room.max() <= 0.5  # the distance of numbers in float32 that large
    exact = np.array([[-0.5, 0.0, 0.25, 3.0]])
    assert np.array([*make_cells(1, exact)[0]][1:]).tolist() == [-0.5, 0.25, 0.0, 3.0]


def write(path, rows, layer=LAYER, append=False):
    with open_writer(path, layer, append=append) as writer:
        writer.write(rows, {"class_id": np.arange(len(rows))})
        writer.publish()


def make_squares(count, west=500_000):
    wests = west + 20.0 * np.arange(count)
    return shapely.box(wests, 5_000_000, wests + 10, 5_000_010)


def ask(path, question):
    with closing(sqlite3.connect(path)) as database:
        return database.execute(question).fetchall()


def test_it_is_as_gdal_would_make_it(tmp_path):
    """All tables but those of the tree are the same, and so are all triggers."""
    ours, theirs = tmp_path / "ours.gpkg", tmp_path / "theirs.gpkg"
    squares = make_squares(1000)
    write(ours, squares)
    pyogrio.raw.write(
        theirs,
        shapely.to_wkb(squares),
        [np.arange(1000, dtype=np.int32)],
        ["class_id"],
        driver="GPKG",
        dataset_options={"VERSION": "1.2"},
        **LAYER.gdal,
    )
    schema = "SELECT type, name, sql FROM sqlite_master WHERE tbl_name LIKE '%2024%' ORDER BY 2, 1"
    assert ask(ours, schema) == ask(theirs, schema)
    for content in (
        """SELECT fid, hex(geom), class_id FROM 'of "2024"'""",
        "SELECT * FROM gpkg_ogr_contents WHERE table_name LIKE 'of%'",
        "SELECT min_x, min_y, max_x, max_y FROM gpkg_contents WHERE table_name LIKE 'of%'",
        "SELECT * FROM gpkg_geometry_columns",
        "SELECT * FROM gpkg_extensions WHERE extension_name = 'gpkg_rtree_index'",
    ):
        assert ask(ours, content) == ask(theirs, content)


def test_other_programs_can_change_it(tmp_path):
    path = tmp_path / "squares.gpkg"
    write(path, make_squares(500))
    frame = geopandas.GeoDataFrame({"class_id": [7]}, geometry=make_squares(1, 600_000), crs=32633)
    frame.to_file(path, layer=LAYER.name, mode="a")
    found = geopandas.read_file(path, layer=LAYER.name, bbox=(590_000, 0, 610_000, 6e6))
    assert found.class_id.tolist() == [7]
    assert ask(path, """SELECT rtreecheck('rtree_of "2024"_geom')""") == [("ok",)]


@pytest.mark.parametrize("kind", ["Polygon", "MultiPolygon"])
def test_polygons_alone_become_multipolygons(tmp_path, kind):
    path = tmp_path / "squares.gpkg"
    squares = make_squares(3)
    mixed = np.array([squares[0], shapely.MultiPolygon(squares[1:].tolist())])
    layer = Layer(
        name="x", crs=None, columns=LAYER.columns, geometry_type=kind, style_field="class_id"
    )
    write(path, mixed if kind == "MultiPolygon" else squares, layer)
    frame = geopandas.read_file(path, layer="x")
    assert set(frame.geom_type) == {kind}
    assert shapely.equals_exact(shapely.union_all(frame.geometry), shapely.union_all(squares))


def test_a_geometry_that_no_geopackage_can_hold_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "LARGEST", 90)
    with pytest.raises(InputError, match="more than a GeoPackage can hold; use --simplify"):
        write(tmp_path / "squares.gpkg", make_squares(2))
    assert not list(tmp_path.iterdir())
