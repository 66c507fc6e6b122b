"""Panel "Loss": what is minimised."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from geounet.training.loss.loss_options import ClassWeights as ClassWeightsName

option = partial(typer.Option, rich_help_panel="Loss")

Sum = Annotated[
    str,
    option(
        metavar="SUM",
        help="Of ce, focal[:GAMMA], dice, iou, tversky[:ALPHA:BETA], lovasz, with factors: "
        "0.7*ce+0.3*tversky:0.3:0.7.",
    ),
]
ClassWeights = Annotated[
    ClassWeightsName,
    option(
        help="How rare classes count more in ce and focal: by 1 / share, or more mildly by the "
        "effective number of samples.",
    ),
]
LabelSmoothing = Annotated[
    float,
    option(
        metavar="SHARE",
        help="Share of each label that is spread over all classes, in ce and focal.",
    ),
]
BorderWeight = Annotated[
    float,
    option(
        metavar="W0",
        help="How much more pixels count in narrow gaps between instances, so that these are kept "
        "apart: the paper's w0, there 10. Instances are the features of vector labels, in rasters "
        "connected regions. Touching features are trained with a gap: --separate.",
    ),
]
BorderSigma = Annotated[
    float, option("--border-sigma", metavar="PX", help="The paper's sigma: how wide gaps may be.")
]
