"""Panels "Form" and "Checks": what an exported model is like, and how it is compared."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from geounet.models.export.options import Activation as ActivationName
from geounet.models.export.options import Normalisation as NormalisationName

form = partial(typer.Option, rich_help_panel="Form")
checks = partial(typer.Option, rich_help_panel="Checks")

Normalisation = Annotated[
    NormalisationName,
    form(
        help="inside: the file takes the scene's values as they are; outside: (value - mean) / "
        "deviation of each band.",
    ),
]
Activation = Annotated[
    ActivationName,
    form(help="softmax: the file gives probabilities; none: scores before softmax."),
]
Tile = Annotated[
    int | None,
    form(
        min=1,
        metavar="PX",
        show_default="any multiple of the model's stride",
        help="Fix height and width of the input, as the QGIS plugin Deepness needs it.",
    ),
]
Int8 = Annotated[
    bool,
    form(
        "--int8",
        help="Quantise to 8 bits, calibrated on windows of the scenes; says what it costs.",
    ),
]
Scenes = Annotated[
    list[str] | None,
    checks(
        "--scene",
        metavar="IMAGE",
        show_default="random images only",
        help="Also compare on windows of this image; repeat it for several.",
    ),
]
Labels = Annotated[
    list[str] | None,
    checks(
        "--labels",
        "-l",
        metavar="LABELS",
        show_default="the float32 mask",
        help="Labels of the scenes, by which to tell what --int8 costs.",
    ),
]
Tolerance = Annotated[
    float,
    checks(
        metavar="X",
        help="Largest difference of a probability from torch's; above it nothing is kept.",
    ),
]
