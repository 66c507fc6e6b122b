import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS, Transformer
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasters import UTM, write_raster

from geounet.errors import InputError
from geounet.raster import Grid, Window, open_scene, open_warped, pixel_grid

CRS_UTM = CRS("EPSG:32633")


def noise(count, height, width, dtype="uint8"):
    return np.random.default_rng(3).integers(1, 250, (count, height, width)).astype(dtype)


def shifted(rows, cols, height, width):
    return Grid(height, width, UTM @ Affine.translation(cols, rows), CRS_UTM)


def read_all(scene):
    with scene:
        return scene.read(scene.grid.extent)


def expect(array, valid, rows, cols, shape):
    """What lies at an offset in an array, and validity: False where there is nothing."""
    row = np.arange(rows, rows + shape[0])[:, None]
    col = np.arange(cols, cols + shape[1])
    inside = (row >= 0) & (row < valid.shape[0]) & (col >= 0) & (col < valid.shape[1])
    at = np.clip(row, 0, valid.shape[0] - 1), np.clip(col, 0, valid.shape[1] - 1)
    return array[:, at[0], at[1]], inside & valid[at]


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """The same size, validity said in different ways: (path, array, valid)."""
    folder = tmp_path_factory.mktemp("sources")
    height, width = 23, 31
    array, mask = noise(3, height, width), np.random.default_rng(4).random((height, width)) > 0.2
    gaps = array.copy()
    gaps[0, 3:6], gaps[2, :, 7] = 0, 0
    real = array.astype("float32")
    real[1, 5, 5:9] = np.nan
    alpha = np.concatenate([array, np.where(mask, 255, 0)[None]]).astype("uint8")
    options = {
        "plain": (array, {}, mask | True),
        "nodata": (gaps, {"nodata": 0}, (gaps != 0).all(axis=0)),
        "mask": (array, {"mask": mask}, mask),
        "nodata and mask": (gaps, {"nodata": 0, "mask": mask}, mask & (gaps != 0).all(axis=0)),
        "NaN": (real, {}, np.isfinite(real).all(axis=0)),
        "NaN nodata": (real, {"nodata": np.nan}, np.isfinite(real).all(axis=0)),
        "alpha": (alpha, {}, mask),
    }
    made = {}
    for name, (pixels, profile, valid) in options.items():
        path = write_raster(folder / f"{name}.tif", pixels, **profile)
        if name == "alpha":
            with rasterio.open(path, "r+") as target:
                target.colorinterp = [*target.colorinterp[:3], ColorInterp.alpha]
        made[name] = (path, pixels[:3], valid)
    return made


NAMES = ["plain", "nodata", "mask", "nodata and mask", "NaN", "NaN nodata", "alpha"]


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=15)
@given(
    rows=st.integers(-30, 30),
    cols=st.integers(-30, 30),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
)
def test_whole_pixel_shifts_move_pixels_and_validity(sources, name, rows, cols, height, width):
    path, array, valid = sources[name]
    grid = shifted(rows, cols, height, width)
    pixels, got = read_all(open_warped(path, grid))
    expected, expected_valid = expect(array, valid, rows, cols, grid.shape)
    np.testing.assert_array_equal(got, expected_valid)
    np.testing.assert_array_equal(pixels[:, got], expected[:, got])
    assert pixels.dtype == array.dtype


@pytest.mark.parametrize("name", NAMES)
def test_chosen_bands_keep_their_numbers_and_their_own_validity(sources, name):
    path, array, _ = sources[name]
    grid = shifted(-2, 3, 30, 30)
    with open_warped(path, grid, bands=[2]) as scene, open_scene(path, [2]) as plain:
        assert (scene.bands, scene.band_names, scene.grid) == ((2,), (None,), grid)
        pixels, valid = scene.read(grid.extent)
        expected, expected_valid = expect(
            array[1:2], plain.read(plain.grid.extent)[1], -2, 3, grid.shape
        )
    np.testing.assert_array_equal(valid, expected_valid)
    np.testing.assert_array_equal(pixels[:, valid], expected[:, valid])


