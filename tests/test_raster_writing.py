import subprocess
import sys

import numpy as np
import pytest
import rasterio
from affine import Affine
from pyproj import CRS
from rasterio.errors import RasterioIOError
from rasterio.windows import Window
from rasters import read_raster

from geounet.errors import ResourceError
from geounet.raster import Grid, is_whole, pixel_grid, write_part
from geounet.raster.writing import check_blocks

GRID = Grid(40, 50, Affine(0.5, 0, 5e5, 0, -0.5, 5e6), CRS("EPSG:32633"))


def noise(*shape, dtype="uint8"):
    return np.random.default_rng(1).integers(0, 250, shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("shape", [(40, 50), (3, 40, 50)])
def test_a_part_holds_the_array(tmp_path, shape, dtype):
    array = noise(*shape, dtype=dtype)
    names = ["a", "b", "c"][: 1 if len(shape) == 2 else 3]
    write_part(tmp_path / "a.tif", GRID, array, nodata=255, band_names=names)
    np.testing.assert_array_equal(read_raster(tmp_path / "a.tif"), array.reshape(-1, 40, 50))
    with rasterio.open(tmp_path / "a.tif") as source:
        assert source.dtypes[0] == dtype
        assert source.nodata == 255
        assert source.transform == GRID.transform
        assert source.crs.to_epsg() == 32633
        assert source.block_shapes[0] == (512, 512)
        assert source.descriptions == tuple(names)
        assert source.compression.name == "deflate"
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_a_part_without_georeference_warns_nobody(tmp_path):
    write_part(tmp_path / "a.tif", pixel_grid(40, 50), noise(40, 50))
    np.testing.assert_array_equal(read_raster(tmp_path / "a.tif")[0], noise(40, 50))


def test_the_same_array_gives_the_same_bytes(tmp_path):
    path, draft = tmp_path / "a-000000512.tif", tmp_path / ".a-000000512.tif.draft"
    for name in (path, draft):
        write_part(name, GRID, noise(40, 50), nodata=255)
    assert path.read_bytes() == draft.read_bytes()
    draft.replace(path)
    assert is_whole(path, GRID.shape)


def test_a_missing_folder_is_named(tmp_path):
    path = tmp_path / "none" / "a.tif"
    with pytest.raises(ResourceError, match=r"none/a\.tif cannot be written \(No such file"):
        write_part(path, GRID, noise(40, 50))


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from geounet.errors import ResourceError
from geounet.raster import pixel_grid, write_part

resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
path = Path(sys.argv[1])
path.write_text("old")
try:
    write_part(path, pixel_grid(400, 400),
               np.random.default_rng(0).integers(0, 255, (400, 400)).astype("uint8"))
except ResourceError as error:
    assert str(path) in str(error) and path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]
    sys.exit(5)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of POSIX")
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, tmp_path / "a.tif"], capture_output=True, text=True
    )
    assert done.returncode == 5, done.stderr


def test_blocks_that_a_failed_write_left_out_or_broken_are_found(tmp_path):
    path = tmp_path / "a.tif"
    grid = Grid(1100, 1300, GRID.transform, GRID.crs)
    write_part(path, grid, noise(2, 1100, 1300), nodata=255)
    check_blocks(path)
    with rasterio.open(path) as source:
        offset = int(source.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", bidx=2))
    content = bytearray(path.read_bytes())
    content[offset : offset + 500] = bytes(500)
    path.write_bytes(content)
    with pytest.raises(RasterioIOError):
        check_blocks(path)
    profile = {"driver": "GTiff", "width": 1300, "height": 1100, "count": 2, "dtype": "uint8"}
    tiles = {"tiled": True, "blockxsize": 512, "blockysize": 512, "sparse_ok": True}
    with rasterio.open(path, "w", **profile, **tiles, transform=GRID.transform) as target:
        target.write(noise(2, 1100, 512), window=Window(0, 0, 512, 1100))
    with pytest.raises(RasterioIOError, match="block 1, 0 is missing"):
        check_blocks(path)


@pytest.mark.parametrize("size", [0, 100, 5000, -1])
def test_a_part_that_is_cut_off_is_not_whole(tmp_path, size):
    path = tmp_path / "a.tif"
    assert not is_whole(path, (700, 600))
    write_part(path, pixel_grid(700, 600), noise(2, 700, 600), nodata=255, band_names=["a", "b"])
    assert is_whole(path, (700, 600))
    assert not is_whole(path, (600, 700))
    other = path.with_name("b.tif")
    other.write_bytes(path.read_bytes())
    assert not is_whole(other, (700, 600))
    path.write_bytes(path.read_bytes()[:size])
    assert not is_whole(path, (700, 600))
