"""Vector files: what is in them, equal bytes for equal rows, and nothing left of a failure."""

from __future__ import annotations

import json
import signal
import sqlite3
import sys
from contextlib import closing, contextmanager
from xml.etree import ElementTree

import geopandas
import numpy as np
import pyogrio
import pytest
import shapely
from pyproj import CRS, Geod, Transformer

from geounet.classes import make_classes
from geounet.errors import ResourceError, UsageError
from geounet.vector import Layer, open_writer
from geounet.vector.files import writing as writing_module

FORMATS = [".gpkg", ".parquet", ".fgb", ".geojson"]
CLASSES = make_classes(["background", "roof & wall", "Straße"])


def make_layer(crs="EPSG:32633", geometry_type="Polygon"):
    return Layer(
        name="polygons",
        crs=crs and CRS.from_user_input(crs),
        columns={
            "class_id": np.int32,
            "class": np.object_,
            "pixels": np.int64,
            "share": np.float64,
        },
        geometry_type=geometry_type,
        style_field="class_id",
    )


def make_rows(count):
    """Squares side by side in a row of blocks, counter-clockwise from the lower left."""
    west = 500_000 + 20.0 * np.arange(count)
    squares = shapely.box(west, 5_000_000, west + 10, 5_000_010)
    ids = np.arange(count) % 2 + 1
    names = np.array([item.name for item in CLASSES], object)[ids]
    return squares, {"class_id": ids, "class": names, "pixels": ids * 7, "share": ids / 3}


def write(path, batches, layer=None, overwrite=False):
    with open_writer(path, layer or make_layer(), overwrite=overwrite) as writer:
        for geometries, columns in batches:
            writer.write(geometries, columns)
        writer.publish(CLASSES[1:])
    return path


def read(path):
    if path.suffix == ".parquet":
        return geopandas.read_parquet(path)
    return geopandas.read_file(path, layer="polygons")


def names_in(folder):
    return [path.name for path in folder.iterdir()]


@pytest.fixture(params=FORMATS)
def suffix(request):
    if request.param == ".parquet":
        pytest.importorskip("pyarrow")
    return request.param


