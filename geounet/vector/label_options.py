"""How labels are to be understood. Pure: no rasterio, no geopandas."""

from __future__ import annotations

from dataclasses import dataclass

from geounet.errors import UsageError

MAX_GAP = 64
"""Pixels; wider gaps would be no labels."""


@dataclass(frozen=True)  # no slots: the command line reads the defaults
class LabelOptions:
    """How labels are to be understood.

    Attributes:
        class_field: column of vector labels that holds the class, as its name or its value; None:
            all polygons are of one class.
        line_width_m: width on the ground that lines are drawn with; None: lines are refused.
        ignore: label value (of rasters, or in `class_field`) that means "no label here".
        separate_px: width of the gap of background between touching features of one class, in
            pixels; see `find_gaps`. Rasters have no features: nothing is done to them.
    """

    class_field: str | None = None
    line_width_m: float | None = None
    ignore: int | None = None
    separate_px: int = 0

    def __post_init__(self) -> None:
        if self.line_width_m is not None and not 0 < self.line_width_m < float("inf"):
            raise UsageError(f"--line-width is {self.line_width_m} m; give a positive number")
        if not 0 <= self.separate_px <= MAX_GAP:
            raise UsageError(f"--separate is {self.separate_px}; give 0 to {MAX_GAP} pixels")
