"""Options that commands share, and how their texts are read."""

from __future__ import annotations

import math
import re
from typing import Annotated

import typer

INPUT = "Input"
LABELS = "Labels"
OUTPUT = "Output"
SPEED = "Speed and memory"

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


Bands = Annotated[
    BandNumbers | None,
    typer.Option(
        parser=parse_bands,
        metavar="N,N,...",
        show_default="all but alpha",
        help="Bands of the image, from 1, in the model's order.",
        rich_help_panel=INPUT,
    ),
]
Resample = Annotated[
    bool,
    typer.Option(
        "--resample",
        help="Read the image at the model's pixel size; the outputs are on its own grid.",
        rich_help_panel=INPUT,
    ),
]
AllowPixelSize = Annotated[
    bool,
    typer.Option(
        "--allow-pixel-size",
        help="Accept an image whose pixel size is not the model's.",
        rich_help_panel=INPUT,
    ),
]
AllowDtype = Annotated[
    bool,
    typer.Option(
        "--allow-dtype",
        help="Accept an image whose range of values is not the model's.",
        rich_help_panel=INPUT,
    ),
]
Aoi = Annotated[
    str | None,  # not Path, which makes https:/ of https://
    typer.Option(
        metavar="FILE",
        show_default="everywhere",
        help="Vector file; only pixels inside its polygons count.",
        rich_help_panel=INPUT,
    ),
]
Bbox = Annotated[
    Rectangle | None,
    typer.Option(
        parser=parse_bbox,
        metavar="W,S,E,N",
        show_default="everywhere",
        help="Rectangle in the raster's CRS; only pixels in it count.",
        rich_help_panel=INPUT,
    ),
]
CutAoi = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        show_default="everywhere",
        help="Vector file; only pixels inside its polygons are mapped, and the outputs cover only "
        "the polygons' extent.",
        rich_help_panel=INPUT,
    ),
]
CutBbox = Annotated[
    Rectangle | None,
    typer.Option(
        parser=parse_bbox,
        metavar="W,S,E,N",
        show_default="everywhere",
        help="Rectangle in the scene's CRS; the outputs cover only the rectangle.",
        rich_help_panel=INPUT,
    ),
]
_LABELS = typer.Option(
    "--labels",
    "-l",
    metavar="LABELS",
    show_default=False,
    help="One raster or vector file per image, in their order (repeat the option); a "
    "folder, matched by file name; or one file for all. Any CRS, any grid.",
)
Labels = Annotated[list[str], _LABELS]
OptionalLabels = Annotated[list[str] | None, _LABELS]
Classes = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,NAME|FILE.json",
        show_default="as the files tell",
        help="The map's classes by value: 0, 1, ...; NAME=#rrggbb with colours, which tell the "
        "classes of coloured labels; LABEL=NAME by what labels hold: 1=forest,2=other (several may "
        "mean one class); or JSON with value, name, colour, labels.",
        rich_help_panel=LABELS,
    ),
]
ClassField = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        show_default="all polygons are one class",
        help="Column of vector labels that holds the class.",
        rich_help_panel=LABELS,
    ),
]
LineWidth = Annotated[
    float | None,
    typer.Option(
        metavar="M",
        show_default="lines are refused",
        help="Width in metres that lines are drawn with.",
        rich_help_panel=LABELS,
    ),
]
Ignore = Annotated[
    LabelItems | None,
    typer.Option(
        parser=parse_labels,
        metavar="LABEL,...",
        show_default="none but nodata",
        help="Label values, colours (#rrggbb) or texts that mean: no label here.",
        rich_help_panel=LABELS,
    ),
]
Sparse = Annotated[
    bool,
    typer.Option(
        "--sparse",
        help="What is in no polygon, or has the value 0 or is black, has no label; by default it "
        "is background.",
        rich_help_panel=LABELS,
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        metavar="VALUE",
        show_default="128 for masks of 0 to 255",
        help="Label rasters show two classes: the second from this value on.",
        rich_help_panel=LABELS,
    ),
]
Separate = Annotated[
    int | None,
    typer.Option(
        metavar="PX",
        show_default="0; train: 1 with --border-weight",
        help="Gap of background, in pixels, between touching features of one class.",
        rich_help_panel=LABELS,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="auto|cpu|cuda|cuda:N|mps", help="Where the network runs.", rich_help_panel=SPEED
    ),
]
MaxMemory = Annotated[
    int | None,
    typer.Option(
        parser=parse_memory,
        metavar="SIZE",
        show_default="half of what is free, 2 GB on the CPU",
        help="Memory that the run may take, for example 4GB.",
        rich_help_panel=SPEED,
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace existing outputs.", rich_help_panel=OUTPUT),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON summary on stdout.", rich_help_panel=OUTPUT),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="No progress bar, no summary.", rich_help_panel=OUTPUT),
]
