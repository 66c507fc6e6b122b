"""A scene at another pixel size: the same values whatever is read, near to what GDAL makes."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasters import UTM, write_raster
from scipy import ndimage

from geounet.raster import Grid, Resampled, Window, open_scene, open_stack, resampling

FACTORS = [0.4, 1.7, 2, 3.3]


def make_smooth(height, width, bands=2, seed=0):
    noise = np.random.default_rng(seed).normal(size=(bands, height, width))
    smooth = ndimage.gaussian_filter(noise, (0, 4, 4))
    return (128 + 40 * smooth / smooth.std()).clip(1, 255)


def reference(pixels, valid, scale):
    """Pixel by pixel, from the definition."""
    _, height, width = pixels.shape
    out_height, out_width = int(np.ceil(height / scale)), int(np.ceil(width / scale))
    out = np.zeros((len(pixels), out_height, out_width))
    data = np.zeros((out_height, out_width), bool)
    radius = max(1, scale)
    centre_rows, centre_cols = np.arange(height) + 0.5, np.arange(width) + 0.5
    for row in range(out_height):
        for col in range(out_width):
            y, x = (row + 0.5) * scale, (col + 0.5) * scale
            weight = np.outer(
                np.maximum(0, 1 - abs(centre_rows - y) / radius),
                np.maximum(0, 1 - abs(centre_cols - x) / radius),
            )
            inside_rows = np.floor(centre_rows / scale) == row
            inside_cols = np.floor(centre_cols / scale) == col
            inside_rows[min(int(y), height - 1)] = inside_cols[min(int(x), width - 1)] = True
            data[row, col] = (valid & np.outer(inside_rows, inside_cols)).any()
            if data[row, col]:
                weight = weight * valid
                out[:, row, col] = (np.where(valid, pixels, 0) * weight).sum((1, 2)) / weight.sum()
    return out, data


@pytest.mark.parametrize("scale", FACTORS)
def test_the_definition(tmp_path, scale):
    pixels = np.random.default_rng(0).normal(0, 100, (2, 23, 31))
    valid = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=(23, 31)), 2) < 0.02
    path = write_raster(tmp_path / "a.tif", np.where(valid, pixels, -9999), nodata=-9999)
    expected, data = reference(pixels, valid, scale)
    with Resampled(open_scene(path), scale) as scene:
        got, got_valid = scene.read(scene.grid.extent)
    assert (got_valid == data).all()
    assert 0.1 < data.mean() < 1
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("scale", FACTORS)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32])
def test_near_to_gdal(tmp_path, scale, dtype):
    """GDAL's bilinear is this triangle, too, with less exact weights where it shrinks."""
    path = write_raster(tmp_path / "a.tif", make_smooth(100, 132).astype(dtype))
    with Resampled(open_scene(path), scale) as scene:
        got, valid = scene.read(scene.grid.extent)
        grid = scene.grid
    with rasterio.open(path) as source, WarpedVRT(
        source, crs=source.crs, transform=UTM @ Affine.scale(scale), height=grid.height,
        width=grid.width, resampling=Resampling.bilinear, tolerance=1e-3,
    ) as warped:  # fmt: skip
        expected = warped.read()
    assert got.dtype == expected.dtype == dtype
    assert valid.all()
    inner = np.s_[:, 3:-3, 3:-3]
    gap = abs(got[inner].astype(float) - expected[inner])
    assert gap.max() <= 1 + 0.5 * (scale > 1)
    assert gap.mean() < 0.3


def test_two_to_one_is_the_average_smoothed(tmp_path):
    """Whole factors: GDAL's average, then a triangle's remainder; a plane stays what it is."""
    rows, cols = np.mgrid[:40, :60] + 0.5
    plane = (3 * rows + 2 * cols)[None]
    path = write_raster(tmp_path / "a.tif", plane)
    with Resampled(open_scene(path), 2) as scene:
        got, _ = scene.read(scene.grid.extent)
    with rasterio.open(path) as source:
        average = source.read(out_shape=(1, 20, 30), resampling=Resampling.average)
    np.testing.assert_allclose(got[:, 1:-1, 1:-1], average[:, 1:-1, 1:-1], rtol=1e-12)


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.integers(1, 40), st.integers(1, 40), st.sampled_from([0.1, 0.4, 0.73, 1.3, 1.7, 2, 3.3, 11]),
    st.sampled_from(["uint8", "float32"]), st.data(),
)  # fmt: skip
def test_no_value_depends_on_the_window(tmp_path, height, width, scale, dtype, data):
    """Bit by bit, also beyond the edge, where the resampled scene is mirrored."""
    random = np.random.default_rng(height * 41 + width)
    pixels = random.integers(0, 255, (2, height, width)).astype(dtype)
    pixels[:, random.random((height, width)) < data.draw(st.sampled_from([0, 0.3]))] = 0
    path = write_raster(tmp_path / "a.tif", pixels, nodata=0)
    with Resampled(open_scene(path), scale) as scene:
        whole, valid = scene.read(scene.grid.extent)
        row, col = data.draw(st.integers(-9, 30)), data.draw(st.integers(-9, 30))
        window = Window(
            row_off=row, col_off=col,
            height=data.draw(st.integers(0, 30)), width=data.draw(st.integers(0, 30)),
        )  # fmt: skip
        got, got_valid = scene.read(window)
    pad = ((9, 70), (9, 70))
    rows, cols = window.relative_to(Window(row_off=-9, col_off=-9, height=0, width=0)).slices()
    expected = np.pad(whole, ((0, 0), *pad), mode="reflect")[:, rows, cols]
    assert got.tobytes() == np.ascontiguousarray(expected).tobytes()
    assert (got_valid == np.pad(valid, pad, mode="reflect")[rows, cols]).all()


