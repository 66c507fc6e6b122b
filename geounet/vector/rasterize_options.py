"""What one may ask of rasterize. Each default is written here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

from geounet.vector.label_options import LabelOptions


@dataclass(frozen=True, kw_only=True)  # no slots: the command line reads the defaults
class RasterizeOptions:
    """How to make a class raster of vectors.

    Attributes:
        classes: as `parse_declaration` reads them; None: those found.
        label_options: class column, width of lines, what to ignore, gaps between instances.
        overwrite: replace an existing output.
    """

    classes: str | None = None
    label_options: LabelOptions = LabelOptions()  # noqa: RUF009  frozen
    overwrite: bool = False
