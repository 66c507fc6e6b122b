"""What one may ask of evaluate. Each default is written here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from geounet.vector.label_options import LabelOptions

if TYPE_CHECKING:
    from geounet.raster import Bounds


@dataclass(frozen=True, kw_only=True)  # no slots: the command line reads the defaults
class EvaluateOptions:
    """How to evaluate.

    Attributes:
        classes: `NAME,NAME` or a JSON file; None: as the mask files tell.
        label_options: how the labels are to be understood.
        aoi: vector file; only pixels whose centre is inside its polygons count.
        bbox: west, south, east, north in the masks' CRS; only pixels in it count.
    """

    classes: str | None = None
    label_options: LabelOptions = LabelOptions()  # noqa: RUF009  frozen
    aoi: str | Path | None = None
    bbox: Bounds | None = None
