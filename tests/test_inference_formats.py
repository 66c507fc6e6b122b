"""Every kind of file that GDAL makes: `geounet predict` maps it exactly, or says why in one line.

The reference is numpy and the untiled network on the pixels that went into the file (of lossy
files, on what rasterio decodes), with the validity that was meant.
"""

import json
import re
import sys
import warnings

import numpy as np
import pytest
import rasterio
from affine import Affine
from kinds import (
    KINDS,
    TILED,
    WIDTH,
    copy,
    make_array,
    make_mosaic,
    make_nested,
    make_vrt,
    make_warped,
)
from networks import make_model
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rasters import write_raster
from test_inference_predict import predict_untiled

from geounet.classes import NODATA
from geounet.cli.app import app
from geounet.cli.boundary import run


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A small network for scenes of each number of bands."""
    folder = tmp_path_factory.mktemp("models")
    return {
        bands: make_model(folder, seed=bands, bands=bands, depth=2, width=4, pixel_size_m=None)
        for bands in (1, 2, 3)
    }


@pytest.fixture
def cli(capsys, monkeypatch):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["geounet", *map(str, arguments)])
        code = run(app)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("name", KINDS)
def test_it_is_mapped_as_by_the_untiled_network(tmp_path, models, cli, name):
    kind = KINDS[name](tmp_path)
    pixels, valid = decode(kind)
    path, model = models[len(pixels)]
    output = tmp_path / "mask.out.tif"
    code, out, err = cli(
        "predict", kind.path, "-m", path, "-o", output, "--precision", "float32", "--quiet",
        "--json", "--allow-dtype", "--tile", 4096 if max(valid.shape) > 1000 else 32,
        *kind.arguments,
    )  # fmt: skip
    assert code == 0, err
    assert err == ""
    with rasterio.open(output) as mask:
        labels = mask.read(1)
        check_place(kind, mask)
    np.testing.assert_array_equal(labels == NODATA, ~valid)
    np.testing.assert_array_equal(labels, predict_untiled(model, pixels, valid))
    (summary,) = json.loads(out)["masks"]
    assert summary["nodata_pixels"] == (~valid).sum()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith((".", "mask.out.tif.parts"))]


def decode(kind):
    pixels, valid = kind.pixels, kind.valid
    if pixels is None:
        with rasterio.open(kind.path) as source:
            pixels = source.read([b for b in source.indexes if not is_alpha(source, b)])
            valid = source.dataset_mask() > 0
    return pixels, np.ones(pixels.shape[1:], bool) if valid is None else valid


def asdict(point):
    return {"row": point.row, "col": point.col, "x": point.x, "y": point.y, "z": point.z or 0}


def is_alpha(source, band):
    return source.colorinterp[band - 1] == ColorInterp.alpha


def check_place(kind, mask):
    """The mask lies where the scene does, by whatever the scene says where that is."""
    with rasterio.open(kind.path) as scene:
        assert mask.transform.almost_equals(scene.transform, 1e-9)
        assert mask.crs == scene.crs
        (expected, crs), (points, points_crs) = scene.gcps, mask.gcps
        assert list(map(asdict, points)) == list(map(asdict, expected))
        assert not points or points_crs == crs
        assert mask.rpcs == scene.rpcs


# What cannot be used


def write_text(folder):
    (folder / "a.tif").write_text("no raster\n")
    return folder / "a.tif"


def write_nothing(folder):
    (folder / "a.tif").touch()
    return folder / "a.tif"


def make_folder(folder):
    (folder / "a.tif").mkdir()
    return folder / "a.tif"


def cut(share, **profile):
    def make(folder):
        array = np.random.default_rng(0).integers(1, 250, (3, 400, WIDTH), np.uint8)
        path = write_raster(folder / "a.tif", array, **profile)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
        return path

    return make


def corrupt(name="a.tif", **profile):
    """A compressed block in the middle that is garbage."""

    def make(folder):
        array = np.random.default_rng(0).integers(1, 250, (3, 400, WIDTH), np.uint8)
        path = write_raster(folder / name, array, **profile)
        content = bytearray(path.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 8000] = b"\xff" * 8000
        path.write_bytes(content)
        return path

    return make


def make_palette(folder):
    path = write_raster(folder / "a.tif", make_array(1), photometric="palette")
    with rasterio.open(path, "r+") as target:
        target.write_colormap(1, {n: (n, 0, 0, 255) for n in range(256)})
    return path


def make_complex_integers(folder):
    path = make_vrt(folder).path
    path.write_text(path.read_text().replace('"Byte"', '"CInt16"'))
    return path


def make_container(folder):
    return copy("netCDF", "a.nc", format="NC4")(folder).path


def make_vector(folder):
    (folder / "a.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    return folder / "a.geojson"


def make_missing_in_nested(folder):
    make_nested(folder)
    (folder / "40-0.tif").unlink()
    return folder / "outer.vrt"


def make_warped_of_missing(folder):
    path = make_warped(folder, alpha=True).path
    (folder / "plain.tif").unlink()
    return path


def make_broken_vrt(folder):
    path = make_vrt(folder).path
    path.write_text(path.read_text()[:300])
    return path


def make_no_extent(folder):
    return write_raster(folder / "a.tif", make_array(), transform=Affine(0, 0, 5e5, 0, 0, 5e6))


DEFLATED = {"compress": "deflate", **TILED}

REFUSED = {
    "missing": (lambda folder: folder / "none.tif", "none.tif does not exist"),
    "missing in an archive": (lambda folder: "/vsizip/none.zip/a.tif", "does not exist"),
    "text": (write_text, "a.tif is not a raster"),
    "zero bytes": (write_nothing, "a.tif is not a raster"),
    "folder": (make_folder, "a.tif holds no raster"),
    "vector": (make_vector, "not a raster"),
    "palette": (make_palette, "palette"),
    "complex": (lambda f: write_raster(f / "a.tif", make_array(3, "complex64")), "complex"),
    "complex integers": (make_complex_integers, "complex"),
    "GIF": (lambda folder: copy("GIF", "a.gif", bands=1)(folder).path, "palette"),
    "container": (make_container, "container of 3 rasters"),
    "no extent": (make_no_extent, "without extent"),
    "header cut": (cut(0.0005), "not a raster"),
    "tiled, cut": (cut(0.6, **DEFLATED), "rows {}-{}, columns {}-{}"),
    "striped, cut": (cut(0.6), "rows {}-{}, columns {}-{}"),
    "striped and deflated, cut": (cut(0.6, compress="deflate"), "rows {}-{}, columns {}-{}"),
    "tiled, block of garbage": (corrupt(**DEFLATED), "rows {}-{}, columns {}-{}"),
    "zstd, block of garbage": (
        corrupt(compress="zstd", **TILED), "rows {}-{}, columns {}-{}"
    ),
    "lzw, block of garbage": (
        corrupt(compress="lzw", **TILED), "rows {}-{}, columns {}-{}"
    ),
    "strip of garbage": (corrupt(compress="deflate"), "rows {}-{}, columns {}-{}"),
    "PNG of garbage": (corrupt("a.png", driver="PNG", transform=None), "rows {}-{}, columns {}-{}"),
    "mosaic without a source": (
        lambda folder: make_mosaic(folder, missing=True).path, "rows {}-{}, columns {}-{}"
    ),
    "nested mosaic without a source": (make_missing_in_nested, "rows {}-{}, columns {}-{}"),
    "warped file without its source": (make_warped_of_missing, "a.vrt is made of plain.tif, and"),
    "half a vrt": (make_broken_vrt, "not a raster"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_in_one_line(tmp_path, models, cli, name):
    make, says = REFUSED[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        path = make(tmp_path)
    before = {p.name for p in tmp_path.iterdir()}
    code, out, err = cli(
        "predict", path, "-m", models[1 if "palette" in says else 3][0], "-o",
        tmp_path / "mask.out.tif", "--quiet", "--allow-dtype", "--tile", 64,
    )  # fmt: skip
    assert code == 3, err
    assert out == ""
    (line,) = err.strip().splitlines()
    assert line.startswith("error: ")
    pattern = says.replace("{}", r"\d+")
    assert re.search(pattern, line), line
    left = {p.name for p in tmp_path.iterdir()} - before
    assert left <= {"mask.out.tif.parts"}
