"""However a scene is cut, interrupted and limited: every output is the cut of the whole one's."""

import itertools
import tempfile
from pathlib import Path
from unittest import mock

import geopandas
import numpy as np
import pytest
from affine import Affine
from hypothesis import event, given, settings
from hypothesis import strategies as st
from networks import make_model
from rasters import read_raster, write_raster
from shapely import Point, Polygon, contains_xy
from test_inference_predict import make_pixels

from geounet.classes import NODATA
from geounet.inference import PredictOptions, TorchEngine, predict
from geounet.inference.planning import parts
from geounet.raster import Window, open_scene

KINDS = ("mask", "confidence", "scores")
PLACE = Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model"), depth=2, width=4)[1]


class Stopped(Exception):
    pass


@st.composite
def areas(draw, height, width):
    """Everything, a box of pixels, or a polygon with a hole: (kind, shape in pixels)."""
    kind = draw(st.sampled_from(["all", "bbox", "AOI", "both"]))
    row, col = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    rows, cols = draw(st.integers(1, height - row)), draw(st.integers(1, width - col))
    radius = draw(st.floats(3, 80))
    centre = Point(draw(st.floats(0, width)), draw(st.floats(0, height)))
    ring = centre.buffer(radius) - centre.buffer(radius * draw(st.floats(0.1, 0.6)))
    return kind, Window(row_off=row, col_off=col, height=rows, width=cols), ring


def options_of(folder, name, scores_dtype="uint8", **options):
    return PredictOptions(
        precision="float32", engine="torch", scores_dtype=scores_dtype,
        confidence=folder / f"{name}-confidence.tif", scores=folder / f"{name}-scores.tif",
        **options,
    )  # fmt: skip


def read_outputs(folder, name):
    return {kind: read_raster(folder / f"{name}-{kind}.tif") for kind in KINDS}


def stop_after(calls):
    """Let the network run so often, then no more."""
    original, count = TorchEngine.__call__, itertools.count(1)

    def call(self, *arguments):
        if next(count) > calls:
            raise Stopped
        return original(self, *arguments)

    return mock.patch.object(TorchEngine, "__call__", call)


def limit(folder, scene, area):
    """The options that limit the work to an area, and whether a pixel is inside."""
    kind, window, ring = area
    with open_scene(scene) as source:
        grid = source.grid
    inside = np.ones(grid.shape, bool)
    options = {}
    if kind in ("bbox", "both"):
        options["bbox"] = grid.bounds(window)
        inside[:] = False
        inside[window.slices()] = True
    if kind in ("AOI", "both"):
        options["aoi"] = folder / "aoi.gpkg"
        rings = [ring.exterior, *ring.interiors]
        shell, *holes = [[PLACE @ point for point in line.coords] for line in rings]
        placed = Polygon(shell, holes)
        geopandas.GeoDataFrame(geometry=[placed], crs="EPSG:32633").to_file(options["aoi"])
        rows, cols = np.mgrid[: grid.height, : grid.width]
        xs, ys = PLACE @ (cols + 0.5, rows + 0.5)
        inside &= contains_xy(placed, xs, ys)
    return options, inside


def predict_in_pieces(scene, model, output, options, stops, part_pixels):
    """Stopped after each number of steps, gone on with after other ones in other parts."""
    for calls, pixels in zip(stops, part_pixels, strict=True):
        with mock.patch.object(parts, "PART_PIXELS", pixels), stop_after(calls):
            try:
                predict(scene, model, output, options())
            except Stopped:
                continue
            return event("finished early")
    return predict(scene, model, output, options())


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_every_output_is_the_cut_of_the_whole(model, data):
    height, width = data.draw(st.integers(1, 130)), data.draw(st.integers(1, 130))
    tta = data.draw(st.sampled_from(["none", "flip", "d4"]))
    scores_dtype = data.draw(st.sampled_from(["uint8", "float32"]))
    stops = data.draw(st.lists(st.integers(0, 8), max_size=3))
    part_pixels = [data.draw(st.integers(100, 9000)) for _ in stops]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scene = write_raster(folder / "scene.tif", spoil(height, width), nodata=0)
        predict(
            scene, model, folder / "whole-mask.tif",
            options_of(folder, "whole", scores_dtype, tile=512, tta=tta),
        )  # fmt: skip
        limits, inside = limit(folder, scene, data.draw(areas(height, width)))
        if not inside.any():
            return

        def options():
            return options_of(
                folder, "cut", scores_dtype, tta=tta, **limits,
                tile=data.draw(st.sampled_from([8, 20, 36, 64, 300])),
                batch=data.draw(st.integers(1, 4)), readers=data.draw(st.integers(1, 3)),
            )  # fmt: skip

        predict_in_pieces(scene, model, folder / "cut-mask.tif", options, stops, part_pixels)
        check_cut(folder, scene, inside)
        assert not [p for p in folder.iterdir() if p.is_dir()]


def spoil(height, width):
    """A scene with some pixels without data."""
    pixels = np.maximum(make_pixels(height, width), 1)
    pixels[:, make_pixels(height, width, 1, seed=3)[0] < 60] = 0
    return pixels


def check_cut(folder, scene, inside):
    whole, cut = read_outputs(folder, "whole"), read_outputs(folder, "cut")
    with (
        open_scene(folder / "cut-mask.tif", allow_palette=True) as mask,
        open_scene(scene) as image,
    ):
        window = image.grid.window_of(mask.grid.bounds())
        assert mask.grid.matches(image.grid.crop(window))
    outside = inside.copy()
    outside[window.slices()] = False
    assert not outside.any()
    for kind in KINDS:
        empty = np.nan if cut[kind].dtype.kind == "f" else NODATA
        expected = np.where(inside, whole[kind], np.asarray(empty, whole[kind].dtype))
        expected = expected[..., *window.slices()]
        if kind == "mask":
            np.testing.assert_array_equal(cut[kind], expected)
            continue
        # float32 may differ in its last bits with the tile's size, as the processor's kernels have
        # it; on the edge between two steps of 1/254 that is a step
        step = 1e-5 if cut[kind].dtype.kind == "f" else 1
        np.testing.assert_allclose(cut[kind].astype(float), expected, rtol=0, atol=step)
        steps = np.sum(np.abs(cut[kind].astype(float) - expected) > 1e-5)
        assert steps <= 3 + 0.002 * expected.size


def test_resumed_runs_end_in_the_same_bytes(tmp_path, model):
    """Also with a part height that is not the one with which the run began."""
    scene = write_raster(tmp_path / "scene.tif", spoil(300, 140))
    predict(scene, model, tmp_path / "whole-mask.tif", options_of(tmp_path, "whole", tile=32))
    for number, (stops, pixels) in enumerate([([3, 5, 1], [900, 5000, 300]), ([9], [2000])]):
        name = f"cut{number}"
        predict_in_pieces(
            scene, model, tmp_path / f"{name}-mask.tif",
            lambda name=name: options_of(tmp_path, name, tile=32), stops, pixels,
        )  # fmt: skip
        for kind in KINDS:
            files = [tmp_path / f"{one}-{kind}.tif" for one in ("whole", name)]
            assert files[0].read_bytes() == files[1].read_bytes()
