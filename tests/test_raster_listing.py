"""Folders of scenes."""

import pytest

from geounet.errors import InputError
from geounet.raster import list_scenes


def test_rasters_of_a_folder_by_name(tmp_path):
    for name in ("b.TIF", "a.tif", "a.tif.aux.xml", "a.tif.ovr", ".hidden.tif", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "sub.tif").mkdir()
    assert list_scenes(str(tmp_path)) == [str(tmp_path / "a.tif"), str(tmp_path / "b.TIF")]


def test_anything_else_is_a_scene():
    assert list_scenes("/vsizip/x.zip/y.bil") == ["/vsizip/x.zip/y.bil"]


def test_folder_without_rasters(tmp_path):
    with pytest.raises(InputError, match="holds no raster"):
        list_scenes(str(tmp_path))
