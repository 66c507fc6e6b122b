import subprocess
import sys
import threading

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasters import UTM, write_raster, write_vrt

from geounet.errors import InputError
from geounet.raster import Window, open_scene


def numbered(count, height, width, dtype="uint16"):
    return np.arange(1, count * height * width + 1).reshape(count, height, width).astype(dtype)


def test_attributes_describe_the_file(tmp_path):
    path = write_raster(
        tmp_path / "a.b.tif",
        numbered(3, 40, 50),
        nodata=7,
        descriptions=["red", "green", "nir"],
        tiled=True,
        blockxsize=16,
        blockysize=32,
    )
    with open_scene(path, [3, 1]) as scene:
        assert (scene.path, scene.name) == (path, "a.b")
        assert scene.grid.shape == (40, 50)
        assert scene.grid.transform == UTM
        assert scene.grid.crs.to_epsg() == 32633
        assert (scene.bands, scene.count, scene.dtype) == ((3, 1), 2, np.uint16)
        assert scene.band_names == ("nir", "red")
        assert scene.nodata == 7
        assert scene.block_shape == (32, 16)
        assert scene.grid.sensor is None


def test_files_are_those_of_nested_virtual_rasters_too(tmp_path):
    leaf = write_raster(tmp_path / "leaf.tif", numbered(1, 9, 9))
    inner = write_vrt(tmp_path / "inner.xml", leaf)
    outer = write_vrt(tmp_path / "outer.vrt", inner)
    with open_scene(outer) as scene:
        assert scene.files == tuple(map(str, (outer, inner, leaf)))
    mask = write_raster(tmp_path / "leaf.tif.msk", numbered(1, 9, 9, "uint8"))
    with open_scene(outer) as scene:
        assert scene.files == tuple(map(str, (outer, inner, leaf, mask)))


def test_virtual_rasters_may_be_made_of_each_other(tmp_path):
    """GDAL opens them; there is nothing to read."""
    leaf = write_raster(tmp_path / "leaf.tif", numbered(1, 9, 9))
    places = [tmp_path / "a.vrt", tmp_path / "b.vrt"]
    for path, other in zip(places, reversed(places), strict=True):
        write_vrt(path, leaf)
        path.write_text(path.read_text().replace("leaf.tif", other.name))
    with open_scene(places[0]) as scene:
        assert scene.files == tuple(map(str, places))


window_edges = st.tuples(st.integers(-60, 60), st.integers(0, 70))


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Scenes of sizes that must be mirrored once, often, or cannot be: with their arrays."""
    folder = tmp_path_factory.mktemp("scenes")
    made = []
    for height, width in [(1, 1), (1, 7), (5, 1), (2, 3), (23, 37)]:
        array = numbered(2, height, width)
        mask = np.arange(height * width).reshape(height, width) % 3 > 0
        path = write_raster(folder / f"{height}x{width}.tif", array, mask=mask)
        made.append((path, array, mask))
    return made


@settings(deadline=None, max_examples=300)
@given(index=st.integers(0, 4), rows=window_edges, cols=window_edges)
def test_beyond_the_edge_is_numpy_reflect(scenes, index, rows, cols):
    path, array, mask = scenes[index]
    (row_off, height), (col_off, width) = rows, cols
    before, after = 61, 131
    mode = "reflect"
    pads = [(0, 0)] + [(before, after) if n > 1 else (0, 0) for n in mask.shape]
    pixels, valid = (np.pad(a, pads, mode) for a in (array, mask[None]))
    for axis, size in enumerate(mask.shape, start=1):
        if size == 1:
            pixels, valid = (np.repeat(a, before + 1 + after, axis) for a in (pixels, valid))
    window = Window(row_off=row_off, col_off=col_off, height=height, width=width)
    with open_scene(path) as scene:
        got, got_valid = scene.read(window)
    part = np.s_[:, row_off + before :, col_off + before :]
    np.testing.assert_array_equal(got, pixels[part][:, :height, :width])
    np.testing.assert_array_equal(got_valid, valid[part][0, :height, :width])
    assert (got.dtype, got_valid.dtype) == (np.uint16, bool)


def test_no_warning_without_georeference_even_in_threads(tmp_path):
    path = write_raster(
        tmp_path / "a.png", numbered(1, 4, 5, "uint8"), transform=None, driver="PNG"
    )
    grids = []

    def read():
        with open_scene(path) as scene:
            grids.append((scene.grid, scene.read(scene.grid.extent)[0].sum()))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(grids) == 8
    assert {(g.transform, g.crs, g.shape) for g, _ in grids} == {(Affine.identity(), None, (4, 5))}
    code = f"from geounet.raster import open_scene; open_scene({str(path)!r}).close()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", code], check=True)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: folder / "none.tif", "does not exist"),
        (lambda folder: "/vsizip/none.zip/a.tif", "does not exist"),
    ],
)
def test_errors(tmp_path, make, says):
    with pytest.raises(InputError, match=says):
        open_scene(make(tmp_path))


@pytest.mark.parametrize(
    ("name", "is_doubted"), [("nir", True), ("Alpha band", False), ("", False)]
)
def test_a_band_with_a_name_that_counts_as_transparency_is_noted(tmp_path, name, is_doubted):
    pixels = np.ones((4, 5, 6), np.uint8)
    path = write_raster(tmp_path / "a.tif", pixels, descriptions=["r", "g", "b", name], alpha="yes")
    with open_scene(path) as scene:
        assert (scene.bands, scene.alphas) == ((1, 2, 3), (4,))
        assert bool(scene.notes) == is_doubted
        assert not is_doubted or "band 4 (nir)" in scene.notes[0]
        assert not is_doubted or scene.notes[0].endswith("--bands 1,2,3,4")
    with open_scene(path, (1, 2, 3, 4)) as scene:
        assert (scene.alphas, scene.notes) == ((), ())
