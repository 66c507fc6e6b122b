"""Adding to a GeoPackage: rows, styles and notes add up, and the old file is never in danger."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import geopandas
import numpy as np
import pyogrio
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS

from geounet.classes import ClassInfo, make_classes
from geounet.errors import InputError, ResourceError, UsageError
from geounet.vector import Layer, open_writer
from geounet.vector.files.appending import RowsHash, require_same_names

CLASSES = make_classes(["background", "roof & wall", "Straße"])
LAYER = Layer(
    name="polygons",
    crs=CRS.from_epsg(32633),
    columns={"class_id": np.int32, "class": np.object_, "share": np.float64},
    geometry_type="Polygon",
    style_field="class_id",
    text="Regions of a mask",
    column_texts={"class_id": "value in the mask", "share": "some share"},
)


def make_rows(count, first=0):
    west = 500_000 + 20.0 * np.arange(first, first + count)
    ids = np.arange(count) % 2 + 1
    names = np.array([item.name for item in CLASSES], object)[ids]
    squares = shapely.box(west, 5_000_000, west + 10, 5_000_010)
    return squares, {"class_id": ids, "class": names, "share": ids / 3}


def append(path, rows, layer=LAYER, classes=CLASSES[1:], source="mask.tif"):
    with open_writer(path, layer, append=True) as writer:
        writer.write(*rows)
        return writer.publish(classes, source)


def ask(path, question, *arguments):
    with closing(sqlite3.connect(path)) as database:
        return database.execute(question, arguments).fetchall()


def test_rows_of_all_scenes_are_in_one_layer_with_one_index(tmp_path):
    path = tmp_path / "all.gpkg"
    for first in (0, 100, 200):
        assert append(path, make_rows(30, first), source=f"{first}.tif")
    frame = geopandas.read_file(path, layer="polygons")
    wests = [500_000 + 20 * (first + n) for first in (0, 100, 200) for n in range(30)]
    assert frame.bounds.minx.tolist() == wests
    assert ask(path, "SELECT count(*) FROM rtree_polygons_geom") == [(90,)]
    found = geopandas.read_file(path, layer="polygons", bbox=(502_000, 5e6, 502_025, 5_000_001))
    assert found.bounds.minx.tolist() == [502_000, 502_020]
    extent = "SELECT min_x, max_x FROM gpkg_contents WHERE table_name = 'polygons'"
    assert ask(path, extent) == [(500_000, 500_000 + 20 * 229 + 10)]
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]
    assert ask(path, "PRAGMA foreign_key_check") == []
    assert [file.name for file in tmp_path.iterdir()] == ["all.gpkg"]


def test_the_same_rows_are_not_added_twice(tmp_path):
    path = tmp_path / "all.gpkg"
    assert append(path, make_rows(30))
    assert append(path, make_rows(30, 50))
    before = path.read_bytes()
    assert not append(path, make_rows(30), source="renamed.tif")
    assert not append(path, make_rows(30, 50))
    assert path.read_bytes() == before
    assert append(path, make_rows(31))


def test_a_style_gets_the_classes_it_lacks_and_keeps_what_its_owner_changed(tmp_path):
    path = tmp_path / "all.gpkg"
    append(path, make_rows(2), classes=[ClassInfo(1, "roof & wall", "#112233")])
    append(path, make_rows(2, 9), classes=CLASSES[1:])
    ((style,),) = ask(path, "SELECT styleQML FROM layer_styles")
    renderer = ElementTree.fromstring(style).find("renderer-v2")
    colours = {}
    for category in renderer.iterfind("categories/category"):
        symbol = renderer.find(f"symbols/symbol[@name='{category.get('symbol')}']")
        colour = symbol.find("layer/Option/Option[@name='color']").get("value")
        colours[category.get("label")] = colour
    rgb = ",".join(map(str, CLASSES[2].rgb))
    assert colours == {"roof & wall": "17,34,51,255", "Straße": f"{rgb},255"}
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "UPDATE layer_styles SET styleQML = '<qgis><renderer-v2 attr=\"x\"/></qgis>'"
        )
    append(path, make_rows(2, 20))
    ((style,),) = ask(path, "SELECT styleQML FROM layer_styles")
    assert 'attr="x"' in style
    assert "category" not in style


def test_another_layer_and_other_tables_stay(tmp_path):
    path = tmp_path / "all.gpkg"
    append(path, make_rows(3))
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE mine (a)")
        database.execute("INSERT INTO mine VALUES (7)")
    other = replace(LAYER, name='of "2024"', crs=CRS.from_epsg(4326))
    append(path, make_rows(4), layer=other)
    assert len(geopandas.read_file(path, layer="polygons")) == 3
    assert len(geopandas.read_file(path, layer='of "2024"')) == 4
    assert ask(path, "SELECT a FROM mine") == [(7,)]
    styles = ask(path, "SELECT f_table_name FROM layer_styles WHERE useAsDefault")
    assert styles == [("polygons",), ('of "2024"',)]


def test_descriptions_are_where_gdal_looks(tmp_path):
    path = tmp_path / "all.gpkg"
    for first in (0, 9):
        append(path, make_rows(3, first))
    assert pyogrio.read_info(path, layer="polygons")["layer_metadata"]["DESCRIPTION"] == LAYER.text
    columns = ask(path, "SELECT column_name, description FROM gpkg_data_columns ORDER BY 1")
    assert dict(columns) == dict(LAYER.column_texts)
    named = ask(path, "SELECT table_name FROM gpkg_extensions WHERE table_name LIKE 'gpkg_%'")
    tables = ask(path, "SELECT name FROM sqlite_master WHERE type = 'table'")
    assert set(named) <= set(tables)
    assert len(named) == len(set(named)) == 4


def test_appending_nothing_changes_no_row(tmp_path):
    path = tmp_path / "all.gpkg"
    append(path, make_rows(3))
    append(path, make_rows(0))
    assert len(geopandas.read_file(path, layer="polygons")) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crs": CRS.from_epsg(32634)}, "is in WGS 84 / UTM zone 33N, these polygons in WGS 84"),
        ({"crs": None}, "is in WGS 84 / UTM zone 33N, these polygons in no CRS"),
        ({"geometry_type": "MultiPolygon"}, "has Polygons, these are MultiPolygons"),
        ({"columns": {**LAYER.columns, "new": np.int32}}, "lacks columns of these polygons: new"),
        ({"columns": {"class_id": np.int32}}, "has columns that these polygons lack: class, share"),
        (
            {"columns": {**LAYER.columns, "share": np.int32}},
            "has another type in columns: share; add to it with the same options, or name another",
        ),
    ],
    ids=str,
)
def test_another_schema_is_refused(tmp_path, change, message):
    path = tmp_path / "all.gpkg"
    append(path, make_rows(3))
    before = path.read_bytes()
    with pytest.raises(InputError, match=message):
        append(path, make_rows(3), layer=replace(LAYER, **change))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["all.gpkg"]


@pytest.mark.parametrize("crs", [None, CRS.from_proj4("+proj=laea +lat_0=10 +lon_0=20"), 2193])
def test_the_same_crs_is_recognised(tmp_path, crs):
    layer = replace(LAYER, crs=crs and CRS.from_user_input(crs))
    for first in (0, 9):
        append(tmp_path / "all.gpkg", make_rows(3, first), layer=layer)
    assert len(geopandas.read_file(tmp_path / "all.gpkg", layer="polygons")) == 6


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "all.gpkg"
    path.write_text("precious")
    with pytest.raises(InputError, match="is no GeoPackage that GDAL can open"):
        append(path, make_rows(3))
    assert path.read_text() == "precious"


@pytest.mark.parametrize("suffix", [".fgb", ".geojson", ".parquet"])
def test_other_formats_cannot_be_added_to(tmp_path, suffix):
    with pytest.raises(UsageError, match=r"cannot be added to; write \.gpkg"):
        append(tmp_path / f"all{suffix}", make_rows(3))


def test_a_class_of_another_name_is_refused(tmp_path):
    path = tmp_path / "all.gpkg"
    append(path, make_rows(3))
    require_same_names(path, LAYER, "class", {1: "roof & wall", 7: "x"})
    with pytest.raises(InputError, match="calls class 1 'roof & wall', the mask 'water'; write an"):
        require_same_names(path, LAYER, "class", {1: "water"})


def test_two_runs_cannot_write_one_file(tmp_path):
    path = tmp_path / "all.gpkg"
    append(path, make_rows(3))
    with (
        open_writer(path, LAYER, append=True),
        pytest.raises(ResourceError, match="is being written by another run"),
    ):
        append(path, make_rows(3, 9))


KILLED = """
import os, signal, sys
sys.path.insert(0, {folder!r})
from pathlib import Path
from geounet.vector.files import writing
from test_vector_appending import append, make_rows
setattr(writing, {moment!r}, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
append(Path({path!r}), make_rows(500, 1000))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("moment", ["finish_geopackage", "publish"])
def test_a_killed_append_leaves_the_old_content(tmp_path, moment):
    path = tmp_path / "all.gpkg"
    append(path, make_rows(300))
    before = path.read_bytes()
    script = KILLED.format(folder=str(Path(__file__).parent), moment=moment, path=str(path))
    code = subprocess.run([sys.executable, "-c", script], check=False).returncode
    assert code == -signal.SIGKILL
    assert path.read_bytes() == before
    assert append(path, make_rows(500, 1000))
    assert len(geopandas.read_file(path, layer="polygons")) == 800
    assert [file.name for file in tmp_path.iterdir()] == ["all.gpkg"]


def test_what_another_program_has_not_yet_merged_is_kept(tmp_path):
    """QGIS keeps changes in a file beside the GeoPackage while it has it open."""
    path = tmp_path / "all.gpkg"
    append(path, make_rows(3))
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        with database:
            database.execute("CREATE TABLE noted (a)")
        append(path, make_rows(3, 9))
    assert ask(path, "SELECT count(*) FROM noted") == [(0,)]
    assert ask(path, "PRAGMA journal_mode") == [("delete",)]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.text(max_size=5), max_size=12), st.integers(0, 12))
def test_the_hash_is_of_rows_not_of_batches(texts, cut):
    column = np.array(texts, object)
    numbers = np.arange(len(texts)) * 0.5
    whole, parts, shifted = RowsHash(), RowsHash(), RowsHash()
    whole.add({"a": column, "b": numbers})
    for part in (slice(0, cut), slice(cut, None)):
        parts.add({"a": column[part], "b": numbers[part]})
    assert whole.hexdigest() == parts.hexdigest()
    if len(texts) > 1:
        joined = np.array([texts[0] + texts[1], "", *texts[2:]], object)
        shifted.add({"a": joined, "b": numbers})
        assert (shifted.hexdigest() == whole.hexdigest()) == (joined.tolist() == texts)
