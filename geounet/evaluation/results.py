"""What an evaluation has found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geounet.classes import ClassInfo
from geounet.evaluation.bootstrap import LEVEL
from geounet.evaluation.measures.confusion import ConfusionMatrix
from geounet.evaluation.measures.metrics import Metrics
from geounet.raster import Window


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number, and how sure it is.

    Attributes:
        value: None if undefined.
        low: lower end of its 95 % interval; None if there is none.
        high: upper end.
    """

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Results:
    """The numbers of one scene, or of all together as if they were one.

    Attributes:
        confusion: pixels by class of label and mask.
        values: every metric by name, `miou` or `iou.road`, in the order of the families.
        details: counts, curves and tables by family, ready for JSON.
    """

    confusion: ConfusionMatrix
    values: Mapping[str, Estimate]
    details: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def metrics(self) -> Metrics:
        """Those of pixels."""
        return self.confusion.metrics()

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: undefined is None, which becomes null."""
        return {
            "metrics": self.metrics.to_dict(),
            "values": {name: asdict(value) for name, value in self.values.items()},
            "confusion": self.confusion.counts.tolist(),
            "unpredicted": self.confusion.unpredicted.tolist(),
            "details": {name: dict(detail) for name, detail in self.details.items()},
        }


@dataclass(frozen=True)
class Blocks:
    """The blocks of a scene that have pixels which count, row by row.

    Attributes:
        windows: their pixels on the mask's grid, as far as they are in the area.
        counts: int64 (N, K, K), the confusion matrix of each.
        agreement: int64 (N, 4) if two masks are compared: pixels where both are right, only the
            mask, only the other, and neither.
    """

    windows: tuple[Window, ...]
    counts: NDArray[np.int64]
    agreement: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class SceneEvaluation:
    """One mask against its labels.

    Attributes:
        mask: the file.
        labels: the file.
        results: the numbers.
        blocks: where they come from.
        notes: what was done to bring the two together.
        scores: the file of probabilities, if there is one.
        image: what the mask was made of, if that is known.
        is_kept: whether mask and scores are still there afterwards.
    """

    mask: str
    labels: str
    results: Results
    blocks: Blocks
    notes: tuple[str, ...]
    scores: str | None = None
    image: str | None = None
    is_kept: bool = True

    @property
    def name(self) -> str:
        """The mask, or the image of one that is not kept."""
        return self.mask if self.image is None or self.is_kept else self.image

    @property
    def confusion(self) -> ConfusionMatrix:
        """Pixels by class of label and mask."""
        return self.results.confusion

    @property
    def metrics(self) -> Metrics:
        """Those of pixels of this mask alone."""
        return self.results.metrics

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        mask, scores = (self.mask, self.scores) if self.is_kept else (None, None)
        files = {"image": self.image, "mask": mask, "labels": self.labels, "scores": scores}
        numbers = self.results.to_dict()
        return {**files, "blocks": len(self.blocks.windows), **numbers, "notes": list(self.notes)}


@dataclass(frozen=True)
class SceneComparison:
    """Another mask of a scene, on the pixels that both have.

    Attributes:
        other: the file.
        results: its numbers.
        differences: the mask's metrics minus the other's.
    """

    other: str
    results: Results
    differences: Mapping[str, Estimate]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"other": self.other, **_compare_to_dict(self.results, self.differences)}


@dataclass(frozen=True)
class Comparison:
    """Other masks of the scenes.

    Attributes:
        scenes: one by one.
        results: their numbers together.
        differences: metrics of the masks minus those of the others, drawn in pairs: where 0 is
            outside of the interval, one is better.
        agreement: pixels where both are right, only the mask, only the other, and neither.
    """

    scenes: tuple[SceneComparison, ...]
    results: Results
    differences: Mapping[str, Estimate]
    agreement: tuple[int, int, int, int]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        names = ("both_right", "only_mask_right", "only_other_right", "both_wrong")
        return {
            **_compare_to_dict(self.results, self.differences),
            "agreement": dict(zip(names, self.agreement, strict=True)),
            "scenes": [scene.to_dict() for scene in self.scenes],
        }


@dataclass(frozen=True)
class Resampling:
    """How intervals were found.

    Attributes:
        resamples: how often blocks were drawn; 0: there are no intervals.
        block_px: side of the blocks in pixels.
        blocks: how many there were, in all scenes.
        seed: of the draws.
    """

    resamples: int
    block_px: int
    blocks: int
    seed: int


@dataclass(frozen=True)
class Failed:
    """A metric that is not as it should be.

    Attributes:
        metric: its name.
        value: None if undefined.
        wanted: "at least" or "at most".
        limit: what it should be.
    """

    metric: str
    value: float | None
    wanted: str
    limit: float


@dataclass(frozen=True)
class Evaluation:
    """Masks against their labels, each and together.

    Attributes:
        scenes: one by one.
        results: the numbers of all.
        resampling: how intervals were found.
        notes: what was done to bring masks and labels together, and what was left out.
        failed: what is not as `fail_under` and `fail_over` want it.
        comparison: with other masks, if there are any.
    """

    scenes: tuple[SceneEvaluation, ...]
    results: Results
    resampling: Resampling
    notes: tuple[str, ...]
    failed: tuple[Failed, ...] = ()
    comparison: Comparison | None = None

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """The classes compared, sorted by value."""
        return self.confusion.classes

    @property
    def confusion(self) -> ConfusionMatrix:
        """Pixels by class of label and mask, of all."""
        return self.results.confusion

    @property
    def metrics(self) -> Metrics:
        """Those of pixels, over all masks as if they were one."""
        return self.results.metrics

    @property
    def values(self) -> Mapping[str, Estimate]:
        """Every metric over all masks, by name."""
        return self.results.values

    @property
    def details(self) -> Mapping[str, Mapping[str, Any]]:
        """Counts, curves and tables over all masks, by family."""
        return self.results.details

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: undefined is None, which becomes null."""
        compared = self.comparison and {"comparison": self.comparison.to_dict()}
        return {
            "classes": [asdict(item) for item in self.classes],
            **self.results.to_dict(),
            "intervals": {"level": LEVEL, **asdict(self.resampling)},
            "scenes": [scene.to_dict() for scene in self.scenes],
            **(compared or {}),
            "failed": [asdict(item) for item in self.failed],
            "notes": list(self.notes),
        }


def _compare_to_dict(results: Results, differences: Mapping[str, Estimate]) -> dict[str, Any]:
    minus = {name: asdict(value) for name, value in differences.items()}
    return {**results.to_dict(), "differences": minus}
