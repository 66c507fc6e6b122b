"""What makes QGIS open a GeoPackage in the colours of its classes, and equal layers equal bytes."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from geounet.classes import ClassInfo

GEOMETRY = "geom"
"""Name of the geometry column, as GDAL makes it."""

DATE = "1970-01-01T00:00:00.000Z"
"""Date of every change: the file has its own, and a date inside makes equal layers differ."""

STYLES_TABLE = """
    CREATE TABLE layer_styles (
        id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
        f_table_catalog TEXT(256), f_table_schema TEXT(256), f_table_name TEXT(256),
        f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
        useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30),
        update_time DATETIME DEFAULT CURRENT_TIMESTAMP
    )
"""
"""As QGIS creates it."""


def finish_geopackage(path: Path, layer: str, field: str, classes: Sequence[ClassInfo]) -> None:
    """Embed a QGIS style that colours the layer by a field of class values; fix all dates.

    Raises:
        sqlite3.Error: it cannot be written.
    """
    style = make_style(field, classes)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(STYLES_TABLE)
        database.execute(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, "
            "f_geometry_column, styleName, styleQML, useAsDefault, description, update_time) "
            "VALUES ('', '', ?, ?, 'classes', ?, 1, 'colours of the classes', ?)",
            [layer, GEOMETRY, style, DATE],
        )
        database.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, description, srs_id) "
            "VALUES ('layer_styles', 'attributes', 'layer_styles', '', 0)"
        )
        database.execute("UPDATE gpkg_contents SET last_change = ?", [DATE])


def count_rows(path: Path, layer: str, *, indexed: bool) -> int:
    """Rows of a layer that are there, and in its spatial index if it should have one.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    tables = [layer, f"rtree_{layer}_{GEOMETRY}"] if indexed else [layer]
    with closing(sqlite3.connect(path)) as database:
        quoted = ['"' + table.replace('"', '""') + '"' for table in tables]
        counts = [database.execute(f"SELECT count(*) FROM {table}") for table in quoted]
        return min(int(cursor.fetchone()[0]) for cursor in counts)


def make_style(field: str, classes: Sequence[ClassInfo]) -> str:
    """A QGIS style (QML) with one category for each class."""
    root = Element("qgis", version="3.22.0", styleCategories="Symbology")
    renderer = SubElement(
        root,
        "renderer-v2",
        {"type": "categorizedSymbol", "attr": field, "symbollevels": "0", "enableorderby": "0"},
    )
    categories, symbols = SubElement(renderer, "categories"), SubElement(renderer, "symbols")
    for number, item in enumerate(classes):
        SubElement(
            categories,
            "category",
            {"symbol": str(number), "value": str(item.value), "type": "long", "label": item.name},
            render="true",
        )
        _add_symbol(symbols, str(number), item.rgb)
    SubElement(root, "layerGeometryType").text = "2"
    return ElementTree.tostring(root, encoding="unicode")


def _add_symbol(symbols: Element, name: str, rgb: tuple[int, int, int]) -> None:
    symbol = SubElement(symbols, "symbol", {"type": "fill", "name": name, "alpha": "1"})
    layer = SubElement(symbol, "layer", {"class": "SimpleFill", "enabled": "1", "pass": "0"})
    properties = {
        "color": "{},{},{},255".format(*rgb),
        "style": "solid",
        "outline_color": "35,35,35,255",
        "outline_style": "solid",
        "outline_width": "0.1",
        "outline_width_unit": "MM",
    }
    options = SubElement(layer, "Option", type="Map")
    for key, value in properties.items():
        SubElement(options, "Option", name=key, value=value, type="QString")
