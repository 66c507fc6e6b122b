"""Every way a raster can be stored: right pixels and validity, or an InputError that says why."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rasterio.vrt import WarpedVRT
from rasters import UTM, write_raster

from geounet.errors import InputError
from geounet.raster import Window, open_scene

HEIGHT, WIDTH = 70, 90
TILED = {"tiled": True, "blockxsize": 32, "blockysize": 16}


def noise(count=3, dtype="uint8", height=HEIGHT, width=WIDTH):
    values = np.random.default_rng(7).integers(1, 250, (count, height, width))
    return values.astype(dtype)


def some():
    return np.random.default_rng(8).random((HEIGHT, WIDTH)) > 0.3


def read_all(path, bands=None, **options):
    with open_scene(path, bands, **options) as scene:
        pixels, valid = scene.read(scene.grid.extent)
        assert pixels.dtype == scene.dtype
        return pixels, valid


LOSSLESS = {
    "striped": {},
    "one strip": {"blockysize": HEIGHT},
    "tiled": TILED,
    "planar": {"interleave": "band", **TILED},
    "pixel interleaved": {"interleave": "pixel", **TILED},
    "lzw predictor": {"compress": "lzw", "predictor": 2, **TILED},
    "deflate": {"compress": "deflate", **TILED},
    "zstd": {"compress": "zstd", **TILED},
    "packbits": {"compress": "packbits"},
    "lzma": {"compress": "lzma"},
    "lerc": {"compress": "lerc"},
    "big-endian": {"endianness": "big"},
    "BigTIFF": {"bigtiff": "yes"},
    "sparse": {"sparse_ok": True, **TILED},
    "webp": {"compress": "webp", "webp_lossless": True, **TILED},
    "PNG": {"driver": "PNG"},
    "JPEG 2000": {"driver": "JP2OpenJPEG", "quality": "100", "reversible": "yes"},
    "ENVI": {"driver": "ENVI"},
    "COG": {"driver": "COG"},
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_storage(tmp_path, name):
    array, profile = noise(), LOSSLESS[name]
    if profile.get("driver") in ("PNG", "JP2OpenJPEG", "COG"):
        plain = write_raster(tmp_path / "plain.tif", array)
        path = tmp_path / "copy.img"
        with rasterio.open(plain) as source:
            rasterio.shutil.copy(source, path, **profile)
    else:
        path = write_raster(tmp_path / "a.img", array, **profile)
    pixels, valid = read_all(path)
    np.testing.assert_array_equal(pixels, array)
    assert valid.all()
    with open_scene(path, [2]) as scene:
        part, _ = scene.read(Window(row_off=11, col_off=13, height=40, width=50))
    np.testing.assert_array_equal(part, array[1:2, 11:51, 13:63])


@pytest.mark.parametrize(
    "dtype",
    [
        "uint8",
        "int8",
        "uint16",
        "int16",
        "uint32",
        "int32",
        "uint64",
        "int64",
        "float32",
        "float64",
    ],
)
def test_types_pass_as_they_are(tmp_path, dtype):
    array = noise(2, dtype)
    if np.dtype(dtype).kind != "f":
        array[0, 0, :2] = np.iinfo(dtype).min, np.iinfo(dtype).max
    pixels, valid = read_all(write_raster(tmp_path / "a.tif", array))
    assert pixels.dtype == dtype
    np.testing.assert_array_equal(pixels, array)
    assert valid.all()


@pytest.mark.parametrize("profile", [{"photometric": "ycbcr"}, {"photometric": "rgb"}])
def test_jpeg_reads_as_gdal_reads_it(tmp_path, profile):
    smooth = np.linspace(10, 240, 3 * HEIGHT * WIDTH).reshape(3, HEIGHT, WIDTH).astype("uint8")
    path = write_raster(
        tmp_path / "a.tif", smooth, compress="jpeg", interleave="pixel", **TILED, **profile
    )
    pixels, valid = read_all(path)
    assert np.abs(pixels.astype(int) - smooth).max() < 20
    with rasterio.open(path) as source:
        np.testing.assert_array_equal(pixels, source.read())
    assert valid.all()


def test_jpeg_named_tif_with_a_sidecar_has_its_georeference(tmp_path):
    smooth = np.linspace(10, 240, 3 * HEIGHT * WIDTH).reshape(3, HEIGHT, WIDTH).astype("uint8")
    plain = write_raster(tmp_path / "plain.tif", smooth)
    with rasterio.open(plain) as source:
        rasterio.shutil.copy(source, tmp_path / "a.jpg", driver="JPEG")
    shutil.move(tmp_path / "a.jpg", tmp_path / "a.tif")
    shutil.move(tmp_path / "a.jpg.aux.xml", tmp_path / "a.tif.aux.xml")
    with open_scene(tmp_path / "a.tif") as scene:
        assert scene.grid.transform == UTM
        assert scene.grid.crs.to_epsg() == 32633
        pixels, _ = scene.read(scene.grid.extent)
    assert np.abs(pixels.astype(int) - smooth).max() < 20


@pytest.mark.parametrize("internal", [True, False])
def test_masks_inside_and_beside_the_file(tmp_path, internal):
    array, mask = noise(), some()
    path = write_raster(tmp_path / "a.tif", array, mask=mask if internal else None)
    if not internal:
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as target:
            target.write_mask(mask)
        assert Path(f"{path}.msk").exists()
    np.testing.assert_array_equal(read_all(path)[1], mask)


def mark_alpha(path, band):
    with rasterio.open(path, "r+") as target:
        meanings = list(target.colorinterp)
        meanings[band - 1] = ColorInterp.alpha
        target.colorinterp = meanings


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_alpha_is_validity_not_a_band(tmp_path, dtype):
    array, mask = noise(4, dtype), some()
    array[3] = np.where(mask, array[3], 0)
    path = write_raster(tmp_path / "a.tif", array)
    mark_alpha(path, 4)
    with open_scene(path) as scene:
        assert scene.bands == (1, 2, 3)
    pixels, valid = read_all(path)
    np.testing.assert_array_equal(pixels, array[:3])
    np.testing.assert_array_equal(valid, mask)
    chosen, everywhere = read_all(path, [4, 1])  # who asks for it means a band
    np.testing.assert_array_equal(chosen, array[[3, 0]])
    assert everywhere.all()


def test_nodata_of_any_band_counts(tmp_path):
    array = noise(3, "int16")
    array[0, :5], array[2, 3:9, 4:] = -9999, -9999
    path = write_raster(tmp_path / "a.tif", array, nodata=-9999)
    np.testing.assert_array_equal(read_all(path)[1], (array != -9999).all(axis=0))
    np.testing.assert_array_equal(read_all(path, [2, 1])[1], array[0] != -9999)
    assert read_all(path, [2])[1].all()


def test_nodata_and_mask_and_alpha_all_count(tmp_path):
    array, mask = noise(4), some()
    array[1, :9, :9], array[3, 30:40] = 7, 0
    path = write_raster(tmp_path / "a.tif", array, nodata=7, mask=mask)
    mark_alpha(path, 4)
    expected = mask & (array[:3] != 7).all(axis=0) & (array[3] != 0)
    np.testing.assert_array_equal(read_all(path)[1], expected)


def test_each_band_may_have_its_own_nodata(tmp_path):
    array = noise(2)
    write_raster(tmp_path / "a.tif", array)
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{n}"><NoDataValue>{value}</NoDataValue>'
        '<SimpleSource><SourceFilename relativeToVRT="1">a.tif</SourceFilename>'
        f"<SourceBand>{n}</SourceBand></SimpleSource></VRTRasterBand>"
        for n, value in ((1, 5), (2, 200))
    )
    path = tmp_path / "a.vrt"
    path.write_text(
        f'<VRTDataset rasterXSize="{WIDTH}" rasterYSize="{HEIGHT}">{bands}</VRTDataset>'
    )
    pixels, valid = read_all(path)
    np.testing.assert_array_equal(pixels, array)
    np.testing.assert_array_equal(valid, (array[0] != 5) & (array[1] != 200))
    with open_scene(path) as scene:
        assert scene.nodata is None


@pytest.mark.parametrize("nodata", [-3.4028234663852886e38, -9999.0, 0.0, float("nan"), None])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_without_a_value_are_not_valid(tmp_path, dtype, nodata):
    array = noise(2, dtype)
    array[0, 1, 1:5] = np.nan, np.inf, -np.inf, 3.0e38
    expected = np.isfinite(array).all(axis=0)
    if nodata is not None:
        array[1, 20:30] = nodata
        expected[20:30] = False
    path = write_raster(tmp_path / "a.tif", array, nodata=nodata)
    pixels, valid = read_all(path)
    np.testing.assert_array_equal(pixels, array)
    np.testing.assert_array_equal(valid, expected)
    with open_scene(path) as scene:
        np.testing.assert_equal(scene.nodata, nodata)


@pytest.mark.parametrize("nodata", [-9999, 300, 7.5])
def test_nodata_that_no_pixel_can_have(tmp_path, nodata):
    array = noise(1)
    plain = write_raster(tmp_path / "a.tif", array)
    path = tmp_path / "a.vrt"
    path.write_text(
        f'<VRTDataset rasterXSize="{WIDTH}" rasterYSize="{HEIGHT}">'
        f'<VRTRasterBand dataType="Byte" band="1"><NoDataValue>{nodata}</NoDataValue><SimpleSource>'
        f"<SourceFilename>{plain}</SourceFilename><SourceBand>1</SourceBand>"
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    pixels, valid = read_all(path)
    np.testing.assert_array_equal(pixels, array)
    assert valid.all()


def test_all_nodata(tmp_path):
    pixels, valid = read_all(write_raster(tmp_path / "a.tif", np.zeros((2, 9, 9), "u1"), nodata=0))
    assert not pixels.any()
    assert not valid.any()


def test_bands_of_different_types_are_read_as_one_that_holds_all(tmp_path):
    byte = write_raster(tmp_path / "byte.tif", noise(1))
    real = write_raster(tmp_path / "real.tif", noise(1, "float32") + 0.5)
    bands = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{n}"><SimpleSource>'
        f"<SourceFilename>{path}</SourceFilename><SourceBand>1</SourceBand>"
        "</SimpleSource></VRTRasterBand>"
        for n, kind, path in ((1, "Byte", byte), (2, "Float32", real))
    )
    path = tmp_path / "a.vrt"
    path.write_text(
        f'<VRTDataset rasterXSize="{WIDTH}" rasterYSize="{HEIGHT}">{bands}</VRTDataset>'
    )
    pixels, _ = read_all(path)
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels, noise(2, "float32")[[0, 0]] + [[[0]], [[0.5]]])
    assert read_all(path, [1])[0].dtype == np.uint8


GEOREFERENCES = {
    "rotated": (Affine.translation(5e5, 5e6) @ Affine.rotation(30) @ Affine.scale(2, -2), 32633),
    "south up": (Affine(10, 0, 5e5, 0, 10, 4e6), 32633),
    "geographic": (Affine(1e-4, 0, 7.5, 0, -1e-4, 47.2), 4326),
    "dateline": (Affine(0.01, 0, 179.7, 0, -0.01, -16), 4326),
    "mirrored": (Affine(-1, 0, 5e5, 0, -1, 5e6), 3857),
}


@pytest.mark.parametrize("name", GEOREFERENCES)
def test_transforms_are_kept_as_they_are(tmp_path, name):
    transform, epsg = GEOREFERENCES[name]
    path = write_raster(tmp_path / "a.tif", noise(), transform=transform, crs=f"EPSG:{epsg}")
    with open_scene(path) as scene:
        assert scene.grid.transform.almost_equals(transform, 1e-12)
        assert scene.grid.crs.to_epsg() == epsg
        np.testing.assert_array_equal(scene.read(scene.grid.extent)[0], noise())


def test_world_file_without_crs(tmp_path):
    path = write_raster(tmp_path / "a.png", noise(), transform=None, driver="PNG")
    path.with_suffix(".pgw").write_text("2\n0\n0\n-2\n101\n199\n")
    with open_scene(path) as scene:
        assert scene.grid.transform == Affine(2, 0, 100, 0, -2, 200)
        assert not scene.grid.is_georeferenced


def test_ground_control_points_are_kept_beside_pixel_coordinates(tmp_path):
    points = [
        GroundControlPoint(row=0, col=0, x=500_000, y=5_000_000, z=7),
        GroundControlPoint(row=0, col=WIDTH, x=500_100, y=5_000_010),
        GroundControlPoint(row=HEIGHT, col=0, x=500_000, y=4_999_900),
    ]
    path = write_raster(tmp_path / "a.tif", noise(), transform=None, gcps=points)
    with open_scene(path) as scene:
        grid = scene.grid
    assert (grid.transform, grid.crs) == (Affine.identity(), None)
    assert grid.sensor.gcps_crs.to_epsg() == 32633
    assert grid.sensor.gcps == tuple((p.col, p.row, p.x, p.y, p.z or 0) for p in points)
    moved = grid.crop(Window(row_off=3, col_off=4, height=5, width=6)).sensor
    assert moved.gcps[0] == (-4, -3, 500_000, 5_000_000, 7)


def test_vrt_and_warped_vrt_files(tmp_path):
    array = noise()
    plain = write_raster(tmp_path / "a.tif", array)
    with rasterio.open(plain) as source:
        rasterio.shutil.copy(source, tmp_path / "a.vrt", driver="VRT")
        with WarpedVRT(source, crs="EPSG:32634", add_alpha=True) as warped:
            rasterio.shutil.copy(warped, tmp_path / "warped.vrt", driver="VRT")
            expected = warped.read()
    np.testing.assert_array_equal(read_all(tmp_path / "a.vrt")[0], array)
    pixels, valid = read_all(tmp_path / "warped.vrt")
    np.testing.assert_array_equal(pixels, expected[:3])
    np.testing.assert_array_equal(valid, expected[3] > 0)
    assert not valid.all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 100_000), (100_000, 1), (2, 3)])
def test_odd_sizes(tmp_path, shape):
    array = noise(1, "uint8", *shape)
    path = write_raster(tmp_path / "a.tif", array)
    pixels, valid = read_all(path)
    np.testing.assert_array_equal(pixels, array)
    assert valid.shape == shape
    with open_scene(path) as scene:
        padded, _ = scene.read(scene.grid.extent.pad(40))
    for axis, size in enumerate(shape, start=1):
        pads = [(40, 40) if n == axis else (0, 0) for n in range(3)]
        array = np.pad(array, pads, "reflect" if size > 1 else "edge")
    np.testing.assert_array_equal(padded, array)


def test_files_inside_archives(tmp_path):
    write_raster(tmp_path / "a.tif", noise())
    shutil.make_archive(tmp_path / "b", "zip", tmp_path, "a.tif")
    for path in (f"/vsizip/{tmp_path}/b.zip/a.tif", f"zip://{tmp_path}/b.zip!a.tif"):
        np.testing.assert_array_equal(read_all(path)[0], noise())


# What is refused


def make_text(folder):
    path = folder / "a.tif"
    path.write_text("no raster\n")
    return path


def make_palette(folder):
    path = write_raster(folder / "a.tif", noise(1), photometric="palette")
    with rasterio.open(path, "r+") as target:
        target.write_colormap(1, {n: (n, 0, 0, 255) for n in range(256)})
    return path


def make_container(folder):
    path = folder / "a.gpkg"
    for name in ("first", "second"):
        write_raster(
            path,
            noise(4),
            crs="EPSG:3857",
            driver="GPKG",
            raster_table=name,
            append_subdataset="yes",
            tile_format="png",
        )
    return path


def make_vector(folder):
    path = folder / "a.geojson"
    path.write_text('{"type": "FeatureCollection", "features": []}')
    return path


REFUSED = {
    "missing": (lambda folder: folder / "none.tif", "none.tif does not exist"),
    "missing in archive": (lambda folder: "/vsizip/none.zip/a.tif", "does not exist"),
    "folder": (lambda folder: folder, "not a raster"),
    "text": (make_text, "a.tif is not a raster"),
    "empty": (lambda folder: (folder / "a.tif").touch() or folder / "a.tif", "not a raster"),
    "vector": (make_vector, "not a raster"),
    "palette": (make_palette, "palette"),
    "complex": (lambda f: write_raster(f / "a.tif", noise(1, "complex64")), "complex"),
    "container": (make_container, "container of 2 rasters.*GPKG:.*first.*GPKG:.*second"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path, name):
    make, says = REFUSED[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        path = make(tmp_path)
    with pytest.raises(InputError, match=says) as caught:
        open_scene(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_palette_indices_are_the_pixels_of_labels(tmp_path):
    pixels, _ = read_all(make_palette(tmp_path), allow_palette=True)
    np.testing.assert_array_equal(pixels, noise(1))


@pytest.mark.parametrize("bands", [[0], [4], [1, -1]])
def test_bands_that_are_not_there(tmp_path, bands):
    with pytest.raises(InputError, match="bands 1 to 3"):
        open_scene(write_raster(tmp_path / "a.tif", noise()), bands)


def nest(folder):
    """A virtual raster of a virtual raster, whose source is then gone."""
    plain = write_raster(folder / "plain.tif", noise())
    for source, name in ((plain, "inner.vrt"), (folder / "inner.vrt", "outer.vrt")):
        with rasterio.open(source) as opened:
            rasterio.shutil.copy(opened, folder / name, driver="VRT")
    content = plain.read_bytes()
    plain.unlink()
    return folder / "outer.vrt", lambda: plain.write_bytes(content)


def test_a_virtual_raster_is_not_read_as_zeros_after_a_failure(tmp_path):
    """GDAL would: not the first time, but the second, and also when its source is back."""
    path, mend = nest(tmp_path)
    with pytest.raises(InputError, match=r"plain\.tif: No such file"):
        read_all(path)
    for step in (lambda: None, mend):
        step()
        with pytest.raises(InputError, match="start this program anew"):
            read_all(path)


def test_truncated_file_says_where(tmp_path):
    path = write_raster(tmp_path / "a.tif", noise(3, height=400), compress="deflate", **TILED)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    with open_scene(path) as scene:
        top = Window(row_off=0, col_off=0, height=16, width=32)
        np.testing.assert_array_equal(scene.read(top)[0], noise(3, height=400)[:, :16, :32])
        with pytest.raises(
            InputError, match=r"a\.tif cannot be read at rows 389-400, columns 79-90 "
        ):
            scene.read(Window(row_off=390, col_off=80, height=20, width=20))