def test_rows_come_back(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(writing_module, "BATCH", 30)
    squares, columns = make_rows(100)
    halves = [slice(0, 65), slice(65, 100)]
    batches = [(squares[half], {name: c[half] for name, c in columns.items()}) for half in halves]
    frame = read(write(tmp_path / f"out{suffix}", batches))
    frame = frame.iloc[frame.geometry.bounds.minx.argsort()]  # FlatGeobuf has its own order
    for name, column in columns.items():
        assert frame[name].tolist() == column.tolist()
    assert frame.crs == ("EPSG:4326" if suffix == ".geojson" else "EPSG:32633")
    to_utm = Transformer.from_crs(frame.crs, "EPSG:32633", always_xy=True)
    back = shapely.transform(frame.geometry.values, to_utm.transform, interleaved=False)
    assert shapely.hausdorff_distance(back, squares).max() < 2e-4
    assert shapely.is_ccw(shapely.get_exterior_ring(frame.geometry.values)).all()


def test_equal_rows_are_equal_bytes(tmp_path, suffix, monkeypatch):
    """However many come at once: as strips of a mask do."""
    monkeypatch.setattr(writing_module, "BATCH", 30)
    squares, columns = make_rows(200)
    contents = []
    for size in (200, 200, 61, 7):
        starts = range(0, 200, size)
        batches = [
            (squares[i : i + size], {name: c[i : i + size] for name, c in columns.items()})
            for i in starts
        ]
        contents.append(write(tmp_path / f"out{suffix}", batches, overwrite=True).read_bytes())
    assert len(set(contents)) == 1


def test_without_rows_there_is_a_layer(tmp_path, suffix):
    path = write(tmp_path / f"out{suffix}", [])
    frame = read(path)
    assert len(frame) == 0
    if suffix != ".geojson":  # which has no schema
        assert [*frame.columns[:-1]] == ["class_id", "class", "pixels", "share"]
        assert frame.crs == "EPSG:32633"


def test_polygons_become_multipolygons(tmp_path, suffix):
    path = write(
        tmp_path / f"out{suffix}", [make_rows(3)], make_layer(geometry_type="MultiPolygon")
    )
    assert set(read(path).geom_type) == {"MultiPolygon"}


@pytest.mark.parametrize("suffix", [".gpkg", ".parquet", ".fgb"])
def test_without_crs_coordinates_stay_as_they_are(tmp_path, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    frame = read(write(tmp_path / f"out{suffix}", [make_rows(3)], make_layer(crs=None)))
    assert frame.crs is None
    assert frame.total_bounds.tolist() == [500_000, 5_000_000, 500_050, 5_000_010]


def test_geojson_needs_a_crs(tmp_path):
    with pytest.raises(UsageError, match="the mask has no CRS"):
        write(tmp_path / "out.geojson", [make_rows(3)], make_layer(crs=None))


def test_geojson_is_that_of_the_rfc(tmp_path):
    content = json.loads(write(tmp_path / "out.geojson", [make_rows(1)]).read_text("utf-8"))
    assert "crs" not in content
    (feature,) = content["features"]
    to_lonlat = Transformer.from_crs("EPSG:32633", "OGC:CRS84", always_xy=True)
    lon, lat = to_lonlat.transform(500_000, 5_000_000)
    (ring,) = feature["geometry"]["coordinates"]
    assert min(abs(x - lon) + abs(y - lat) for x, y in ring) < 2e-9


def test_geojson_is_cut_at_the_180th_meridian(tmp_path):
    layer = make_layer(crs="EPSG:32760")  # its eastern edge
    rows = make_rows(1)[1]
    shell = shapely.box(790_000, 7_000_000, 810_000, 7_010_000)
    hole = shapely.box(792_000, 7_001_000, 808_000, 7_002_000)
    shape = np.array([shapely.Polygon(shell.exterior, [hole.exterior])])
    (parts,) = read(write(tmp_path / "out.geojson", [(shape, rows)], layer)).geometry
    west, east = sorted(parts.geoms, key=lambda part: -part.bounds[0])
    assert west.bounds[2] == 180
    assert east.bounds[0] == -180
    assert 179 < west.bounds[0] < 180
    assert -180 < east.bounds[2] < -179
    geod = Geod(ellps="WGS84")
    area = sum(geod.geometry_area_perimeter(part)[0] for part in parts.geoms)
    assert area == pytest.approx(shape[0].area, rel=3e-3)


def test_geopackage_has_an_index_and_a_style(tmp_path):
    path = write(tmp_path / "out.gpkg", [make_rows(50)])
    with closing(sqlite3.connect(path)) as database:
        contents = dict(database.execute("SELECT table_name, data_type FROM gpkg_contents"))
        assert contents == {"polygons": "features", "layer_styles": "attributes"}
        assert database.execute("SELECT count(*) FROM rtree_polygons_geom").fetchone() == (50,)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        (style, is_default) = database.execute(
            "SELECT styleQML, useAsDefault FROM layer_styles "
            "WHERE f_table_name = 'polygons' AND f_geometry_column = 'geom'"
        ).fetchone()
    assert is_default == 1
    renderer = ElementTree.fromstring(style).find("renderer-v2")
    assert (renderer.get("type"), renderer.get("attr")) == ("categorizedSymbol", "class_id")
    categories = renderer.findall("categories/category")
    assert [c.get("label") for c in categories] == ["roof & wall", "Straße"]
    for category, item in zip(categories, CLASSES[1:], strict=True):
        symbol = renderer.find(f"symbols/symbol[@name='{category.get('symbol')}']")
        colour = symbol.find("layer/Option/Option[@name='color']").get("value")
        assert category.get("value") == str(item.value)
        assert colour == ",".join(map(str, item.rgb)) + ",255"


def test_geoparquet_says_what_it_is(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    path = write(tmp_path / "out.parquet", [make_rows(50)])
    geo = json.loads(parquet.read_schema(path).metadata[b"geo"])
    column = geo["columns"]["geometry"]
    assert geo["version"] == "1.1.0"
    assert column["encoding"] == "WKB"
    assert column["geometry_types"] == ["Polygon"]
    assert column["bbox"] == [500_000, 5_000_000, 500_990, 5_000_010]
    assert CRS.from_json_dict(column["crs"]) == CRS("EPSG:32633")
    assert column["covering"]["bbox"]["xmin"] == ["bbox", "xmin"]
    found = geopandas.read_parquet(path, bbox=(500_000, 5_000_000, 500_025, 5_000_001))
    assert len(found) == 2


def test_an_existing_file_is_replaced_only_on_request(tmp_path, suffix):
    path = write(tmp_path / f"out{suffix}", [make_rows(2)])
    before = path.read_bytes()
    with pytest.raises(UsageError, match="use --overwrite"):
        write(path, [make_rows(5)])
    assert path.read_bytes() == before
    assert len(read(write(path, [make_rows(5)], overwrite=True))) == 5


def test_leftovers_of_an_older_geopackage_go_with_it(tmp_path):
    path = write(tmp_path / "out.gpkg", [make_rows(2)])
    (tmp_path / "out.gpkg-wal").write_bytes(b"changes of another database")
    write(path, [make_rows(5)], overwrite=True)
    assert names_in(tmp_path) == ["out.gpkg"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("out.shp", "use .gpkg, .parquet, .fgb, .geojson"),
        ("nowhere/out.gpkg", "nowhere is no folder; make it first"),
        ("folder.gpkg", "is a folder"),
    ],
)
def test_paths_that_cannot_be_meant_are_refused(tmp_path, name, message):
    (tmp_path / "folder.gpkg").mkdir()
    with pytest.raises(UsageError, match=message):
        write(tmp_path / name, [])


def test_an_error_leaves_nothing_behind(tmp_path, suffix):
    path = write(tmp_path / f"out{suffix}", [make_rows(2)])
    before = path.read_bytes()
    with pytest.raises(KeyError), open_writer(path, make_layer(), overwrite=True) as writer:
        writer.write(*make_rows(5))
        raise KeyError
    assert names_in(tmp_path) == [path.name]
    assert path.read_bytes() == before


@contextmanager
def file_size_limit(size):
    """Writing fails beyond this many bytes in a file, as on a full disk."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("share", [0.1, 0.9, 0.999])
def test_a_full_disk_is_noticed(tmp_path, suffix, share):
    """Also at the very end, where GDAL itself says nothing."""
    rows = make_rows(5000)
    path = write(tmp_path / f"out{suffix}", [rows])
    before = path.read_bytes()
    with open_writer(path, make_layer(), overwrite=True) as writer:
        writer.write(*rows)
        writer._flush()
        with file_size_limit(int(len(before) * share)), pytest.raises(ResourceError) as error:
            writer.publish(CLASSES)
    assert str(error.value).startswith(f"{path} cannot be written (")
    assert names_in(tmp_path) == [path.name]
    assert path.read_bytes() == before


def test_a_spool_that_does_not_fit_is_noticed(tmp_path, suffix):
    with file_size_limit(50_000), pytest.raises(ResourceError, match="cannot be written"):
        write(tmp_path / f"out{suffix}", [make_rows(5000)])
    assert names_in(tmp_path) == []


def test_only_parquet_needs_pyarrow(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for suffix in (".gpkg", ".fgb", ".geojson"):
        path = write(tmp_path / f"out{suffix}", [make_rows(3)])
        assert len(pyogrio.raw.read(path, layer="polygons")[2]) == 3
    with pytest.raises(UsageError, match="needs pyarrow"):
        write(tmp_path / "out.parquet", [make_rows(3)])
