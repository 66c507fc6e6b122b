"""How long work reports on itself: the library calls back, the caller draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a long run.

    Attributes:
        stage: what is being done, for example "predict"; a new stage starts a new bar.
        done: units finished in this stage.
        total: units in this stage; None if not known.
        unit: what is counted, for example "px".
        values: figures worth showing beside the bar.
    """

    stage: str
    done: int
    total: int | None
    unit: str
    values: Mapping[str, float] = field(default_factory=dict)


ProgressCallback = Callable[[Progress], None]


def ignore_progress(progress: Progress) -> None:
    """Report to nobody."""
