"""From what features of a label file hold to class values; whatever else is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from geounet.classes import ClassInfo
from geounet.errors import InputError
from geounet.vector.labels.label_keys import text_keys
from geounet.vector.labels.label_options import LabelOptions
from geounet.wording import counted

BACKGROUND = "background"
"""Name of the class outside of all polygons."""


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
    by_text = text_keys(classes, options)
    for code, text in enumerate(texts):
        if text not in by_text:
            raise InputError(
                f"{path} has {text!r} in column {options.class_field!r} of "
                f"{counted(int((codes == code).sum()), 'polygon')}, which is none of the classes "
                f"{list_classes(classes)}; declare it with --classes, leave it "
                f"out with --ignore {text!r}, or correct the column"
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
