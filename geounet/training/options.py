"""What one may ask of train. Each default is written here and nowhere else."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from geounet.classes import ClassInfo
from geounet.errors import UsageError
from geounet.training.augment.augment_options import PRESETS, Augment, AugmentOptions
from geounet.training.learning.network_options import ARGUMENT_NAMES, resolve_network
from geounet.training.learning.schedule import ScheduleName
from geounet.training.loss.loss_options import LossOptions
from geounet.vector.labels.label_options import LabelOptions

if TYPE_CHECKING:
    from geounet.raster import Bounds

Norm = Literal["batch", "none"]
Padding = Literal["same", "valid"]
Optimiser = Literal["adamw", "muon", "sgd"]
Balance = Literal["none", "class", "instance"]
TrainPrecision = Literal["auto", "float32", "bfloat16", "float16"]

SEEDS = 2**64
"""How many there are."""

EPOCH_CHIPS = (192, 2048)
"""Fewest and most chips of an epoch."""

EPOCH_COVERAGE = 2
"""How often an epoch covers the training pixels, within the limits above."""

NUMBERS: tuple[tuple[tuple[str, ...], Callable[[float], bool], str], ...] = (
    (
        ("width", "depth", "chip", "batch", "accumulate", "epochs", "patience"),
        lambda value: value >= 1,
        "1 or more",
    ),
    (("lr", "max_time_min"), lambda value: 0 < value < math.inf, "a positive number"),
    (("val_fraction",), lambda value: 0 < value <= 0.5, "a share from above 0 to 0.5"),
    (
        ("dropout", "warm_up", "momentum", "ema"),
        lambda value: 0 <= value < 1,
        "a number from 0 to below 1",
    ),
    (("weight_decay", "workers", "clip"), lambda value: 0 <= value < math.inf, "0 or more"),
    (("max_memory",), lambda value: value > 0, "a positive amount"),
    (("seed",), lambda value: 0 <= value < SEEDS, f"a whole number from 0 to {SEEDS - 1}"),
)
"""Options, whether a number is one of theirs, and which are."""


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
        aoi: vector file; no label outside its polygons is used. Image pixels around them are, as
            context: of unpadded networks, and where augmentation turns chips.
        bbox: west, south, east, north in the scenes' CRS; as `aoi`.
        architecture: key of `geounet.models.ARCHITECTURES` or `smp:<Name>:<encoder>`; None:
            `DEFAULT_ARCHITECTURE`, or that of `init`.
        init: model whose weights to begin with, matched by the names of bands and classes.
        width: channels of the first level or stage.
        depth: number of poolings, of a unet or lightunet.
        padding: of these: "same", or "valid": training without padding, as in the paper.
        norm: of these: "batch" for BatchNorm, or "none" as in the paper.
        blocks: residual blocks in each of the four stages, of a resunet.
        dropout: probability of dropping channels at the lowest level.
        encoder_weights: of a network of segmentation_models_pytorch, fetched ("imagenet"). For
            these seven, None is the architecture's own default (`NETWORK_ARGUMENTS`).
        chip: side of the training samples in pixels.
        balance: what chips are centred on: "none": any pixel, "class": each class as often,
            "instance": each instance as often (see `geounet.training.data.balance`).
        batch: chips that go through the network together, of all processes where several train
            together; None: as many as memory has room for, up to 8 on the CPU and 32 elsewhere, in
            each process.
        accumulate: such batches per step.
        epochs: times to train on `count_epoch_chips` chips, then validate.
        max_time_min: minutes after which to be done, learning rate and all, but not before one
            step and its validation; None: no limit.
        patience: epochs without a better one after which to be done; None: no limit.
        optimiser: "muon", "adamw", or "sgd" as in the paper.
        lr: highest learning rate; None: found by a short range test.
        schedule: of the learning rate: "one-cycle", "cosine" or "plateau" (see `Schedule`).
        warm_up: share of the run in which the learning rate rises; None: the schedule's own.
        momentum: of SGD; 0.99 as in the paper.
        weight_decay: of each step, on weights; none on biases and norms.
        clip: largest norm of a step's gradient; 0: any.
        ema: largest decay of a moving average of the weights, which is kept where it is better (see
            `WeightAverage`); 0: none.
        loss_options: what is to be minimised.
        augment: how far chips are varied: key of `PRESETS`, or amplitudes of one's own.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        precision: arithmetic; "auto": bfloat16 where the hardware has it.
        workers: threads that read chips, in each process.
        max_memory: bytes that blocks of images and labels may take between chips, on a machine;
            None: half of what is free, at most 2 GB.
        seed: of the split, the weights, the chips and their augmentation.
        overwrite: replace the files of an earlier run in the run folder.
        resume: go on with the run in the run folder, if there is one.
        tensorboard: write event files for TensorBoard too.
    """

    bands: tuple[int, ...] | None = None
    classes: str | tuple[ClassInfo, ...] | None = None
    label_options: LabelOptions = LabelOptions()  # noqa: RUF009  frozen
    val_images: tuple[str | Path, ...] = ()
    val_labels: tuple[str | Path, ...] = ()
    val_fraction: float = 0.1
    aoi: str | Path | None = None
    bbox: Bounds | None = None
    architecture: str | None = None
    init: str | Path | None = None
    width: int | None = None
    depth: int | None = None
    padding: Padding | None = None
    norm: Norm | None = None
    blocks: tuple[int, ...] | None = None
    dropout: float | None = None
    encoder_weights: str | None = None
    chip: int = 256
    balance: Balance = "none"
    batch: int | None = 8
    accumulate: int = 1
    epochs: int = 28
    max_time_min: float | None = None
    patience: int | None = None
    optimiser: Optimiser = "muon"
    lr: float | None = 5e-3
    schedule: ScheduleName = "plateau"
    warm_up: float | None = None
    momentum: float = 0.99
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.9999
    loss_options: LossOptions = LossOptions()  # noqa: RUF009  frozen
    augment: Augment | AugmentOptions = "standard"
    device: str = "auto"
    precision: TrainPrecision = "auto"
    workers: int = 2
    max_memory: int | None = None
    seed: int = 0
    overwrite: bool = False
    resume: bool = False
    tensorboard: bool = False

    def __post_init__(self) -> None:
        for names, is_legal, legal in NUMBERS:
            for name in names:
                value = getattr(self, name)
                if value is not None and not is_legal(value):
                    option = name.removesuffix("_min").replace("_", "-")
                    raise UsageError(f"--{option} is {value}; give {legal}")
        if bool(self.val_images) != bool(self.val_labels):
            raise UsageError("--val-images and --val-labels go together; give both or none")
        if self.resume and self.overwrite:
            raise UsageError("--resume goes on with a run, --overwrite starts anew; give one")

    @property
    def max_time_s(self) -> float | None:
        """The time limit in seconds."""
        return None if self.max_time_min is None else 60 * self.max_time_min

    @property
    def labelling(self) -> LabelOptions:
        """How the labels are to be understood: for border weights, with gaps to be weighted.

        To be balanced by instance, features are told from each other, if without gaps.
        """
        if self.label_options.separate_px is not None:
            return self.label_options
        if self.loss_options.borders is not None:
            return replace(self.label_options, separate_px=1)
        return replace(self.label_options, separate_px=0 if self.balance == "instance" else None)

    @property
    def augmentation(self) -> AugmentOptions:
        """How far chips are varied."""
        return PRESETS[self.augment] if isinstance(self.augment, str) else self.augment

    @property
    def network(self) -> tuple[str, dict[str, Any]]:
        """The architecture, and all its keyword arguments except bands and classes.

        Raises:
            UsageError: there is no such architecture, it takes no such argument, or `init` is
                another.
            ModelError: `init` is no model of geounet's.
        """
        given = {name: getattr(self, name) for name in ARGUMENT_NAMES}
        given = {name: value for name, value in given.items() if value is not None}
        return resolve_network(self.architecture, self.init, given)


def count_epoch_chips(training_pixels: int, chip: int) -> int:
    """Chips of one epoch: enough to cover the training pixels twice, but 192 to 2048.

    So small scenes train for as many steps as middling ones, and large ones are validated while
    there is still time to stop. Chips lie anywhere; no epoch visits every pixel.
    """
    fewest, most = EPOCH_CHIPS
    return min(max(EPOCH_COVERAGE * training_pixels // chip**2, fewest), most)
