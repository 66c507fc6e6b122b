"""Static quantisation of an ONNX file to int8, by onnxruntime.

Weights are int8 with a scale per channel, activations uint8 with a scale per feature map, found
from the values that they take on images of the user (Jacob et al. 2018, arXiv:1712.05877). The
convolution that gives the scores stays in float32: its output would have 256 steps.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

OPERATIONS = ["Conv", "ConvTranspose", "MaxPool", "Concat", "Add", "Relu", "Resize"]
"""What is quantised; normalisation and softmax are not."""


class _Images:
    """Hands images to onnxruntime, one after the other."""

    def __init__(self, name: str, images: Sequence[NDArray[np.float32]]) -> None:
        self._feeds: Iterator[dict[str, Any]] = iter([{name: image} for image in images])

    def get_next(self) -> dict[str, Any] | None:
        """The next input; None at the end."""
        return next(self._feeds, None)


def quantise(path: Path, images: Sequence[NDArray[np.float32]]) -> None:
    """Make a float32 ONNX file an int8 one, in place.

    Args:
        path: the file.
        images: (N, bands, H, W) each, as the file takes them.
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    graph = onnx.load(path).graph
    CalibrationDataReader.register(_Images)
    logging.disable(logging.WARNING)  # it advises to optimise the file first, which is done
    try:
        quantize_static(
            path,
            path,
            _Images(graph.input[0].name, images),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=OPERATIONS,
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
            calibrate_method=CalibrationMethod.MinMax,
            nodes_to_exclude=[_find_head(graph)],
        )
    finally:
        logging.disable(logging.NOTSET)


def _find_head(graph: Any) -> str:  # noqa: ANN401 - protobuf has no types
    """The name of the last convolution."""
    names = [node.name for node in graph.node if node.op_type in ("Conv", "ConvTranspose")]
    return str(names[-1])
