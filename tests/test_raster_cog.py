import shutil
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS
from rasters import read_raster

from geounet.classes import ClassInfo
from geounet.errors import ResourceError
from geounet.raster import (
    Grid,
    SensorModel,
    Window,
    assemble,
    open_scene,
    pixel_grid,
    read_classes,
    write_part,
)
from geounet.raster.overviews import reduce_average, reduce_mode

CLASSES = (
    ClassInfo(0, "background", "#d9d9d9"),
    ClassInfo(1, 'wood & "scrub" <é>', "#31a354"),
    ClassInfo(7, "water", "#3182bd"),
)


def utm_grid(height, width):
    return Grid(height, width, Affine(0.5, 0, 5e5, 0, -0.5, 5e6), CRS("EPSG:32633"))


def make_mask(height, width):
    rng = np.random.default_rng(0)
    blobs = np.kron(rng.integers(0, 4, (height // 40 + 1, width // 40 + 1)), np.ones((40, 40), int))
    mask = np.array([0, 1, 7, 255], "uint8")[blobs[:height, :width]]
    noise = rng.random(mask.shape) < 0.02
    mask[noise] = 7
    return mask


def write_parts(folder, grid, array, rows):
    parts = []
    for window in grid.extent.blocks(rows, grid.width):
        path = folder / f"{window.row_off}.tif"
        piece = array[..., slice(*(window.row_off, window.row_end)), :]
        write_part(path, grid.crop(window), piece, nodata=255)
        parts.append((path, window))
    return parts


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cog")
    (folder / "parts").mkdir()
    grid, mask = utm_grid(1300, 1100), make_mask(1300, 1100)
    parts = write_parts(folder / "parts", grid, mask, 400)
    output = folder / "mask.tif"
    assemble(parts, grid, output, nodata=255, classes=CLASSES, tags={"GEOUNET_VERSION": "<1> & 2"})
    return output, mask, grid, parts


def test_the_parts_are_in_their_places(made):
    output, mask, grid, _ = made
    np.testing.assert_array_equal(read_raster(output)[0], mask)
    with open_scene(output, allow_palette=True) as scene:
        assert scene.grid == grid
        _, valid = scene.read(scene.grid.extent)
    np.testing.assert_array_equal(valid, mask != 255)


def test_it_is_a_cog_with_overviews_by_majority(made):
    output, mask, _, _ = made
    with rasterio.open(output) as source:
        structure = source.tags(ns="IMAGE_STRUCTURE")
        assert (structure["LAYOUT"], structure["COMPRESSION"]) == ("COG", "DEFLATE")
        assert source.block_shapes == [(512, 512)]
        assert source.overviews(1) == [2, 4]
    expected = mask
    for level in range(2):
        odd = [(0, size % 2) for size in expected.shape]
        expected = reduce_mode(np.pad(expected, odd, "edge"), 255)
        with rasterio.open(output, overview_level=level) as source:
            np.testing.assert_array_equal(source.read(1), expected)


def test_colours_names_and_tags(made):
    output = made[0]
    with rasterio.open(output) as source:
        colours = source.colormap(1)
        assert source.tags()["GEOUNET_VERSION"] == "<1> & 2"
        assert source.nodata == 255
    assert {value: colours[value][:3] for value in (0, 1, 7)} == {c.value: c.rgb for c in CLASSES}
    assert colours[255][3] == 0
    assert read_classes(output) == CLASSES
    names = ElementTree.parse(f"{output}.aux.xml").findall("PAMRasterBand/CategoryNames/Category")
    assert [item.text for item in names] == [
        CLASSES[0].name, CLASSES[1].name, None, None, None, None, None, CLASSES[2].name,
    ]  # fmt: skip


@pytest.mark.skipif(shutil.which("gdalinfo") is None, reason="needs gdalinfo")
def test_gdalinfo_shows_the_classes(made):
    done = subprocess.run(["gdalinfo", made[0]], capture_output=True, text=True, check=True)
    assert '1: wood & "scrub" <é>' in done.stdout
    assert "7: 49,130,189,255" in done.stdout
    assert "GDALRasterAttributeTable" in done.stdout
    assert "ColorInterp=Palette" in done.stdout


def test_twice_gives_the_same_bytes_and_leaves_nothing_behind(made, tmp_path):
    output, _, grid, parts = made
    again = tmp_path / "again.tif"
    for _ in range(2):  # the second replaces the first
        assemble(
            parts, grid, again, nodata=255, classes=CLASSES, tags={"GEOUNET_VERSION": "<1> & 2"}
        )
    assert again.read_bytes() == output.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.tif", "again.tif.aux.xml"]


def test_what_no_part_covers_is_nodata(tmp_path):
    grid, array = pixel_grid(90, 70), np.full((20, 30), 3, "uint8")
    window = Window(row_off=50, col_off=10, height=20, width=30)
    write_part(tmp_path / "part.tif", grid.crop(window), array, nodata=255)
    assemble([(tmp_path / "part.tif", window)], grid, tmp_path / "a.tif", nodata=255)
    expected = np.full((90, 70), 255, "uint8")
    expected[window.slices()] = 3
    np.testing.assert_array_equal(read_raster(tmp_path / "a.tif")[0], expected)


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 40), st.integers(1, 40))
def test_parts_in_any_order_and_size(tmp_path_factory, height, width, rows, cols):
    folder = tmp_path_factory.mktemp("any")
    grid, mask = utm_grid(height, width), make_mask(height, width)
    parts = []
    for number, window in enumerate(grid.extent.blocks(rows, cols)):
        write_part(folder / f"{number}.tif", grid.crop(window), mask[window.slices()], nodata=255)
        parts.append((folder / f"{number}.tif", window))
    assemble(parts[::-1], grid, folder / "a.tif", nodata=255, classes=CLASSES)
    np.testing.assert_array_equal(read_raster(folder / "a.tif")[0], mask)


def test_scores_keep_their_bands_and_are_averaged(tmp_path):
    grid = utm_grid(600, 530)
    scores = np.random.default_rng(0).random((3, 600, 530)).astype("float32")
    scores[:, :70, :90] = -1
    write_part(tmp_path / "part.tif", grid, scores, nodata=-1, band_names=["a", "b", "c"])
    output = tmp_path / "a.tif"
    (tmp_path / "a.tif.aux.xml").write_text("of a mask that was here before")
    assemble([(tmp_path / "part.tif", grid.extent)], grid, output, nodata=-1)
    with rasterio.open(output) as source:
        np.testing.assert_array_equal(source.read(), scores)
        assert source.descriptions == ("a", "b", "c")
        assert source.nodata == -1
    with rasterio.open(output, overview_level=0) as source:
        np.testing.assert_array_equal(source.read(), reduce_average(scores, -1))
    assert not (tmp_path / "a.tif.aux.xml").exists()


def test_ground_control_points_are_carried(tmp_path):
    points = (
        (0.0, 0.0, 5e5, 5e6, 1.0),
        (70.0, 0.0, 500_035.0, 5e6, 2.0),
        (0.0, 90.0, 5e5, 4.9e6, 3.0),
    )
    sensor = SensorModel(gcps=points, gcps_crs=CRS("EPSG:32633"))
    grid = Grid(90, 70, Affine.identity(), sensor=sensor)
    write_part(tmp_path / "part.tif", grid, make_mask(90, 70), nodata=255)
    crop = grid.crop(Window(row_off=30, col_off=20, height=60, width=50))
    for name, target in (("a.tif", grid), ("crop.tif", crop)):
        parts = [(tmp_path / "part.tif", target.extent)]
        assemble(parts, target, tmp_path / name, nodata=255, classes=CLASSES)
        with open_scene(tmp_path / name, allow_palette=True) as scene:
            assert scene.grid.sensor == target.sensor
            assert scene.grid.crs is None


def test_no_georeference_needed(tmp_path):
    grid = pixel_grid(90, 70)
    parts = write_parts(tmp_path, grid, make_mask(90, 70), 50)
    assemble(parts, grid, tmp_path / "a.tif", nodata=255, classes=CLASSES)
    with open_scene(tmp_path / "a.tif", allow_palette=True) as scene:
        assert scene.grid == grid


def test_a_damaged_part_leaves_the_old_output(made, tmp_path):
    _, _, grid, parts = made
    path, window = parts[1]
    damaged = tmp_path / "damaged.tif"
    damaged.write_bytes(path.read_bytes()[:2000])
    output = tmp_path / "a.tif"
    output.write_text("old")
    with pytest.raises(ResourceError, match=r"a\.tif cannot be written .*damaged\.tif") as caught:
        assemble([parts[0], (damaged, window)], grid, output, nodata=255, classes=CLASSES)
    assert "\n" not in str(caught.value)
    assert output.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif", "damaged.tif"]


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from geounet.errors import ResourceError
from geounet.raster import assemble, pixel_grid, write_part

folder, share = Path(sys.argv[1]), float(sys.argv[2])
grid = pixel_grid(2000, 1500)
mask = np.random.default_rng(0).integers(0, 5, grid.shape).astype("uint8")
write_part(folder / "part.tif", grid, mask, nodata=255)
output = folder / "a.tif"
parts = [(folder / "part.tif", grid.extent)]
assemble(parts, grid, output, nodata=255)
limit = int(output.stat().st_size * share)
output.write_text("old")
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    assemble(parts, grid, output, nodata=255)
except ResourceError as error:
    assert str(output) in str(error) and output.read_text() == "old"
    assert {path.name for path in folder.iterdir()} == {"a.tif", "part.tif"}
    sys.exit(5)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of POSIX")
@pytest.mark.parametrize("share", [0.05, 0.4, 0.9, 0.9999])
def test_a_full_disk_leaves_the_old_output_and_nothing_else(tmp_path, share):
    """Whether it fills while overviews are written, or at the start or end of the COG."""
    command = [sys.executable, "-c", FULL_DISK, tmp_path, str(share)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 5, done.stderr
