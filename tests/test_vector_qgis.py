"""What QGIS makes of our GeoPackages: opened by QGIS itself, rendered, and looked at."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import numpy as np
import pytest
import rasterio
from rasters import read_raster, write_raster

from geounet.classes import ClassInfo
from geounet.raster import CLASSES_TAG, dump_classes
from geounet.vector import PolygonizeOptions, polygonize

ZOOM = 8
"""Pixels of the picture for a pixel of the mask: outlines are thinner."""

CLASSES = (
    ClassInfo(0, "background", "#ffffff"),
    ClassInfo(1, "roof & wall", "#c01070"),
    ClassInfo(2, "Straße", "#10a0f0"),
    ClassInfo(7, "water", "#20c040"),
)

SCRIPT = """
import json, os, sys
from qgis.core import (
    QgsApplication, QgsMapRendererParallelJob, QgsMapSettings, QgsRectangle, QgsVectorLayer,
)
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor
path, name, picture, west, south, east, north, width, height = sys.argv[1:]
app = QgsApplication([], False)
app.initQgis()
layer = QgsVectorLayer(f"{path}|layername={name}", name, "ogr")
message, has_style = layer.loadDefaultStyle()
settings = QgsMapSettings()
settings.setLayers([layer])
settings.setBackgroundColor(QColor("#ffffff"))
settings.setFlag(QgsMapSettings.Antialiasing, False)
settings.setDestinationCrs(layer.crs())
settings.setExtent(QgsRectangle(float(west), float(south), float(east), float(north)))
settings.setOutputSize(QSize(int(width), int(height)))
job = QgsMapRendererParallelJob(settings)
job.start()
job.waitForFinished()
job.renderedImage().save(picture)
renderer = layer.renderer()
print("RESULT " + json.dumps({
    "is_valid": layer.isValid(),
    "crs": layer.crs().authid(),
    "features": layer.featureCount(),
    "has_index": layer.hasSpatialIndex() == 2,
    "has_style": has_style,
    "abstract": layer.metadata().abstract(),
    "categories": {c.label(): c.symbol().color().name() for c in renderer.categories()},
}), flush=True)
os._exit(0)
"""


def find_python():
    """A Python that has QGIS; it is hardly ever the one that runs the tests."""
    for python in (shutil.which("python3", path="/usr/bin"), shutil.which("python3")):
        if python is None:
            continue
        asked = subprocess.run([python, "-c", "import qgis.core"], capture_output=True, check=False)
        if asked.returncode == 0:
            return python
    return pytest.skip("QGIS is not installed")


def open_in_qgis(path, bounds, shape, folder):
    picture = folder / "picture.png"
    height, width = (str(size * ZOOM) for size in shape)
    arguments = [str(path), "polygons", str(picture), *map(str, bounds), width, height]
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "QT_QPA_PLATFORM": "offscreen",
        "LANG": os.environ.get("LANG", "C.UTF-8"),
    }
    done = subprocess.run(
        [find_python(), "-c", SCRIPT, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    (line,) = [text for text in done.stdout.splitlines() if text.startswith("RESULT ")]
    return json.loads(line.removeprefix("RESULT ")), read_raster(picture)[:3], done.stderr


def write_mask(path, mask):
    write_raster(path, mask, nodata=255)
    with rasterio.open(path, "r+") as target:
        target.update_tags(**{CLASSES_TAG: dump_classes(CLASSES)})
        return target.bounds


def make_mask():
    mask = np.zeros((50, 60), np.uint8)
    mask[5:30, 5:25] = 1
    mask[10:20, 10:15] = 0
    mask[5:30, 25:40] = 2
    mask[35:45, 8:55] = 2
    mask[38:42, 20:30] = 1
    mask[48:, :] = 255
    return mask


@pytest.mark.slow
def test_qgis_shows_the_colours_of_the_classes_also_of_those_added_later(tmp_path):
    mask = make_mask()
    later = np.zeros_like(mask)
    later[0:4, 45:60] = 7
    output = tmp_path / "polygons.gpkg"
    bounds = write_mask(tmp_path / "mask.tif", mask)
    write_mask(tmp_path / "later.tif", later)
    for name in ("mask.tif", "later.tif"):
        polygonize(tmp_path / name, output, PolygonizeOptions(append=True))
    seen, picture, errors = open_in_qgis(output, bounds, mask.shape, tmp_path)
    assert "GeoPackage" not in errors, errors
    assert seen == {
        "is_valid": True,
        "crs": "EPSG:32633",
        "features": 5,
        "has_index": True,
        "has_style": True,
        "abstract": "Connected regions of a class mask, a row each; made by geounet",
        "categories": {item.name: item.colour for item in CLASSES[1:]},
    }
    colours = np.full((256, 3), 255, np.uint8)
    for item in CLASSES:
        colours[item.value] = item.rgb
    expected = colours[np.where(later == 7, 7, mask)]
    centres = picture[:, ZOOM // 2 :: ZOOM, ZOOM // 2 :: ZOOM].transpose(1, 2, 0)
    assert (centres == expected).all()


@pytest.mark.slow
def test_ogrinfo_has_nothing_to_say(tmp_path):
    ogrinfo = shutil.which("ogrinfo") or pytest.skip("ogrinfo is not installed")
    write_mask(tmp_path / "mask.tif", make_mask())
    for suffix in ("gpkg", "fgb", "geojson"):
        output = tmp_path / f"polygons.{suffix}"
        polygonize(tmp_path / "mask.tif", output)
        done = subprocess.run(
            [ogrinfo, "-al", "-so", str(output)], capture_output=True, text=True, check=True
        )
        assert done.stderr == ""
        assert "Warning" not in done.stdout
        assert "Feature Count: 4" in done.stdout
