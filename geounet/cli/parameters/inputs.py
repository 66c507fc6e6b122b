"""Panel "Input": what of the images is read, and what else is."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from geounet.cli.parameters.parsing import BandNumbers, Rectangle, parse_bands, parse_bbox

option = partial(typer.Option, rich_help_panel="Input")
rectangle = partial(option, parser=parse_bbox, metavar="W,S,E,N", show_default="everywhere")
area = partial(option, metavar="FILE", show_default="everywhere")

Bands = Annotated[
    BandNumbers | None,
    option(
        parser=parse_bands,
        metavar="N,N,...",
        show_default="all but alpha",
        help="Bands of the image, from 1, in the model's order.",
    ),
]
Resample = Annotated[
    bool,
    option(
        "--resample",
        help="Read the image at the model's pixel size; the outputs are on its own grid.",
    ),
]
AllowPixelSize = Annotated[
    bool,
    option("--allow-pixel-size", help="Accept an image whose pixel size is not the model's."),
]
AllowDtype = Annotated[
    bool,
    option("--allow-dtype", help="Accept an image whose range of values is not the model's."),
]
Aoi = Annotated[
    str | None,  # not Path, which makes https:/ of https://
    area(help="Vector file; only pixels inside its polygons count."),
]
Bbox = Annotated[
    Rectangle | None, rectangle(help="Rectangle in the raster's CRS; only pixels in it count.")
]
CutAoi = Annotated[
    str | None,
    area(
        help="Vector file; only pixels inside its polygons are mapped, and the outputs cover only "
        "the polygons' extent."
    ),
]
CutBbox = Annotated[
    Rectangle | None,
    rectangle(help="Rectangle in the scene's CRS; the outputs cover only the rectangle."),
]
Stack = Annotated[
    bool,
    option(
        "--stack", help="The images are the bands of one scene, on any grids; the first decides."
    ),
]
Assets = Annotated[
    str | None,
    option(
        metavar="KEY,KEY,...",
        help="The images are STAC Items (.json, also by https); these assets of each are the "
        "bands of a scene, in this order, as with --stack.",
    ),
]
ValImages = Annotated[
    list[str] | None,
    option(
        metavar="IMAGE",
        show_default="blocks of the images are held out",
        help="Scenes to validate on, or a folder (repeat the option).",
    ),
]
ValLabels = Annotated[
    list[str] | None, option(metavar="LABELS", help="Their labels.", show_default=False)
]
ValFraction = Annotated[float, option(help="Share of the pixels to hold out.")]
Compare = Annotated[
    list[str] | None,
    option(
        metavar="MASK",
        show_default="none",
        help="Other masks of the same scenes, one per mask in their order (repeat the option), "
        "or a folder, matched by name: differences with intervals, drawn in pairs. Only pixels "
        "that both have count.",
    ),
]
ConfidenceRaster = Annotated[
    str | None,
    option(
        metavar="FILE",
        show_default="no such column",
        help="Confidence raster of predict; each polygon gets its mean and minimum.",
    ),
]
ScoresRaster = Annotated[
    str | None,
    option(
        metavar="FILE",
        show_default="no such columns",
        help="Scores raster of predict; each polygon gets the mean score of every class, and "
        "its confidence.",
    ),
]
