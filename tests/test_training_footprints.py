"""Which scenes lie on the same ground, against coordinates computed by hand."""

import pytest
from affine import Affine
from pyproj import CRS, Transformer

from geounet.raster import Grid, Window
from geounet.training.holdout.footprints import Area, Footprints

UTM33 = CRS.from_epsg(32633)


def grid(row, col, size=100, crs=UTM33):
    """A grid whose pixel (0, 0) is pixel (row, col) of a mosaic with half-metre pixels."""
    transform = Affine(0.5, 0, 400_000 + col / 2, 0, -0.5, 5_000_000 - row / 2)
    return Grid(height=size, width=size, transform=transform, crs=crs)


def whole(name, grid):
    return Area(name, grid, grid.extent)


def test_a_block_is_found_in_its_own_scene_and_in_those_around():
    areas = [whole(f"{r}{c}", grid(100 * r, 100 * c)) for r in range(3) for c in range(3)]
    block = Window(row_off=10, col_off=90, height=20, width=10)  # at the right edge of the centre
    found = dict(Footprints(areas).find(Area("11", areas[4].grid, block), guard=5))
    assert found == {
        4: Window(row_off=5, col_off=85, height=30, width=20),
        5: Window(row_off=5, col_off=-15, height=30, width=20),
    }
    wide = dict(Footprints(areas).find(Area("11", areas[4].grid, block), guard=15))
    assert set(wide) == {1, 2, 4, 5}


def test_without_a_crs_only_the_same_file_counts():
    areas = [whole("a", grid(0, 0, crs=None)), whole("b", grid(0, 0, crs=None))]
    block = Window(row_off=0, col_off=0, height=10, width=10)
    found = dict(Footprints(areas).find(Area("b", areas[1].grid, block), guard=1))
    assert found == {1: Window(row_off=-1, col_off=-1, height=12, width=12)}


def test_a_file_is_known_whatever_its_path_is_written_like(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.tif").touch()
    (tmp_path / "link.tif").symlink_to("a.tif")
    bare = grid(0, 0, crs=None)
    for path in ("a.tif", "./a.tif", str(tmp_path / "a.tif"), "link.tif"):
        assert [i for i, _ in Footprints([whole(path, bare)]).find(whole("a.tif", bare), 0)] == [0]


def test_scenes_of_another_crs_are_found():
    block = Area("utm", grid(0, 0), Window(row_off=20, col_off=20, height=40, width=40))
    to_web = Transformer.from_crs(UTM33, 3857, always_xy=True)
    x, y = to_web.transform(400_000 + 20, 5_000_000 - 20)  # the block's centre
    web = Grid(
        height=200,
        width=200,
        transform=Affine(0.5, 0, x - 50, 0, -0.5, y + 50),
        crs=CRS.from_epsg(3857),
    )
    ((index, window),) = Footprints([whole("web", web)]).find(block, guard=0)
    assert index == 0
    assert window.row_off + window.height / 2 == pytest.approx(100, abs=1)
    assert window.col_off + window.width / 2 == pytest.approx(100, abs=1)
    scale = 40 / 0.704  # Mercator at 45.1 degrees north
    assert window.height == pytest.approx(scale, abs=4)  # and some for the turned corners
    assert not list(Footprints([whole("far", grid(10_000, 0))]).find(block, guard=10))


def test_a_crs_that_is_nowhere_on_earth_shares_no_ground():
    site = CRS.from_wkt('LOCAL_CS["Local Coordinates (m)",UNIT["metre",1]]')
    areas = [
        whole("a", grid(0, 0, crs=site)),
        whole("b", grid(0, 50, crs=site)),
        whole("c", grid(0, 0)),
    ]
    footprints = Footprints(areas)
    assert [i for i, _ in footprints.find(areas[0], 0)] == [0, 1]
    assert [i for i, _ in footprints.find(areas[2], 0)] == [2]


def test_areas_without_pixels_are_never_found():
    empty = Area("a", grid(0, 0), Window(row_off=0, col_off=0, height=0, width=0))
    assert not list(Footprints([empty]).find(whole("a", grid(0, 0)), guard=10))


@pytest.mark.parametrize("west", [179.96, -180.0])
def test_scenes_on_either_side_of_the_180th_meridian_are_found(west):
    utm = CRS.from_epsg(32601)
    x, y = Transformer.from_crs(4326, utm, always_xy=True).transform(180, 50)
    transform = Affine(10, 0, x - 1000, 0, -10, y + 1000)
    across = whole("utm", Grid(height=200, width=200, transform=transform, crs=utm))
    degrees = Affine(2e-4, 0, west, 0, -2e-4, 50.02)
    side = whole("degrees", Grid(height=200, width=200, transform=degrees, crs=CRS.from_epsg(4326)))
    ((_, window),) = Footprints([side]).find(across, guard=0)
    shown = window.intersect(side.window)
    # a degree is 71.7 km there; and some for the turned corners
    assert shown.width == pytest.approx(1000 / 71_700 / 2e-4, abs=6)
    assert shown.col_off == (0 if west < 0 else 200 - shown.width)
