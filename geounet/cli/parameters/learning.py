"""Panel "Learning": how long, of which chips and by which steps a network is trained."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from geounet.cli.parameters.parsing import parse_count, parse_rate
from geounet.training.learning.schedule import ScheduleName
from geounet.training.options import Balance as BalanceName
from geounet.training.options import Optimiser as OptimiserName

option = partial(typer.Option, rich_help_panel="Learning")

Epochs = Annotated[
    int, option(help="An epoch covers the training pixels twice, with 192 to 2048 chips.")
]
MaxTime = Annotated[
    float | None,
    option(
        "--max-time",
        metavar="MIN",
        show_default="no limit",
        help="Be done after so many minutes, but not before one step and its validation.",
    ),
]
Chip = Annotated[int, option(help="Side of the training samples in px.")]
Balance = Annotated[
    BalanceName,
    option(
        help="What chips are centred on: none: any pixel; class: each class as often, within "
        "limits; instance: each object as often, whatever its size.",
    ),
]
Batch = Annotated[
    int | None,
    option(
        parser=parse_count,
        metavar="auto|N",
        help="Chips at a time, of all processes; auto: as many as fit the memory, to 8 on each "
        "CPU, else 32.",
    ),
]
Accumulate = Annotated[int, option(help="Batches per step.")]
Patience = Annotated[
    int | None,
    option(
        metavar="EPOCHS",
        show_default="no limit",
        help="Be done after so many epochs without a better one.",
    ),
]
Optimiser = Annotated[
    OptimiserName,
    option(
        help="muon: steps that change a layer's output in all directions alike; sgd: the paper's."
    ),
]
Lr = Annotated[
    float | None,
    option(
        parser=parse_rate,
        metavar="auto|RATE",
        help="Highest learning rate; auto: found by a test of 40 steps.",
    ),
]
Schedule = Annotated[
    ScheduleName,
    option(
        help="Of the learning rate; plateau: constant, lower when 5 epochs have not been better."
    ),
]
WarmUp = Annotated[
    float | None,
    option(
        metavar="SHARE",
        show_default="one-cycle 0.1, others 0.05",
        help="Share of the run in which the learning rate rises.",
    ),
]
Momentum = Annotated[float, option(help="Of sgd.")]
WeightDecay = Annotated[float, option(help="Of all but biases and norms.")]
Clip = Annotated[float, option(help="Largest norm of a step's gradient; 0: any.")]
Ema = Annotated[
    float,
    option(
        metavar="DECAY",
        help="Average the weights of the last ninth of all steps, at most of 1 / (1 - DECAY), and "
        "keep the average where it is better; 0: do not.",
    ),
]
Seed = Annotated[int, option(help="Of split, weights, chips and augmentation.")]
