"""Panel "Labels": how labels are to be understood, and the classes that they have."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from geounet.cli.parameters.parsing import LabelItems, parse_labels

option = partial(typer.Option, rich_help_panel="Labels")

Classes = Annotated[
    str | None,
    option(
        metavar="NAME,NAME|FILE.json",
        show_default="as the files tell",
        help="The map's classes by value: 0, 1, ...; NAME=#rrggbb with colours, which tell the "
        "classes of coloured labels; LABEL=NAME by what labels hold: 1=forest,2=other (several may "
        "mean one class); or JSON with value, name, colour, labels.",
    ),
]
ClassField = Annotated[
    str | None,
    option(
        metavar="COLUMN",
        show_default="all polygons are one class",
        help="Column of vector labels that holds the class.",
    ),
]
LineWidth = Annotated[
    float | None,
    option(
        "--line-width",
        metavar="M",
        show_default="lines are refused",
        help="Width in metres that lines are drawn with.",
    ),
]
Ignore = Annotated[
    LabelItems | None,
    option(
        parser=parse_labels,
        metavar="LABEL,...",
        show_default="none but nodata",
        help="Label values, colours (#rrggbb) or texts that mean: no label here.",
    ),
]
Sparse = Annotated[
    bool,
    option(
        "--sparse",
        help="What is in no polygon, or has the value 0 or is black, has no label; by default it "
        "is background.",
    ),
]
Threshold = Annotated[
    float | None,
    option(
        metavar="VALUE",
        show_default="128 for masks of 0 to 255",
        help="Label rasters show two classes: the second from this value on.",
    ),
]
Separate = Annotated[
    int | None,
    option(
        "--separate",
        metavar="PX",
        show_default="0; train: 1 with --border-weight",
        help="Gap of background, in pixels, between touching features of one class.",
    ),
]
