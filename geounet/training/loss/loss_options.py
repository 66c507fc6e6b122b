"""What is to be minimised. Each default is written here and nowhere else. Pure: no torch."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from geounet.errors import UsageError

ClassWeights = Literal["none", "inverse", "effective"]

TERMS: dict[str, tuple[float, ...]] = {
    "ce": (),
    "focal": (2.0,),
    "dice": (),
    "iou": (),
    "tversky": (0.3, 0.7),
    "lovasz": (),
}
"""Losses with the defaults of their parameters: focal:GAMMA, tversky:ALPHA:BETA."""

REACH = 5.3
"""Sigmas: exp(-REACH^2 / 2) < 1e-6."""

MAX_SIGMA_PX = 32.0
"""So far as REACH says from it, instances are looked for around each chip."""

NUMBER = r"\d+(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+"
TERM = re.compile(rf"(?:({NUMBER})\*)?([a-z]+)((?::(?:{NUMBER}))*)")


@dataclass(frozen=True)
class LossTerm:
    """One loss of a sum.

    Attributes:
        name: key of `TERMS`.
        factor: what it is multiplied with.
        parameters: as many as `TERMS` has for it.
    """

    name: str
    factor: float
    parameters: tuple[float, ...]


@dataclass(frozen=True)
class BorderWeights:
    """The constants of the paper's equation 2.

    Attributes:
        weight: w0.
        sigma_px: sigma.
    """

    weight: float
    sigma_px: float

    @property
    def reach_px(self) -> int:
        """Distance from which on an instance does not matter."""
        return math.ceil(REACH * self.sigma_px)


@dataclass(frozen=True, kw_only=True)  # no slots: the command line reads the defaults
class LossOptions:
    """What is to be minimised.

    Attributes:
        loss: a sum of losses, as `parse_loss` reads it.
        class_weights: how much pixels of rare classes count more in ce and focal: not at all, by
            the inverse of their share, or by the effective number of their samples.
        label_smoothing: share of each label that is spread over all classes, in ce and focal.
        border_weight: w0 of the paper's equation 2, how much more a pixel counts in a narrow gap
            between two instances; 0: no such weights.
        border_sigma_px: sigma in it, how wide a gap may be.
    """

    loss: str = "ce+dice"
    class_weights: ClassWeights = "none"
    label_smoothing: float = 0.0
    border_weight: float = 0.0
    border_sigma_px: float = 5.0

    def __post_init__(self) -> None:
        parse_loss(self.loss)
        if not 0 <= self.label_smoothing < 1:
            raise UsageError(
                f"--label-smoothing is {self.label_smoothing}; give a share from 0 to below 1"
            )
        if not 0 <= self.border_weight < math.inf:
            raise UsageError(f"--border-weight is {self.border_weight}; give 0 or more, as 10")
        if not 0 < self.border_sigma_px <= MAX_SIGMA_PX:
            raise UsageError(
                f"--border-sigma is {self.border_sigma_px} px; give above 0 to {MAX_SIGMA_PX}"
            )

    @property
    def borders(self) -> BorderWeights | None:
        """How borders between instances are weighted; None: not at all."""
        if not self.border_weight:
            return None
        return BorderWeights(self.border_weight, self.border_sigma_px)

    @property
    def terms(self) -> tuple[LossTerm, ...]:
        """The losses that are summed."""
        return parse_loss(self.loss)


def parse_loss(text: str) -> tuple[LossTerm, ...]:
    """`ce+dice`, `0.7*ce+0.3*tversky:0.3:0.7` -> its terms.

    Raises:
        UsageError: it is no such sum.
    """
    return tuple(_parse_term(part, text) for part in text.replace(" ", "").split("+"))


def _parse_term(part: str, text: str) -> LossTerm:
    match = TERM.fullmatch(part)
    if match is None or match[2] not in TERMS:
        raise UsageError(
            f"--loss {text}: {part!r} is no loss; choose from {', '.join(TERMS)}, "
            "in sums like 0.7*ce+0.3*dice"
        )
    factor, name = float(match[1] or 1), match[2]
    defaults = TERMS[name]
    parameters = tuple(float(number) for number in match[3].split(":")[1:])
    if len(parameters) not in (0, len(defaults)):
        example = ":".join([name, *(f"{value:g}" for value in defaults)])
        raise UsageError(
            f"--loss {text}: {name} has {len(defaults)} parameters, found {len(parameters)}; "
            f"write {example}"
        )
    if factor <= 0 or (parameters and max(parameters) <= 0):
        raise UsageError(f"--loss {text}: {part!r} has no effect; give numbers above 0")
    return LossTerm(name, factor, parameters or defaults)
