"""What is minimised: the options of train."""

from __future__ import annotations

from typing import Annotated

import typer

from geounet.training.loss_options import ClassWeights

PANEL = "Loss"

Sum = Annotated[
    str,
    typer.Option(
        metavar="SUM",
        help="Of ce, focal[:GAMMA], dice, iou, tversky[:ALPHA:BETA], lovasz, with factors: "
        "0.7*ce+0.3*tversky:0.3:0.7.",
        rich_help_panel=PANEL,
    ),
]
Weights = Annotated[
    ClassWeights,
    typer.Option(
        help="How rare classes count more in ce and focal: by 1 / share, or more mildly by the "
        "effective number of samples.",
        rich_help_panel=PANEL,
    ),
]
Smoothing = Annotated[
    float,
    typer.Option(
        metavar="SHARE",
        help="Share of each label that is spread over all classes, in ce and focal.",
        rich_help_panel=PANEL,
    ),
]
BorderWeight = Annotated[
    float,
    typer.Option(
        metavar="W0",
        help="How much more pixels count in narrow gaps between instances, so that these are kept "
        "apart: the paper's w0, there 10. Instances are the features of vector labels, in rasters "
        "connected regions. Touching features are trained with a gap: --separate.",
        rich_help_panel=PANEL,
    ),
]
BorderSigma = Annotated[
    float,
    typer.Option(
        metavar="PX", help="The paper's sigma: how wide gaps may be.", rich_help_panel=PANEL
    ),
]
