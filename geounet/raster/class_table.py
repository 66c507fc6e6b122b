"""The classes of a mask or label raster, as its file tells them: the one reader for all parts.

Looked for in this order: geounet's own tag, GDAL's category names, the raster attribute table.
Colours come from the same place, or from the colour table.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import rasterio.shutil
from rasterio.io import DatasetReader, MemoryFile

from geounet.classes import NODATA, ClassInfo, check_classes, pick_colours
from geounet.errors import InputError, UsageError
from geounet.raster.dataset import open_dataset

CLASSES_TAG = "GEOUNET_CLASSES"
"""Dataset tag in which geounet's masks carry their classes, as written by `dump_classes`."""

_VALUE, _NAME, _RGB = (
    ("5", "3"),
    "2",
    ("6", "7", "8"),
)  # GDALRATFieldUsage: MinMax, Min; Name; R G B
_TEXT = "2"  # GDALRATFieldType: string


@dataclass(frozen=True, slots=True)
class ClassTable:
    """What a file says about its values 0-254: names, and colours as `#rrggbb`; either may lack."""

    names: Mapping[int, str] = field(default_factory=dict)
    colours: Mapping[int, str] = field(default_factory=dict)

    def name_of(self, value: int) -> str:
        """The name of a value: `class 7` where the file says nothing."""
        return self.names.get(value) or f"class {value}"

    def class_of(self, value: int) -> ClassInfo:
        """The class of a value: with a default colour where the file says nothing."""
        name = self.name_of(value)
        return ClassInfo(
            value, name, pick_colours({**self.names, value: name}, self.colours)[value]
        )


def read_classes(path: str | Path) -> tuple[ClassInfo, ...] | None:
    """The classes that a raster names for its first band, sorted by value; None if it names none.

    Raises:
        InputError: it is not a raster, or its classes contradict each other.
    """
    with open_dataset(path) as dataset:
        text = dataset.tags().get(CLASSES_TAG)
        if text is not None:
            return parse_classes_tag(text, path)
        table = _read_table(dataset)
    return tuple(table.class_of(value) for value in sorted(table.names)) or None


def read_class_table(path: str | Path) -> ClassTable:
    """Names and colours of the values of a raster's first band, as far as the file has them.

    Raises:
        InputError: it is not a raster, or its classes contradict each other.
    """
    with open_dataset(path) as dataset:
        text = dataset.tags().get(CLASSES_TAG)
        if text is None:
            return _read_table(dataset)
    classes = parse_classes_tag(text, path)
    return ClassTable(
        {item.value: item.name for item in classes}, {item.value: item.colour for item in classes}
    )


def dump_classes(classes: Iterable[ClassInfo]) -> str:
    """The classes as JSON, `[{"value": 0, "name": "background", "colour": "#d9d9d9"}, ...]`."""
    return json.dumps([asdict(item) for item in classes], ensure_ascii=False)


def parse_classes_tag(text: str, path: str | Path) -> tuple[ClassInfo, ...]:
    """What `dump_classes` wrote; `path` is named in the error.

    Raises:
        InputError: it is something else.
    """
    try:
        return check_classes(ClassInfo(**item) for item in json.loads(text))
    except (ValueError, TypeError, UsageError) as error:
        raise InputError(
            f"{path} has a tag {CLASSES_TAG} that cannot be read ({error}); write the mask anew"
        ) from error


def _read_table(dataset: DatasetReader) -> ClassTable:
    """From category names, attribute table and colour table of band 1, in any format.

    rasterio has no call for the first two, but GDAL copies all three into a VRT, which is text.
    """
    with MemoryFile(ext=".vrt") as memory:
        rasterio.shutil.copy(dataset, memory.name, driver="VRT")
        band = ElementTree.fromstring(memory.read()).find("VRTRasterBand")
    if band is None:
        return ClassTable()
    names, colours = _read_attributes(band)
    categories = enumerate(item.text or "" for item in band.iterfind("CategoryNames/Category"))
    return ClassTable(
        _make_unique(_keep_classes(dict(categories)) or _keep_classes(names)),
        _keep_classes(colours or _read_colours(band)),
    )


def _read_colours(band: ElementTree.Element) -> dict[int, str]:
    """The colour table without its black entries: those are what GDAL fills unused values with."""
    entries = enumerate(band.iterfind("ColorTable/Entry"))
    colours = {v: _format_rgb(*(e.get(c, "0") for c in ("c1", "c2", "c3"))) for v, e in entries}
    return {value: colour for value, colour in colours.items() if colour != "#000000"}


def _read_attributes(band: ElementTree.Element) -> tuple[dict[int, str], dict[int, str]]:
    """Names and colours by value in the raster attribute table."""
    table = band.find("GDALRasterAttributeTable")
    if table is None:
        return {}, {}
    fields = [(f.findtext("Usage"), f.findtext("Type")) for f in table.iterfind("FieldDefn")]
    usages = {usage: column for column, (usage, _) in reversed(list(enumerate(fields)))}
    texts = [column for column, (_, kind) in enumerate(fields) if kind == _TEXT]
    value_column = next((usages[u] for u in _VALUE if u in usages), None)
    name_column = usages.get(_NAME, texts[0] if texts else None)
    rgb_columns = [usages[u] for u in _RGB if u in usages]
    names: dict[int, str] = {}
    colours: dict[int, str] = {}
    for index, row in enumerate(table.iterfind("Row")):
        cells = [cell.text or "" for cell in row.iterfind("F")]
        value = index if value_column is None else _parse_number(cells[value_column])
        if value is None:  # the row tells of no pixel
            continue
        if name_column is not None:
            names[value] = cells[name_column]
        if len(rgb_columns) == 3:
            colours[value] = _format_rgb(*(cells[column] for column in rgb_columns))
    return names, colours


def _parse_number(cell: str) -> int | None:
    """A cell as an integer; None of one that is empty, NaN or no number."""
    try:
        return int(float(cell))
    except (ValueError, OverflowError):  # the latter by infinity
        return None


def _format_rgb(red: str, green: str, blue: str) -> str:
    return "#" + "".join(f"{min(255, max(0, int(float(c)))):02x}" for c in (red, green, blue))


def _keep_classes(texts: Mapping[int, str]) -> dict[int, str]:
    return {v: text.strip() for v, text in texts.items() if 0 <= v < NODATA and text.strip()}


def _make_unique(names: Mapping[int, str]) -> dict[int, str]:
    """The names, each that occurs twice with its value: `water 3`, `water 4`."""
    known = list(names.values())
    return {v: f"{name} {v}" if known.count(name) > 1 else name for v, name in names.items()}
