"""Vectors burnt into class rasters: pixels, classes, memory of many parts, and what is refused."""

from __future__ import annotations

import signal
import subprocess
import sys

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.features
import shapely
from rasters import UTM, read_raster, write_raster
from scipy import ndimage

from geounet.classes import make_classes
from geounet.errors import InputError, ResourceError, UsageError
from geounet.progress import Progress
from geounet.raster import open_scene, read_classes
from geounet.vector import (
    LabelOptions,
    PolygonizeOptions,
    RasterizeOptions,
    open_labels,
    polygonize,
    rasterize,
    rasterizing,
)

SHAPE = 90, 120


def make_discs(seed=0, count=30):
    """Discs anywhere on the scene and beyond; many overlap."""
    rng = np.random.default_rng(seed)
    points = [UTM @ (c, r) for c, r in rng.uniform(-10, 130, (count, 2))]
    return [
        shapely.Point(p).buffer(r) for p, r in zip(points, rng.uniform(1, 6, count), strict=True)
    ]


@pytest.fixture
def files(tmp_path):
    """A scene and, in another CRS, discs of three kinds."""
    scene = write_raster(tmp_path / "scene.tif", np.ones((3, *SHAPE), np.uint8))
    kinds = np.array(["tree", "house", "road"])[np.arange(30) % 3]
    frame = gpd.GeoDataFrame({"kind": kinds}, geometry=make_discs(), crs="EPSG:32633")
    frame.to_crs(4326).to_file(tmp_path / "discs.gpkg")
    return scene, tmp_path / "discs.gpkg", tmp_path / "labels.tif"


def run(files, progress=None, **options):
    scene, vectors, output = files
    names = {"class_field", "ignore", "separate_px", "line_width_m"}
    label_options = LabelOptions(**{n: v for n, v in options.items() if n in names})
    rest = {n: v for n, v in options.items() if n not in names}
    given = RasterizeOptions(label_options=label_options, **rest)
    summary = rasterize(vectors, scene, output, given, *([progress] if progress else []))
    return read_raster(output)[0], summary


def burn(values):
    pairs = sorted(zip(values, make_discs(), strict=True), key=lambda pair: pair[0])
    shapes = [(disc, value) for value, disc in pairs]
    return rasterio.features.rasterize(shapes, SHAPE, transform=UTM, dtype="uint8")


@pytest.mark.parametrize("part", [16, 4096])
@pytest.mark.parametrize("is_many", [False, True])
def test_pixels_are_those_of_gdal_whatever_the_parts(files, monkeypatch, part, is_many):
    monkeypatch.setattr(rasterizing, "PART", part)
    monkeypatch.setattr("geounet.vector.labels.labels.MAX_WHOLE", 0 if is_many else 100)
    labels, summary = run(files, class_field="kind")
    expected = burn(np.array([3, 1, 2])[np.arange(30) % 3])
    assert (labels != expected).mean() < 2e-3  # the way to degrees and back moves a few edges
    names = ["background", "house", "road", "tree"]
    assert summary.class_pixels == dict(zip(names, np.bincount(labels.ravel()), strict=True))
    assert summary.unlabelled == 0
    assert summary.note == "reprojected from WGS 84"
    assert [item.name for item in read_classes(files[2])] == names
    with rasterio.open(files[2]) as source, rasterio.open(files[0]) as scene:
        assert (source.transform, source.crs, source.shape) == (scene.transform, scene.crs, SHAPE)
        assert source.nodata == 255
        assert source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    leftovers = {path.name for path in files[2].parent.iterdir()}
    assert leftovers == {"scene.tif", "discs.gpkg", "labels.tif", "labels.tif.aux.xml"}


@pytest.mark.parametrize("separate_px", [0, 1, 3])
def test_it_is_what_train_sees(files, monkeypatch, separate_px):
    monkeypatch.setattr(rasterizing, "PART", 32)
    labels, _ = run(files, separate_px=separate_px)
    classes = make_classes(["background", "discs"])
    with open_scene(files[0]) as scene:
        grid = scene.grid
    with open_labels(files[1], grid, classes, LabelOptions(separate_px=separate_px)) as seen:
        assert (labels == seen.read(grid.extent)).all()
    if separate_px:
        plain, _ = run(files, overwrite=True)
        assert ndimage.label(labels == 1)[1] > ndimage.label(plain == 1)[1]


def test_ignored_features_are_no_label(files):
    files[1].unlink()
    frame = gpd.GeoDataFrame({"code": [1, 9]}, geometry=make_discs(3, 2), crs="EPSG:32633")
    frame.geometry = [shapely.box(*(UTM @ (0, 20)), *(UTM @ (20, 0))),
                      shapely.box(*(UTM @ (10, 20)), *(UTM @ (30, 0)))]  # fmt: skip
    frame.to_file(files[1])
    labels, summary = run(files, class_field="code", ignore=9)
    assert [labels[5, 5], labels[5, 15], labels[5, 25], labels[50, 50]] == [1, 255, 255, 0]
    assert summary.unlabelled == 400


