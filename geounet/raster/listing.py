"""The scenes of a folder."""

from __future__ import annotations

from pathlib import Path

from geounet.errors import InputError
from geounet.raster.paths import find_local

SCENE_SUFFIXES = (
    ".tif", ".tiff", ".vrt", ".jp2", ".j2k", ".png", ".jpg", ".jpeg", ".img", ".dat", ".ntf",
    ".nitf", ".bil", ".bip", ".bsq", ".zarr", ".safe",
)  # fmt: skip
"""What is taken for a raster in a folder; a file named by itself may be called anything."""

FOLDER_SUFFIXES = (".zarr", ".safe")
"""Of folders that GDAL opens as rasters."""


def list_scenes(path: str) -> list[str]:
    """The rasters in a folder by name, not in its subfolders; anything else is itself a scene.

    Raises:
        InputError: the folder holds no raster.
    """
    folder = _find_folder(path)
    if folder is None:
        return [path]
    scenes = sorted(str(file) for file in folder.iterdir() if _is_scene(file))
    if not scenes:
        raise InputError(
            f"{path} holds no raster ({', '.join(SCENE_SUFFIXES)}); give another folder"
        )
    return scenes


def list_skipped(path: str) -> list[str]:
    """Names in a folder of scenes that are neither scenes nor called like one of them."""
    folder = _find_folder(path)
    if folder is None:
        return []
    files = [file for file in folder.iterdir() if not file.name.startswith(".")]
    stems = tuple(f"{file.stem}." for file in files if _is_scene(file))
    return sorted(
        file.name for file in files if not _is_scene(file) and not file.name.startswith(stems)
    )


def _find_folder(path: str) -> Path | None:
    """The folder that a path means, unless GDAL opens it as a raster."""
    found = find_local(path)
    is_folder = found is not None and found.is_dir()
    return found if is_folder and Path(path).suffix.lower() not in FOLDER_SUFFIXES else None


def _is_scene(file: Path) -> bool:
    suffix = file.suffix.lower()
    is_kind = file.is_dir() == (suffix in FOLDER_SUFFIXES)
    return is_kind and suffix in SCENE_SUFFIXES and not file.name.startswith(".")
