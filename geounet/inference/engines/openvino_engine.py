"""OpenVINO on the CPU: the predictor converted once, and compiled for each shape of batches."""

from __future__ import annotations

import importlib.util
import warnings
from functools import lru_cache, partial
from threading import Lock
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geounet.errors import UsageError
from geounet.inference.engines.engine import Outputs, Pending, is_out_of_memory
from geounet.inference.engines.predictor import SOUND, Predictor
from geounet.inference.engines.runtime import Runtime

DTYPES = ("uint8", "int8", "uint16", "int16", "float32")
"""Scenes that it computes as exactly as torch: it has no float64 on the CPU."""

SHAPES_KEPT = 2
"""Shapes of tiles for which the compiled model is kept."""


class OpenVinoEngine:
    """OpenVINO on the CPU, for scenes of one dtype.

    The tiles of a batch are computed one after the other: as fast, and compiled for their shape
    only. One shape holds memory for its activations at a time.
    """

    name = "openvino"
    ahead = 0

    def __init__(self, predictor: Predictor, runtime: Runtime, dtype: np.dtype[Any]) -> None:
        self.geometry, self.request = predictor.geometry, predictor.request
        self.classes = len(predictor.values)
        self.runtime = runtime
        self._dtype = np.dtype(np.float32) if dtype == np.uint16 else dtype
        self._model = _convert(predictor.eval(), self._dtype)
        self._compiled = lru_cache(SHAPES_KEPT)(partial(_compile, self._model, runtime))
        self._latest: Any = None
        self._lock = Lock()  # a compiled model computes one tile at a time

    def submit(self, image: NDArray[np.generic], valid: NDArray[np.bool_]) -> Pending:
        """See `Engine`."""
        return partial(self, image, valid)

    def __call__(self, image: NDArray[np.generic], valid: NDArray[np.bool_]) -> Outputs:
        """See `Engine`."""
        # the converter does not know uint16; float32 holds all of them
        pixels = image.astype(self._dtype, copy=False)
        try:
            with self._lock:
                run = self._find_compiled((1, *pixels.shape[1:]))
                tiles = [run([pixels[i : i + 1], valid[i : i + 1]]) for i in range(len(pixels))]
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise MemoryError(str(error)) from error
        kinds = _order(self.request.kinds)
        return {kind: _join([tile[i] for tile in tiles]) for i, kind in enumerate(kinds)}

    def rest(self) -> None:
        """See `Engine`."""
        with self._lock:
            if self._latest is not None:
                self._latest.release_memory()

    def _find_compiled(self, shape: tuple[int, ...]) -> Any:  # noqa: ANN401 - has no types
        compiled = self._compiled(shape)
        if self._latest is not None and self._latest is not compiled:
            self._latest.release_memory()
        self._latest = compiled
        return compiled


def fits_openvino(runtime: Runtime, dtype: np.dtype[Any]) -> bool:
    """Whether OpenVINO is installed and can run this."""
    return (
        runtime.device.type == "cpu"
        and dtype.name in DTYPES
        and importlib.util.find_spec("openvino") is not None
    )


def check_openvino(runtime: Runtime, dtype: np.dtype[Any]) -> None:
    """Say why OpenVINO cannot run this.

    Raises:
        UsageError: it is not installed, or has no such device or dtype.
    """
    if importlib.util.find_spec("openvino") is None:
        raise UsageError("--engine openvino is not installed; pip install 'geounet[openvino]'")
    if runtime.device.type != "cpu":
        raise UsageError(f"--engine openvino runs on the CPU, not on {runtime.device}")
    if dtype.name not in DTYPES:
        raise UsageError(f"--engine openvino cannot read {dtype}; use --engine torch")


def _order(kinds: tuple[str, ...]) -> tuple[str, ...]:
    return *sorted(kinds), SOUND


def _join(arrays: list[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(arrays) if len(arrays) > 1 else arrays[0]


def _convert(predictor: Predictor, dtype: np.dtype[Any]) -> Any:  # noqa: ANN401 - has no types
    """The predictor as an OpenVINO model of any shape of batches.

    By tracing a small tile: 0.3 s, as a function, since a module is compiled piece by piece first,
    which takes as long again. `openvino.convert_model` of a `torch.export` takes 6 s and
    gives a model of one shape.
    """
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    geometry, bands = predictor.geometry, len(cast(Tensor, predictor.members[0].offset))
    side = geometry.stride + 2 * geometry.read_margin
    image = torch.from_numpy(np.zeros((1, bands, side, side), dtype))
    valid = torch.ones((1, side, side), dtype=torch.bool)

    def run(image: Tensor, valid: Tensor) -> tuple[Tensor, ...]:
        outputs = predictor(image, valid)
        return tuple(outputs[kind] for kind in _order(predictor.request.kinds))

    with warnings.catch_warnings(), torch.inference_mode():
        # tracing is called deprecated, and is the only way that keeps sizes symbolic here
        warnings.filterwarnings("ignore", ".*is deprecated", FutureWarning)
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            run, (image, valid), check_trace=False
        )
        decoder = TorchScriptPythonDecoder(traced)  # must outlive the conversion
        frontend = FrontEndManager().load_by_framework("pytorch")
        return frontend.convert(frontend.load(decoder))


def _compile(model: Any, runtime: Runtime, shape: tuple[int, ...]) -> Any:  # noqa: ANN401
    import openvino

    fixed = model.clone()
    fixed.reshape({0: list(shape), 1: [shape[0], *shape[2:]]})
    precision = "bf16" if runtime.precision == "bfloat16" else "f32"
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),  # workers share the cores by this
    }
    return openvino.Core().compile_model(fixed, "CPU", settings)
