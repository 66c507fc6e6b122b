"""Well-known binary of polygons, also of one that is as large as all others together."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from geounet.vector.compiling import compiled

LARGE = 1_000_000
"""Vertices from which GEOS, which makes three copies on the way, takes too much memory."""

RINGS = 10_000
"""Rings of a large polygon that are copied at once."""

HEAD = b"\1\3\0\0\0"
"""What WKB of a polygon begins with: little-endian, of type 3."""


def to_wkb(geometries: NDArray[np.object_]) -> NDArray[np.object_]:
    """Little-endian WKB (N,), bytes or bytearray, of polygons and multipolygons."""
    is_polygon = shapely.get_type_id(geometries) == shapely.GeometryType.POLYGON
    is_large = is_polygon & (shapely.get_num_coordinates(geometries) > LARGE)
    found = np.empty(len(geometries), np.object_)
    found[~is_large] = shapely.to_wkb(geometries[~is_large], byte_order=1)
    for index in np.flatnonzero(is_large):
        found[index] = _pack_polygon(geometries[index])
    return found


def _pack_polygon(polygon: shapely.Polygon) -> bytearray:
    holes = int(shapely.get_num_interior_rings(polygon))
    vertices = int(shapely.get_num_coordinates(polygon))
    head = HEAD + (1 + holes).to_bytes(4, "little")
    data = bytearray(len(head) + 4 * (1 + holes) + 16 * vertices)
    data[: len(head)] = head
    content = np.frombuffer(data, np.uint8)
    end = _pack_rings(np.array([polygon.exterior], np.object_), content, len(head))
    for first in range(0, holes, RINGS):
        numbers = np.arange(first, min(first + RINGS, holes))
        rings = np.asarray(shapely.get_interior_ring(polygon, numbers), np.object_)
        end = _pack_rings(rings, content, end)
    return data


def _pack_rings(rings: NDArray[np.object_], data: NDArray[np.uint8], end: int) -> int:
    """Write rings to the data from `end` on; the new end."""
    points = shapely.get_coordinates(rings).astype("<f8", copy=False).view(np.uint8)
    sizes = shapely.get_num_points(rings)
    counts = sizes.astype("<u4").view(np.uint8).reshape(-1, 4)
    return _copy_rings(points, sizes.astype(np.int64), counts, data, end)


@compiled
def _copy_rings(
    points: NDArray[np.uint8],
    sizes: NDArray[np.int64],
    counts: NDArray[np.uint8],
    data: NDArray[np.uint8],
    end: int,
) -> int:
    """Write each ring's number of points, and these, 16 bytes (N, 16) each."""
    point = 0
    for ring in range(sizes.size):
        for byte in range(4):
            data[end + byte] = counts[ring, byte]
        end += 4
        for _ in range(sizes[ring]):
            for byte in range(16):
                data[end + byte] = points[point, byte]
            point += 1
            end += 16
    return end
