"""Panels "Quality", "Many workers" and "With a model": how scenes are mapped, and by whom."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from geounet.inference.options import Tta as TtaName

quality = partial(typer.Option, rich_help_panel="Quality")
workers = partial(typer.Option, rich_help_panel="Many workers")
with_model = partial(
    typer.Option, rich_help_panel="With a model: images are mapped first"
)  # of evaluate

TTA = "Average over flips (4 passes) or all symmetries of the square (8)."

Tta = Annotated[TtaName, quality(help=TTA)]
TtaWithModel = Annotated[TtaName, with_model(help=TTA)]
DryRun = Annotated[
    bool,
    quality("--dry-run", help="Print the plan and the time it would take; write nothing."),
]
Verify = Annotated[
    int,
    quality(
        metavar="N",
        min=0,
        help="Then compute N random windows again with another tiling, and compare.",
    ),
]
Shard = Annotated[
    str | None,
    workers(
        metavar="I/N",
        help="Compute the I-th of N shares of the parts of all images, from 0/N, and stop: in "
        "any order, also at the same time, on machines that see the same files. The same "
        "command without it then makes the outputs.",
    ),
]
Cluster = Annotated[
    str | None,
    workers(
        metavar="ADDRESS|local[:N]",
        show_default="this process",
        help="Compute the parts on a Dask cluster (extra dask): the address of its scheduler, "
        "as tcp://host:8786, whose workers see the same files; or processes of this machine, "
        "one per GPU, or N that share the cores.",
    ),
]
Models = Annotated[
    list[Path] | None,
    with_model(
        "--model",
        "-m",
        metavar="MODEL",
        show_default="none",
        help="Map images with this model first, exactly as geounet predict does; repeated, an "
        "ensemble.",
    ),
]
MasksFolder = Annotated[
    Path | None,
    with_model(
        metavar="FOLDER",
        show_default="they are removed",
        help="Keep the masks here. The same command finds those that are done.",
    ),
]
