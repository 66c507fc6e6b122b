"""A file of every kind that GDAL makes, with what geounet must see in it."""

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp, Resampling
from rasterio.rpc import RPC
from rasterio.vrt import WarpedVRT
from rasters import UTM, read_raster, write_raster
from test_inference_predict import make_pixels

HEIGHT, WIDTH = 70, 90
TILED = {"tiled": True, "blockxsize": 32, "blockysize": 16}


class Kind(NamedTuple):
    """A file, and what geounet must see in it; None: what rasterio sees."""

    path: Path | str
    pixels: np.ndarray | None = None
    valid: np.ndarray | None = None
    arguments: tuple[str, ...] = ()


def make_array(bands=3, dtype="uint8", height=HEIGHT, width=WIDTH):
    return np.maximum(make_pixels(height, width, bands), 1).astype(dtype)


def some():
    """Where a third is not data, in patches."""
    return make_pixels(HEIGHT, WIDTH, 1, seed=4)[0] > 110


def store(**profile):
    """A maker of three bands in a GeoTIFF of this profile."""
    return lambda folder: Kind(
        write_raster(folder / "a.tif", make_array(), **profile), make_array()
    )


def copy(driver, name, bands=3, dtype="uint8", **options):
    """A maker of a copy by `CreateCopy`."""

    def make(folder):
        array = make_array(bands, dtype)
        plain = write_raster(folder / "plain.tif", array)
        with rasterio.open(plain) as source:
            rasterio.shutil.copy(source, folder / name, driver=driver, **options)
        plain.unlink()
        lossy = driver in ("JPEG", "WEBP", "MBTiles")
        return Kind(folder / name, None if lossy else array)

    return make


STORAGE = {
    "striped": store(),
    "one strip": store(blockysize=HEIGHT),
    "tiled": store(**TILED),
    "planar": store(interleave="band", **TILED),
    "pixel interleaved": store(interleave="pixel", **TILED),
    "lzw predictor": store(compress="lzw", predictor=2, **TILED),
    "deflate": store(compress="deflate", **TILED),
    "zstd": store(compress="zstd", **TILED),
    "lzma": store(compress="lzma"),
    "packbits": store(compress="packbits"),
    "lerc": store(compress="lerc", max_z_error=0),
    "webp": store(compress="webp", webp_lossless=True, interleave="pixel", **TILED),
    "big-endian": store(endianness="big"),
    "BigTIFF": store(bigtiff="yes"),
    "cmyk": lambda folder: Kind(
        write_raster(folder / "a.tif", make_array(4), photometric="cmyk"),
        arguments=("--bands", "1,2,3"),
    ),
    "PNG": copy("PNG", "a.png"),
    "PNG 16 bit": copy("PNG", "a.png", dtype="uint16"),
    "JPEG": copy("JPEG", "a.jpg"),
    "WEBP": copy("WEBP", "a.webp"),
    "JPEG 2000": copy("JP2OpenJPEG", "a.jp2", quality="100", reversible="yes"),
    "COG": copy("COG", "a.tif"),
    "COG of small blocks": copy("COG", "a.tif", compress="lzw", blocksize=128),
    "netCDF": copy("netCDF", "a.nc", bands=1, format="NC4"),
    "GPKG": copy("GPKG", "a.gpkg", tile_format="png"),
    "MBTiles": copy("MBTiles", "a.mbtiles"),
    "HFA": copy("HFA", "a.img"),
    "MRF": copy("MRF", "a.mrf"),
    "NITF": copy("NITF", "a.ntf"),
    "BMP": copy("BMP", "a.bmp"),
    "ERS": copy("ERS", "a.ers"),
    "PCIDSK": copy("PCIDSK", "a.pix"),
    "ENVI": copy("ENVI", "a.dat"),
    "EHdr": copy("EHdr", "a.bil"),
    "AAIGrid": copy("AAIGrid", "a.asc", bands=1, dtype="int16"),
    "XYZ": copy("XYZ", "a.xyz", bands=1),
}  # fmt: skip


def make_ycbcr(folder):
    options = {"compress": "jpeg", "photometric": "ycbcr", "interleave": "pixel", **TILED}
    return Kind(write_raster(folder / "a.tif", make_array(), **options))


