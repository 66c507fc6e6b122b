"""Mean scores of polygons: against plain sums over the pixels they burn to, whatever the strips."""

from __future__ import annotations

import tracemalloc

import geopandas
import numpy as np
import pytest
import rasterio
import rasterio.features
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rasters import write_raster

from geounet.classes import make_classes
from geounet.errors import InputError
from geounet.raster import CLASSES_TAG, Grid, dump_classes
from geounet.vector import PolygonizeOptions, Polygonizer
from geounet.vector import masks as masks_module
from geounet.vector import polygonize as polygonize_file
from geounet.vector.masks import MaskFiles, read_strips

BANDS = 3

masks = hnp.arrays(
    np.uint8,
    st.tuples(st.integers(1, 24), st.integers(1, 24)),
    elements=st.sampled_from([0, 1, 1, 1, 2, 2, 255]),
)
heights = st.lists(st.integers(1, 9), min_size=1, max_size=6)


def make_scores(shape, kind):
    scores = np.random.default_rng(shape).random((BANDS, *shape))
    return np.rint(scores * 254).astype(kind) if kind == "uint8" else scores.astype(kind)


def polygonize(mask, scores, heights, connectivity=4):
    width = mask.shape[1]
    polygonizer = Polygonizer(
        width, Affine.identity(), [1, 2], connectivity=connectivity, bands=len(scores)
    )
    found, row = [], 0
    while row < len(mask):
        rows = slice(row, row + heights[len(found) % len(heights)])
        found.append(polygonizer.add(mask[rows], None, scores[:, rows]))
        row = rows.stop
    found.append(polygonizer.finish())
    means = np.concatenate([regions.scores for regions in found])
    return means, np.concatenate([regions.geometries for regions in found])


@settings(deadline=None, max_examples=100)
@given(masks, heights, st.sampled_from(["uint8", "float16", "float32"]), st.sampled_from([4, 8]))
def test_scores_are_means_over_the_pixels_of_each_polygon(mask, heights, kind, connectivity):
    scores = make_scores(mask.shape, kind)
    means, geometries = polygonize(mask, scores, heights, connectivity)
    assert means.shape == (len(geometries), BANDS)
    expected = scores.astype(float) / (254 if kind == "uint8" else 1)
    for geometry, mean in zip(geometries, means, strict=True):
        inside = rasterio.features.rasterize([geometry], mask.shape) == 1
        assert mean == pytest.approx(expected[:, inside].mean(axis=1), abs=1e-7)


@settings(deadline=None, max_examples=100)
@given(masks, heights)
def test_strips_do_not_change_a_bit_of_the_sums(mask, heights):
    scores = make_scores(mask.shape, "float32")
    whole, strips = polygonize(mask, scores, [1000])[0], polygonize(mask, scores, heights)[0]
    assert whole.tobytes() == strips.tobytes()


def test_scores_must_have_the_bands_that_were_said():
    polygonizer = Polygonizer(4, Affine.identity(), [1], bands=2)
    with pytest.raises(ValueError, match=r"scores are \(2, H, 4\)"):
        polygonizer.add(np.ones((1, 4), np.uint8))


# --- files ---------------------------------------------------------------------------------

CLASSES = make_classes(["background", "Roof", "roof"])
MASK = np.array([[1, 1, 0, 2], [1, 0, 2, 255]], np.uint8)


def write_files(folder, kind="uint8", names=("background", "Roof", "roof"), shape=MASK.shape):
    """A mask and its scores, no data where the mask has none."""
    path = write_raster(folder / "mask.tif", MASK, nodata=255)
    with rasterio.open(path, "r+") as target:
        target.update_tags(**{CLASSES_TAG: dump_classes(CLASSES)})
    scores = make_scores(shape, kind)
    nodata = np.nan if kind == "float32" else 255
    if shape == MASK.shape:
        scores[:, MASK == 255] = nodata
    write_raster(folder / "scores.tif", scores, nodata=nodata, descriptions=names)
    return path, folder / "scores.tif", scores.astype(float) / (254 if kind == "uint8" else 1)


