"""How the texts of options are read."""

from __future__ import annotations

import math
import re

import typer

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 2**10, "MI": 2**20, "GI": 2**30}


class BandNumbers(tuple[int, ...]):
    """Bands from 1. A class, since Typer takes a plain tuple for several arguments."""


class BlockCounts(tuple[int, ...]):
    """Blocks per stage; a class for the same reason."""


class LabelItems(tuple[str, ...]):
    """Label values, colours, texts; a class for the same reason."""


class Rectangle(tuple[float, float, float, float]):
    """West, south, east, north; a class for the same reason."""


def parse_bands(text: str) -> BandNumbers:
    """`4,3,2` -> (4, 3, 2); bands count from 1."""
    try:
        bands = BandNumbers(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r}: write band numbers like 4,3,2") from None
    if min(bands) < 1:
        raise typer.BadParameter(f"{text!r}: bands count from 1")
    return bands


def parse_blocks(text: str) -> BlockCounts:
    """`3,4,6,3` -> (3, 4, 6, 3)."""
    try:
        blocks = BlockCounts(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r}: write four numbers like 3,4,6,3") from None
    if len(blocks) != 4 or min(blocks) < 1:
        raise typer.BadParameter(f"{text!r}: write four numbers from 1, like 3,4,6,3")
    return blocks


def parse_labels(text: str) -> LabelItems:
    """`0,255` -> ("0", "255")."""
    items = LabelItems(part.strip() for part in text.split(","))
    if not all(items):
        raise typer.BadParameter(f"{text!r}: write label values like 0,255")
    return items


def parse_bbox(text: str) -> Rectangle:
    """`W,S,E,N` in the raster's CRS."""
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r}: write W,S,E,N, four numbers") from None
    if not (west < east and south < north and math.isfinite(north - south + east - west)):
        raise typer.BadParameter(f"{text!r}: needs W < E and S < N, in the order W,S,E,N")
    return Rectangle((west, south, east, north))


def parse_memory(text: str) -> int:
    """`4GB`, `512MiB`, `1.5G` -> bytes."""
    match = re.fullmatch(r"\s*([0-9.]+)\s*([KMG]?I?)B?\s*", text.upper())
    try:
        size = int(float(match[1]) * UNITS[match[2]]) if match else 0
    except (ValueError, KeyError):
        size = 0
    if size < 1:
        raise typer.BadParameter(f"{text!r}: write an amount of memory like 4GB or 512MB")
    return size


def parse_count(text: str) -> int | None:
    """`auto` -> None, else a positive number."""
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise typer.BadParameter(f"{text!r}: write auto or a positive number")
    return int(text)


def parse_rate(text: str) -> float | None:
    """`auto` -> None, else a positive number."""
    if text == "auto":
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise typer.BadParameter(f"{text!r}: write auto or a positive number like 0.003")
    return rate