def test_nearest_in_another_crs_is_the_pixel_at_the_projected_centre(tmp_path):
    array = noise(1, 200, 200)
    path = write_raster(tmp_path / "a.tif", array)
    west, north = Transformer.from_crs(32633, 4326, always_xy=True).transform(500_010, 4_999_990)
    grid = Grid(80, 70, Affine(7e-6, 0, west, 0, -6e-6, north), CRS("EPSG:4326"))
    pixels, valid = read_all(open_warped(path, grid))
    row, col = np.mgrid[:80, :70] + 0.5
    lon, lat = grid.transform @ (col, row)
    x, y = Transformer.from_crs(4326, 32633, always_xy=True).transform(lon, lat)
    at_col, at_row = ~UTM @ (x, y)
    certain = np.ones(grid.shape, bool)
    for at in (at_row, at_col):  # further from a pixel's edge than the tolerance
        certain &= np.abs(at - np.round(at)) > 2e-3
    assert certain.mean() > 0.9
    expected = array[0][at_row.astype(int), at_col.astype(int)]
    np.testing.assert_array_equal(pixels[0][certain], expected[certain])
    assert valid.all()


@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "cubic"])
def test_windows_do_not_show(tmp_path, resampling):
    path = write_raster(tmp_path / "a.tif", noise(2, 400, 700, "uint16"), nodata=77)
    west, north = Transformer.from_crs(32633, 3857, always_xy=True).transform(500_010, 4_999_995)
    grid = Grid(300, 600, Affine(0.6, 0.01, west, 0.02, -0.7, north), CRS("EPSG:3857"))
    whole, whole_valid = read_all(open_warped(path, grid, resampling))
    assert 0 < whole_valid.mean() < 1
    with open_warped(path, grid, resampling) as scene:
        for window in list(grid.extent.blocks(97, 131))[::-1]:
            pixels, valid = scene.read(window)
            np.testing.assert_array_equal(pixels, whole[:, *window.slices()])
            np.testing.assert_array_equal(valid, whole_valid[window.slices()])


def test_bilinear_averages_only_what_is_valid(tmp_path):
    array = np.full((1, 20, 20), 100, "uint8")
    array[0, 5:9] = 0
    path = write_raster(tmp_path / "a.tif", array, nodata=0)
    grid = Grid(40, 40, UTM @ Affine.scale(0.5), CRS_UTM)
    pixels, valid = read_all(open_warped(path, grid, "bilinear"))
    assert set(pixels[0][valid]) == {100}
    assert not valid[11:17].any()
    assert valid[:9].all()
    assert valid[19:].all()


def test_beyond_the_grid_is_mirrored_as_in_a_scene(tmp_path):
    path = write_raster(tmp_path / "a.tif", noise(1, 30, 30))
    grid = shifted(2, -5, 12, 20)
    pixels, valid = read_all(open_warped(path, grid))
    with open_warped(path, grid) as scene:
        got, got_valid = scene.read(grid.extent.pad(9))
    pads = ((0, 0), (9, 9), (9, 9))
    np.testing.assert_array_equal(got, np.pad(pixels, pads, "reflect"))
    np.testing.assert_array_equal(got_valid, np.pad(valid, pads[1:], "reflect"))


def test_the_same_grid_is_read_as_it_is(tmp_path):
    path = write_raster(
        tmp_path / "a.tif", noise(1, 30, 30), tiled=True, blockxsize=16, blockysize=16
    )
    with open_warped(path, shifted(0.001, 0, 30, 30)) as scene:
        assert scene.block_shape == (16, 16)
        np.testing.assert_array_equal(scene.read(scene.grid.extent)[0], noise(1, 30, 30))


