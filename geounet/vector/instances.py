"""Instances where nothing but their class is known: its connected regions."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geounet.classes import NODATA, ClassInfo
from geounet.vector.label_options import LabelOptions
from geounet.vector.label_values import BACKGROUND


def find_amorphous(classes: Sequence[ClassInfo], options: LabelOptions) -> frozenset[int]:
    """Values whose regions are no instances: no label, and what lies between the instances.

    That is the class named background, else the first; if labels are sparse, it is only the former.
    """
    named = [item.value for item in classes if item.name == BACKGROUND]
    first = [] if options.sparse else [classes[0].value]
    return frozenset((NODATA, *(named or first)))


def number_regions(values: NDArray[np.uint8], amorphous: Collection[int]) -> NDArray[np.int32]:
    """A number from 1 for each 4-connected region of a class, int32 (H, W); 0 where amorphous.

    4-connected as the polygons that a mask is made into. Regions that are connected only outside of
    what is given are several.
    """
    ids = np.zeros(values.shape, np.int32)
    last = 0
    for value in set(np.unique(values).tolist()).difference(amorphous):
        regions, count = ndimage.label(values == value)
        ids += np.where(regions > 0, regions + last, 0).astype(np.int32)
        last += count
    return ids
