"""The scenes of a folder."""

from __future__ import annotations

from geounet.errors import InputError
from geounet.raster.paths import find_local

SCENE_SUFFIXES = (
    ".tif", ".tiff", ".vrt", ".jp2", ".j2k", ".png", ".jpg", ".jpeg", ".img", ".dat",
)  # fmt: skip
"""What is taken for a raster in a folder; a file named by itself may be called anything."""


def list_scenes(path: str) -> list[str]:
    """The rasters in a folder by name, not in its subfolders; anything else is itself a scene.

    Raises:
        InputError: the folder holds no raster.
    """
    folder = find_local(path)
    if folder is None or not folder.is_dir():
        return [path]
    files = [f for f in folder.iterdir() if f.is_file() and not f.name.startswith(".")]
    scenes = sorted(str(f) for f in files if f.suffix.lower() in SCENE_SUFFIXES)
    if not scenes:
        raise InputError(
            f"{path} holds no raster ({', '.join(SCENE_SUFFIXES)}); give another folder"
        )
    return scenes
