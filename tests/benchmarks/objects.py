"""How many objects polygons find, raw and cleaned: precision, recall and F1 at an IoU.

python tests/benchmarks/objects.py mask.tif buildings.geojson --bbox W,S,E,N
python tests/benchmarks/objects.py scene.tif buildings.geojson --model model.safetensors
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import maximum_bipartite_matching
from tables import format_table

from geounet import polygonize, predict
from geounet.vector import PolygonizeOptions

PLAIN = PolygonizeOptions()
VARIANTS = {
    "raw": PLAIN,
    "--min-area 2": replace(PLAIN, min_area_m2=2),
    "--simplify 0.3": replace(PLAIN, simplify_m=0.3),
    "--smooth": replace(PLAIN, smooth=True),
    "--regularize": replace(PLAIN, regularize=True),
    "--min-area 2 --simplify 0.3 --regularize": replace(
        PLAIN, min_area_m2=2, simplify_m=0.3, regularize=True
    ),
}


@dataclass(frozen=True)
class Found:
    """How polygons compare with the true ones."""

    polygons: int
    precision: float
    recall: float
    f1: float


def cut_polygons(polygons: NDArray[np.object_], box: shapely.Polygon) -> NDArray[np.object_]:
    """What lies in a box of each polygon, where it is an area."""
    cut = shapely.intersection(shapely.make_valid(polygons), box)
    return cut[shapely.area(cut) > 0]


def read_objects(
    path: str | Path, crs: Any, box: shapely.Polygon, layer: str | None = None
) -> NDArray[np.object_]:
    """The polygons of a vector file in a box with this CRS, each part by itself."""
    frame = geopandas.read_file(path, layer=layer).to_crs(crs).explode()
    return cut_polygons(np.array(frame.geometry.array), box)


def compare_objects(
    found: NDArray[np.object_], truth: NDArray[np.object_], least_iou: float
) -> Found:
    """Objects found, as many as can be matched one to one with true ones of at least this IoU."""
    mine, other = shapely.STRtree(truth).query(found, predicate="intersects")
    common = shapely.area(shapely.intersection(found[mine], truth[other]))
    either = shapely.area(found)[mine] + shapely.area(truth)[other] - common
    good = common >= least_iou * either
    pairs = coo_array(
        (np.ones(good.sum()), (mine[good], other[good])), shape=(len(found), len(truth))
    )
    hits = int((maximum_bipartite_matching(pairs.tocsr()) >= 0).sum())
    return Found(
        polygons=len(found),
        precision=hits / max(1, len(found)),
        recall=hits / max(1, len(truth)),
        f1=2 * hits / max(1, len(found) + len(truth)),
    )


def measure_variant(
    mask: str, name: str, truth: NDArray[np.object_], box: shapely.Polygon, least_iou: float
) -> list[str]:
    """A row of the table. The clock runs over the whole mask; the second of two runs counts."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "polygons.gpkg"
        for _ in range(2):
            summary = polygonize(mask, output, replace(VARIANTS[name], overwrite=True))
        polygons = np.array(geopandas.read_file(output, layer="polygons").geometry.array)
    vertices = shapely.get_num_coordinates(polygons).mean()
    result = compare_objects(cut_polygons(polygons, box), truth, least_iou)
    shares = (result.precision, result.recall, result.f1)
    return [
        name,
        str(result.polygons),
        *(f"{share:.3f}" for share in shares),
        f"{vertices:.1f}",
        f"{summary.elapsed_s:.2f}",
    ]


def print_table(mask: str, options: argparse.Namespace) -> None:
    with rasterio.open(mask) as source:
        crs, bounds = source.crs, source.bounds
    sides = bounds if options.bbox is None else map(float, options.bbox.split(","))
    box = shapely.box(*sides)
    truth = read_objects(options.truth, crs, box)
    header = ["polygons of", "in the box", "precision", "recall", "F1", "vertices each", "seconds"]
    rows = [measure_variant(mask, name, truth, box, options.iou) for name in VARIANTS]
    print(f"{len(truth)} true objects; IoU {options.iou}; seconds for the whole mask")
    print(format_table([header, *rows]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("raster", help="mask; with --model, a scene")
    parser.add_argument("truth", help="polygons of what there is, in any CRS")
    parser.add_argument("--bbox", help="W,S,E,N in the raster's CRS: what is compared")
    parser.add_argument("--model", help="predict the mask with this model")
    parser.add_argument("--iou", type=float, default=0.5)
    options = parser.parse_args()
    if options.model is None:
        print_table(options.raster, options)
        return
    with tempfile.TemporaryDirectory() as folder:
        mask = Path(folder) / "mask.tif"
        predict(options.raster, options.model, mask)
        print_table(str(mask), options)


if __name__ == "__main__":
    main()
