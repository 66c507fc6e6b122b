"""Panels "Regions" and "Outlines": how polygons are made of a mask."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

regions = partial(typer.Option, rich_help_panel="Regions")
outlines = partial(typer.Option, rich_help_panel="Outlines")

Classes = Annotated[
    str | None,
    regions(
        metavar="NAME,NAME",
        show_default="all but the one with value 0",
        help="Classes to make polygons of.",
    ),
]
MinArea = Annotated[
    float,
    regions(
        "--min-area",
        metavar="M2",
        help="Dissolve regions smaller than this into the class of their longest border.",
    ),
]
DropSmall = Annotated[
    bool,
    regions("--drop-small", help="Leave such regions out instead: they become background."),
]
MinHole = Annotated[
    float,
    regions(
        "--min-hole",
        metavar="M2",
        help="Fill holes smaller than this: background inside one class.",
    ),
]
Simplify = Annotated[
    float,
    outlines(
        "--simplify",
        metavar="M",
        help="Move borders by up to this to save vertices; neighbours stay neighbours.",
    ),
]
Smooth = Annotated[
    bool,
    outlines("--smooth", help="Round corners, within the same distance or that of a pixel."),
]
Regularize = Annotated[
    bool,
    outlines("--regularize", help="Square the outlines of buildings that touch no other polygon."),
]
Connectivity = Annotated[
    str,
    regions(metavar="4|8", help="8: pixels that touch at a corner are of one region."),
]
