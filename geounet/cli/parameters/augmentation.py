"""Panel "Augmentation": how chips are varied."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from geounet.training.augment.augment_options import PRESETS, Augment

option = partial(typer.Option, rich_help_panel="Augmentation")


def amplitude(field: str, metavar: str, text: str) -> Any:  # noqa: ANN401  as typer.Option
    """The option of an amplitude, with what the presets make it; the flag is without its unit."""
    values = {name: getattr(preset, field) for name, preset in PRESETS.items()}
    shown = ", ".join(f"{name} {v:g}" for name, v in values.items() if v != values["none"])
    flag = field.removesuffix("_deg").removesuffix("_px").replace("_", "-")
    return option(
        f"--{flag}", help=text, metavar=metavar, show_default=shown or f"{values['none']:g}"
    )


Preset = Annotated[
    Augment,
    option(
        help="light: flips, quarter turns and a little brightness and contrast; standard: "
        "also any rotation, scale and gamma; strong: also elastic deformation, shift, noise and "
        "blur. The options below change single amplitudes.",
    ),
]
Rotate = Annotated[float | None, amplitude("rotate_deg", "DEG", "Largest rotation, either way.")]
Scale = Annotated[
    float | None, amplitude("scale", "FACTOR", "Largest magnification and reduction, from 1.")
]
Shift = Annotated[
    float | None, amplitude("shift_px", "PX", "Largest shift; of use for scenes as small as chips.")
]
Elastic = Annotated[
    float | None,
    amplitude(
        "elastic_px",
        "PX",
        "Elastic deformation as in the paper: standard deviation of displacements on a 3 x 3 grid "
        "over the chip; at most 1/12 of its side is used.",
    ),
]
Brightness = Annotated[
    float | None,
    amplitude("brightness", "SD", "Standard deviation of the shift, in those of the band."),
]
Contrast = Annotated[
    float | None,
    amplitude("contrast", "SD", "Standard deviation of the logarithm of the factor."),
]
Gamma = Annotated[
    float | None, amplitude("gamma", "SD", "Standard deviation of the logarithm of the exponent.")
]
Noise = Annotated[
    float | None, amplitude("noise", "SD", "Most noise, in standard deviations of the band.")
]
Blur = Annotated[
    float | None, amplitude("blur_px", "PX", "Largest standard deviation of the blur.")
]
BandDropout = Annotated[
    float | None, amplitude("band_dropout", "SHARE", "Share of bands replaced by their mean.")
]
Show = Annotated[
    Path | None,
    option(
        "--show-augmentation",
        metavar="FILE.png",
        show_default=False,
        help="Draw a few chips with their labels, as read and augmented, and do not train; the "
        "run folder is not touched.",
    ),
]
