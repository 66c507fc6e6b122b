"""Panel "Speed and memory": where and how the work runs."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from geounet.cli.parameters.parsing import parse_count, parse_memory
from geounet.inference.options import EngineName
from geounet.inference.options import Precision as PrecisionName

option = partial(typer.Option, rich_help_panel="Speed and memory")
count = partial(option, parser=parse_count, metavar="auto|N")
memory = partial(option, parser=parse_memory, metavar="SIZE")

Tile = Annotated[
    int | None,
    count(
        show_default="auto: the largest that fits the memory",
        help="Side of the tiles in pixels. Changes the speed, never a label; only of foreign "
        "models (smp, .onnx, .pt2, .xml) it is part of the result.",
    ),
]
Batch = Annotated[int | None, count(show_default="auto", help="Tiles per step.")]
Device = Annotated[str, option(metavar="auto|cpu|cuda|cuda:N|mps", help="Where the network runs.")]
Engine = Annotated[
    EngineName,
    option(help="What runs the network; auto: openvino on the CPU if installed, else torch."),
]
Precision = Annotated[
    PrecisionName, option(help="Arithmetic; auto: bfloat16 where the hardware has it.")
]
TrainPrecision = Annotated[
    PrecisionName, option(help="Arithmetic; auto: the fastest that the hardware has.")
]
MaxMemory = Annotated[
    int | None,
    memory(
        show_default="half of what is free, 2 GB on the CPU",
        help="Memory that the run may take, for example 4GB.",
    ),
]
ChipMemory = Annotated[
    int | None,
    memory(
        show_default="half of what is free, at most 2GB",
        help="Memory for blocks of the scenes that are kept between chips, for example 4GB.",
    ),
]
Readers = Annotated[int, option(min=1, max=64, help="Threads that read.")]
Workers = Annotated[int, option(help="Threads that read chips.")]
