"""The classes that masks and labels have in common: as declared, as the files tell, or as found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from geounet.classes import NODATA, ClassInfo, check_classes
from geounet.errors import InputError
from geounet.evaluation.measures.confusion import ConfusionMatrix
from geounet.evaluation.options import EvaluateOptions
from geounet.raster import Grid, read_classes
from geounet.vector import (
    HALF,
    LabelOptions,
    Legend,
    by_number,
    find_raster_classes,
    is_vectors,
    read_content,
    resolve_legend,
)

Pairs = Sequence[tuple[str | Path, str | Path]]
"""Masks with their labels."""


def find_legend(pairs: Pairs, grids: Sequence[Grid], options: EvaluateOptions) -> Legend:
    """The classes to compare by, and how the labels show them.

    The classes are declared, else the masks' own, else what occurs in the files.

    Raises:
        InputError: the masks disagree, or nothing says which value is which class.
    """
    labels = list(dict.fromkeys(source for _, source in pairs))
    declared = options.classes or _read_mask_classes(pairs)
    masks = [mask for mask, _ in pairs]
    if declared is not None or are_halves(masks):
        return resolve_legend(declared, labels, grids, options.label_options, may_be_empty=True)
    return _find_classes(pairs, labels, grids, options)


def check_compared(
    others: Sequence[str | Path], first: str | Path, options: EvaluateOptions
) -> None:
    """Nothing, unless masks to compare with call their values by other names than the first mask.

    Raises:
        InputError: they do; values would be compared that mean other classes.
    """
    classes = None if options.classes else read_classes(first)
    for other in others if classes is not None else ():
        theirs = read_classes(other)
        if theirs is not None and _list_names(theirs) != _list_names(classes):
            raise InputError(
                f"--compare {other} and {first} name different classes; if their values mean the "
                "same, name the classes with --classes"
            )


def find_mask_options(masks: Sequence[str | Path], classes: Sequence[ClassInfo]) -> LabelOptions:
    """How masks show the classes: by their numbers, or as 0 and 255.

    Raises:
        InputError: they are 0 and 255, but there are not two classes.
    """
    if not are_halves(masks):
        # a mask's palette is for the eye: its numbers are the classes
        return by_number(classes, LabelOptions(ignore=NODATA)).options
    if len(classes) != 2:
        raise InputError(
            f"{masks[0]} is a mask of 0 and 255, but there are {len(classes)} classes; give masks "
            "with the numbers of classes"
        )
    return LabelOptions(threshold=HALF)


def are_halves(masks: Sequence[str | Path]) -> bool:
    """Whether masks are of 0 and 255: the values of all together, which no file says to be nodata.

    255 is no data in masks of geounet, but these name their classes.
    """
    if any(read_classes(mask) is not None for mask in masks):
        return False
    return set().union(*(read_content(mask).counts for mask in masks)) == {0, NODATA}


def compare_names(labels: str | Path, classes: Sequence[ClassInfo]) -> str | None:
    """What to tell if a label raster calls classes by other names; values decide."""
    if is_vectors(labels):
        return None
    theirs = {item.value: item.name for item in read_classes(labels) or ()}
    other = [
        f"{item.value} is {theirs[item.value]!r} there and {item.name!r} in the mask"
        for item in classes
        if theirs.get(item.value, item.name) != item.name
    ]
    return f"compared by value, not name: {', '.join(other)}" if other else None


def tell_nameless(labels: str | Path, confusion: ConfusionMatrix) -> str | None:
    """What to tell if the numbers of a label raster that names nothing were taken for classes."""
    if is_vectors(labels) or read_classes(labels):
        return None
    pixels = confusion.counts.sum(axis=1) + confusion.unpredicted
    held = [item for item, count in zip(confusion.classes, pixels, strict=True) if count]
    values, names = ", ".join(str(i.value) for i in held), ", ".join(i.name for i in held)
    return f"labels hold {values} without names; taken for {names}" if held else None


def _read_mask_classes(pairs: Pairs) -> tuple[ClassInfo, ...] | None:
    """The classes that the mask files tell; None if the first tells none."""
    first = pairs[0][0]
    classes = read_classes(first)
    for mask, _ in pairs[1:]:
        if _list_names(read_classes(mask)) != _list_names(classes):
            raise InputError(
                f"{mask} and {first} name different classes; "
                "evaluate them one by one, or name the classes with --classes"
            )
    return classes


def _list_names(classes: Sequence[ClassInfo] | None) -> list[tuple[int, str]] | None:
    return None if classes is None else [(item.value, item.name) for item in classes]


def _find_classes(
    pairs: Pairs, labels: Sequence[str | Path], grids: Sequence[Grid], options: EvaluateOptions
) -> Legend:
    """Of masks that name none: from the labels, and with label rasters also from the masks."""
    if any(map(is_vectors, labels)):
        if options.label_options.class_field is not None:
            raise InputError(
                f"{pairs[0][0]} does not name its classes, so that its values cannot be compared "
                "with a class column; name them with --classes, in the order of their values"
            )
        return resolve_legend(None, labels, grids, options.label_options)
    found: dict[int, ClassInfo] = {}
    for mask, _ in pairs:
        found = find_raster_classes(mask, LabelOptions(ignore=NODATA)) | found
    if found:
        legend = resolve_legend(check_classes(found.values()), labels, grids, options.label_options)
        if legend.options.threshold is not None:
            return legend
    for source in reversed(labels):
        found |= find_raster_classes(source, options.label_options)
    if not found:
        raise InputError(f"{labels[0]} and {pairs[0][0]} have no class at all; check both")
    return by_number(found.values(), options.label_options)
