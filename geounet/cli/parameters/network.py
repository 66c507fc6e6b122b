"""Panel "Network": what is trained."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from geounet.cli.parameters.parsing import BlockCounts, parse_blocks
from geounet.training.learning.network_options import DEFAULT_ARCHITECTURE
from geounet.training.options import Norm as NormName
from geounet.training.options import Padding as PaddingName

option = partial(typer.Option, rich_help_panel="Network")

Architecture = Annotated[
    str | None,
    option(
        metavar="NAME",
        show_default=DEFAULT_ARCHITECTURE,
        help="resunet, unet (the paper's), lightunet, fcn32s, fcn16s, fcn8s, or "
        "smp:<Name>:<encoder> of segmentation_models_pytorch.",
    ),
]
Init = Annotated[
    Path | None,
    option(
        metavar="MODEL",
        show_default="fresh weights",
        help="Begin with this model's weights, also for other classes or bands.",
    ),
]
Width = Annotated[
    int | None,
    option(show_default="resunet 64, others 32", help="Channels of the first level."),
]
Depth = Annotated[int | None, option(show_default="4", help="unet, lightunet: number of poolings.")]
Padding = Annotated[
    PaddingName | None,
    option(show_default="same", help="unet, lightunet: while training; prediction never pads."),
]
Norm = Annotated[NormName | None, option(show_default="batch", help="unet: none as in the paper.")]
Blocks = Annotated[
    BlockCounts | None,
    option(
        parser=parse_blocks,
        metavar="N,N,N,N",
        show_default="1,1,1,1",
        help="resunet: residual blocks per stage; 3,4,6,3 is ResNet-34.",
    ),
]
Dropout = Annotated[float | None, option(show_default="0", help="Of the lowest level's channels.")]
EncoderWeights = Annotated[
    str | None,
    option(
        metavar="NAME",
        show_default="random",
        help="smp: weights to fetch for the encoder, e.g. imagenet.",
    ),
]
