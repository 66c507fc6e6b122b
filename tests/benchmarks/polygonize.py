"""Speed of polygonizing beside rasterio's, and memory of a mask that is never held as a whole.

python tests/benchmarks/polygonize.py --size 8192
python tests/benchmarks/polygonize.py --memory --rows 20000
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Iterator

import numpy as np
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from scipy import ndimage
from shapely.geometry import shape

from geounet.vector import Polygonizer

TRANSFORM = Affine(0.5, 0.0, 500_000.0, 0.0, -0.5, 5_000_000.0)
CLASSES = 4


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


def polygonize_strips(strips: Iterator[NDArray[np.uint8]], width: int) -> Iterator[NDArray]:
    polygonizer = Polygonizer(width, TRANSFORM, range(CLASSES))
    for strip in strips:
        yield polygonizer.add(strip).geometries
    yield polygonizer.finish().geometries


def run_geounet(mask: NDArray[np.uint8], strip: int) -> NDArray[np.object_]:
    strips = (mask[row : row + strip] for row in range(0, len(mask), strip))
    return np.concatenate(list(polygonize_strips(strips, mask.shape[1])))


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


def measure_memory(rows: int, width: int, strip: int, salt: float) -> None:
    """A mask of any size, made of one block that is repeated; the polygons are not kept.

    Lines of no data separate the blocks, lest one region take in all of them: what is open is held.
    """
    block = make_mask(2048, salt)
    block[-1] = block[:, -1] = 255
    columns = np.arange(width) % 2048
    run_geounet(block[:64, :64], 64)  # compile
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    strips = (
        block[np.arange(row, min(row + strip, rows)) % 2048][:, columns]
        for row in range(0, rows, strip)
    )
    started = time.process_time()
    regions = vertices = 0
    for geometries in polygonize_strips(strips, width):
        regions += len(geometries)
        vertices += int(shapely.get_num_coordinates(geometries).sum())
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{rows} x {width}: {regions} regions, {vertices / 1e6:.1f} M vertices, {seconds:.1f} s")
    print(f"peak {peak / 1e3:.0f} MB, of which {before / 1e3:.0f} MB before the first strip")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=8192, help="side of the mask in pixels")
    parser.add_argument("--strip", type=int, default=512, help="rows fed at once")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", action="store_true", help="measure memory instead of speed")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--width", type=int, default=20_000)
    parser.add_argument("--salt", type=float, default=2.5e-4, help="share of single pixels")
    options = parser.parse_args()
    if options.memory:
        measure_memory(options.rows, options.width, options.strip, options.salt)
    else:
        compare_speed(options.size, options.strip, options.repeats)


if __name__ == "__main__":
    main()