def test_images_without_georeference_fit_by_size(tmp_path):
    path = write_raster(tmp_path / "a.png", noise(1, 30, 30), transform=None, driver="PNG")
    np.testing.assert_array_equal(
        read_all(open_warped(path, pixel_grid(30, 30)))[0], noise(1, 30, 30)
    )
    with pytest.raises(InputError, match=r"a\.png has 30 x 30 pixels, the scene's grid 30 x 31"):
        open_warped(path, pixel_grid(30, 31))


def test_a_crs_on_one_side_only_is_refused(tmp_path):
    placed = write_raster(tmp_path / "placed.tif", noise(1, 30, 30))
    bare = write_raster(tmp_path / "bare.tif", noise(1, 30, 30), transform=None)
    points = [GroundControlPoint(r, c, 5e5 + c, 5e6 - r) for r, c in [(0, 0), (0, 9), (9, 0)]]
    gcps = write_raster(tmp_path / "gcps.tif", noise(1, 30, 30), transform=None, gcps=points)
    with pytest.raises(InputError, match=r"placed\.tif has a CRS, the scene's grid has none"):
        open_warped(placed, pixel_grid(30, 30))
    with pytest.raises(InputError, match=r"bare\.tif has no CRS, .* \(WGS 84 / UTM zone 33N\)"):
        open_warped(bare, shifted(0, 0, 30, 30))
    with pytest.raises(InputError, match=r"gcps\.tif has only ground control points"):
        open_warped(gcps, shifted(0, 0, 30, 30))


def test_far_apart_is_not_valid_anywhere(tmp_path):
    path = write_raster(tmp_path / "a.tif", noise(1, 30, 30))
    grid = Grid(20, 20, Affine(0.1, 0, -70, 0, -0.1, -30), CRS("EPSG:4326"))
    assert not read_all(open_warped(path, grid))[1].any()


def test_palette_labels_on_another_grid(tmp_path):
    path = write_raster(tmp_path / "a.tif", noise(1, 30, 30), photometric="palette")
    with rasterio.open(path, "r+") as target:
        target.write_colormap(1, {n: (n, 9, 9, 255) for n in range(256)})
    with pytest.raises(InputError, match="palette"):
        open_warped(path, shifted(1, 1, 10, 10))
    pixels, _ = read_all(open_warped(path, shifted(1, 1, 10, 10), allow_palette=True))
    np.testing.assert_array_equal(pixels, noise(1, 30, 30)[:, 1:11, 1:11])


def test_a_window_of_a_damaged_source_is_an_input_error(tmp_path):
    path = write_raster(tmp_path / "a.tif", noise(1, 300, 300), compress="deflate")
    path.write_bytes(path.read_bytes()[: 300 * 150])
    with (
        open_warped(path, shifted(1, 1, 290, 290)) as scene,
        pytest.raises(InputError, match=r"a\.tif cannot be read at rows 280-290"),
    ):
        scene.read(Window(row_off=280, col_off=0, height=10, width=10))


def test_bands_of_different_types(tmp_path):
    array = noise(2, 30, 30, "float32") + 0.25
    write_raster(tmp_path / "byte.tif", array[:1].astype("uint8"))
    write_raster(tmp_path / "real.tif", array[1:])
    bands = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{n}"><SimpleSource>'
        f'<SourceFilename relativeToVRT="1">{name}.tif</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
        for n, kind, name in ((1, "Byte", "byte"), (2, "Float32", "real"))
    )
    place = f"<SRS>EPSG:32633</SRS><GeoTransform>{str(UTM.to_gdal())[1:-1]}</GeoTransform>"
    path = tmp_path / "a.vrt"
    path.write_text(f'<VRTDataset rasterXSize="30" rasterYSize="30">{place}{bands}</VRTDataset>')
    pixels, valid = read_all(open_warped(path, shifted(4, 5, 20, 20)))
    assert valid.all()
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels[0], np.floor(array[0, 4:24, 5:25]))
    np.testing.assert_array_equal(pixels[1], array[1, 4:24, 5:25])
