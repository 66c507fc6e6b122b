"""What one may ask of an export. Each default is written here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Normalisation = Literal["inside", "outside"]
Activation = Literal["softmax", "none"]


@dataclass(frozen=True, kw_only=True)  # no slots: the command line reads the defaults
class ExportOptions:
    """How to export.

    Attributes:
        normalisation: "inside": the file takes the scene's values as they are; "outside": it takes
            (value - offset) / scale of each band.
        activation: "softmax": it gives probabilities; "none": scores before softmax.
        tile: the file takes only images of this height and width; None: of any.
        tolerance: largest difference of a probability between the file and torch, at which the
            file is kept.
        int8: quantise weights and activations, calibrated on the scenes.
        scenes: real input: to compare file and torch on, and to calibrate.
        labels: of the scenes, to tell what int8 costs; None: against the float32 mask.
        bands: the scenes' bands to use, 1-based, in the model's order; None: all.
        overwrite: replace existing files.
    """

    normalisation: Normalisation = "inside"
    activation: Activation = "softmax"
    tile: int | None = None
    tolerance: float = 1e-4
    int8: bool = False
    scenes: tuple[str, ...] = ()
    labels: tuple[str, ...] | None = None
    bands: tuple[int, ...] | None = None
    overwrite: bool = False
