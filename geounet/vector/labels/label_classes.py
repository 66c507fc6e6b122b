"""What a set of labels shows: classes as declared, or as found in the files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

from pyproj import CRS

from geounet.classes import NODATA, ClassInfo, check_classes, make_classes
from geounet.errors import InputError, UsageError
from geounet.raster import Bounds, ClassTable, Grid, name_of, read_class_table
from geounet.vector.labels.class_declaration import Declaration, parse_declaration, refuse_zero
from geounet.vector.labels.grey_masks import HALF, Content, are_masks, read_content
from geounet.vector.labels.label_keys import (
    format_code,
    format_number,
    ignored_numbers,
    ignored_texts,
    is_colour,
    is_number,
    number_keys,
    order_halves,
    text_keys,
    to_code,
    to_number,
)
from geounet.vector.labels.label_options import LabelOptions
from geounet.vector.labels.label_pixels import has_colours
from geounet.vector.labels.label_values import BACKGROUND, text_of
from geounet.vector.labels.reading import read_class_column
from geounet.vector.source import (
    format_bounds,
    is_empty,
    is_vectors,
    open_vectors,
    project_bounds,
)
from geounet.wording import counted

MAX_CLASSES = NODATA
"""Values 0 to 254."""

FOREGROUND = "foreground"
"""Name of the other class of masks."""

MASK_SEARCH = 256 * 2**20
"""Pixels of label rasters that are looked at before they count as numbers of declared classes."""


@dataclass(frozen=True)
class Legend:
    """How labels are read.

    Attributes:
        classes: sorted by value.
        options: how labels are to be understood, with nothing left to be found out.
        notes: what was found out and should be said.
    """

    classes: tuple[ClassInfo, ...]
    options: LabelOptions
    notes: tuple[str, ...] = ()


def resolve_legend(
    declared: str | Sequence[ClassInfo] | None,
    sources: Sequence[str | Path],
    grids: Sequence[Grid],
    options: LabelOptions = LabelOptions(),  # noqa: B008  frozen
    *,
    may_be_empty: bool = False,
) -> Legend:
    """The classes of a set of labels, declared or else found, and how the labels show them.

    Classes declared for vector labels may leave out the background: it is put first, with value 0,
    if there is only one, or if the first is a class of polygons (it occurs in the class column, or
    a file gives it a value above 0). Where some labels are rasters the value must be free. With
    `options.sparse` there is none, and names count from 1.

    Rasters of two classes that hold 0 and 255, perhaps with grey edges, are masks: from 128 on
    they show the second.

    A vector file without features shows a scene without polygons, but not if all files are so:
    unless classes are declared and all `may_be_empty`.

    Raises:
        UsageError: the declared classes are none, or leave no value for the background; or an
            option is for another kind of files than these.
        InputError: a file cannot be read, or shows no classes.
    """
    sources = list(dict.fromkeys(sources))
    _refuse_options_in_vain(sources, options)
    if not (may_be_empty and declared is not None) and all(map(is_empty, sources)):
        raise InputError(f"{_list_sources(sources)} is empty; give a vector file with polygons")
    if options.sparse and options.class_field is None and all(map(is_vectors, sources)):
        raise UsageError(
            "--sparse leaves one class of polygons without a class column; name it with "
            "--class-field, or leave out --sparse"
        )
    if declared is None:
        return _discover(sources, grids, options)
    if isinstance(declared, str):
        classes, options = _declare(declared, sources, grids, options)
    else:
        classes, options = check_classes(declared), replace(options, colours_said=False)
    _refuse_ignoring_in_vain(classes, sources, options)
    return _find_threshold(classes, sources, options)


def _refuse_options_in_vain(sources: Sequence[str | Path], options: LabelOptions) -> None:
    """Say which option none of the files can follow."""
    kinds = set(map(is_vectors, sources))
    for option, value, is_for_vectors in (
        ("--class-field", options.class_field, True),
        ("--line-width", options.line_width_m, True),
        ("--threshold", options.threshold, False),
    ):
        if value is not None and is_for_vectors not in kinds:
            kind = "vector" if is_for_vectors else "raster"
            raise UsageError(
                f"{option} is for {kind} labels, not for {_list_sources(sources)}; leave it out"
            )


def _refuse_ignoring_in_vain(
    classes: Sequence[ClassInfo], sources: Sequence[str | Path], options: LabelOptions
) -> None:
    """Say what is to be ignored of label rasters, but does not occur in such."""
    rasters = [source for source in sources if not is_vectors(source)]
    names = {item.name for item in classes}
    for label in sorted(options.ignored) if rasters else ():
        if label in names and not is_number(label) and not is_colour(label):
            raise UsageError(
                f"--ignore {label} is the name of a class, but {_list_sources(rasters)} hold "
                "numbers or colours; ignore the one that means it, or leave the class out"
            )
        if is_colour(label) and len(rasters) == len(sources) and not any(map(has_colours, rasters)):
            raise UsageError(
                f"--ignore {label} is a colour, but {_list_sources(rasters)} hold numbers; write "
                "the number that means 'no label'"
            )


def _declare(
    declared: str, sources: Sequence[str | Path], grids: Sequence[Grid], options: LabelOptions
) -> tuple[tuple[ClassInfo, ...], LabelOptions]:
    """The declared classes, with a background if one is needed, and what labels hold for them."""
    declaration = parse_declaration(declared)
    mapping = declaration.mapping or options.mapping
    options = replace(options, mapping=mapping, colours_said=bool(declaration.colours))
    classes = declaration.make_classes(first=1 if options.sparse else 0)
    vectors = [source for source in sources if is_vectors(source)]
    rasters = [source for source in sources if not is_vectors(source)]
    if options.sparse and rasters:
        _refuse_sparse_zero(declaration, rasters)
    if options.sparse or BACKGROUND in declaration.names or not vectors:
        return classes, options
    if options.class_field is None:
        needs_background = len(classes) == 1
    else:
        found = _find_texts(vectors, grids, options)
        is_found = _occurs_first(found, classes, options, is_numbered=declaration.is_numbered)
        needs_background = is_found or classes[0].value > 0
    if not needs_background:
        return classes, options
    if rasters and classes[0].value == 0:
        raise refuse_zero(classes[0])  # numbers that count from 1 would not be those of rasters
    return declaration.with_background(), options


def _refuse_sparse_zero(declaration: Declaration, rasters: Sequence[str | Path]) -> None:
    """Say that a class is lost, as rasters hold 0 for it, which is no label in sparse ones.

    Not of the background, which is evaluated against sparse labels, too.
    """
    pairs = declaration.mapping
    if not pairs and not all(map(has_colours, rasters)):
        pairs = tuple(
            zip(map(str, declaration.values), declaration.names, strict=False)
        )  # no values of names alone
    for label, name in pairs:
        if is_number(label) and to_number(label) == 0 and name != BACKGROUND:
            raise UsageError(
                f"--sparse takes 0 for 'no label', but it is the class {name!r}; leave out "
                "--sparse, or the class"
            )


def _occurs_first(
    found: Set[str], classes: Sequence[ClassInfo], options: LabelOptions, *, is_numbered: bool
) -> bool:
    """Whether the first class occurs among the texts of a class column.

    Raises:
        UsageError: only its number does, and it has that from its place: a background before it
            would give the number to another class.
    """
    first = classes[0]
    number = str(first.value)
    texts = {first.name, *(label for label, name in options.mapping if name == first.name)}
    if texts & found or (is_numbered and number in found):
        return True
    if number in found and text_keys(classes, options).get(number) == first.value:
        raise refuse_zero(first)
    return False


def _find_threshold(
    classes: tuple[ClassInfo, ...], sources: Sequence[str | Path], options: LabelOptions
) -> Legend:
    """The legend of declared classes: as they are, or of masks of 0 to 255."""
    if options.threshold is not None and len(classes) != 2:
        raise UsageError(f"--threshold needs two classes, not {len(classes)}; name two")
    is_said = options.threshold is not None or options.mapping or options.ignored or options.sparse
    if len(classes) != 2 or is_said:
        return Legend(classes, options)
    rasters = [source for source in sources if not is_vectors(source)]
    known = {1: number_keys(classes, options), 3: {to_code(c.colour): 0 for c in classes}}
    contents = list(_read_contents(rasters))
    is_known = all(c.counts.keys() <= known[c.bands].keys() for c in contents)
    if is_known or not are_masks(contents, [item.value for item in classes]):
        return Legend(classes, options)
    return _make_mask_legend(classes, rasters, options)


def _read_contents(sources: Iterable[str | Path]) -> Iterator[Content]:
    """What label rasters hold, as far as the search goes."""
    left = MASK_SEARCH
    for source in sources:
        if left > 0:
            content = read_content(source, left)
            left -= content.counts.total()
            yield content


def _make_mask_legend(
    classes: tuple[ClassInfo, ...], sources: Sequence[str | Path], options: LabelOptions
) -> Legend:
    dark, bright = order_halves(classes)
    note = (
        f"{_list_sources(sources)} are masks of 0 to 255: from {HALF} on they show "
        f"{bright.name!r}, below {dark.name!r}"
    )
    return Legend(classes, replace(options, threshold=HALF), (note,))


def _discover(
    sources: Sequence[str | Path], grids: Sequence[Grid], options: LabelOptions
) -> Legend:
    """The legend of the classes that labels of scenes with these grids show.

    Rasters: every value that occurs, with the name and colour that the file tells. Vectors:
    background and the file's name, or with `class_field` background and the column's values on the
    scenes: numbers 1 to 254 as they are, anything else numbered in its order.

    Raises:
        InputError: there are fewer than two, or some cannot be classes.
    """
    rasters = [source for source in sources if not is_vectors(source)]
    if not rasters:
        return Legend(_discover_in_vectors(sources, grids, options), options)
    if len(rasters) < len(sources):
        raise InputError(
            f"{rasters[0]} is a raster, other labels are vectors; name the classes with --classes"
        )
    return _discover_in_rasters(rasters, options)


def _discover_in_rasters(sources: Sequence[str | Path], options: LabelOptions) -> Legend:
    halves = make_classes([BACKGROUND, FOREGROUND])
    if options.threshold is not None:
        return Legend(halves, options)
    contents = {source: read_content(source) for source in sources}
    if not (options.ignored or options.sparse) and are_masks(list(contents.values())):
        return _make_mask_legend(halves, sources, options)
    if coloured := {source: c.counts for source, c in contents.items() if c.bands > 1}:
        raise _ask_for_colours(list(coloured), coloured.values())
    known = _merge_classes(
        {source: _name_classes(source, c.counts, options) for source, c in contents.items()}
    )
    if len(known) < 2:
        raise InputError(
            f"{_list_sources(sources)} have fewer than two classes (found: "
            f"{', '.join(map(str, known)) or 'none'}); label a second one, or name the classes "
            "with --classes"
        )
    return by_number(known.values(), options)


def _merge_classes(
    found: Mapping[str | Path, Mapping[int, ClassInfo]],
) -> dict[int, ClassInfo]:
    """The class of every value that occurs in any of the files, named by the first that does so.

    Raises:
        InputError: two files call one value by other names, or other values by one name.
    """
    known: dict[int, ClassInfo] = {}
    origins: dict[int, str | Path] = {}
    for source, item in ((s, item) for s, classes in found.items() for item in classes.values()):
        other = next((o for o in known.values() if _contradict(o, item)), None)
        if other is not None:
            raise InputError(
                f"{origins[other.value]} calls {other.value} {other.name!r}, but {source} calls "
                f"{item.value} {item.name!r}; renumber one, or, if numbers mean the same in both, "
                "name the classes with --classes"
            )
        if item.value not in known or (_is_named(item) and not _is_named(known[item.value])):
            known[item.value], origins[item.value] = item, source
    return known


def _contradict(one: ClassInfo, other: ClassInfo) -> bool:
    """Whether files call one value by two names, or two values by one."""
    are_named = _is_named(one) and _is_named(other)
    return are_named and (one.value == other.value) != (one.name == other.name)


def _is_named(item: ClassInfo) -> bool:
    """Whether a file names the class."""
    return item.name != ClassTable().name_of(item.value)


def by_number(classes: Iterable[ClassInfo], options: LabelOptions) -> Legend:
    """The legend of rasters whose numbers are the classes, whatever the colours are."""
    ordered = check_classes(classes)
    mapping = tuple((str(item.value), item.name) for item in ordered)
    return Legend(ordered, replace(options, mapping=mapping))


def find_raster_classes(source: str | Path, options: LabelOptions) -> dict[int, ClassInfo]:
    """The class of every value that occurs in a class raster, named as the file says; streamed.

    Raises:
        InputError: it is not a class raster, or a value cannot be a class.
    """
    content = read_content(source)
    if content.bands > 1:
        raise _ask_for_colours([source], [content.counts])
    return _name_classes(source, content.counts, options)


def _name_classes(
    source: str | Path, counts: Counter[float], options: LabelOptions
) -> dict[int, ClassInfo]:
    """The class of every value of a class raster."""
    table, unlabelled = read_class_table(source), ignored_numbers(options)
    return {
        int(value): _class_of(value, count, table, source)
        for value, count in counts.items()
        if value not in unlabelled
    }


def _ask_for_colours(sources: Sequence[str | Path], counts: Iterable[Counter[float]]) -> InputError:
    """The error that says which colours there are."""
    total = sum(counts, Counter[float]())
    shown = ", ".join(
        f"{format_code(code)} {count / total.total():.1%}" for code, count in total.most_common(8)
    )
    more = f" and {len(total) - 8} more" if len(total) > 8 else ""
    form = ",".join(f"NAME={format_code(code)}" for code, _ in total.most_common(2))
    return InputError(
        f"{_list_sources(sources)} are colours ({shown}{more}), which have no names; say which "
        f"class each is: --classes {form},..."
    )


def _class_of(value: float, count: int, table: ClassTable, source: str | Path) -> ClassInfo:
    if value != int(value) or not 0 <= value < NODATA:
        shown = format_number(value)
        hint = f"if it means 'no label', say --ignore {shown}; else " if is_number(shown) else ""
        mask = "; if this is a mask of 0 to 255, give --threshold 128" if value == 255 else ""
        raise InputError(
            f"{source} has the value {shown} in {counted(count, 'pixel')}, but classes are 0 to "
            f"{NODATA - 1}; {hint}map it: --classes {shown}=NAME,..., or renumber it{mask}"
        )
    return table.class_of(int(value))


def _discover_in_vectors(
    sources: Sequence[str | Path], grids: Sequence[Grid], options: LabelOptions
) -> tuple[ClassInfo, ...]:
    if options.class_field is None:
        stems = {name_of(source) for source in sources}
        return make_classes([BACKGROUND, stems.pop() if len(stems) == 1 else FOREGROUND])
    found = _find_texts(sources, grids, options)
    if not found:
        _require_overlap(sources, grids)
    found -= ignored_texts(options)
    texts = found - {BACKGROUND}
    if not texts or len(texts) >= MAX_CLASSES:
        raise InputError(
            f"{_list_sources(sources)} have {counted(len(texts), 'different value')} in column "
            f"{options.class_field!r} on the scenes; choose the column that holds the class: "
            + ", ".join(open_vectors(sources[0], may_be_empty=True).columns)
        )
    names = sorted(texts, key=_as_number_or_text)
    values = map(int, names) if all(map(_is_class_value, names)) else range(1, len(names) + 1)
    classes = make_classes(names, values)
    if options.sparse and BACKGROUND not in found:
        return classes
    return check_classes([*make_classes([BACKGROUND]), *classes])


def _find_texts(
    sources: Sequence[str | Path], grids: Sequence[Grid], options: LabelOptions
) -> set[str]:
    """Values of the class column on the scenes, as text."""
    found: set[object] = set()
    for source in dict.fromkeys(sources):
        for crs in {grid.crs for grid in grids}:
            found.update(read_class_column(source, options, crs, _union_bounds(grids, crs)))
    return {text_of(value) for value in found} - {""}


def _require_overlap(sources: Sequence[str | Path], grids: Sequence[Grid]) -> None:
    """Nothing, unless it is certain that no label file touches any of the grids."""
    places = []
    for source in sources:
        layer = open_vectors(source, may_be_empty=True)
        if layer.features and layer.bounds is not None:
            places += [(project_bounds(layer.bounds, layer.crs, g.crs), g) for g in grids]
    if places and not any(_touch(bounds, grid.bounds()) for bounds, grid in places):
        bounds, grid = places[0]
        raise InputError(
            f"{_list_sources(sources)} does not overlap the scenes: {format_bounds(bounds)} "
            f"against {format_bounds(grid.bounds())} in {grid.crs.name if grid.crs else 'pixels'}; "
            "give files of one place, or check the CRS"
        )


def _touch(a: Bounds, b: Bounds) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


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
    return f"{sources[0]}{more}"
