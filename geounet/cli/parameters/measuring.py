"""Panels "Metrics" and "How sure the numbers are": what of a mask is measured."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

import typer

option = partial(typer.Option, rich_help_panel="Metrics")
limit = partial(option, metavar="NAME=VALUE", show_default="never")
sureness = partial(typer.Option, rich_help_panel="How sure the numbers are")

Metrics = Annotated[
    str,
    option(
        metavar="FAMILY,...|all",
        help="Families of metrics: pixel (always), boundary, object, topology, and probability "
        "(with --scores or --model). Those of pixels take seconds, others minutes on large "
        "rasters.",
    ),
]
Scores = Annotated[
    list[str] | None,
    option(
        metavar="FILE",
        show_default="none",
        help="Probabilities of the classes as geounet predict --scores writes them, one file "
        "per mask in their order (repeat the option), or a folder, matched by name: adds Brier "
        "score, log loss, calibration error and precision-recall.",
    ),
]
BoundaryWidth = Annotated[
    str,
    option(
        metavar="LENGTH",
        help="Boundary: what is near one, for boundary IoU and F1, as 3px or 1.5m.",
    ),
]
HausdorffCap = Annotated[
    int,
    option(
        metavar="PX",
        min=1,
        help="Boundary: up to here the Hausdorff distance is exact; above it shows as more.",
    ),
]
Connectivity = Annotated[
    Literal["4", "8"],
    option(help="Object, topology: 4, pixels of one object share an edge; 8, or but a corner."),
]
Features = Annotated[
    bool,
    option(
        "--features/--no-features",
        help="Object, topology: each feature of vector labels is an object, also where two "
        "touch; otherwise what is connected, as in the mask.",
    ),
]
ObjectSizes = Annotated[
    str,
    option(
        metavar="AREA,AREA",
        help="Object: areas from which on one is medium, and large, as 100m2,1000m2 or in px.",
    ),
]
Warp = Annotated[
    int,
    option(
        metavar="PX",
        min=1,
        help="Topology: boundaries may be so far off before that is an error.",
    ),
]
FailUnder = Annotated[
    list[str] | None,
    limit(
        help="Exit with code 6 if this metric is less, or undefined: miou, oa, kappa, mcc, "
        "iou.CLASS, f1.CLASS and others; an unknown name lists them. Repeatable.",
    ),
]
FailOver = Annotated[
    list[str] | None,
    limit(
        help="Likewise if it is more: for brier, log_loss, ece and others that are better the "
        "smaller.",
    ),
]
Intervals = Annotated[
    bool, sureness(help="95 % intervals by drawing blocks of pixels again and again.")
]
Bootstrap = Annotated[int, sureness(metavar="N", min=100, help="How often blocks are drawn.")]
Block = Annotated[
    int | None,
    sureness(
        metavar="PX",
        min=1,
        show_default="256, doubled until there are at most 2048",
        help="Side of the blocks in pixels: larger than what errs together, such as a field.",
    ),
]
Seed = Annotated[int, sureness(metavar="N", min=0, help="Of the draws.")]
