"""The state of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geounet.classes import ClassInfo
from geounet.inference.engines.engine import Engine
from geounet.inference.planning.plan import Plan
from geounet.inference.running.job import Job
from geounet.inference.running.pipeline import Stopwatch
from geounet.inference.running.preparation import ImageLike, ScaledImage
from geounet.models import Model
from geounet.raster import SceneLike, open_scene

COUNTED = (1024, 4096)
"""Rows and columns of a mask that are counted at once: whole blocks, however wide the mask."""


@dataclass
class Run:
    """The state of a run: what is fixed, and what it counts."""

    image: ImageLike | ScaledImage
    scene: SceneLike
    models: Sequence[Model]
    engine: Engine
    plan: Plan
    job: Job
    outputs: dict[str, Path]
    watch: Stopwatch = field(default_factory=Stopwatch)
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    tiles: int = 0
    tiles_skipped: int = 0
    was_done: bool = False

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """Those of all models."""
        return self.models[0].spec.classes

    def name_bands(self, kind: str) -> list[str]:
        """What the bands of an output are called."""
        return [item.name for item in self.classes] if kind == "scores" else [kind]

    def count_classes(self, path: Path) -> None:
        """Count the classes of a mask, or of a part that an earlier run has computed."""
        with open_scene(path, allow_palette=True) as mask:
            for window in mask.grid.extent.blocks(*COUNTED):
                values, _ = mask.read(window)
                self.add_counts(values)

    def add_counts(self, values: NDArray[Any]) -> None:
        """Add to the pixels per class; in pieces, since bincount makes 8 bytes of each."""
        flat = values.reshape(-1)
        for start in range(0, flat.size, 2**20):
            self.counts += np.bincount(flat[start : start + 2**20], minlength=256)
