"""What one may ask of train. Each default is written here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from geounet.classes import ClassInfo
from geounet.errors import UsageError
from geounet.training.augment_options import PRESETS, Augment, AugmentOptions
from geounet.vector.label_options import LabelOptions

if TYPE_CHECKING:
    from geounet.raster import Bounds

Norm = Literal["batch", "none"]
Padding = Literal["same", "valid"]
TrainPrecision = Literal["auto", "float32", "bfloat16"]

NETWORK_ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "unet": {"width": 32, "depth": 4, "padding": "same", "norm": "batch", "dropout": 0.0},
    "resunet": {"width": 64, "blocks": (1, 1, 1, 1), "dropout": 0.0},
}
"""What each architecture takes, with the default for training."""

SEEDS = 2**64
"""How many there are."""

EPOCH_CHIPS = (192, 2048)
"""Fewest and most chips of an epoch."""

EPOCH_COVERAGE = 2
"""How often an epoch covers the training pixels, within the limits above."""


@dataclass(frozen=True, kw_only=True)  # no slots: the command line reads the defaults
class TrainOptions:
    """How to train.

    Attributes:
        bands: the scenes' bands to use, 1-based, in the model's order; None: all but alpha.
        classes: the map's classes, or as in `--classes`; None: those that the labels show.
        label_options: how the labels are to be understood.
        val_images: scenes to validate on; none: blocks of the training scenes are held out.
        val_labels: their labels, as for the training scenes.
        val_fraction: share of the training scenes' pixels to hold out.
        aoi: vector file; no pixel outside its polygons is used for anything.
        bbox: west, south, east, north in the scenes' CRS; no pixel outside is used for anything.
        architecture: key of `geounet.models.ARCHITECTURES`.
        width: channels of the first level or stage.
        depth: number of poolings, of a unet.
        padding: of a unet: "same", or "valid": training without padding, as in the paper.
        norm: of a unet: "batch" for BatchNorm, or "none" as in the paper.
        blocks: residual blocks in each of the four stages, of a resunet.
        dropout: probability of dropping channels at the lowest level. For these six, None is the
            architecture's own default (`NETWORK_ARGUMENTS`).
        chip: side of the training samples in pixels.
        batch: chips per step.
        epochs: times to train on `count_epoch_chips` chips, then validate.
        max_time_min: minutes after which to be done, learning rate and all; None: no limit.
        lr: highest learning rate of the one-cycle schedule.
        weight_decay: of AdamW.
        augment: how far chips are varied: key of `PRESETS`, or amplitudes of one's own.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        precision: arithmetic; "auto": bfloat16 where the hardware has it.
        workers: threads that read chips.
        seed: of the split, the weights, the chips and their augmentation.
        overwrite: replace the files of an earlier run in the run folder.
    """

    bands: tuple[int, ...] | None = None
    classes: str | tuple[ClassInfo, ...] | None = None
    label_options: LabelOptions = LabelOptions()  # noqa: RUF009  frozen
    val_images: tuple[str | Path, ...] = ()
    val_labels: tuple[str | Path, ...] = ()
    val_fraction: float = 0.1
    aoi: str | Path | None = None
    bbox: Bounds | None = None
    architecture: str = "resunet"
    width: int | None = None
    depth: int | None = None
    padding: Padding | None = None
    norm: Norm | None = None
    blocks: tuple[int, ...] | None = None
    dropout: float | None = None
    chip: int = 256
    batch: int = 8
    epochs: int = 22
    max_time_min: float | None = None
    lr: float = 3e-3
    weight_decay: float = 0.01
    augment: Augment | AugmentOptions = "standard"
    device: str = "auto"
    precision: TrainPrecision = "auto"
    workers: int = 2
    seed: int = 0
    overwrite: bool = False

    def __post_init__(self) -> None:
        for name in ("width", "depth", "chip", "batch", "epochs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name} is {value}; give 1 or more")
        for name in ("lr", "max_time_min"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise UsageError(
                    f"--{name.split('_min')[0].replace('_', '-')} is {value}; "
                    "give a positive number"
                )
        if not 0 < self.val_fraction <= 0.5:
            raise UsageError(
                f"--val-fraction is {self.val_fraction}; give a share from above 0 to 0.5"
            )
        if not 0 <= (self.dropout or 0) < 1 or self.weight_decay < 0 or self.workers < 0:
            raise UsageError(
                "--dropout must be from 0 to below 1, --weight-decay and --workers not negative; "
                f"found {self.dropout}, {self.weight_decay}, {self.workers}"
            )
        if not 0 <= self.seed < SEEDS:
            raise UsageError(f"--seed is {self.seed}; give a whole number from 0 to {SEEDS - 1}")
        if bool(self.val_images) != bool(self.val_labels):
            raise UsageError("--val-images and --val-labels go together; give both or none")

    @property
    def max_time_s(self) -> float | None:
        """The time limit in seconds."""
        return None if self.max_time_min is None else 60 * self.max_time_min

    @property
    def augmentation(self) -> AugmentOptions:
        """How far chips are varied."""
        return PRESETS[self.augment] if isinstance(self.augment, str) else self.augment

    @property
    def network_arguments(self) -> dict[str, Any]:
        """Keyword arguments of the architecture.

        Raises:
            UsageError: there is no such architecture, or it takes no such argument.
        """
        known = NETWORK_ARGUMENTS.get(self.architecture)
        if known is None:
            names = ", ".join(NETWORK_ARGUMENTS)
            raise UsageError(f"--architecture {self.architecture}; choose from: {names}")
        given = {
            name: getattr(self, name) for names in NETWORK_ARGUMENTS.values() for name in names
        }
        given = {name: value for name, value in given.items() if value is not None}
        if extra := sorted(given.keys() - known.keys()):
            raise UsageError(
                f"--{extra[0]} does not go with --architecture {self.architecture}; leave it out"
            )
        return {**known, **given}


def count_epoch_chips(training_pixels: int, chip: int) -> int:
    """Chips of one epoch: enough to cover the training pixels twice, but 192 to 2048.

    So small scenes train for as many steps as middling ones, and large ones are validated while
    there is still time to stop. Chips lie anywhere; no epoch visits every pixel.
    """
    fewest, most = EPOCH_CHIPS
    return min(max(EPOCH_COVERAGE * training_pixels // chip**2, fewest), most)