def run(path, **options):
    polygonize_file(path, path.with_suffix(".gpkg"), PolygonizeOptions(**options))
    return geopandas.read_file(path.with_suffix(".gpkg"), layer="polygons")


@pytest.mark.parametrize("kind", ["uint8", "float32"])
@pytest.mark.parametrize("budget", [1, 1 << 25])
def test_scores_become_columns_and_confidence_is_that_of_the_own_class(
    tmp_path, monkeypatch, kind, budget
):
    monkeypatch.setattr(masks_module, "STRIP_BYTES", budget)
    path, scores_path, scores = write_files(tmp_path, kind)
    frame = run(path, scores=scores_path)
    names = ["score_background", "score_Roof", "score_roof_3"]
    assert [*frame.columns[5:-1]] == ["confidence", "confidence_min", *names]
    assert frame.class_id.tolist() == [2, 1, 2]
    where = [np.zeros(MASK.shape, bool), MASK == 1, np.zeros(MASK.shape, bool)]
    where[0][0, 3] = where[2][1, 2] = True
    for inside, (_, row) in zip(where, frame.iterrows(), strict=True):
        assert row[names].tolist() == pytest.approx(scores[:, inside].mean(axis=1))
        own = scores[row.class_id][inside]
        assert row[["confidence", "confidence_min"]].tolist() == pytest.approx(
            [own.mean(), own.min()]
        )


class Wide:
    """One row of blocks of a raster of zeros that is in no file."""

    path, block_shape = "wide", (512, 512)

    def __init__(self, width, kind, count=1):
        self.grid = Grid(512, width, Affine.identity())
        self.dtype, self.count = np.dtype(kind), count
        self.band_names = ("a", "b", "c", "d")[:count]
        self.most = 0

    def read(self, window):
        self.most = max(self.most, window.area)
        shape = window.height, window.width
        return np.zeros((self.count, *shape), self.dtype), np.ones(shape, bool)


def test_memory_of_a_strip_is_bounded_however_wide_the_mask():
    peaks = []
    for width in (10_000, 200_000):
        files = MaskFiles(Wide(width, "uint8"), None, Wide(width, "float32", 4), {1: 1})
        tracemalloc.start()
        rows = 0
        for strip in read_strips(files, [1]):
            rows += strip.window.height
            del strip
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert rows == 512
    assert peaks[1] < 1.6 * peaks[0]
    assert files.scores.most <= masks_module.MOST_BYTES / 17


def test_a_confidence_of_its_own_goes_before_the_scores(tmp_path):
    path, scores, _ = write_files(tmp_path)
    confidence = write_raster(tmp_path / "confidence.tif", np.full(MASK.shape, 127, np.uint8))
    frame = run(path, scores=scores, confidence=confidence)
    assert frame.confidence.tolist() == frame.confidence_min.tolist() == [0.5] * 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "int16"}, "has bands of int16; give the scores"),
        ({"names": ()}, "does not name its bands after classes"),
        ({"names": ("roof", "roof", "background")}, "does not name its bands after classes"),
        ({"shape": (2, 5)}, "is not on the grid of"),
        ({"names": ("background", "Roof", "water")}, "mask.tif has class 2, but the scores are"),
    ],
    ids=str,
)
def test_scores_of_something_else_are_refused(tmp_path, options, message):
    path, scores, _ = write_files(tmp_path, **options)
    with pytest.raises(InputError, match=message):
        run(path, scores=scores)
    assert not path.with_suffix(".gpkg").exists()


def test_pixels_of_a_class_without_scores_are_refused(tmp_path):
    path, scores, _ = write_files(tmp_path)
    with rasterio.open(scores, "r+") as target:
        pixels = target.read()
        pixels[1, 0, 1] = 255
        target.write(pixels)
    with pytest.raises(InputError, match="has no scores in row 0, column 1, but the mask has a"):
        run(path, scores=scores)
