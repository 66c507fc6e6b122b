"""What quantisation to int8 costs and what it saves."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from geounet.classes import NODATA
from geounet.evaluation.measures.confusion import ConfusionMatrix
from geounet.inference import Sample
from geounet.models import ForeignNetwork, ModelSpec, load_model, predict_probabilities

ROUNDS = 3
"""Times that each file is timed; the fastest counts."""


@dataclass(frozen=True)
class Int8Loss:
    """An int8 file against the float32 one, on windows that did not calibrate it.

    Attributes:
        windows: how many.
        float_iou: mean IoU of the float32 file with the labels; None: there are none.
        int8_iou: mean IoU of the int8 file with the labels; without labels, with the mask of the
            float32 file.
        labels_changed: share of the valid pixels whose class is another.
        mean_difference: of a probability between the two files, on the valid pixels.
        float_mpx_per_s: million pixels per second of the float32 file, here.
        int8_mpx_per_s: of the int8 file.
    """

    windows: int
    float_iou: float | None
    int8_iou: float | None
    labels_changed: float
    mean_difference: float
    float_mpx_per_s: float
    int8_mpx_per_s: float

    @property
    def loss(self) -> float | None:
        """What is lost of the mean IoU; None if it is undefined."""
        if self.int8_iou is None:
            return None
        return (1.0 if self.float_iou is None else self.float_iou) - self.int8_iou


def measure_loss(floating: Path, int8: Path, samples: Sequence[Sample]) -> Int8Loss:
    """Run both files on windows of scenes."""
    spec = load_model(floating).spec
    files = [cast(ForeignNetwork, load_model(path).network) for path in (floating, int8)]
    against = [ConfusionMatrix(spec.classes) for _ in files]
    values = np.array([item.value for item in spec.classes], np.uint8)
    changed, gap, valid, pixels, seconds = 0, 0.0, 0, 0, [0.0, 0.0]
    for sample in samples:
        found, elapsed = zip(*(_predict(file, sample, spec) for file in files), strict=True)
        seconds = [total + time_s for total, time_s in zip(seconds, elapsed, strict=True)]
        masks = [
            np.where(sample.valid, values[one.argmax(axis=0)], np.uint8(NODATA)) for one in found
        ]
        truth = masks[0] if sample.labels is None else sample.labels
        for matrix, mask in zip(against, masks, strict=True):
            matrix.add(truth, mask)
        gap += float(np.abs(found[0] - found[1]).mean(axis=0)[sample.valid].sum())
        changed += int((masks[0] != masks[1]).sum())
        valid += int(sample.valid.sum())
        pixels += sample.valid.size
    has_labels = samples[0].labels is not None
    rates = [pixels / 1e6 / second for second in seconds]
    return Int8Loss(
        windows=len(samples),
        float_iou=against[0].metrics().mean_iou if has_labels else None,
        int8_iou=against[1].metrics().mean_iou,
        labels_changed=changed / valid,
        mean_difference=gap / valid,
        float_mpx_per_s=rates[0],
        int8_mpx_per_s=rates[1],
    )


def _predict(
    file: ForeignNetwork, sample: Sample, spec: ModelSpec
) -> tuple[NDArray[np.float32], float]:
    """The probabilities (K, H, W) of a window, and the seconds that they take."""
    elapsed = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        found = predict_probabilities(file, sample.image, spec)
        elapsed.append(time.perf_counter() - started)
    return found, min(elapsed)
