"""The georeference of images that no affine transform places."""

from __future__ import annotations

from dataclasses import dataclass

from pyproj import CRS

from geounet.raster.window import Window

Point = tuple[float, float, float, float, float]
"""Column, row, x, y, z."""


@dataclass(frozen=True, slots=True)
class SensorModel:
    """Ground control points and RPCs, to be carried to the mask unchanged.

    Attributes:
        gcps: Ground control points; pixel (0, 0) covers (0, 0)-(1, 1).
        gcps_crs: CRS of x, y, z.
        rpcs: GDAL's RPC metadata: key, value.
    """

    gcps: tuple[Point, ...] = ()
    gcps_crs: CRS | None = None
    rpcs: tuple[tuple[str, str], ...] = ()

    def crop(self, window: Window) -> SensorModel:
        """The same places, seen from the window's first pixel."""
        cols, rows = window.col_off, window.row_off
        shifts = {"SAMP_OFF": cols, "LINE_OFF": rows}
        return SensorModel(
            gcps=tuple((col - cols, row - rows, *xyz) for col, row, *xyz in self.gcps),  # type: ignore[misc]
            gcps_crs=self.gcps_crs,
            rpcs=tuple((key, _shift(value, -shifts.get(key, 0))) for key, value in self.rpcs),
        )


def _shift(text: str, by: int) -> str:
    return repr(float(text) + by) if by else text
