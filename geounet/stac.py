"""Documents of the SpatioTemporal Asset Catalog (STAC 1.1): what all Items have in common.

Fields follow the STAC specification 1.1.0 and its extensions file 2.1.0 and classification 2.0.0.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any

from geounet.classes import ClassInfo
from geounet.errors import UsageError
from geounet.files import write_whole

STAC_VERSION = "1.1.0"

EXTENSIONS = {
    name: f"https://stac-extensions.github.io/{name}/v{version}/schema.json"
    for name, version in {
        "mlm": "1.4.0", "file": "2.1.0", "classification": "2.0.0", "projection": "2.0.0",
        "raster": "2.0.0", "processing": "1.2.0",
    }.items()
}  # fmt: skip
"""Addresses of the schemas that our Items keep to, by the name of the extension."""

SHA256_PREFIX = "1220"
"""Of a multihash: SHA2-256, 32 bytes."""


def make_item(
    identifier: str,
    properties: Mapping[str, Any],
    assets: Mapping[str, Mapping[str, Any]],
    extensions: Iterable[str],
    place: tuple[Mapping[str, Any], Sequence[float]] | None = None,
) -> dict[str, Any]:
    """An Item. `place` is its GeoJSON geometry and its bounds in degrees; None if it has none."""
    item: dict[str, Any] = {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": [EXTENSIONS[name] for name in extensions],
        "id": identifier,
        "geometry": None if place is None else place[0],
        **({} if place is None else {"bbox": list(place[1])}),
        "properties": dict(properties),
        "links": [],
        "assets": {name: dict(asset) for name, asset in assets.items()},
    }
    return item


def describe_file(path: Path, folder: Path, media_type: str, role: str) -> dict[str, Any]:
    """The asset that a file is, for an Item in a folder: where, what, how large, its SHA-256."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "href": relate(path, folder),
        "type": media_type,
        "roles": [role],
        "file:size": path.stat().st_size,
        "file:checksum": SHA256_PREFIX + digest,
    }


def relate(path: Path, folder: Path) -> str:
    """A file's place, seen from a folder; absolute where no way leads from one to the other."""
    try:
        relative = PurePath(os.path.relpath(path.absolute(), folder.absolute())).as_posix()
    except ValueError:  # another drive
        return path.absolute().as_uri()
    return relative if relative.startswith("../") else f"./{relative}"


def describe_classes(classes: Iterable[ClassInfo]) -> list[dict[str, Any]]:
    """Class objects of the classification extension, whose names are letters, digits, - and _."""
    found: list[dict[str, Any]] = []
    for item in classes:
        name = re.sub(r"[^0-9A-Za-z_-]+", "-", item.name).strip("-") or f"class-{item.value}"
        if any(name == other["name"] for other in found):
            name = f"{name}-{item.value}"
        found.append(
            {
                "value": item.value,
                "name": name,
                "description": item.name,
                "color_hint": item.colour[1:].upper(),
            }
        )
    return found


def changed_at(path: Path) -> str:
    """When a file was last written, as RFC 3339 in UTC."""
    return format_moment(datetime.fromtimestamp(int(path.stat().st_mtime), UTC))


def format_moment(moment: datetime) -> str:
    """`2026-11-21T20:15:00Z`; a moment without a time zone is taken for UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat().replace("+00:00", "Z")


def check_item_target(path: Path, identifier: str, *, overwrite: bool) -> None:
    """Refuse to write an Item over anything but an older Item of the same thing.

    Raises:
        UsageError: something else is there, or there is no such folder.
    """
    if path.suffix.lower() not in (".json", ".geojson"):
        raise UsageError(f"{path} is no name of a STAC Item; name it .json")
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent} is no folder; make it, or write to another one")
    if path.is_dir() or (path.exists() and not overwrite and _find_id(path) != identifier):
        raise UsageError(f"{path} exists and is no STAC Item of {identifier}; name another file")


def write_item(path: Path, item: Mapping[str, Any], *, overwrite: bool = False) -> None:
    """Write an Item, whole or not at all.

    Raises:
        UsageError: as `check_item_target`.
        ResourceError: it cannot be written.
    """
    check_item_target(path, item["id"], overwrite=overwrite)
    text = json.dumps(item, indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(path, f"{text}\n".encode())


def _find_id(path: Path) -> str | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    is_item = isinstance(content, dict) and "stac_version" in content
    return content.get("id") if is_item else None
