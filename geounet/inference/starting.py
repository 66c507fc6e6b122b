"""Which engine runs a model, decided by rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from torch import nn

from geounet.inference.cuda_engine import CudaEngine
from geounet.inference.engine import Engine, TorchEngine
from geounet.inference.openvino_engine import OpenVinoEngine, check_openvino, fits_openvino
from geounet.inference.options import PredictOptions
from geounet.inference.predictor import Predictor, Request
from geounet.inference.runtime import Runtime, resolve_runtime
from geounet.models import Model, ModelSpec

_started: WeakKeyDictionary[nn.Module, tuple[object, Engine]] = WeakKeyDictionary()
"""The last engine of each network, for the next scene: it lives as long as the network does."""


def make_engine(
    network: nn.Module, spec: ModelSpec, runtime: Runtime, request: Request | None = None
) -> Engine:
    """An engine for one trained network, which is left as it is.

    Raises:
        ModelError: the network cannot be tiled exactly.
    """
    return make_ensemble([(network, spec)], runtime, request or Request())


def make_ensemble(
    members: Sequence[tuple[nn.Module, ModelSpec]], runtime: Runtime, request: Request
) -> Engine:
    """A torch engine that averages the probabilities of several networks of the same classes.

    Raises:
        ModelError: a network cannot be tiled exactly.
    """
    predictor = Predictor(members, request)
    is_cuda = runtime.device.type == "cuda"
    return CudaEngine(predictor, runtime) if is_cuda else TorchEngine(predictor, runtime)


def start_engine(models: Sequence[Model], dtype: np.dtype[Any], options: PredictOptions) -> Engine:
    """The engine that is meant for scenes of a dtype; "auto" by rule: OpenVINO where it can run.

    The same models get the same engine again, so that a list of scenes compiles once.

    Raises:
        UsageError: the engine that is asked for cannot run this.
        ModelError: a network cannot be tiled exactly.
    """
    runtime = resolve_runtime(options.device, options.precision)
    request = Request(
        confidence=options.confidence is not None,
        scores=options.scores_dtype if options.scores else None,
        tta=options.tta,
    )
    is_openvino = options.engine == "openvino"
    if is_openvino:
        check_openvino(runtime, dtype)
    elif options.engine == "auto":
        is_openvino = fits_openvino(runtime, dtype)
    members = [(one.network, one.spec) for one in models]
    key = ([id(network) for network, _ in members], runtime, request, is_openvino and dtype)
    found, engine = _started.get(models[0].network, (None, None))
    if engine is None or found != key:
        if is_openvino:
            engine = OpenVinoEngine(Predictor(members, request), runtime, dtype)
        else:
            engine = make_ensemble(members, runtime, request)
        _started[models[0].network] = (key, engine)
    return engine
