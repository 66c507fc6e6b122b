"""One file per band, on any grids: read as one scene."""

import numpy as np
import pytest
from affine import Affine
from networks import make_model
from rasters import UTM, read_raster, write_raster, write_vrt

from geounet.errors import InputError
from geounet.inference import PredictOptions, predict
from geounet.raster import Window, open_scene, open_stack, open_warped

WINDOW = Window(row_off=-3, col_off=5, height=30, width=20)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(1, 255, (3, 40, 60), np.uint8)


def test_files_on_one_grid_are_the_bands(tmp_path, pixels):
    files = [write_raster(tmp_path / f"b{i}.tif", band) for i, band in enumerate(pixels)]
    whole = write_raster(tmp_path / "whole.tif", pixels)
    with open_stack(files) as stack, open_scene(whole) as scene:
        for one, other in zip(stack.read(WINDOW), scene.read(WINDOW), strict=True):
            assert (one == other).all()
        assert stack.grid == scene.grid
        assert stack.count == 3
    with open_stack(files, (3, 1)) as stack:
        assert (stack.read(WINDOW)[0] == open_scene(whole, (3, 1)).read(WINDOW)[0]).all()


def test_other_grids_are_warped_bilinearly(tmp_path, pixels):
    """A band of twice the pixel size, as of Sentinel-2."""
    fine = write_raster(tmp_path / "fine.tif", pixels[0])
    coarse = write_raster(
        tmp_path / "coarse.tif", pixels[1, :20, :30], transform=UTM @ Affine.scale(2)
    )
    with open_stack([fine, coarse]) as stack:
        image, valid = stack.read(stack.grid.extent)
        with open_warped(coarse, stack.grid, "bilinear") as warped:
            expected, known = warped.read(stack.grid.extent)
    assert (image[0] == pixels[0]).all()
    assert (image[1] == expected[0]).all()
    assert (valid == known).all()
    assert abs(image[1].astype(float) - np.kron(pixels[1, :20, :30], np.ones((2, 2)))).mean() < 40


def test_valid_where_all_are(tmp_path, pixels):
    files = []
    for i, band in enumerate(pixels):
        band[i, i] = 0
        files.append(write_raster(tmp_path / f"b{i}.tif", band, nodata=0))
    with open_stack(files) as stack:
        _, valid = stack.read(stack.grid.extent)
    assert sorted(map(tuple, np.argwhere(~valid))) == [(0, 0), (1, 1), (2, 2)]


def test_types_are_joined(tmp_path, pixels):
    files = [
        write_raster(tmp_path / "a.tif", pixels[0]),
        write_raster(tmp_path / "b.tif", pixels[1].astype(np.float32) / 7),
    ]
    with open_stack(files) as stack:
        assert stack.dtype == np.float32
        assert (stack.read(WINDOW)[0].dtype) == np.float32


def test_no_such_band(tmp_path, pixels):
    files = [write_raster(tmp_path / f"b{i}.tif", band) for i, band in enumerate(pixels)]
    with pytest.raises(InputError, match="bands 1 to 3, not 4"):
        open_stack(files, (1, 4))


def test_files_of_which_no_band_is_chosen_do_not_count(tmp_path, pixels):
    """But for the grid of the first: they may have no data, another dtype, or lie elsewhere."""
    first = write_raster(tmp_path / "first.tif", np.zeros((40, 60), np.float32), nodata=0)
    files = [write_raster(tmp_path / f"b{i}.tif", band) for i, band in enumerate(pixels)]
    far = write_raster(tmp_path / "far.tif", pixels[0], transform=shift(10**4))
    with open_stack([first, files[0], far, files[1]], (4, 2)) as stack:
        image, valid = stack.read(stack.grid.extent)
        assert stack.grid == open_scene(first).grid
        assert (stack.dtype, stack.bands) == (np.uint8, (4, 2))
        assert str(first) in map(str, stack.files)
        assert stack.path == "b0.tif + b1.tif"
    assert (image == pixels[[1, 0]]).all() and valid.all()


