"""Assets of a STAC Item as the bands of one scene. Plain JSON; no pixels are read here."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import urlopen

from geounet.errors import InputError, UsageError
from geounet.raster.paths import find_local

TIMEOUT_S = 30


@dataclass(frozen=True)
class StacItem:
    """An Item that was read.

    Attributes:
        path: Where it is.
        identifier: Its id.
        moment: Its date, RFC 3339, or first and last date; None if it has none.
        assets: Asset objects by key.
    """

    path: str
    identifier: str
    moment: str | tuple[str, str] | None
    assets: Mapping[str, Mapping[str, Any]]

    def locate(self, keys: Sequence[str]) -> tuple[str, ...]:
        """Files of assets, in the order of the keys, as GDAL opens them.

        Raises:
            UsageError: there is no such asset; the message lists those there.
        """
        if missing := [key for key in keys if key not in self.assets]:
            raise UsageError(
                f"{self.path} has no asset {', '.join(missing)}; it has "
                f"{', '.join(self.assets) or 'none'}: choose of these with --assets"
            )
        return tuple(_resolve(self.path, str(self.assets[key]["href"])) for key in keys)

    def name_bands(self, keys: Sequence[str]) -> list[tuple[str, ...]]:
        """The bands of assets, in the order of the keys, in each way that the Item names them all.

        By the bands' names, by their common names, and by the keys of assets of one band.
        """
        bands = [band for key in keys for band in _name_bands(key, self.assets[key])]
        return [way for way in zip(*bands, strict=True) if all(way)]

    def find_notes(self, keys: Sequence[str]) -> list[str]:
        """What one should know of these assets before one believes a map of them."""
        scaled = [key for key in keys if _is_scaled(self.assets[key])]
        if not scaled:
            return []
        return [
            f"{self.path} gives scale or offset for {', '.join(scaled)}; pixels are used as they "
            "are stored, as in training"
        ]


def read_stac_item(path: str) -> StacItem:
    """Read an Item: a file of this machine, or an http(s) address.

    Raises:
        InputError: it cannot be read, or is no Item with assets.
    """
    try:
        content = json.loads(_read(path))
    except ValueError as error:
        raise InputError(f"{path} is no STAC Item ({error}); give the Item's JSON") from error
    if not isinstance(content, dict) or "stac_version" not in content:
        raise InputError(f"{path} is JSON, but no STAC Item; give the Item's JSON")
    if content.get("type") != "Feature":
        kind = content.get("type", "something else")
        raise InputError(f"{path} is a STAC {kind}, not an Item; give one of its Items")
    assets, properties = content.get("assets"), content.get("properties")
    if not isinstance(assets, dict) or not all(
        isinstance(asset, dict) and "href" in asset for asset in assets.values()
    ):
        raise InputError(f"{path} is a STAC Item with assets that have no href; correct it")
    moment = _find_moment(properties) if isinstance(properties, dict) else None
    return StacItem(path, str(content.get("id") or Path(path).stem), moment, assets)


def is_stac_name(path: str) -> bool:
    """Whether a path is called like an Item: .json, also before a query."""
    return urlsplit(path).path.lower().endswith(".json") and not path.startswith("/vsi")


def _read(path: str) -> str:
    try:
        if path.startswith(("http://", "https://")):
            with urlopen(path, timeout=TIMEOUT_S) as answer:
                return str(answer.read().decode("utf-8"))
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        more = "; an Item is read from a file or by https" if "://" in path else ""
        raise InputError(f"{path} does not exist{more}; check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no STAC Item, nor any text; give the Item's JSON") from error
    except OSError as error:
        if isinstance(error, URLError) and getattr(error, "code", None) == 404:
            raise InputError(f"{path} does not exist; check the path") from error
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read ({reason}); try again later") from error


def _resolve(item: str, href: str) -> str:
    """Where an asset is: its href, seen from its Item."""
    if href.startswith("file://"):
        return _find_path(href)
    if "://" in href or href.startswith("/vsi"):
        return href
    if "://" in item:
        return href if Path(href).is_absolute() else urljoin(item, href)
    place = os.path.normpath(Path(item).parent / href)
    # an href is a URI, but many write a path: a file that is there is meant as it is written
    return place if find_local(place) else unquote(place)


def _find_path(address: str) -> str:
    """The path in a `file:` address; in one of Windows a slash comes before the drive."""
    path = unquote(urlsplit(address).path)
    return path if find_local(path) else re.sub("^/(?=[A-Za-z]:)", "", path)


def _name_bands(key: str, asset: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name, common name and key of each band of an asset; empty what it has not.

    Fields are those of STAC 1.1 (`bands`) and of older Items (`eo:bands`).
    """
    listed = asset.get("bands") or asset.get("eo:bands")
    bands = [band for band in listed if isinstance(band, dict)] if isinstance(listed, list) else []
    if len(bands) > 1:
        return [(str(band.get("name", "")), _find_common_name(band), "") for band in bands]
    (band,) = bands or ({},)
    return [(str(band.get("name", "")), _find_common_name({**asset, **band}), key)]


def _find_common_name(band: Mapping[str, Any]) -> str:
    return str(band.get("eo:common_name") or band.get("common_name") or "")


def _find_moment(properties: Mapping[str, Any]) -> str | tuple[str, str] | None:
    """A date, or that of the first and the last pixel, as composites have it."""
    moment, *span = (properties.get(f"{name}datetime") for name in ("", "start_", "end_"))
    if isinstance(moment, str):
        return moment
    first, last = span
    return (first, last) if isinstance(first, str) and isinstance(last, str) else None


def _is_scaled(asset: Mapping[str, Any]) -> bool:
    """Whether the asset or one of its bands tells a scale or an offset that changes values."""
    listed = [asset.get(key) for key in ("bands", "raster:bands")]
    bands = [asset, *(band for bands in listed if isinstance(bands, list) for band in bands)]
    return any(
        band.get(f"{prefix}{name}", neutral) != neutral
        for band in bands
        if isinstance(band, dict)
        for prefix in ("", "raster:")
        for name, neutral in (("scale", 1), ("offset", 0))
    )
