"""The demo: the whole way, and its pieces as a user would run them."""

import json

import geopandas
import numpy as np
import pytest
from matplotlib.image import imread
from rasters import read_raster

from geounet.cli import demo


def test_demo_small(cli, tmp_path, monkeypatch):
    for name, value in (("SIDE", 384), ("WIDTH", 8), ("EPOCHS", 1)):
        monkeypatch.setattr(demo, name, value)
    code, out, err = cli("demo", tmp_path / "demo")
    assert (code, out) == (0, "")
    assert "mean IoU" in err
    mask = read_raster(tmp_path / "demo" / "mask.tif")[0]
    labels = read_raster(tmp_path / "demo" / "town_labels.tif")[0]
    assert ((mask == 255) == (labels == 255)).all()  # the nodata corner
    polygons = geopandas.read_file(tmp_path / "demo" / "map.gpkg", layer="polygons")
    assert polygons["pixels"].sum() == ((mask != 255) & (mask != 0)).sum()
    np.testing.assert_allclose(polygons["area_m2"], polygons["pixels"] * 0.25)
    assert polygons.crs.to_epsg() == 32632
    assert polygons["confidence"].between(0.2, 1).all()
    assert imread(tmp_path / "demo" / "preview.png").shape[:2] == (384, 3 * 384 + 2 * 16)

    code, _, err = cli("demo", tmp_path / "demo")
    assert code == 2
    assert "--overwrite" in err

    code, out, _ = cli(
        "info", tmp_path / "demo" / "town.tif", "--json",
        "-m", tmp_path / "demo" / "run" / "model.safetensors",
    )  # fmt: skip
    facts = json.loads(out)
    assert code == 0
    assert (facts["fits_model"], facts["reason"]) == (True, None)
    assert [band["name"] for band in facts["bands"]] == ["red", "green", "blue", "nir"]
    assert facts["pixel_size_m"] == 0.5

    code, out, _ = cli("info", tmp_path / "demo" / "run" / "model.safetensors")
    assert code == 0
    assert "resunet" in out
    assert "building" in out


@pytest.mark.slow
def test_demo_learns(cli, tmp_path):
    """On two cores about two minutes."""
    code, _, _ = cli("demo", tmp_path / "demo", "--quiet")
    assert code == 0
    code, out, _ = cli(
        "evaluate", tmp_path / "demo" / "mask.tif", "-l", tmp_path / "demo" / "town_labels.tif",
        "--json", "--quiet",
    )  # fmt: skip
    assert code == 0
    assert json.loads(out)["metrics"]["mean_iou"] > 0.6