@pytest.mark.parametrize("scale", FACTORS)
@pytest.mark.parametrize("strip_bytes", [1, 3_000, 9_000])
def test_blocks_do_not_show(tmp_path, monkeypatch, scale, strip_bytes):
    """Neither in the values nor in what is valid, whether rows or columns are cut."""
    pixels = make_smooth(13, 25).astype(np.float32)
    pixels[:, np.random.default_rng(0).random((13, 25)) < 0.9] = 0
    path = write_raster(tmp_path / "a.tif", pixels, nodata=0)
    with Resampled(open_scene(path), scale) as scene:
        whole, valid = scene.read(scene.grid.extent)
        monkeypatch.setattr(resampling, "STRIP_BYTES", strip_bytes)
        got, got_valid = scene.read(scene.grid.extent)
    assert whole.tobytes() == got.tobytes()
    assert (valid == got_valid).all()
    assert 0 < valid.mean() < 1


class Recorder:
    """A scene without content that notes how much of it is read at a time."""

    count, dtype = 3, np.dtype("uint8")

    def __init__(self, height, width):
        self.grid, self.areas = Grid(height, width, UTM), []

    def read(self, window):
        self.areas.append(window.area)
        return np.ones((3, *window.shape), np.uint8), np.ones(window.shape, bool)


@pytest.mark.parametrize("scale", [0.1, 1, 7.3, 30])
def test_reads_are_bounded_in_both_directions(monkeypatch, scale):
    """The width is cut, too; and what is read twice, around the blocks, stays small."""
    monkeypatch.setattr(resampling, "STRIP_BYTES", 2**22)
    most = 2**22 // (8 * 4)
    height, width = round(40 * scale), round(300 * scale)
    source = Recorder(height, width)
    scene = Resampled(source, scale)
    pixels, valid = scene.read(scene.grid.extent)
    assert (pixels == 1).all()
    assert valid.all()
    assert max(source.areas) <= most
    assert sum(source.areas) < 2 * height * width + 1000
    assert (len(source.areas) > 1) == (height * width > most)


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 500), st.floats(0.01, 100), st.data())
def test_every_pixel_is_under_one(size, scale, data):
    """The resampled pixel under a centre holds it, and none is left over at the end."""

    class Source:
        grid = open_scene_grid(size)

    scene = Resampled(Source(), scale)
    rows = scene.rows_under(scene.source.grid.extent)
    centres = np.arange(size) + 0.5
    assert (rows * scale <= centres + 1e-6 * scale).all()
    assert (centres <= (rows + 1) * scale + 1e-6 * scale + 1e-9).all()
    assert rows.min() >= 0
    assert rows.max() < scene.grid.height
    assert scene.grid.height * scale >= size * (1 - 1e-9) - 1e-6 * scale


def open_scene_grid(size):
    return Grid(size, 3, UTM)


@pytest.mark.parametrize("scale", FACTORS)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_no_data_is_lost(tmp_path, scale, share):
    """Under each valid pixel lies a valid one; the values are those of valid pixels alone."""
    random = np.random.default_rng(0)
    data = random.random((41, 57)) < share
    pixels = np.where(data, random.integers(100, 110, (41, 57)), 9999).astype(np.uint16)
    path = write_raster(tmp_path / "a.tif", pixels, nodata=9999)
    with Resampled(open_scene(path), scale) as scene:
        got, valid = scene.read(scene.grid.extent)
        rows = scene.rows_under(scene.source.grid.extent)
        cols = scene.cols_under(scene.source.grid.extent)
    assert valid[np.ix_(rows, cols)][data].all()
    assert (got[0][valid] >= 100).all()
    assert (got[0][valid] <= 109).all()
    assert (got[0][~valid] == 0).all()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint32", "int64", "uint64"])
def test_extremes_of_integers_stay(tmp_path, dtype):
    limits = np.iinfo(dtype)
    pixels = np.full((1, 9, 9), limits.max, dtype)
    pixels[:, :, 5:] = limits.min
    path = write_raster(tmp_path / "a.tif", pixels)
    with Resampled(open_scene(path), 1.5) as scene:
        got, _ = scene.read(scene.grid.extent)
    assert got.dtype == dtype
    assert got[0, 0, 0] >= limits.max - limits.max // 2**52
    assert got[0, 0, -1] == limits.min


def test_a_stack_is_resampled_too(tmp_path):
    pixels = make_smooth(30, 40).astype(np.uint8)
    files = [write_raster(tmp_path / f"{i}.tif", band) for i, band in enumerate(pixels)]
    whole = write_raster(tmp_path / "whole.tif", pixels, descriptions=["a", "b"])
    with Resampled(open_stack(files), 2) as stack, Resampled(open_scene(whole), 2) as scene:
        window = Window(row_off=-3, col_off=2, height=20, width=30)
        assert (stack.read(window)[0] == scene.read(window)[0]).all()
        assert stack.count == scene.count == 2
        assert scene.band_names == ("a", "b")
        assert scene.grid.transform == UTM @ Affine.scale(2)
        assert scene.grid.crs.to_epsg() == 32633
