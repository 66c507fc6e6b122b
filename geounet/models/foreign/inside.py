"""The spec that an exported file carries inside: ONNX metadata, an extra file, run-time info."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree
from zipfile import BadZipFile, ZipFile

KEY = "geounet"
"""What the spec is called there, as in the metadata of safetensors."""


def read_inside(path: Path) -> str | None:
    """The JSON of the spec inside a file; None if there is none that can be read."""
    return _READERS[path.suffix.lower()](path)


def _read_onnx(path: Path) -> str | None:
    if importlib.util.find_spec("onnx") is None:
        return None
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path, load_external_data=False)
    except (DecodeError, OSError):
        return None
    found = [entry.value for entry in model.metadata_props if entry.key == KEY]
    return str(found[0]) if found else None


def _read_pt2(path: Path) -> str | None:
    try:
        with ZipFile(path) as archive:
            root = archive.namelist()[0].split("/")[0]
            return archive.read(f"{root}/extra/{KEY}").decode()
    except (BadZipFile, OSError, KeyError, IndexError, ValueError):
        return None


def _read_xml(path: Path) -> str | None:
    try:
        found = ElementTree.parse(path).find(f"rt_info/{KEY}")
    except (ElementTree.ParseError, OSError, ValueError):
        return None
    return None if found is None else found.get("value")


_READERS: dict[str, Callable[[Path], str | None]] = {
    ".onnx": _read_onnx,
    ".pt2": _read_pt2,
    ".xml": _read_xml,
}
