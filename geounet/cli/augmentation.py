"""How chips are varied: the options of train, and what they say together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from geounet.training.augment_options import PRESETS, Augment

PANEL = "Augmentation"


def _amplitude(field: str, metavar: str, text: str) -> Any:  # noqa: ANN401  as typer.Option
    """The option of an amplitude, with what the presets make it."""
    values = {name: getattr(preset, field) for name, preset in PRESETS.items()}
    shown = ", ".join(f"{name} {v:g}" for name, v in values.items() if v != values["none"])
    return typer.Option(
        help=text,
        metavar=metavar,
        show_default=shown or f"{values['none']:g}",
        rich_help_panel=PANEL,
    )


Preset = Annotated[
    Augment,
    typer.Option(
        help="light: flips, quarter turns and a little brightness and contrast; standard: "
        "also any rotation, scale and gamma; strong: also elastic deformation, shift, noise and "
        "blur. The options below change single amplitudes.",
        rich_help_panel=PANEL,
    ),
]
Rotate = Annotated[float | None, _amplitude("rotate_deg", "DEG", "Largest rotation, either way.")]
Scale = Annotated[
    float | None, _amplitude("scale", "FACTOR", "Largest magnification and reduction, from 1.")
]
Shift = Annotated[
    float | None,
    _amplitude("shift_px", "PX", "Largest shift; of use for scenes as small as chips."),
]
Elastic = Annotated[
    float | None,
    _amplitude(
        "elastic_px",
        "PX",
        "Elastic deformation as in the paper: standard deviation of displacements on a 3 x 3 grid "
        "over the chip; at most 1/12 of its side is used.",
    ),
]
Brightness = Annotated[
    float | None,
    _amplitude("brightness", "SD", "Standard deviation of the shift, in those of the band."),
]
Contrast = Annotated[
    float | None,
    _amplitude("contrast", "SD", "Standard deviation of the logarithm of the factor."),
]
Gamma = Annotated[
    float | None,
    _amplitude("gamma", "SD", "Standard deviation of the logarithm of the exponent."),
]
Noise = Annotated[
    float | None,
    _amplitude("noise", "SD", "Most noise, in standard deviations of the band."),
]
Blur = Annotated[
    float | None, _amplitude("blur_px", "PX", "Largest standard deviation of the blur.")
]
BandDropout = Annotated[
    float | None, _amplitude("band_dropout", "SHARE", "Share of bands replaced by their mean.")
]
Show = Annotated[
    Path | None,
    typer.Option(
        "--show-augmentation",
        metavar="FILE.png",
        show_default=False,
        help="Draw a few chips with their labels, as read and augmented, and do not train; the "
        "run folder is not touched.",
        rich_help_panel=PANEL,
    ),
]
