"""What a GeoPackage holds beside the rows: style, descriptions, and what was added when.

All dates are fixed, so that equal layers are equal bytes.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from geounet.classes import ClassInfo
from geounet.vector.files.style import extend_style, make_style

GEOMETRY = "geom"
"""Name of the geometry column, as GDAL makes it."""

DATE = "1970-01-01T00:00:00.000Z"
"""Date of every change: the file has its own, and a date inside makes equal layers differ."""

STYLE = "classes"
"""Name of the style."""

STANDARD = "urn:geounet:addition"
"""What says that a piece of metadata is an `Addition`."""

TABLES = (
    # as QGIS creates it
    """
    CREATE TABLE IF NOT EXISTS layer_styles (
        id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
        f_table_catalog TEXT(256), f_table_schema TEXT(256), f_table_name TEXT(256),
        f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
        useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30),
        update_time DATETIME DEFAULT CURRENT_TIMESTAMP
    )
    """,
    # as the GeoPackage standard says, extensions Schema and Metadata
    """
    CREATE TABLE IF NOT EXISTS gpkg_data_columns (
        table_name TEXT NOT NULL, column_name TEXT NOT NULL, name TEXT, title TEXT,
        description TEXT, mime_type TEXT, constraint_name TEXT,
        CONSTRAINT pk_gdc PRIMARY KEY (table_name, column_name),
        CONSTRAINT gdc_tn UNIQUE (table_name, name)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS gpkg_data_column_constraints (
        constraint_name TEXT NOT NULL, constraint_type TEXT NOT NULL, value TEXT, min NUMERIC,
        min_is_inclusive BOOLEAN, max NUMERIC, max_is_inclusive BOOLEAN, description TEXT,
        CONSTRAINT gdcc_ntv UNIQUE (constraint_name, constraint_type, value)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS gpkg_metadata (
        id INTEGER CONSTRAINT m_pk PRIMARY KEY ASC NOT NULL,
        md_scope TEXT NOT NULL DEFAULT 'dataset', md_standard_uri TEXT NOT NULL,
        mime_type TEXT NOT NULL DEFAULT 'text/xml', metadata TEXT NOT NULL DEFAULT ''
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS gpkg_metadata_reference (
        reference_scope TEXT NOT NULL, table_name TEXT, column_name TEXT, row_id_value INTEGER,
        timestamp DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')),
        md_file_id INTEGER NOT NULL, md_parent_id INTEGER,
        CONSTRAINT crmr_mfi_fk FOREIGN KEY (md_file_id) REFERENCES gpkg_metadata(id),
        CONSTRAINT crmr_mpi_fk FOREIGN KEY (md_parent_id) REFERENCES gpkg_metadata(id)
    )
    """,
)

EXTENSIONS = {
    "gpkg_data_columns": ("gpkg_schema", "http://www.geopackage.org/spec121/#extension_schema"),
    "gpkg_data_column_constraints": (
        "gpkg_schema",
        "http://www.geopackage.org/spec121/#extension_schema",
    ),
    "gpkg_metadata": ("gpkg_metadata", "http://www.geopackage.org/spec120/#extension_metadata"),
    "gpkg_metadata_reference": (
        "gpkg_metadata",
        "http://www.geopackage.org/spec120/#extension_metadata",
    ),
}
"""By table: name of the extension that it is of, and where that is defined."""


@dataclass(frozen=True)
class Addition:
    """Rows that were added to a layer at once.

    Attributes:
        source: name of what they were made of.
        rows: how many.
        sha256: of all their content.
    """

    source: str
    rows: int
    sha256: str


@dataclass(frozen=True)
class Notes:
    """What to say about a layer.

    Attributes:
        layer: its name.
        text: what it is.
        columns: what each of its columns means.
        style_field: column of class values by which to colour.
    """

    layer: str
    text: str
    columns: Mapping[str, str]
    style_field: str


def finish_geopackage(
    path: Path, notes: Notes, classes: Sequence[ClassInfo], addition: Addition
) -> None:
    """Embed descriptions, what was added, and a QGIS style in the colours of these classes.

    What there is already stays; categories of a style of ours are added to.

    Raises:
        sqlite3.Error: it cannot be written.
    """
    with _opened(path) as database:
        for statement in TABLES:
            database.execute(statement)
        for table, (name, definition) in EXTENSIONS.items():
            _register(database, table, name, definition)
        _describe(database, notes)
        _set_style(database, notes, classes)
        _add_record(database, notes.layer, addition)
        database.execute(
            "UPDATE gpkg_contents SET last_change = ? WHERE table_name IN (?, 'layer_styles')",
            [DATE, notes.layer],
        )


def count_rows(path: Path, layer: str, *, indexed: bool) -> int:
    """Rows of a layer that are there, and in its spatial index if it should have one.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    tables = [layer, f"rtree_{layer}_{GEOMETRY}"] if indexed else [layer]
    with _opened(path) as database:
        counts = [database.execute(f"SELECT count(*) FROM {quote(table)}") for table in tables]
        return min(int(cursor.fetchone()[0]) for cursor in counts)


def read_additions(path: Path, layer: str) -> list[Addition]:
    """What was added to a layer so far, as far as the file knows.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    with _opened(path) as database:
        try:
            found = database.execute(
                "SELECT metadata FROM gpkg_metadata JOIN gpkg_metadata_reference "
                "ON id = md_file_id WHERE md_standard_uri = ? AND table_name = ? ORDER BY id",
                [STANDARD, layer],
            ).fetchall()
        except sqlite3.OperationalError:  # no such table
            return []
    return [Addition(**json.loads(text)) for (text,) in found]


def read_names(path: Path, layer: str, value: str, name: str) -> dict[int, str]:
    """The class names in a layer by value, from these two columns.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    columns = f"{quote(value)}, {quote(name)}"
    with _opened(path) as database:
        found = database.execute(f"SELECT DISTINCT {columns} FROM {quote(layer)}").fetchall()
    return {int(number): str(text) for number, text in found if number is not None}


def copy_geopackage(source: Path, target: Path) -> None:
    """Copy a GeoPackage in one consistent state, even while others write to it.

    Raises:
        sqlite3.Error: it cannot be read, or not be written.
    """
    uri = f"{source.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
        new.execute("PRAGMA journal_mode = DELETE")  # the whole file, none of it beside it


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A database, whose changes are kept if all goes well."""
    with closing(sqlite3.connect(path)) as database, database:
        yield database


def _register(database: sqlite3.Connection, table: str, name: str, definition: str) -> None:
    known = database.execute("SELECT 1 FROM gpkg_extensions WHERE table_name = ?", [table])
    if known.fetchone() is None:
        database.execute(
            "INSERT INTO gpkg_extensions (table_name, extension_name, definition, scope) "
            "VALUES (?, ?, ?, 'read-write')",
            [table, name, definition],
        )


def _describe(database: sqlite3.Connection, notes: Notes) -> None:
    database.execute(
        "UPDATE gpkg_contents SET description = ? WHERE table_name = ? AND description = ''",
        [notes.text, notes.layer],
    )
    database.executemany(
        "INSERT OR IGNORE INTO gpkg_data_columns (table_name, column_name, name, description) "
        "VALUES (?, ?, ?, ?)",
        [(notes.layer, column, column, text) for column, text in notes.columns.items()],
    )


def _set_style(database: sqlite3.Connection, notes: Notes, classes: Sequence[ClassInfo]) -> None:
    found = database.execute(
        "SELECT id, styleQML FROM layer_styles WHERE f_table_name = ? AND styleName = ?",
        [notes.layer, STYLE],
    ).fetchone()
    if found is not None:
        number, style = found
        extended = extend_style(style or "", notes.style_field, classes)
        database.execute("UPDATE layer_styles SET styleQML = ? WHERE id = ?", [extended, number])
        return
    database.execute(
        "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, "
        "f_geometry_column, styleName, styleQML, useAsDefault, description, update_time) "
        "VALUES ('', '', ?, ?, ?, ?, 1, 'colours of the classes', ?)",
        [notes.layer, GEOMETRY, STYLE, make_style(notes.style_field, classes), DATE],
    )
    database.execute(
        "INSERT OR IGNORE INTO gpkg_contents (table_name, data_type, identifier, description, "
        "srs_id) VALUES ('layer_styles', 'attributes', 'layer_styles', '', 0)"
    )


def _add_record(database: sqlite3.Connection, layer: str, addition: Addition) -> None:
    inserted = database.execute(
        "INSERT INTO gpkg_metadata (md_scope, md_standard_uri, mime_type, metadata) "
        "VALUES ('dataset', ?, 'application/json', ?)",
        [STANDARD, json.dumps(asdict(addition), ensure_ascii=False)],
    )
    database.execute(
        "INSERT INTO gpkg_metadata_reference (reference_scope, table_name, timestamp, md_file_id) "
        "VALUES ('table', ?, ?, ?)",
        [layer, DATE, inserted.lastrowid],
    )


def quote(name: str) -> str:
    """A name as it stands in SQL."""
    return '"' + name.replace('"', '""') + '"'
