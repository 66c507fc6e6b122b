import numpy as np
import pytest
from rasters import write_raster

from geounet.classes import ClassInfo
from geounet.raster import colour_mask, open_scene, read_preview, read_small


def noise(count, height, width, dtype="uint8"):
    return np.random.default_rng(3).integers(1, 250, (count, height, width)).astype(dtype)


def test_bytes_are_shown_as_they_are(tmp_path):
    array, mask = noise(4, 30, 40), np.random.default_rng(0).random((30, 40)) > 0.2
    path = write_raster(tmp_path / "a.tif", array, mask=mask)
    for picture, valid in (read_preview(path), read_preview(str(path), bands=[1, 2, 3])):
        np.testing.assert_array_equal(picture, np.where(mask, array[:3], 0).transpose(1, 2, 0))
        np.testing.assert_array_equal(valid, mask)
    with open_scene(path, [4, 2, 1]) as scene:
        picture, _ = read_preview(scene, bands=[1, 4, 2])
    np.testing.assert_array_equal(picture[mask], array[[0, 3, 1]][:, mask].T)


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
def test_other_types_are_stretched_between_percentiles(tmp_path, dtype):
    ramp = np.linspace(-3000, 3000, 101 * 101).reshape(1, 101, 101)
    ramp = (ramp + (3000 if dtype == "uint16" else 0)).astype(dtype)
    picture, _ = read_preview(write_raster(tmp_path / "a.tif", ramp))
    assert picture.shape == (101, 101, 3)
    assert (picture[..., 0] == picture[..., 2]).all()
    values = ramp[0].astype(float)
    low, high = np.percentile(values, [2, 98])
    expected = np.clip((values - low) / (high - low), 0, 1) * 255
    assert np.abs(picture[..., 0] - expected).max() <= 0.5 + 1e-9


def test_without_contrast_or_data_it_is_black(tmp_path):
    flat = write_raster(tmp_path / "flat.tif", np.full((1, 9, 9), 7.5, "float32"))
    empty = write_raster(tmp_path / "empty.tif", np.full((1, 9, 9), np.nan, "float32"))
    assert not read_preview(flat)[0].any()
    picture, valid = read_preview(empty)
    assert not picture.any()
    assert not valid.any()


def test_large_rasters_become_small_without_bending(tmp_path):
    path = write_raster(tmp_path / "a.tif", noise(3, 300, 200))
    picture, valid = read_preview(path, max_size=60)
    assert picture.shape == (60, 40, 3)
    assert valid.shape == (60, 40)
    np.testing.assert_array_equal(picture, noise(3, 300, 200)[:, 2::5, 2::5].transpose(1, 2, 0))
    long = write_raster(tmp_path / "long.tif", noise(1, 1, 5000))
    assert read_preview(long, max_size=50)[0].shape == (1, 50, 3)


def test_small_reads_have_all_bands(tmp_path):
    path = write_raster(tmp_path / "a.tif", noise(5, 30, 20, "uint16"))
    with open_scene(path) as scene:
        pixels, valid = read_small(scene, 1000)
    np.testing.assert_array_equal(pixels, noise(5, 30, 20, "uint16"))
    assert valid.all()


def test_masks_in_the_colours_of_their_classes():
    classes = [ClassInfo(0, "a", "#010203"), ClassInfo(9, "b", "#ff8000")]
    mask = np.array([[0, 9], [255, 4]], "uint8")
    expected = [[(1, 2, 3), (255, 128, 0)], [(255, 255, 255), (0, 0, 0)]]
    np.testing.assert_array_equal(colour_mask(mask, classes), expected)