def test_polygons_come_back(files, tmp_path):
    labels, _ = run(files, class_field="kind")
    first, back = tmp_path / "first.gpkg", tmp_path / "back.tif"
    polygonize(files[2], first, PolygonizeOptions())
    again = RasterizeOptions(label_options=LabelOptions(class_field="class_id"))
    rasterize(first, files[0], back, again)
    assert (read_raster(back)[0] == labels).all()


def test_outside_of_aoi_and_bbox_there_is_no_label(files, monkeypatch, tmp_path):
    monkeypatch.setattr(rasterizing, "PART", 32)
    whole, _ = run(files)
    triangle = shapely.Polygon([UTM @ corner for corner in ((10, 5), (110, 40), (30, 85))])
    gpd.GeoDataFrame(geometry=[triangle], crs="EPSG:32633").to_file(tmp_path / "aoi.gpkg")
    west, south, east, north = *(UTM @ (0, 60)), *(UTM @ (70, 0))
    inside = rasterio.features.rasterize([triangle], SHAPE, transform=UTM).astype(bool)
    inside[60:] = inside[:, 70:] = False
    labels, summary = run(
        files, aoi=tmp_path / "aoi.gpkg", bbox=(west, south, east, north), overwrite=True
    )
    assert (labels == np.where(inside, whole, 255)).all()
    assert summary.unlabelled == (~inside).sum()
    with pytest.raises(InputError, match="--bbox have no pixel of"):
        run(files, aoi=tmp_path / "aoi.gpkg", bbox=(*(UTM @ (110, 90)), *(UTM @ (120, 80))),
            overwrite=True)  # fmt: skip


def test_progress_ends_at_the_total(files, monkeypatch):
    monkeypatch.setattr(rasterizing, "PART", 40)
    seen: list[Progress] = []
    run(files, progress=seen.append)
    assert [p.done for p in seen] == sorted({p.done for p in seen})
    assert seen[0].done == 0
    assert seen[-1].done == seen[-1].total == SHAPE[0] * SHAPE[1]


def test_an_existing_file_is_replaced_only_on_request(files):
    run(files)
    before = files[2].read_bytes()
    with pytest.raises(UsageError, match="use --overwrite"):
        run(files, class_field="kind")
    assert files[2].read_bytes() == before
    labels, _ = run(files, class_field="kind", overwrite=True)
    assert labels.max() == 3


def test_an_error_on_the_way_leaves_nothing_behind(files, monkeypatch):
    monkeypatch.setattr(rasterizing, "PART", 40)

    def stop(progress):
        if progress.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(files, progress=stop)
    assert {path.name for path in files[0].parent.iterdir()} == {"scene.tif", "discs.gpkg"}


def test_two_runs_cannot_write_one_file(files):
    def start_another(progress):
        with pytest.raises(ResourceError, match="is being written by another run"):
            run(files)
        raise KeyError

    with pytest.raises(KeyError):
        run(files, progress=start_another)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("labels.png", "is no GeoTIFF by its name; write to a .tif"),
        ("nowhere/labels.tif", "nowhere is no folder; make it first"),
        ("folder.tif", "is a folder; name a file"),
    ],
)
def test_outputs_that_cannot_be_meant_are_refused(files, name, message):
    folder = files[2].parent
    (folder / "folder.tif").mkdir()
    with pytest.raises(UsageError, match=message):
        run((files[0], files[1], folder / name))


def test_what_cannot_be_burnt_is_refused(files, tmp_path):
    scene, vectors, output = files
    with pytest.raises(UsageError, match=r"scene\.tif is a raster already; give vectors"):
        run((scene, scene, output))
    with pytest.raises(InputError, match="has no column 'sort' for the class; it has: kind"):
        run(files, class_field="sort")
    with pytest.raises(InputError, match="which is none of the classes 0 background, 1 house"):
        run(files, class_field="kind", classes="background,house")
    far = write_raster(tmp_path / "far.tif", np.ones((5, 5), np.uint8), crs="EPSG:32650")
    with pytest.raises(InputError, match="does not overlap the scene"):
        run((far, vectors, output))
    bare = write_raster(tmp_path / "bare.tif", np.ones((5, 5), np.uint8), transform=None)
    with pytest.raises(InputError, match="the raster has no georeference"):
        run((bare, vectors, output))
    assert not output.exists()


KILLED = """
import os, signal
from geounet.vector import rasterizing
rasterizing.assemble = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
rasterizing.rasterize({vectors!r}, {scene!r}, {output!r})
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_what_a_killed_run_leaves_is_cleared_by_the_next(files):
    scene, vectors, output = map(str, files)
    script = KILLED.format(vectors=vectors, scene=scene, output=output)
    code = subprocess.run([sys.executable, "-c", script], check=False).returncode
    assert code == -signal.SIGKILL
    folder = files[2].parent
    assert {path.name for path in folder.iterdir()} > {".labels.tif.parts"}
    assert not files[2].exists()
    run(files)
    names = {"scene.tif", "discs.gpkg", "labels.tif", "labels.tif.aux.xml"}
    assert {path.name for path in folder.iterdir()} == names
