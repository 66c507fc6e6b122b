"""Folders of scenes."""

import pytest

from geounet.errors import InputError
from geounet.raster import list_scenes, list_skipped


def test_rasters_of_a_folder_by_name(tmp_path):
    for name in ("b.TIF", "a.tif", "a.tif.aux.xml", "a.tif.ovr", ".hidden.tif", "notes.txt"):
        (tmp_path / name).touch()
    for name in ("sub.tif", "sub", "c.zarr", "d.SAFE"):
        (tmp_path / name).mkdir()
    (tmp_path / "e.zarr").touch()
    scenes = ["a.tif", "b.TIF", "c.zarr", "d.SAFE"]
    assert list_scenes(str(tmp_path)) == [str(tmp_path / name) for name in scenes]
    assert list_skipped(str(tmp_path)) == ["e.zarr", "notes.txt", "sub", "sub.tif"]


def test_anything_else_is_a_scene():
    assert list_scenes("/vsizip/x.zip/y.bil") == ["/vsizip/x.zip/y.bil"]
    assert list_skipped("/vsizip/x.zip/y.bil") == []


def test_a_folder_that_is_a_raster(tmp_path):
    folder = tmp_path / "scene.zarr"
    folder.mkdir()
    (folder / "notes.txt").touch()
    assert list_scenes(str(folder)) == [str(folder)]
    assert list_skipped(str(folder)) == []


def test_folder_without_rasters(tmp_path):
    with pytest.raises(InputError, match="holds no raster"):
        list_scenes(str(tmp_path))
