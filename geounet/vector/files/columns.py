"""The columns of polygons: types, meanings, and values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from geounet.classes import NODATA
from geounet.raster import ClassTable
from geounet.vector.boundaries.polygonizer import Regions
from geounet.vector.files.attributes import measure_polygons, name_scores
from geounet.vector.files.layer import Layer
from geounet.vector.files.projecting import Projection
from geounet.vector.masks import MaskFiles
from geounet.vector.options import PolygonizeOptions

TYPES: Mapping[str, DTypeLike] = {
    "class_id": np.int32,
    "class": np.object_,
    "area_m2": np.float64,
    "perimeter_m": np.float64,
    "pixels": np.int64,
}
"""Columns whatever is known of the pixels."""

TEXTS = {
    "class_id": "value of the class in the mask",
    "class": "name of the class",
    "area_m2": "area on the ground in square metres",
    "perimeter_m": "length on the ground of the outline and of all holes, in metres",
    "pixels": "number of pixels",
    "confidence": "mean confidence of the pixels, 0 to 1",
    "confidence_min": "least confidence of a pixel, 0 to 1",
}
"""What columns mean."""

PIXEL_TEXTS = {
    "area_m2": "area in pixels: the mask has no CRS",
    "perimeter_m": "length of the outline and of all holes in pixels: the mask has no CRS",
}

SURENESS = ("confidence", "confidence_min")
"""Columns of the mean and the least confidence."""


def make_layer(
    files: MaskFiles, options: PolygonizeOptions, projection: Projection | None
) -> Layer:
    """The layer for the polygons of a mask."""
    scores = name_scores(files.score_names)
    known = [*(SURENESS if files.is_sure else ()), *scores]
    crs = files.mask.grid.crs
    is_multi = options.connectivity == 8 or (projection is not None and projection.is_cut)
    texts = TEXTS if crs is not None else TEXTS | PIXEL_TEXTS
    texts = texts | {
        column: f"mean score of class {name}, 0 to 1"
        for column, name in zip(scores, files.score_names, strict=True)
    }
    columns = {**TYPES, **dict.fromkeys(known, np.float64)}
    return Layer(
        name=options.layer,
        crs=crs if projection is None else projection.crs,
        columns=columns,
        geometry_type="MultiPolygon" if is_multi else "Polygon",
        style_field="class_id",
        text="Connected regions of a class mask, a row each; made by geounet",
        column_texts={column: texts[column] for column in columns},
    )


def make_columns(regions: Regions, table: ClassTable, files: MaskFiles) -> dict[str, NDArray[Any]]:
    """The columns of `make_layer` for regions as they are on the mask's grid."""
    area_m2, perimeter_m = measure_polygons(regions.geometries, files.mask.grid)
    columns: dict[str, NDArray[Any]] = {
        "class_id": regions.values,
        "class": _name_classes(regions.values, table),
        "area_m2": area_m2,
        "perimeter_m": perimeter_m,
        "pixels": regions.pixels,
    }
    if regions.confidence is not None and regions.lowest_confidence is not None:
        both = regions.confidence, regions.lowest_confidence
        columns |= zip(SURENESS, both, strict=True)
    columns |= zip(name_scores(files.score_names), regions.scores.T, strict=True)
    return columns


def _name_classes(values: NDArray[np.uint8], table: ClassTable) -> NDArray[np.object_]:
    names = np.array([table.name_of(value) for value in range(NODATA)], np.object_)
    return np.asarray(names[values], np.object_)
