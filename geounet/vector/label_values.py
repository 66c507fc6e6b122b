"""From what a label file holds, numbers or texts, to class values; whatever else is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from geounet.classes import NODATA, ClassInfo
from geounet.errors import InputError
from geounet.raster import Scene
from geounet.vector.label_options import LabelOptions

BACKGROUND = "background"
"""Name of the class outside of all polygons."""

MAX_DISTINCT = 1000
"""More different values than this are measurements or identifiers, not classes."""

BLOCK = 1024
"""Rows and columns counted at a time."""


def to_class_values(
    pixels: NDArray[np.generic],
    valid: NDArray[np.bool_],
    classes: Sequence[ClassInfo],
    ignore: int | None,
) -> tuple[NDArray[np.uint8], NDArray[np.generic]]:
    """Class values (H, W), 255 where not valid or ignored, and the pixels of no class (N,)."""
    labelled = valid if ignore is None else valid & (pixels != ignore)
    unknown = labelled & ~np.isin(pixels, [item.value for item in classes])
    values = np.full(pixels.shape, NODATA, np.uint8)
    np.copyto(values, pixels, where=labelled & ~unknown, casting="unsafe")
    return values, pixels[unknown]


def count_values(labels: Scene) -> Counter[float]:
    """How many valid pixels of a class raster have each value; streamed.

    Raises:
        InputError: it has too many different values to be one, or is damaged.
    """
    counts: Counter[float] = Counter()
    for window in labels.grid.extent.blocks(BLOCK, BLOCK):
        pixels, valid = labels.read(window)
        values, numbers = np.unique(pixels[0][valid], return_counts=True)
        counts.update(dict(zip(values.tolist(), numbers.tolist(), strict=True)))
        if len(counts) > MAX_DISTINCT:
            raise InputError(
                f"{labels.path} has more than {MAX_DISTINCT} different values; "
                "labels hold one number per class, 0 to 254"
            )
    return counts


def refuse_values(
    labels: Scene, unknown: Iterable[float], classes: Sequence[ClassInfo]
) -> InputError:
    """The error that says which values are no classes, and how often the first occurs."""
    values = sorted(set(unknown))
    count = count_values(labels)[values[0]]
    more = f" (and {len(values) - 1} more such values)" if len(values) > 1 else ""
    can_be_class = values[0] in range(NODATA)
    return InputError(
        f"{labels.path} has the value {values[0]:g} in {count} pixels{more}, which is none of the "
        f"classes {list_classes(classes)}; leave it out with --ignore {values[0]:g}, or "
        + ("declare it with --classes" if can_be_class else f"renumber it (0 to {NODATA - 1})")
    )


def find_outside(classes: Sequence[ClassInfo]) -> ClassInfo:
    """The class outside of all polygons: the one named background, else the first."""
    return next((item for item in classes if item.name == BACKGROUND), classes[0])


def to_feature_values(
    column: pd.Series,
    path: str | Path,
    classes: Sequence[ClassInfo],
    options: LabelOptions,
) -> NDArray[np.uint8]:
    """Class value of each feature, (N,), from its class column: by name, else by value.

    Raises:
        InputError: a feature is of no class.
    """
    codes, distinct = pd.factorize(column)
    texts = [text_of(item) for item in distinct]
    by_text = {str(item.value): item.value for item in classes}
    by_text |= {item.name: item.value for item in classes}
    if options.ignore is not None:
        by_text[str(options.ignore)] = NODATA
    for code, text in enumerate(texts):
        if text not in by_text:
            raise InputError(
                f"{path} has {text!r} in column {options.class_field!r} of "
                f"{int((codes == code).sum())} polygons, which is none of the classes "
                f"{list_classes(classes)}; declare it with --classes, or correct the column"
            )
    values: NDArray[np.uint8] = np.array([by_text[text] for text in texts], np.uint8)[codes]
    return values


def text_of(value: object) -> str:
    """A class as text: numbers without a needless `.0`, text without outer blanks."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def list_classes(classes: Sequence[ClassInfo]) -> str:
    """`0 background, 1 building`, at most ten."""
    shown = ", ".join(f"{item.value} {item.name}" for item in classes[:10])
    return shown + (" ..." if len(classes) > 10 else "")
