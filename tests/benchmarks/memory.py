"""Peak memory of predict: by the size of the scene, and under a limit."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import geopandas
import rasterio
from inputs import write_flat_scene, write_model, write_sparse_scene
from measuring import Measurement, MeasurementError, Task, measure_apart
from shapely import box
from tables import format_table

HEADER = ["", "engine", "tile", "idle", "peak memory"]


def measure_sides(engines: Sequence[str], sides: Sequence[int], folder: Path) -> str:
    """A small, a large and a sparse scene through a tiny network.

    Of the sparse one, an AOI of two squares in opposite corners is mapped: the output has the
    whole size, the arithmetic has not. Reading polygons takes libraries of 100 MB, so that the
    small one is measured with and without.
    """
    model = folder / "tiny.safetensors"
    write_model(model, width=2, depth=2)
    small, large, sparse = (folder / f"memory-{side}.tif" for side in sides)
    write_flat_scene(small, sides[0])
    write_flat_scene(large, sides[1])
    write_sparse_scene(sparse, sides[2])
    rows = [[*HEADER, "of the small one"]]
    for engine in engines:
        for pair, has_aoi in (((small, large), False), ((small, sparse), True)):
            peaks: list[int] = []
            for scene in pair:
                aoi = {"aoi": str(_write_corners(scene, sides[0] // 5))} if has_aoi else {}
                task = Task(engine, str(model), str(scene), str(folder / "mask.tif"), aoi)
                one = measure_apart(task)
                peaks.append(one.peak_bytes)
                side = sides[(small, large, sparse).index(scene)]
                title = f"{side} x {side}" + (", AOI" if aoi else "")
                title += ", sparse" if scene == sparse else ""
                rows.append([title, *_describe(one), f"{peaks[-1] / peaks[0]:.2f}"])
    return format_table(rows)


def measure_limits(
    engines: Sequence[str], widths: Sequence[int], limits: Sequence[int], size: int, folder: Path
) -> str:
    """The paper's network in some widths, told to take no more than so many bytes."""
    scene = folder / f"flat-{size}.tif"
    write_flat_scene(scene, size)
    rows = [[*HEADER, "of the limit"]]
    for width in widths:
        model = folder / f"flat-{width}.safetensors"
        write_model(model, width=width)
        for limit in limits:
            for engine in engines:
                title = f"width {width}, --max-memory {limit / 1e9:g}GB"
                options = {"max_memory": limit}
                task = Task(engine, str(model), str(scene), str(folder / "mask.tif"), options)
                try:
                    one = measure_apart(task)
                except MeasurementError as error:  # too little for this network is an answer
                    print(error, file=sys.stderr)
                    rows.append([title, engine, "", "", "refused", ""])
                else:
                    rows.append([title, *_describe(one), f"{one.peak_bytes / limit:.2f}"])
    return format_table(rows)


def _describe(one: Measurement) -> list[str]:
    tile = "x".join(map(str, one.details["tile"]))
    return [one.contender, tile, f"{one.idle_bytes / 1e6:.0f} MB", f"{one.peak_bytes / 1e6:.0f} MB"]


def _write_corners(scene: Path, side: int) -> Path:
    """Squares of a side in pixels, in the upper left and the lower right corner."""
    with rasterio.open(scene) as source:
        end, transform, crs = source.width, source.transform, source.crs
    corners = [box(*(transform * (a, b)), *(transform * (a + side, b + side)))
               for a, b in ((0, 0), (end - side, end - side))]  # fmt: skip
    path = scene.with_suffix(".gpkg")
    geopandas.GeoDataFrame(geometry=corners, crs=crs.to_wkt()).to_file(path)
    return path