@pytest.mark.parametrize("columns", [0, 0.5])
def test_bands_are_counted_through_alphas(tmp_path, columns):
    """A uint8 GeoTIFF of four bands calls the last one alpha, whatever it is."""
    pixels = np.random.default_rng(1).integers(1, 255, (4, 40, 60), np.uint8)
    files = [
        write_raster(tmp_path / "dsm.tif", pixels[0]),
        write_raster(tmp_path / "rgbn.tif", pixels, transform=shift(columns)),
        write_raster(tmp_path / "slope.tif", pixels[1]),
    ]
    with open_stack(files) as stack:
        assert stack.bands == (1, 2, 3, 4, 6)
        whole, _ = stack.read(stack.grid.extent)
    assert (whole[4] == pixels[1]).all()
    with open_stack(files, (6, 5, 1)) as stack:
        image, _ = stack.read(stack.grid.extent)
        with open_warped(files[1], stack.grid, "bilinear", [4]) as fourth:
            assert (image[1] == fourth.read(stack.grid.extent)[0]).all()
    assert (image[::2] == pixels[1::-1]).all()
    with pytest.raises(InputError, match="bands 1 to 6, not 7"):
        open_stack(files, (1, 7))


def shift(columns, rows=0):
    return UTM @ Affine.translation(columns, rows)


def test_a_band_of_another_place_is_refused(tmp_path, pixels):
    first = write_raster(tmp_path / "b1.tif", pixels[:2])
    far = write_raster(tmp_path / "b3.tif", pixels[2], transform=shift(60))
    with pytest.raises(InputError, match=r"band 3 \(.*b3.tif\) does not overlap the first \(.*b1"):
        open_stack([first, far])
    beyond = write_raster(tmp_path / "b4.tif", pixels[2], transform=shift(1e8))
    with pytest.raises(InputError, match="does not overlap"):
        open_stack([first, beyond])


@pytest.mark.parametrize(
    ("columns", "rows", "share"), [(15, 0, 75.0), (-59, 39, 1 / 24), (0, 10, 75.0)]
)
def test_a_band_that_covers_a_share_is_noted(tmp_path, pixels, columns, rows, share):
    first = write_raster(tmp_path / "b1.tif", pixels[0])
    part = write_raster(tmp_path / "b2.tif", pixels[1], transform=shift(columns, rows))
    with open_stack([first, part]) as stack:
        assert len(stack.notes) == 1
        assert f"b2.tif) covers {share:.1f} % of the first" in stack.notes[0]
        assert list(map(str, stack.files)) == [str(first), str(part)]  # the same in a later run
        _, valid = stack.read(stack.grid.extent)
    assert valid.mean() == pytest.approx(share / 100)


def test_files_under_a_warped_band(tmp_path, pixels):
    first = write_raster(tmp_path / "b1.tif", pixels[0])
    leaf = write_raster(tmp_path / "leaf.tif", pixels[1], transform=shift(0.5))
    second = write_vrt(tmp_path / "b2.vrt", leaf)
    mask = write_raster(tmp_path / "leaf.tif.msk", pixels[2], transform=None)
    with open_stack([first, second]) as stack:
        assert list(map(str, stack.files)) == list(map(str, (first, second, leaf, mask)))


def test_a_small_band_in_a_large_one_is_no_other_place(tmp_path, pixels):
    large = write_raster(tmp_path / "large.tif", np.ones((3000, 3000), np.uint8))
    small = write_raster(tmp_path / "small.tif", pixels[0, :2, :2], transform=shift(1005, 1005))
    with open_stack([large, small]) as stack:
        assert "covers 0.0 %" in stack.notes[0]
    with open_stack([small, large]) as stack:
        assert stack.notes == ()


def test_prediction_of_a_stack(tmp_path, pixels):
    _, model = make_model(tmp_path)
    files = [write_raster(tmp_path / f"b{i}.tif", band) for i, band in enumerate(pixels)]
    whole = write_raster(tmp_path / "whole.tif", pixels)
    options = PredictOptions(tile=32, precision="float32")
    predict(files, model, tmp_path / "a.tif", options)
    predict(whole, model, tmp_path / "b.tif", options)
    assert (read_raster(tmp_path / "a.tif") == read_raster(tmp_path / "b.tif")).all()
