"""Which engine runs a model, decided by rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary, ref

import numpy as np
from torch import nn

from geounet.errors import UsageError
from geounet.inference.engines.blended_engine import (
    BlendedEngine,
    Members,
    choose_blend,
    fix_precision,
    is_file,
    name_engines,
    request_of_tiles,
)
from geounet.inference.engines.blending import Blend
from geounet.inference.engines.cuda_engine import CudaEngine
from geounet.inference.engines.engine import Engine, TorchEngine, count_changes
from geounet.inference.engines.openvino_engine import OpenVinoEngine, check_openvino, fits_openvino
from geounet.inference.engines.predictor import Predictor, Request
from geounet.inference.engines.runtime import Runtime, resolve_runtime
from geounet.inference.options import PredictOptions
from geounet.models import Model, ModelSpec

_started: WeakKeyDictionary[nn.Module, tuple[object, Engine]] = WeakKeyDictionary()
"""The last engine of each network, for the next scene: it lives as long as the network does."""


def make_engine(
    network: nn.Module, spec: ModelSpec, runtime: Runtime, request: Request | None = None
) -> Engine:
    """An engine for one trained network, which is left as it is.

    Raises:
        ModelError: the network cannot be tiled.
    """
    return make_ensemble([(network, spec)], runtime, request or Request())


def make_ensemble(members: Members, runtime: Runtime, request: Request) -> Engine:
    """A torch engine that averages the probabilities of several networks of the same classes.

    Networks without an exact tiling get blended tiles of their default side.

    Raises:
        ModelError: a network cannot be tiled.
    """
    return _make_engine(members, runtime, request, choose_blend(members, tile=None))


def start_engine(models: Sequence[Model], dtype: np.dtype[Any], options: PredictOptions) -> Engine:
    """The engine that is meant for scenes of a dtype; "auto" by rule: OpenVINO where it can run.

    The same models get the same engine again, so that a list of scenes compiles once.

    Raises:
        UsageError: the engine that is asked for cannot run this.
        ModelError: a network cannot be tiled.
    """
    members = [(one.network, one.spec) for one in models]
    runtime = resolve_runtime(options.device, options.precision)
    runtime = fix_precision(members, runtime, options.precision)
    request = Request(
        confidence=options.confidence is not None,
        scores=options.scores_dtype if options.scores else None,
        tta=options.tta,
    )
    is_openvino = options.engine == "openvino"
    if is_openvino:
        check_openvino(runtime, dtype)
        if any(is_file(network) for network, _ in members):
            raise UsageError("--engine openvino runs no exported file; leave --engine out")
    elif options.engine == "auto":
        is_openvino = fits_openvino(runtime, dtype) and not any(is_file(n) for n, _ in members)
    blend = choose_blend(members, options.tile)
    openvino = dtype if is_openvino else None
    key = ([_identify(network) for network, _ in members], runtime, request, blend, openvino)
    found, engine = _started.get(models[0].network, (None, None))
    if engine is None or found != key:
        engine = _make_engine(members, runtime, request, blend, openvino)
        _started[models[0].network] = (key, engine)
    return engine


def _identify(network: nn.Module) -> tuple[object, ...]:
    """The network and the state of its weights, which training changes in place."""
    weights = network.state_dict().values()
    return ref(network), *((w.data_ptr(), count_changes(w)) for w in weights)


def _make_engine(
    members: Members,
    runtime: Runtime,
    request: Request,
    blend: Blend | None,
    openvino: np.dtype[Any] | None = None,
) -> Engine:
    """The engine of networks whose tiles are exact, or blended; by OpenVINO for a dtype."""
    if blend is not None:
        predictor = Predictor(members, request_of_tiles(request), blend.tile)
    else:
        predictor = Predictor(members, request)
    engine: Engine
    if openvino is not None:
        engine = OpenVinoEngine(predictor, runtime, openvino)
    elif runtime.device.type == "cuda":
        engine = CudaEngine(predictor, runtime)
    else:
        engine = TorchEngine(predictor, runtime)
    if blend is not None:
        return BlendedEngine(engine, members, request, blend)
    engine.name = name_engines(engine, members)
    return engine
