"""What one may ask of polygonize. Each default is written here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from geounet.errors import UsageError


@dataclass(frozen=True, kw_only=True)  # no slots: the command line reads the defaults
class PolygonizeOptions:
    """How to make polygons of a mask.

    Attributes:
        connectivity: 4, or 8: pixels that touch at a corner are of one region.
        classes: names of the classes to make polygons of; None: all but the one with value 0.
        min_area_m2: dissolve regions smaller than this into the class with which they share the
            longest border; in pixels if the mask has no CRS.
        drop_small: make background of them instead.
        min_hole_m2: fill holes smaller than this: background inside one class.
        confidence: raster of confidences on the mask's grid; mean and least become columns.
        scores: raster of scores on the mask's grid, bands named after classes; the means become
            columns, and confidence is known without a raster of its own.
        layer: name of the layer, in formats that have layers.
        overwrite: replace an existing output.
    """

    connectivity: Literal[4, 8] = 4
    classes: tuple[str, ...] | None = None
    min_area_m2: float = 0
    drop_small: bool = False
    min_hole_m2: float = 0
    confidence: str | Path | None = None
    scores: str | Path | None = None
    layer: str = "polygons"
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.connectivity not in (4, 8):
            raise UsageError(f"--connectivity is {self.connectivity}; write 4 or 8")
        for name, area in (("--min-area", self.min_area_m2), ("--min-hole", self.min_hole_m2)):
            if not 0 <= area < float("inf"):
                raise UsageError(f"{name} is {area}; give square metres, 0 or more")
        if self.drop_small and self.min_area_m2 == 0:
            raise UsageError("--drop-small does not say what is small; add --min-area")
        if self.classes is not None and not self.classes:
            raise UsageError("--classes names no class; name some, or leave it out")
