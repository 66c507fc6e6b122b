"""What a label and a prediction make of a pixel: right, missed, false, or another class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geounet.classes import NODATA, ClassInfo
from geounet.vector import BACKGROUND

RIGHT, FALSE_NEGATIVE, FALSE_POSITIVE, CONFUSION = range(4)

UNCOUNTED = 255
"""Outcome of a pixel that does not count."""

ERRORS = (
    ClassInfo(FALSE_NEGATIVE, "false negative", "#2b6cff"),
    ClassInfo(FALSE_POSITIVE, "false positive", "#ff6a13"),
    ClassInfo(CONFUSION, "confusion", "#e5007d"),
)
"""Kinds of errors, in colours that the colour-blind can tell apart too, and that aerial images
rarely have."""


def find_background(classes: Sequence[ClassInfo]) -> int | None:
    """Position of the class in which nothing is to be found; None if there is no such class.

    The class named background; else the first of two: of more without that name each is something.
    """
    named = [k for k, item in enumerate(classes) if item.name == BACKGROUND]
    return named[0] if named else 0 if len(classes) == 2 else None


def make_table(classes: Sequence[ClassInfo]) -> NDArray[np.uint8]:
    """Outcome (256, 256) by position of label and prediction.

    Between the background and another class an error is a false negative (the label is not the
    background) or a false positive; among others it is a confusion.
    """
    table = np.full((256, 256), CONFUSION, np.uint8)
    background = find_background(classes)
    if background is not None:
        table[:, background], table[background] = FALSE_NEGATIVE, FALSE_POSITIVE
    np.fill_diagonal(table, RIGHT)
    table[NODATA], table[:, NODATA] = UNCOUNTED, UNCOUNTED
    return table
