"""A source block that cannot be read: exit 3 naming the window; the other scenes go on."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from networks import make_model
from rasters import UTM, read_raster, write_raster
from test_inference_predict import make_pixels, predict_untiled

from geounet.cli.app import app
from geounet.cli.boundary import run
from geounet.inference.planning import parts

HEIGHT, WIDTH = 400, 180
BROKEN = range(250, 270)
"""Rows that cannot be read."""


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(parts, "PART_PIXELS", 12_000)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model"), depth=2, width=4)


@pytest.fixture
def cli(capsys, monkeypatch, model):
    def call(*arguments):
        command = ("predict", *arguments, "-m", model[0], "--quiet", "--json", "--tile", "64")
        monkeypatch.setattr(sys, "argv", ["geounet", *map(str, command)])
        code = run(app)
        captured = capsys.readouterr()
        return code, captured.out and json.loads(captured.out), captured.err

    return call


def break_file(path, **profile):
    """Write the scene with garbage in the blocks of the rows; gives what mends it."""
    write_raster(path, make_pixels(HEIGHT, WIDTH), compress="deflate", **profile)
    content = path.read_bytes()
    offsets, sizes = find_blocks(path)
    broken = bytearray(content)
    for offset, size in zip(offsets, sizes, strict=True):
        broken[offset : offset + size] = b"\xff" * size
    path.write_bytes(broken)
    return lambda: path.write_bytes(content)


def find_blocks(path):
    """Offsets and sizes of the blocks that hold the broken rows."""
    import rasterio

    with rasterio.open(path) as scene:
        height, width = scene.block_shapes[0]
        found = [
            [
                int(scene.get_tag_item(f"BLOCK_{item}_{col}_{BROKEN[0] // height}", "TIFF", bidx=1))
                for item in ("OFFSET", "SIZE")
            ]
            for col in range(-(-WIDTH // width))
        ]
    return zip(*found, strict=True)


def break_tiled(folder):
    path = folder / "bad.tif"
    return path, path, break_file(path, tiled=True, blockxsize=64, blockysize=16)


def break_striped(folder):
    path = folder / "bad.tif"
    return path, path, break_file(path, blockysize=5)


def break_mosaic(folder):
    """A virtual raster of bands of rows, one of which is gone."""
    array, sources = make_pixels(HEIGHT, WIDTH), ""
    rows = [(0, 250), (250, 20), (270, 130)]
    for row, height in rows:
        write_raster(folder / f"{row}.piece", array[:, row : row + height])
        sources += (
            f'<SimpleSource><SourceFilename relativeToVRT="1">{row}.piece</SourceFilename>'
            f'<SourceBand>%d</SourceBand><SrcRect xOff="0" yOff="0" xSize="{WIDTH}" '
            f'ySize="{height}"/><DstRect xOff="0" yOff="{row}" xSize="{WIDTH}" '
            f'ySize="{height}"/></SimpleSource>'
        )
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}">{sources.replace("%d", str(band))}'
        "</VRTRasterBand>"
        for band in (1, 2, 3)
    )
    place = f"<GeoTransform>{', '.join(map(str, UTM.to_gdal()))}</GeoTransform>"
    path, gone = folder / "bad.vrt", folder / "250.piece"
    path.write_text(
        f'<VRTDataset rasterXSize="{WIDTH}" rasterYSize="{HEIGHT}">{place}{bands}</VRTDataset>'
    )
    content = gone.read_bytes()
    gone.unlink()
    return path, gone, lambda: gone.write_bytes(content)


DAMAGE = {"tiled": break_tiled, "striped": break_striped, "mosaic": break_mosaic}


def check_window(line):
    """The line names rows and columns that hold the damage, and little more."""
    found = re.search(r"bad\.\w+ cannot be read at rows (\d+)-(\d+), columns (\d+)-(\d+)", line)
    assert found, line
    row, row_end, col, col_end = map(int, found.groups())
    assert row <= BROKEN[-1]
    assert row_end > BROKEN[0]
    assert (row_end - row) * (col_end - col) <= 128**2


@pytest.mark.parametrize("name", DAMAGE)
def test_the_window_is_named_and_the_others_go_on(tmp_path, cli, model, name):
    path, _, _ = DAMAGE[name](tmp_path)
    scenes = [tmp_path / "a.tif", path, tmp_path / "c.tif"]
    for seed in (0, 2):
        write_raster(scenes[seed], make_pixels(100, 90, seed=seed))
    code, out, err = cli(*scenes, "-o", tmp_path / "out", "--precision", "float32")
    assert code == 3
    first, last = err.splitlines()
    check_window(first)
    assert "1 of 3 images failed" in last
    assert len(out["masks"]) == 2
    for seed in (0, 2):
        mask = read_raster(tmp_path / "out" / scenes[seed].with_suffix(".tif").name)[0]
        np.testing.assert_array_equal(
            mask, predict_untiled(model[1], make_pixels(100, 90, seed=seed))
        )
    assert not (tmp_path / "out" / "bad.tif").exists()
    kept = list((tmp_path / "out" / "bad.tif.parts").glob("mask-*.tif"))
    assert 1 <= len(kept) < HEIGHT * WIDTH / 12_000


@pytest.mark.parametrize("name", DAMAGE)
def test_a_mended_scene_is_another_one(tmp_path, cli, model, name):
    """Who knows what else was mended: its parts are kept, and refused until --overwrite."""
    path, broken, mend = DAMAGE[name](tmp_path)
    mask = tmp_path / "mask.tif"
    code, _, err = cli(path, "-o", mask, "--precision", "float32")
    assert code == 3
    check_window(err)
    mend()
    os.utime(broken)
    code, _, err = cli(path, "-o", mask, "--precision", "float32")
    assert code == 3
    if name == "mosaic":
        assert "start this program anew" in err
    else:
        assert "has changed since" in err
        assert "--overwrite" in err
    assert len(err.splitlines()) == 1
    command = [sys.executable, "-m", "geounet", "predict", path, "-m", model[0], "-o", mask]
    options = ["--overwrite", "--precision", "float32", "--engine", "torch", "--quiet"]
    if name == "mosaic":  # GDAL's memory of what is missing ends with the process
        assert subprocess.run([*map(str, command), *options]).returncode == 0
    else:
        assert cli(path, "-o", mask, "--precision", "float32", "--overwrite")[0] == 0
    expected = predict_untiled(model[1], make_pixels(HEIGHT, WIDTH))
    np.testing.assert_array_equal(read_raster(mask)[0], expected)


@pytest.mark.parametrize("name", ["tiled", "striped"])
def test_a_scene_that_is_mended_under_its_old_date_goes_on(tmp_path, cli, model, name):
    """As by a mount that was gone for a while, or a copy that keeps dates."""
    path, broken, mend = DAMAGE[name](tmp_path)
    before, mask = broken.stat(), tmp_path / "mask.tif"
    assert cli(path, "-o", mask, "--precision", "float32")[0] == 3
    mend()
    os.utime(broken, ns=(before.st_atime_ns, before.st_mtime_ns))
    code, out, err = cli(path, "-o", mask, "--precision", "float32")
    assert code == 0, err
    assert out["masks"][0]["parts_resumed"] >= 1
    expected = predict_untiled(model[1], make_pixels(HEIGHT, WIDTH))
    np.testing.assert_array_equal(read_raster(mask)[0], expected)
