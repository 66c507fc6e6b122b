"""Which classes labels show: as declared, or as found in the files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pyproj import CRS

from geounet.classes import NODATA, PALETTE, ClassInfo, check_classes, make_classes
from geounet.errors import InputError, UsageError
from geounet.raster import ClassTable, Grid, name_of, read_class_table
from geounet.vector.label_options import LabelOptions
from geounet.vector.label_values import BACKGROUND, count_values, text_of
from geounet.vector.labels import open_label_raster
from geounet.vector.reading import read_class_column
from geounet.vector.source import is_vectors

MAX_CLASSES = NODATA
"""Values 0 to 254."""


def resolve_classes(
    declared: str | None,
    sources: Sequence[str | Path],
    grids: Sequence[Grid],
    options: LabelOptions = LabelOptions(),  # noqa: B008  frozen
) -> tuple[ClassInfo, ...]:
    """The classes of a set of labels: declared ones, else those found.

    Classes declared for vector labels may leave out the background: it is put first, with value 0,
    if there is only one, or if the first is a class of polygons (it occurs in the class column, or
    a file gives it a value above 0).

    Raises:
        UsageError: the declared classes are none, or leave no value for the background.
        InputError: a file cannot be read, or shows no classes.
    """
    if declared is None:
        return discover_classes(sources, grids, options)
    classes = parse_classes(declared)
    names = [item.name for item in classes]
    if BACKGROUND in names or not all(map(is_vectors, sources)):
        return classes
    is_numbered = declared.lower().endswith(".json")
    if options.class_field is None:
        needs_background = len(classes) == 1
    else:
        found = _find_texts(sources, grids, options)
        is_found = names[0] in found or (is_numbered and str(classes[0].value) in found)
        needs_background = is_found or classes[0].value > 0
    if not needs_background:
        return classes
    return _add_background(classes) if is_numbered else make_classes([BACKGROUND, *names])


def discover_classes(
    sources: Sequence[str | Path],
    grids: Sequence[Grid],
    options: LabelOptions = LabelOptions(),  # noqa: B008  frozen
) -> tuple[ClassInfo, ...]:
    """The classes that labels of scenes with these grids show.

    Rasters: every value that occurs, with the name and colour that the file tells. Vectors:
    background and the file's name, or with `class_field` background and the column's values on the
    scenes: numbers 1 to 254 as they are, anything else numbered in its order.

    Raises:
        InputError: there are fewer than two, or some cannot be classes.
    """
    rasters = [source for source in sources if not is_vectors(source)]
    if not rasters:
        return _discover_in_vectors(sources, grids, options)
    if len(rasters) < len(sources):
        raise InputError(
            f"{rasters[0]} is a raster, other labels are vectors; name the classes with --classes"
        )
    return _discover_in_rasters(rasters, options.ignore)


def find_raster_classes(source: str | Path, ignore: int | None) -> dict[int, ClassInfo]:
    """The class of every value that occurs in a class raster, named as the file says; streamed.

    Raises:
        InputError: it is not a class raster, or a value cannot be a class.
    """
    with open_label_raster(source) as labels:
        counts = count_values(labels)
    table = read_class_table(source)
    return {
        int(value): _class_of(value, count, table, source)
        for value, count in counts.items()
        if value != ignore
    }


def parse_classes(text: str | Path) -> tuple[ClassInfo, ...]:
    """Classes as the user writes them: `NAME,NAME` for values 0, 1, ..., or a JSON file.

    The file holds a list of `{"value": 1, "name": "road", "colour": "#aabbcc"}`; the colour may
    be left out.

    Raises:
        UsageError: a name is empty or occurs twice, or a value or colour cannot be one.
        InputError: the file is missing or holds something else.
    """
    if str(text).lower().endswith(".json"):
        return _read_classes_file(Path(text))
    names = [name.strip() for name in str(text).split(",")]
    if not all(names):
        raise UsageError(f"--classes {text!r} has an empty name; write NAME,NAME,...")
    return make_classes(names)


def _add_background(classes: Sequence[ClassInfo]) -> tuple[ClassInfo, ...]:
    """The classes, values as they are, and a background with value 0."""
    if classes[0].value == 0:
        raise UsageError(
            f"no class is named {BACKGROUND!r}, and {classes[0].name!r}, a class of polygons, has "
            f"its value 0; name the class outside of all polygons {BACKGROUND!r}, or leave 0 free"
        )
    return check_classes([*make_classes([BACKGROUND]), *classes])


def _read_classes_file(path: Path) -> tuple[ClassInfo, ...]:
    try:
        items = json.loads(path.read_text(encoding="utf-8"))
        return check_classes(_parse_item(item) for item in items)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path") from error
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{path} is not a list of classes ({' '.join(str(error).split())}); "
            'write [{"value": 0, "name": "background", "colour": "#d9d9d9"}, ...]'
        ) from error


def _parse_item(item: dict[str, Any]) -> ClassInfo:
    value = int(item["value"])
    colour = item.get("colour") or item.get("color") or PALETTE[value % len(PALETTE)]
    return ClassInfo(value, str(item["name"]), str(colour))


def _discover_in_rasters(
    sources: Sequence[str | Path], ignore: int | None
) -> tuple[ClassInfo, ...]:
    found: dict[int, ClassInfo] = {}
    for source in dict.fromkeys(sources):
        found = find_raster_classes(source, ignore) | found
    if len(found) < 2:
        known = ", ".join(str(value) for value in found) or "none"
        raise InputError(
            f"{_list_sources(sources)} have fewer than two classes (found: {known}); "
            "label a second one, or name the classes with --classes"
        )
    return check_classes(found.values())


def _class_of(value: float, count: int, table: ClassTable, source: str | Path) -> ClassInfo:
    if value != int(value) or not 0 <= value < NODATA:
        hint = f"if it means 'no label', say --ignore {value:g}; " if value == int(value) else ""
        raise InputError(
            f"{source} has the value {value:g} in {count} pixels, but classes are 0 to "
            f"{NODATA - 1}; {hint}otherwise renumber it"
        )
    return table.class_of(int(value))


def _discover_in_vectors(
    sources: Sequence[str | Path], grids: Sequence[Grid], options: LabelOptions
) -> tuple[ClassInfo, ...]:
    if options.class_field is None:
        stems = {name_of(source) for source in sources}
        return make_classes([BACKGROUND, stems.pop() if len(stems) == 1 else "foreground"])
    texts = _find_texts(sources, grids, options) - {BACKGROUND, str(options.ignore)}
    if not texts or len(texts) >= MAX_CLASSES:
        raise InputError(
            f"{_list_sources(sources)} have {len(texts)} different values in column "
            f"{options.class_field!r} on the scenes; choose the column that holds the class"
        )
    names = sorted(texts, key=_as_number_or_text)
    values = map(int, names) if all(map(_is_class_value, names)) else range(1, len(names) + 1)
    return make_classes([BACKGROUND, *names], [0, *values])


def _find_texts(
    sources: Sequence[str | Path], grids: Sequence[Grid], options: LabelOptions
) -> set[str]:
    """Values of the class column on the scenes, as text."""
    found: set[object] = set()
    for source in dict.fromkeys(sources):
        for crs in {grid.crs for grid in grids}:
            found.update(read_class_column(source, options, crs, _union_bounds(grids, crs)))
    return {text_of(value) for value in found} - {""}


def _union_bounds(grids: Sequence[Grid], crs: CRS | None) -> tuple[float, float, float, float]:
    wests, souths, easts, norths = zip(*(g.bounds() for g in grids if g.crs == crs), strict=True)
    return min(wests), min(souths), max(easts), max(norths)


def _is_class_value(text: str) -> bool:
    return text in map(str, range(1, NODATA))


def _as_number_or_text(text: str) -> tuple[float, str]:
    """Numbers by size, before texts."""
    try:
        return float(text), text
    except ValueError:
        return float("inf"), text


def _list_sources(sources: Sequence[str | Path]) -> str:
    more = f" and {len(sources) - 1} more" if len(sources) > 1 else ""
    return f"{sources[0]}{more}: labels"
