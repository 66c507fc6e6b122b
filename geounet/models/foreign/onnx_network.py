"""An ONNX file as a network, run by onnxruntime."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from geounet.errors import ModelError
from geounet.models.foreign.file import check_input

if TYPE_CHECKING:
    import onnxruntime

TYPES: dict[str, np.dtype[Any]] = {
    "tensor(float)": np.dtype("float32"),
    "tensor(float16)": np.dtype("float16"),
}

GPU = "CUDAExecutionProvider"

GPU_OPTIONS = {"use_tf32": 0, "cudnn_conv_algo_search": "HEURISTIC"}
"""By default float32 would be multiplied as TF32, and algorithms be chosen by their time, which is
another result from run to run."""


class OnnxNetwork(nn.Module):
    """(N, bands, H, W) -> what the file gives of it, in the precision it was exported in.

    Tiles are computed one by one, whatever the batch: many files have a batch of 1 written into
    them, and a result must not depend on its neighbours.

    Attributes:
        side: height and width of the input if the file fixes them, else None.
        bands: input bands, if the file fixes them.
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        list_external_files(path)
        self.path = path
        self._sessions: dict[tuple[str, int], onnxruntime.InferenceSession] = {}
        cpu = self._open(torch.device("cpu"))
        inputs, outputs = cpu.get_inputs(), cpu.get_outputs()
        if len(inputs) != 1 or inputs[0].type not in TYPES:
            found = ", ".join(f"{one.type} {one.shape}" for one in inputs)
            raise ModelError(f"{path} takes {found}; a model takes one tensor(float)")
        self._input, self._output = inputs[0].name, outputs[0].name
        self._dtype = TYPES[inputs[0].type]
        sizes = [size if isinstance(size, int) else None for size in inputs[0].shape]
        self.bands, self.side = check_input(path, sizes)

    def forward(self, x: Tensor) -> Tensor:
        """Run the file on each tile."""
        session = self._open(x.device)
        images = x.detach().cpu().numpy().astype(self._dtype)
        try:
            results = [
                session.run([self._output], {self._input: images[i : i + 1]})[0]
                for i in range(len(images))
            ]
        except _failures() as error:
            reason = " ".join(str(error).split())[:300]
            if "allocate memory" in reason or "bad_alloc" in reason:
                raise MemoryError(reason) from error
            raise ModelError(f"{self.path} fails on {tuple(images.shape[1:])}: {reason}") from error
        return torch.from_numpy(np.concatenate(results)).to(x.device)

    def __deepcopy__(self, memo: dict[int, Any]) -> OnnxNetwork:
        """Itself: nothing in it ever changes."""
        return self

    def _open(self, device: torch.device) -> onnxruntime.InferenceSession:
        """The session of a device; CUDA where this onnxruntime was built for it."""
        import onnxruntime

        is_gpu = device.type == "cuda" and GPU in onnxruntime.get_available_providers()
        index = device.index or 0
        providers: list[Any] = ["CPUExecutionProvider"]
        if is_gpu:
            providers.insert(0, (GPU, {"device_id": index, **GPU_OPTIONS}))
        key = (GPU, index) if is_gpu else ("CPUExecutionProvider", 0)
        if key not in self._sessions:
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 4  # it would print
            options.intra_op_num_threads = torch.get_num_threads()
            try:
                self._sessions[key] = onnxruntime.InferenceSession(
                    str(self.path), options, providers
                )
            except _failures() as error:
                reason = " ".join(str(error).split())[:300]
                raise ModelError(f"{self.path} is no ONNX model that runs: {reason}") from error
        return self._sessions[key]


def list_external_files(path: Path) -> list[Path]:
    """The files beside an ONNX file that hold some of its weights.

    Older versions of onnxruntime follow any path, and read addresses of memory that a file names:
    this is called before they see it.

    Raises:
        ModelError: the onnx package is not installed, or the file names anything else.
    """
    _check_installed(path)
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path, load_external_data=False)
    except DecodeError as error:
        raise ModelError(f"{path} is damaged or something else, not an ONNX model") from error
    names = {
        entry.value
        for tensor in _find_tensors(model)
        for entry in tensor.external_data
        if entry.key == "location"
    }
    for name in names:
        if Path(name).name != name or not (path.parent / name).is_file():
            raise ModelError(f"{path} has weights in {name!r}, which is no file beside it")
    return sorted(path.parent / name for name in names)


def _find_tensors(message: Any) -> Iterator[Any]:  # noqa: ANN401 - protobuf has no types
    """All tensors of an ONNX model, wherever they are: weights, attributes, graphs in graphs."""
    if message.DESCRIPTOR.name == "TensorProto":
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for item in value if isinstance(value, Iterable) else [value]:
                yield from _find_tensors(item)


def _check_installed(path: Path) -> None:
    if any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxruntime")):
        raise ModelError(
            f"{path} needs packages that are not installed; pip install 'geounet[onnx]'"
        )


def _failures() -> tuple[type[Exception], ...]:
    """What onnxruntime raises: classes of its own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    names = (
        "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoModel", "NoSuchFile",
        "NotImplemented", "RuntimeException", "EPFail",
    )  # fmt: skip
    return tuple(getattr(state, name) for name in names)
