"""How good probabilities are: histograms of them in each block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geounet.classes import NODATA, ClassInfo
from geounet.evaluation.measures import calibration
from geounet.evaluation.measures.family import (
    Block,
    BlockSums,
    Piece,
    Scope,
    cut_blocks,
    divide,
    mean_of_defined,
    name_classes,
)
from geounet.raster import open_scene

UINT8_STEPS = 254
"""Scores of 8 bits are in such parts: exact."""

FLOAT_STEPS = 4 * UINT8_STEPS
"""What floats are rounded to, but for the Brier score and the log loss."""

FIXED = 2**30
"""Floats are added up as integers of this part, so that their order does not matter."""


@dataclass(frozen=True)
class ProbabilityFamily:
    """Metrics of scores.

    The sums are, one after the other: of each class the pixels of it by level of its probability,
    then those of others; by the highest probability the pixels of the class that has it, then the
    others; the Brier score's and the log loss's sums; the pixels.

    Attributes:
        classes: sorted by value; the bands of the scores.
        steps: levels of a probability are 0 to `steps`.
    """

    classes: tuple[ClassInfo, ...]
    steps: int = UINT8_STEPS
    name: str = "probability"

    @property
    def size(self) -> int:
        """2 (K + 1) (steps + 1) + 3."""
        return 2 * (len(self.classes) + 1) * (self.steps + 1) + 3

    def start(self, scope: Scope) -> ProbabilityAccumulator:
        """Count the scores of a scene."""
        return ProbabilityAccumulator(self, scope.block_px)

    def measure(self, sums: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
        """Metrics (...) of sums (..., size)."""
        classes, top, (brier, log_loss, pixels) = self.split(sums)
        ranking = calibration.measure_ranking(classes[..., 0, :], classes[..., 1, :])
        names = [item.name for item in self.classes]
        named = {
            "brier": divide(brier, pixels),
            "log_loss": divide(log_loss, pixels),
            "ece": calibration.measure_calibration(top[..., 0, :], top[..., 1, :]),
            "mean_average_precision": mean_of_defined(ranking["average_precision"]),
        }
        for metric, values in ranking.items():
            named |= name_classes(metric, names, values)
        return named

    def describe(self, sums: NDArray[Any]) -> dict[str, Any]:
        """The reliability diagram, and the precision-recall curve of each class."""
        classes, top, (_, _, pixels) = self.split(sums)
        names = [item.name for item in self.classes]
        return {
            "pixels": int(pixels),
            "steps": self.steps,
            "log_loss_clip": calibration.CLIP,
            "reliability": _describe_bins(top),
            "precision_recall": {
                name: _describe_curve(*pair) for name, pair in zip(names, classes, strict=True)
            },
        }

    def split(
        self, sums: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any], tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
        """Histograms (..., K, 2, steps + 1) and (..., 2, steps + 1), and the last three sums."""
        histograms = sums[..., :-3].reshape(*sums.shape[:-1], -1, 2, self.steps + 1)
        last = sums[..., -3], sums[..., -2], sums[..., -1]
        return histograms[..., :-1, :, :], histograms[..., -1, :, :], last


class ProbabilityAccumulator:
    """Counts the scores of a scene."""

    halo = 0

    def __init__(self, family: ProbabilityFamily, block_px: int) -> None:
        """In blocks of this side."""
        self._family, self._block_px = family, block_px
        self._sums: dict[Block, NDArray[np.float64]] = {}
        self._is_exact = False

    def add(self, piece: Piece) -> None:
        """Count a piece; without scores none of it."""
        if piece.scores is None or piece.scored is None:
            return
        self._is_exact = piece.scores.dtype == np.uint8
        for block, where in cut_blocks(piece.window, self._block_px):
            labels = piece.labels[where]
            counted = (labels != NODATA) & piece.scored[where]
            if counted.any():
                scores = piece.scores[(slice(None), *where)][:, counted]
                sums = self._sums.setdefault(block, np.zeros(self._family.size))
                self._count(sums, labels[counted], scores)

    def _count(
        self, sums: NDArray[np.float64], labels: NDArray[np.uint8], scores: NDArray[Any]
    ) -> None:
        """Labels (N,) with scores (K, N)."""
        steps = self._family.steps
        classes, top, _ = self._family.split(sums)
        levels = _to_levels(scores, steps)
        for k, (histograms, level) in enumerate(zip(classes, levels, strict=True)):
            histograms += _count_levels(level, labels != k, steps)
        winner = scores.argmax(axis=0)
        best = np.take_along_axis(levels, winner[None], axis=0)[0]
        top += _count_levels(best, winner != labels, steps)
        sums[-1] += labels.size
        if not self._is_exact:
            sums[-3:-1] += _sum_losses(scores, labels)

    def finish(self) -> BlockSums:
        """Of the blocks that have any."""
        for sums in self._sums.values() if self._is_exact else ():
            classes, _, _ = self._family.split(sums)
            sums[-3] = calibration.sum_brier(classes[:, 0], classes[:, 1])
            sums[-2] = calibration.sum_log_loss(classes[:, 0])
        return self._sums


def choose_steps(scores: Sequence[str | Path]) -> int:
    """How finely probabilities are to be told apart: as the finest file does.

    Raises:
        InputError: a file cannot be read.
    """
    for path in scores:
        with open_scene(path) as scene:
            if scene.dtype != np.uint8:
                return FLOAT_STEPS
    return UINT8_STEPS


def _to_levels(scores: NDArray[Any], steps: int) -> NDArray[np.int64]:
    if scores.dtype == np.uint8:
        return scores * np.int64(steps // UINT8_STEPS)
    levels: NDArray[np.int64] = np.rint(scores.astype(np.float64) * steps).astype(np.int64)
    return levels.clip(0, steps)


def _count_levels(
    levels: NDArray[np.int64], is_wrong: NDArray[np.bool_], steps: int
) -> NDArray[np.int64]:
    """Histograms (2, steps + 1): right, then wrong."""
    both = np.bincount(levels + is_wrong * (steps + 1), minlength=2 * (steps + 1))
    return both.reshape(2, -1)


def _sum_losses(scores: NDArray[Any], labels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The Brier score's and the log loss's sums of scores (K, N), in whole parts of `FIXED`."""
    p = scores.astype(np.float64)
    true = np.take_along_axis(p, labels[None].astype(np.intp), axis=0)[0]
    brier = (p**2).sum(axis=0) - 2 * true + 1
    log_loss = -np.log(np.clip(true, calibration.CLIP, 1.0))
    parts = [np.rint(loss * FIXED).astype(np.int64).sum() for loss in (brier, log_loss)]
    return np.array(parts) / FIXED


def _describe_bins(top: NDArray[Any]) -> list[dict[str, float | int | None]]:
    correct, confident, pixels = calibration.bin_confidence(*top)
    return [
        {
            "from": m / calibration.BINS,
            "to": (m + 1) / calibration.BINS,
            "confidence": confident[m] / pixels[m] if pixels[m] else None,
            "accuracy": correct[m] / pixels[m] if pixels[m] else None,
            "pixels": int(pixels[m]),
        }
        for m in range(calibration.BINS)
    ]


def _describe_curve(right: NDArray[Any], wrong: NDArray[Any]) -> dict[str, list[float | None]]:
    """At 128 thresholds."""
    every = (right.size - 1) // 127
    curves = (calibration.find_levels(right), *calibration.trace_curve(right, wrong))
    names = ("threshold", "precision", "recall")
    return {
        name: [None if value != value else float(value) for value in curve[::every]]
        for name, curve in zip(names, curves, strict=True)
    }
