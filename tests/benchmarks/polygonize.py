"""Speed of polygonizing beside rasterio's, and memory of masks that are never held as a whole.

python tests/benchmarks/polygonize.py --size 8192
python tests/benchmarks/polygonize.py --side 60000 --regions 5e6 --holes 1e6 --folder big
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import rasterio.features
import shapely
from affine import Affine
from measuring import peak_bytes
from numpy.typing import NDArray
from rasterio.windows import Window
from scipy import ndimage
from shapely.geometry import shape
from tables import format_table

from geounet.vector import PolygonizeOptions, Polygonizer, polygonize

TRANSFORM = Affine(0.5, 0.0, 500_000.0, 0.0, -0.5, 5_000_000.0)
CLASSES = 4

TILE = 1000
"""Side of the pattern of which large masks are made, which repeats, in pixels."""

LACE = 2
"""Class of the region with all the holes."""

PER_BLOB = 5 / 3
"""Regions in a blob: two halves, of the same class in a third of all."""

SNAKE = 64
"""Columns of the region that winds down the left side."""

HEADER = ["mask", "polygons", "file", "seconds", "Mpx/s", "peak memory"]


def make_mask(size: int, salt: float = 2.5e-4, seed: int = 0) -> NDArray[np.uint8]:
    """Four classes in large regions with ragged edges, and single pixels of salt.

    At 8192 x 8192 about 53,000 regions with 5.8 million vertices. Opposite edges fit together.
    """
    rng = np.random.default_rng(seed)
    broad = ndimage.gaussian_filter(rng.standard_normal((size // 4, size // 4)), 6, mode="wrap")
    broad = ndimage.zoom(broad / broad.std(), 4, order=1, mode="grid-wrap", grid_mode=True)
    fine = ndimage.gaussian_filter(rng.standard_normal(broad.shape, np.float32), 2, mode="wrap")
    mask = np.digitize(broad + 0.095 * fine / fine.std(), [-0.6, 0.2, 0.9]).astype(np.uint8)
    grains = rng.random(mask.shape, np.float32) < salt
    mask[grains] = rng.integers(0, CLASSES, grains.sum())
    return mask


def run_geounet(mask: NDArray[np.uint8], strip: int) -> NDArray[np.object_]:
    polygonizer = Polygonizer(mask.shape[1], TRANSFORM, range(CLASSES))
    strips = (mask[row : row + strip] for row in range(0, len(mask), strip))
    found = [polygonizer.add(strip).geometries for strip in strips]
    return np.concatenate([*found, polygonizer.finish().geometries])


def run_rasterio(mask: NDArray[np.uint8]) -> list[shapely.Polygon]:
    return [shape(geometry) for geometry, _ in rasterio.features.shapes(mask, transform=TRANSFORM)]


def measure(function: Callable[[], object], repeats: int) -> tuple[float, object]:
    """Least processor seconds of some runs, and the last result."""
    seconds = []
    for _ in range(repeats):
        started = time.process_time()
        result = function()
        seconds.append(time.process_time() - started)
    return min(seconds), result


def compare_speed(size: int, strip: int, repeats: int) -> None:
    mask = make_mask(size)
    run_geounet(mask[:64, :64], 64)  # compile
    ours, geometries = measure(lambda: run_geounet(mask, strip), repeats)
    theirs, reference = measure(lambda: run_rasterio(mask), 1)
    vertices = shapely.get_num_coordinates(geometries).sum()
    print(f"{size} x {size}: {len(geometries)} regions, {vertices / 1e6:.2f} M vertices")
    print(f"rasterio.features.shapes + shape {theirs:6.2f} s {mask.size / theirs / 1e6:6.1f} Mpx/s")
    print(f"geounet.vector.Polygonizer       {ours:6.2f} s {mask.size / ours / 1e6:6.1f} Mpx/s")
    print(f"ratio {theirs / ours:.1f}; same number of regions: {len(geometries) == len(reference)}")


def make_blobs(wanted: float, seed: int) -> NDArray[np.uint8]:
    """A tile of so many ragged blobs on 0, or a few more; none touches another or the tile's edge.

    Each half of a blob is of one of the classes 1 to 3.
    """
    rng = np.random.default_rng(seed)
    across = int(np.ceil(np.sqrt(wanted)))
    side = TILE // across
    steps = -(-side // 3)  # upper and lower edge may turn at every third column
    tops = rng.integers(1, side // 2, (across, across, 1, steps)).repeat(3, axis=-1)[..., :side]
    ends = rng.integers(side // 2 + 1, side, (*tops.shape[:-1], steps)).repeat(3, axis=-1)
    rows = np.arange(side)[:, None]
    blobs = (rows >= tops) & (rows < ends[..., :side]) & (np.arange(side) > 0)
    kinds = rng.integers(1, 4, (across, across, 1, 2)).repeat(-(-side // 2), axis=-1)
    cells = np.where(blobs, kinds[..., :side], 0).transpose(0, 2, 1, 3)
    tile = np.zeros((TILE, TILE), np.uint8)
    tile[: across * side, : across * side] = cells.reshape(across * side, -1)
    return tile


def count_regions(tile: NDArray[np.uint8], values: tuple[int, ...] = (1, 2, 3)) -> int:
    return sum(int(ndimage.label(tile == value)[1]) for value in values)


def make_lace(holes: float) -> NDArray[np.uint8]:
    """A tile of one class, with so many holes or a few more; in them are other classes, and 0."""
    return np.array([LACE, 1, 0, 3], np.uint8)[make_blobs(holes, 1)]


def make_strips(side: int, regions: float, holes: float) -> Iterator[NDArray[np.uint8]]:
    """A mask of about so many regions from top to bottom, in strips of the height of a tile.

    One region winds from the first row to the last. One with all the holes is in the upper quarter,
    so that a mask cut to it has all of it, too. All others are in tiles, which do not touch.
    """
    across, down = side // TILE, side // 4 // TILE
    lace_tiles = across // 4 * (down - 2)
    lace = make_lace(holes / lace_tiles)
    others = regions - lace_tiles * count_regions(lace, (1, 3))
    blobs = make_blobs(others / (across * (across - 1) - lace_tiles) / PER_BLOB, 0)
    for number in range(across):
        strip = np.tile(blobs, across)
        if 0 < number < down - 1:
            strip[:, 2 * TILE : (2 + across // 4) * TILE] = np.tile(lace, across // 4)
        strip[:, :TILE] = 0
        strip[:, :SNAKE] = make_snake()
        yield strip


def make_snake() -> NDArray[np.uint8]:
    """Some of a region that goes left and right on its way down; the next goes on from it."""
    rows, cols = np.indices((TILE, SNAKE - 2))
    turns = np.where(rows // 4 % 2 == 0, cols < 2, cols >= SNAKE - 4)
    snake = (rows % 4 < 2) | turns
    return np.pad(snake, ((0, 0), (0, 2))).astype(np.uint8)


def write_mask(path: Path, side: int, strips: Iterator[NDArray[np.uint8]]) -> None:
    """A tiled GeoTIFF, and beside it the mask cut to a quarter of its height."""
    profile = {
        "driver": "GTiff", "width": side, "count": 1, "dtype": "uint8", "crs": "EPSG:32633",
        "transform": TRANSFORM, "tiled": True, "blockxsize": 512, "blockysize": 512,
        "compress": "deflate", "zlevel": 1, "num_threads": 2, "bigtiff": "if_safer",
    }  # fmt: skip
    quarter = name_quarter(path)
    with (
        rasterio.open(path, "w", height=side, **profile) as whole,
        rasterio.open(quarter, "w", height=side // 4, **profile) as part,
    ):
        for number, strip in enumerate(strips):
            for target in (whole, part):
                if number * TILE < target.height:
                    target.write(strip, 1, window=Window(0, number * TILE, side, TILE))


def name_quarter(path: Path) -> Path:
    return path.with_name(f"{path.stem}-quarter{path.suffix}")


def run_file(mask: Path, output: Path) -> None:
    """Polygonize a file, alone in this process, and print what it took."""
    started = time.monotonic()
    summary = polygonize(mask, output, PolygonizeOptions(overwrite=True))
    print(summary.polygons, time.monotonic() - started, peak_bytes())


def measure_memory(side: int, regions: float, holes: float, folder: Path, suffix: str) -> None:
    """Time and memory of a large mask and of its upper quarter, each in a process of its own."""
    mask = folder / f"mask-{side}.tif"
    if not mask.exists():
        write_mask(mask, side, make_strips(side, regions, holes))
    rows = [HEADER]
    for path in (mask, name_quarter(mask)):
        output = folder / f"{path.stem}{suffix}"
        command = [sys.executable, __file__, "--mask", str(path), "--output", str(output)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        with rasterio.open(path) as source:
            height, width = source.shape
        seconds = float(said[1])
        rows.append([
            f"{height} x {width}", said[0], f"{output.stat().st_size / 1e6:.0f} MB",
            f"{seconds:.0f}", f"{height * width / seconds / 1e6:.1f}",
            f"{int(said[2]) / 1e6:.0f} MB",
        ])  # fmt: skip
        print(format_table(rows), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=8192, help="side of the mask in pixels")
    parser.add_argument("--strip", type=int, default=512, help="rows fed at once")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--side", type=int, help="measure memory instead, of a mask of this side")
    parser.add_argument("--regions", type=float, default=5e6)
    parser.add_argument("--holes", type=float, default=1e6, help="of which one region has so many")
    parser.add_argument("--folder", type=Path, default=Path(), help="for the mask and the polygons")
    parser.add_argument("--suffix", default=".gpkg", help="format of the polygons")
    parser.add_argument("--mask", type=Path, help="just polygonize this mask")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    if options.mask:
        run_file(options.mask, options.output)
    elif options.side:
        measure_memory(options.side, options.regions, options.holes, options.folder, options.suffix)
    else:
        compare_speed(options.size, options.strip, options.repeats)


if __name__ == "__main__":
    main()
