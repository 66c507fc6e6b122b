"""What a cluster's driver and its workers say to each other."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geounet.errors import UsageError
from geounet.inference.options import PredictOptions
from geounet.inference.running.beginning import Outline
from geounet.inference.running.loading import ModelLike
from geounet.inference.running.preparation import ImageLike
from geounet.models import Model
from geounet.raster import find_local


@dataclass(frozen=True)
class Order:
    """A scene to be mapped. Paths mean the same on every machine.

    Attributes:
        image: as for `predict`.
        models: files.
        output: the mask.
        options: how; without polygons.
        share: processes that share the memory that the options allow.
    """

    image: ImageLike
    models: tuple[str, ...]
    output: Path
    options: PredictOptions
    share: int


@dataclass(frozen=True)
class Outlined:
    """What a worker says of a scene before its first part.

    Attributes:
        outline: what decides its job.
        engine: what will run the network.
        device: where.
        precision: in which arithmetic.
    """

    outline: Outline
    engine: str
    device: str
    precision: str


@dataclass(frozen=True)
class PartsDone:
    """What a worker says of parts, whose drafts are on disk.

    Attributes:
        counts: pixels by class value, int64 (256,).
        tiles: tiles computed.
        tiles_skipped: those without a valid pixel, which skip the network.
        stage_s: seconds spent in each stage.
        elapsed_s: seconds in all.
        peak_memory_bytes: the most main memory that the process has held so far.
    """

    counts: NDArray[np.int64]
    tiles: int
    tiles_skipped: int
    stage_s: dict[str, float]
    elapsed_s: float
    peak_memory_bytes: int


def make_order(
    image: ImageLike, output: Path, models: tuple[str, ...], options: PredictOptions, share: int
) -> Order:
    """A scene as workers are told of it: with paths that do not depend on a current folder."""
    files: ImageLike = (
        _locate(image) if isinstance(image, str | Path) else [_locate(one) for one in image]
    )
    options = replace(
        options,
        aoi=None if options.aoi is None else _locate(options.aoi),
        confidence=options.confidence and options.confidence.absolute(),
        scores=options.scores and options.scores.absolute(),
        polygons=None,
        cluster=None,
    )
    return Order(files, models, output.absolute(), options, share)


def locate_models(model: ModelLike | Sequence[ModelLike]) -> tuple[str, ...]:
    """Files of models, as workers find them.

    Raises:
        UsageError: one is no file.
    """
    given = [model] if isinstance(model, str | Path | Model) else list(model)
    if any(isinstance(one, Model) for one in given):
        raise UsageError("workers load the model by themselves; give its file, not the model")
    return tuple(_locate(one) for one in given if not isinstance(one, Model))


def _locate(path: str | Path) -> str:
    return os.fspath(path) if find_local(path) is None else os.fspath(Path(path).absolute())