def make_jpeg_with_mask(folder):
    options = {"compress": "jpeg", "photometric": "ycbcr", "interleave": "pixel", **TILED}
    path = write_raster(folder / "a.tif", make_array(), mask=some(), **options)
    return Kind(path, read_raster(path), some())


def make_hdf5(folder):
    path = copy("netCDF", "a.nc", bands=1, format="NC4")(folder).path
    return Kind(f"HDF5:{path}://Band1", make_array(1)[:, ::-1])  # netCDF's rows go south to north


def make_zarr(folder):
    path = copy("Zarr", "a.zarr")(folder).path
    return Kind(f'ZARR:"{path}"', make_array())


def make_one_of_many(folder):
    path = copy("netCDF", "a.nc", bands=2, format="NC4")(folder).path
    return Kind(f"netcdf:{path}:Band2", make_array(2)[1:])


def make_page(folder):
    path = folder / "a.tif"
    for number in (1, 2):
        write_raster(path, make_array() // number, append_subdataset=number == 2)
    return Kind(f"GTIFF_DIR:2:{path}", make_array() // 2)


def make_archive(folder):
    write_raster(folder / "a.tif", make_array())
    shutil.make_archive(folder / "b", "zip", folder, "a.tif")
    return Kind(f"zip://{folder}/b.zip!a.tif", make_array())


def make_sparse(folder):
    """Blocks that were never written are nodata, or 0 where there is none."""
    path, array = folder / "a.tif", np.zeros((3, HEIGHT, WIDTH), "u1")
    profile = {"driver": "GTiff", "count": 3, "height": HEIGHT, "width": WIDTH, "dtype": "uint8"}
    with rasterio.open(path, "w", **profile, **TILED, sparse_ok=True, transform=UTM) as target:
        window = rasterio.windows.Window(32, 16, 32, 16)
        array[:, 16:32, 32:64] = make_array()[:, 16:32, 32:64]
        target.write(array[:, 16:32, 32:64], window=window)
    return Kind(path, array)


def make_sparse_with_nodata(folder):
    kind = make_sparse(folder)
    with rasterio.open(kind.path, "r+") as target:
        target.nodata = 0
    return kind._replace(valid=(kind.pixels != 0).all(axis=0))


def make_with_overviews(folder, beside):
    path = write_raster(folder / "a.tif", make_array(), **TILED)
    with rasterio.Env(TIFF_USE_OVR=beside), rasterio.open(path, "r+") as target:
        target.build_overviews([2, 4], Resampling.average)
    assert Path(f"{path}.ovr").exists() == beside
    return Kind(path, make_array())


STORAGE |= {
    "JPEG in TIFF, YCbCr": make_ycbcr,
    "JPEG in TIFF with mask": make_jpeg_with_mask,
    "HDF5": make_hdf5,
    "Zarr": make_zarr,
    "Zarr by its folder": copy("Zarr", "a.zarr"),
    "one variable of a netCDF": make_one_of_many,
    "one page of a TIFF": make_page,
    "in an archive": make_archive,
    "sparse": make_sparse,
    "sparse with nodata": make_sparse_with_nodata,
    "overviews inside": lambda folder: make_with_overviews(folder, beside=False),
    "overviews beside": lambda folder: make_with_overviews(folder, beside=True),
}


def place(transform, epsg):
    def make(folder):
        path = write_raster(folder / "a.tif", make_array(), transform=transform, crs=f"EPSG:{epsg}")
        return Kind(path, make_array())

    return make


def make_world_file(folder):
    path = write_raster(folder / "a.png", make_array(), transform=None, driver="PNG")
    path.with_suffix(".pgw").write_text("2\n0\n0\n-2\n101\n199\n")
    return Kind(path, make_array())


def make_pam(folder):
    path = copy("PNG", "a.png")(folder).path
    assert "<SRS" in Path(f"{path}.aux.xml").read_text()
    return Kind(path, make_array())


def make_pam_beside_tiff(folder):
    path = write_raster(folder / "a.tif", make_array(), transform=None)
    shutil.move(make_pam(folder).path.with_name("a.png.aux.xml"), f"{path}.aux.xml")
    return Kind(path, make_array())


def make_gcps(folder):
    points = [
        GroundControlPoint(row=0, col=0, x=500_000, y=5_000_000, z=7),
        GroundControlPoint(row=0, col=WIDTH, x=500_100, y=5_000_010),
        GroundControlPoint(row=HEIGHT, col=0, x=500_000, y=4_999_900),
    ]
    return Kind(write_raster(folder / "a.tif", make_array(), transform=None, gcps=points))


def make_rpcs(folder):
    path = write_raster(folder / "a.tif", make_array(), transform=None)
    numbers = [float(n) for n in range(20)]
    with rasterio.open(path, "r+") as target:
        target.rpcs = RPC(
            height_off=100.0, height_scale=500.0, lat_off=27.7, lat_scale=0.1, long_off=85.3,
            long_scale=0.1, line_off=35.0, line_scale=35.0, samp_off=45.0, samp_scale=45.0,
            line_num_coeff=numbers, line_den_coeff=numbers, samp_num_coeff=numbers,
            samp_den_coeff=numbers, err_bias=None, err_rand=None,
        )  # fmt: skip
    return Kind(path, make_array())


PLACES = {
    "north up": place(UTM, 32633),
    "rotated": place(UTM @ Affine.rotation(30), 32633),
    "sheared": place(Affine(2, 0.5, 5e5, 0.25, -2, 5e6), 32633),
    "south up": place(Affine(10, 0, 5e5, 0, 10, 4e6), 32633),
    "mirrored": place(Affine(-1, 0, 5e5, 0, -1, 5e6), 3857),
    "geographic": place(Affine(1e-4, 0, 7.5, 0, -1e-4, 47.2), 4326),
    "dateline": place(Affine(0.01, 0, 179.7, 0, -0.01, -16), 4326),
    "longitudes to 360": place(Affine(0.01, 0, 359.7, 0, -0.01, -16), 4326),
    "feet": place(Affine(3, 0, 1e6, 0, -3, 2e5), 2263),
    "world file": make_world_file,
    "PAM": make_pam,
    "PAM beside a TIFF": make_pam_beside_tiff,
    "nowhere": lambda folder: Kind(write_raster(folder / "a.tif", make_array(), transform=None)),
    "ground control points": make_gcps,
    "RPCs": make_rpcs,
}  # fmt: skip


def make_vrt(folder):
    path = write_raster(folder / "plain.tif", make_array())
    with rasterio.open(path) as source:
        rasterio.shutil.copy(source, folder / "a.vrt", driver="VRT")
    return Kind(folder / "a.vrt", make_array())


def write_vrt(path, sources, bands=3, nodata=None):
    """A mosaic of (file, row, column, height, width)."""
    parts = []
    for band in range(1, bands + 1):
        parts.append(f'<VRTRasterBand dataType="Byte" band="{band}">')
        parts.append("" if nodata is None else f"<NoDataValue>{nodata[band - 1]}</NoDataValue>")
        for name, row, col, height, width in sources:
            parts.append(
                f'<SimpleSource><SourceFilename relativeToVRT="1">{name}</SourceFilename>'
                f'<SourceBand>{band}</SourceBand><SrcRect xOff="0" yOff="0" xSize="{width}" '
                f'ySize="{height}"/><DstRect xOff="{col}" yOff="{row}" xSize="{width}" '
                f'ySize="{height}"/></SimpleSource>'
            )
        parts.append("</VRTRasterBand>")
    head = f'<VRTDataset rasterXSize="{WIDTH}" rasterYSize="{HEIGHT}">'
    place = (
        f"<SRS>EPSG:32633</SRS><GeoTransform>{', '.join(map(repr, UTM.to_gdal()))}</GeoTransform>"
    )
    path.write_text(f"{head}{place}{''.join(parts)}</VRTDataset>")
    return path


def make_mosaic(folder, missing=False):
    """Four files, of which one may be gone; nothing lies between them at the right."""
    array, valid, sources = make_array(), np.zeros((HEIGHT, WIDTH), bool), []
    for row, col, height, width in ((0, 0, 40, 50), (0, 50, 40, 40), (40, 0, 30, 50)):
        name, piece = f"{row}-{col}.tif", np.s_[row : row + height, col : col + width]
        write_raster(folder / name, array[:, *piece])
        valid[piece] = True
        sources.append((name, row, col, height, width))
    if missing:
        (folder / sources[2][0]).unlink()
    path = write_vrt(folder / "a.vrt", sources, nodata=(0, 0, 0))
    return Kind(path, array * valid, valid)


def make_nested(folder):
    kind = make_mosaic(folder)
    path = write_vrt(folder / "outer.vrt", [("a.vrt", 0, 0, HEIGHT, WIDTH)], nodata=(0, 0, 0))
    return kind._replace(path=path)


def make_warped(folder, alpha):
    """As gdalwarp -of VRT makes it: corners that no source pixel covers."""
    path = write_raster(folder / "plain.tif", make_array(), nodata=None if alpha else 0)
    with rasterio.open(path) as source:
        options = {"add_alpha": True} if alpha else {"nodata": 0}
        with WarpedVRT(source, crs="EPSG:32634", **options) as warped:
            rasterio.shutil.copy(warped, folder / "a.vrt", driver="VRT")
            pixels = warped.read()
    valid = pixels[3] > 0 if alpha else (pixels != 0).all(axis=0)
    assert 0 < valid.mean() < 1
    return Kind(folder / "a.vrt", pixels[:3], valid)


VIRTUAL = {
    "vrt": make_vrt,
    "mosaic": make_mosaic,
    "nested": make_nested,
    "warped with alpha": lambda folder: make_warped(folder, alpha=True),
    "warped with nodata": lambda folder: make_warped(folder, alpha=False),
}


def values(dtype, extremes=()):
    def make(folder):
        array = make_array(2, dtype)
        array[0, 0, : len(extremes)] = extremes
        return Kind(write_raster(folder / "a.tif", array), array)

    return make


def few_bits(bits, dtype):
    def make(folder):
        array = (make_array(2, "uint16") * 257 >> (16 - bits)).astype(dtype)
        return Kind(write_raster(folder / "a.tif", array, nbits=bits), array)

    return make


def make_float16(folder):
    array = make_array(2, "float32") / 256
    path = write_raster(folder / "a.tif", array, nbits=16)
    return Kind(path, array.astype("float16").astype("float32"))


def make_mixed_types(folder):
    byte = write_raster(folder / "byte.tif", make_array())
    real = write_raster(folder / "real.tif", make_array(3, "float32") + 0.5)
    bands = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{n}"><SimpleSource>'
        f"<SourceFilename>{path}</SourceFilename><SourceBand>1</SourceBand>"
        "</SimpleSource></VRTRasterBand>"
        for n, kind, path in ((1, "Byte", byte), (2, "Float32", real))
    )
    path = folder / "a.vrt"
    path.write_text(
        f'<VRTDataset rasterXSize="{WIDTH}" rasterYSize="{HEIGHT}">{bands}</VRTDataset>'
    )
    return Kind(path, make_array(3, "float32")[[0, 0]] + np.array([[[0]], [[0.5]]], "float32"))


def make_scaled(folder):
    """Scale and offset of the file are for people: networks are trained on the pixels."""
    path = write_raster(folder / "a.tif", make_array(2, "int16"))
    with rasterio.open(path, "r+") as target:
        target.scales, target.offsets = (0.1, 0.1), (5, 5)
    return Kind(path, make_array(2, "int16"))


TYPES = {
    "int8": lambda folder: Kind(
        write_raster(folder / "a.tif", make_array(2, "int16").clip(0, 127).astype("int8") - 50),
        make_array(2, "int16").clip(0, 127).astype("int8") - 50,
    ),
    "uint16": values("uint16", (0, 65535)),
    "int16": values("int16", (-32768, 32767)),
    "uint32": values("uint32"),
    "int32": values("int32"),
    "uint64": values("uint64"),
    "int64": values("int64"),
    "float32": values("float32"),
    "float64": values("float64"),
    "one bit": few_bits(1, "uint8"),
    "four bits": few_bits(4, "uint8"),
    "twelve bits": few_bits(12, "uint16"),
    "float16": make_float16,
    "mixed": make_mixed_types,
    "scaled": make_scaled,
}  # fmt: skip


def spoil(array, valid, value):
    return np.where(valid, array, np.asarray(value).astype(array.dtype))


def mark(value, dtype="float32", nodata=None):
    """A maker of floats that hold this value where there is no data."""

    def make(folder):
        array = spoil(make_array(2, dtype), some(), value)
        return Kind(write_raster(folder / "a.tif", array, nodata=nodata), array, some())

    return make


def make_mask(folder, internal):
    path = write_raster(folder / "a.tif", make_array(), mask=some() if internal else None)
    if not internal:
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as target:
            target.write_mask(some())
        assert Path(f"{path}.msk").exists()
    return Kind(path, make_array(), some())


def make_cog_with_mask(folder):
    plain = make_mask(folder, internal=True).path
    with rasterio.open(plain) as source:
        rasterio.shutil.copy(source, folder / "cog.tif", driver="COG", compress="deflate")
    return Kind(folder / "cog.tif", make_array(), some())


def make_alpha(folder, driver="GTiff", bands=4, dtype="uint8"):
    array = make_array(bands, dtype)
    array[-1] = some() * array[-1]
    path = write_raster(folder / "a.tif", array)
    with rasterio.open(path, "r+") as target:
        target.colorinterp = [*target.colorinterp[:-1], ColorInterp.alpha]
    if driver != "GTiff":
        with rasterio.open(path) as source:
            rasterio.shutil.copy(source, folder / "b.img", driver=driver)
        path = folder / "b.img"
    return Kind(path, array[:-1], some())


def make_nodata_per_band(folder):
    array = make_array(2)
    write_raster(folder / "plain.tif", array)
    path = write_vrt(
        folder / "a.vrt", [("plain.tif", 0, 0, HEIGHT, WIDTH)], bands=2, nodata=(100, 130)
    )
    return Kind(path, array, (array[0] != 100) & (array[1] != 130))


def make_impossible_nodata(folder, nodata):
    write_raster(folder / "plain.tif", make_array(1))
    path = write_vrt(
        folder / "a.vrt", [("plain.tif", 0, 0, HEIGHT, WIDTH)], bands=1, nodata=(nodata,)
    )
    return Kind(path, make_array(1))


def make_all_nodata(folder):
    array = np.zeros((3, HEIGHT, WIDTH), "u1")
    return Kind(write_raster(folder / "a.tif", array, nodata=0), array, array[0] > 0)


VALIDITY = {
    "mask inside": lambda folder: make_mask(folder, internal=True),
    "mask beside": lambda folder: make_mask(folder, internal=False),
    "COG with mask": make_cog_with_mask,
    "alpha": make_alpha,
    "alpha of 16 bit": lambda folder: make_alpha(folder, dtype="uint16"),
    "alpha in PNG": lambda folder: make_alpha(folder, "PNG"),
    "alpha in COG": lambda folder: make_alpha(folder, "COG"),
    "grey and alpha": lambda folder: make_alpha(folder, bands=2),
    "nodata": mark(-9999, "int16", -9999),
    "nodata of floats": mark(-9999, "float32", -9999),
    "nodata lowest": mark(-3.4028234663852886e38, "float32", -3.4028234663852886e38),
    "nodata NaN": mark(np.nan, "float32", np.nan),
    "NaN without nodata": mark(np.nan),
    "inf": mark(np.inf),
    "-inf with another nodata": mark(-np.inf, "float64", -9999),
    "nodata per band": make_nodata_per_band,
    "nodata -9999 of bytes": lambda folder: make_impossible_nodata(folder, -9999),
    "nodata NaN of bytes": lambda folder: make_impossible_nodata(folder, "nan"),
    "nodata 7.5 of bytes": lambda folder: make_impossible_nodata(folder, 7.5),
    "all nodata": make_all_nodata,
}


def sized(height, width):
    def make(folder):
        array = make_array(1, "uint8", height, width)
        return Kind(write_raster(folder / "a.tif", array), array)

    return make


SIZES = {
    "1 x 1": sized(1, 1),
    "2 x 3": sized(2, 3),
    "1 x 100000": sized(1, 100_000),
    "100000 x 1": sized(100_000, 1),
}

KINDS = STORAGE | PLACES | VIRTUAL | TYPES | VALIDITY | SIZES
