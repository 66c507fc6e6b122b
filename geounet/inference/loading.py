"""The models of a run and the engine that runs them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geounet.errors import ModelError, UsageError
from geounet.inference.engine import Engine, make_ensemble
from geounet.inference.openvino_engine import OpenVinoEngine, check_openvino, fits_openvino
from geounet.inference.options import PredictOptions
from geounet.inference.predictor import Predictor, Request
from geounet.inference.runtime import resolve_runtime
from geounet.models import Model, load_model

ModelLike = str | Path | Model


def load_models(models: ModelLike | Sequence[ModelLike]) -> list[Model]:
    """One model, or the members of an ensemble.

    Raises:
        UsageError: there is none.
        ModelError: one cannot be loaded, or their classes differ.
    """
    given = [models] if isinstance(models, str | Path | Model) else list(models)
    if not given:
        raise UsageError("there is no model; give one with --model")
    loaded = [one if isinstance(one, Model) else load_model(one) for one in given]
    first = loaded[0]
    for other in loaded[1:]:
        named = [[(c.value, c.name) for c in one.spec.classes] for one in (first, other)]
        if named[0] != named[1]:
            raise ModelError(
                f"{other.name} has the classes {named[1]}, {first.name} {named[0]}; "
                "the models of an ensemble must agree"
            )
    return loaded


def start_engine(models: Sequence[Model], dtype: np.dtype[Any], options: PredictOptions) -> Engine:
    """The engine that is meant for scenes of a dtype; "auto" by rule: OpenVINO where it can run.

    Raises:
        UsageError: the engine that is asked for cannot run this.
        ModelError: a network cannot be tiled exactly.
    """
    members = [(one.network, one.spec) for one in models]
    runtime = resolve_runtime(options.device, options.precision)
    request = Request(
        confidence=options.confidence is not None,
        scores=options.scores_dtype if options.scores else None,
        tta=options.tta,
    )
    if options.engine == "openvino":
        check_openvino(runtime, dtype)
    elif options.engine == "torch" or not fits_openvino(runtime, dtype):
        return make_ensemble(members, runtime, request)
    return OpenVinoEngine(Predictor(members, request), runtime)
