"""What one may ask of rasterize. Each default is written here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from geounet.vector.labels.label_options import LabelOptions

if TYPE_CHECKING:
    from geounet.raster import Bounds


@dataclass(frozen=True, kw_only=True)  # no slots: the command line reads the defaults
class RasterizeOptions:
    """How to make a class raster of vectors.

    Attributes:
        classes: as `parse_declaration` reads them; None: those found.
        label_options: class column, width of lines, what to ignore, gaps between instances.
        aoi: vector file; pixels whose centre is in none of its polygons get no label.
        bbox: west, south, east, north in the scene's CRS; pixels outside get no label.
        overwrite: replace an existing output.
    """

    classes: str | None = None
    label_options: LabelOptions = LabelOptions()  # noqa: RUF009  frozen
    aoi: str | Path | None = None
    bbox: Bounds | None = None
    overwrite: bool = False
