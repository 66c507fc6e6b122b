"""What one may ask of polygonize. Each default is written here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from geounet.errors import UsageError

RESERVED = ("gpkg_", "sqlite_", "rtree_", "layer_styles")
"""Beginnings of names that GeoPackages keep for themselves."""


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
        simplify_m: how far borders may be from the edges of pixels, in metres, to have fewer
            vertices; neighbours keep the same border; in pixels if the mask has no CRS.
        smooth: round corners, within the same distance, or that of a pixel if that is more.
        regularize: give right angles to outlines that touch no other polygon, where the area stays
            and 85 % of what either covers is covered by both.
        confidence: raster of confidences on the mask's grid; mean and least become columns.
        scores: raster of scores on the mask's grid, bands named after classes; the means become
            columns, and confidence is known without a raster of its own.
        crs: bring the polygons into this CRS, `EPSG:32645`; None: as the mask. Areas and perimeters
            are those on the ground all the same. GeoJSON is always in EPSG:4326.
        layer: name of the layer, in formats that have layers.
        append: add to a GeoPackage, if it exists; polygons that were added before are not again.
        overwrite: replace an existing output.
    """

    connectivity: Literal[4, 8] = 4
    classes: tuple[str, ...] | None = None
    min_area_m2: float = 0
    drop_small: bool = False
    min_hole_m2: float = 0
    simplify_m: float = 0
    smooth: bool = False
    regularize: bool = False
    confidence: str | Path | None = None
    scores: str | Path | None = None
    crs: str | None = None
    layer: str = "polygons"
    append: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.connectivity not in (4, 8):
            raise UsageError(f"--connectivity is {self.connectivity}; write 4 or 8")
        for name, area in (("--min-area", self.min_area_m2), ("--min-hole", self.min_hole_m2)):
            if not 0 <= area < float("inf"):
                raise UsageError(f"{name} is {area}; give square metres, 0 or more")
        if not 0 <= self.simplify_m < float("inf"):
            raise UsageError(f"--simplify is {self.simplify_m}; give metres, 0 or more")
        if self.drop_small and self.min_area_m2 == 0:
            raise UsageError("--drop-small does not say what is small; add --min-area")
        if self.append and self.overwrite:
            raise UsageError("--append and --overwrite exclude each other; leave one out")
        if not self.layer.strip() or self.layer.lower().startswith(RESERVED):
            raise UsageError(f"--layer {self.layer!r} cannot be the name of a layer; give another")
        if self.classes is not None and not self.classes:
            raise UsageError("--classes names no class; name some, or leave it out")
