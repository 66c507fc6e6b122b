"""Well-known binary of polygons, large ones too: that of GEOS."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from rasters import write_raster
from regions import join, polygonize

from geounet.vector import PolygonizeOptions
from geounet.vector import polygonize as polygonize_file
from geounet.vector.files import wkb


def make_mask():
    return np.random.default_rng(0).choice([0, 1], (60, 70), p=(0.3, 0.7)).astype(np.uint8)


@pytest.mark.parametrize("rings", [1, 7, 10_000])
@pytest.mark.parametrize("connectivity", [4, 8])
def test_it_is_that_of_geos(monkeypatch, rings, connectivity):
    monkeypatch.setattr(wkb, "LARGE", 20)
    monkeypatch.setattr(wkb, "RINGS", rings)
    geometries = join(polygonize(make_mask(), connectivity), "geometries")
    found = wkb.to_wkb(geometries)
    assert [*map(bytes, found)] == shapely.to_wkb(geometries, byte_order=1).tolist()
    if connectivity == 4:
        holes = shapely.get_num_interior_rings(geometries)
        assert isinstance(found[holes.argmax()], bytearray)
        assert holes.max() > 30
    assert len(wkb.to_wkb(geometries[:0])) == 0


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("suffix", [".gpkg", ".fgb"])
def test_files_are_the_same(tmp_path, monkeypatch, connectivity, suffix):
    mask = write_raster(tmp_path / "mask.tif", make_mask())
    contents = []
    for large in (20, 10**9):
        monkeypatch.setattr(wkb, "LARGE", large)
        output = tmp_path / f"polygons{suffix}"
        polygonize_file(mask, output, PolygonizeOptions(connectivity=connectivity, overwrite=True))
        contents.append(output.read_bytes())
    assert contents[0] == contents[1]
