"""An export form as a file: ONNX, torch.export or OpenVINO, with the spec inside."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from geounet.errors import ModelError, UsageError
from geounet.models.checkpoint import Model
from geounet.models.export.deepness import describe_for_deepness
from geounet.models.export.form import ExportForm, describe_export
from geounet.models.export.options import ExportOptions
from geounet.models.foreign.inside import KEY

OPSET = 18
"""Of ONNX: what torch's exporter writes without converting."""

LARGEST_SIDE = 2**16

OLDEST_TORCH = (2, 9)
"""The first whose exported graphs are as `ExportedNetwork` reads them."""

PACKAGES = {
    ".onnx": ("onnx", "onnxruntime", "onnxscript"),
    ".pt2": (),
    ".xml": ("onnx", "onnxruntime", "onnxscript", "openvino"),
}
"""What writing and checking a file needs, by its suffix."""

EXTRAS = {"openvino": "openvino"}
"""The extra that brings a package, if it is not `onnx`."""


def check_suffix(path: Path) -> None:
    """Refuse a format that is not written, or whose packages are missing.

    Raises:
        UsageError: says which formats there are, or what to install.
    """
    suffix = path.suffix.lower()
    if suffix not in PACKAGES:
        raise UsageError(f"{path} is no format of an export; name it {', '.join(PACKAGES)}")
    found = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if found < OLDEST_TORCH:
        raise UsageError(f"an export needs torch 2.9 or newer, this is {torch.__version__}")
    missing = [name for name in PACKAGES[suffix] if importlib.util.find_spec(name) is None]
    if missing:
        extras = sorted({EXTRAS.get(name, "onnx") for name in missing})
        raise UsageError(
            f"{path} needs what is not installed: {', '.join(missing)}; "
            f"pip install 'geounet[{','.join(extras)}]'"
        )


def list_files(path: Path) -> list[Path]:
    """The files that an export consists of, the one that is named last."""
    return [path.with_suffix(".bin"), path] if path.suffix.lower() == ".xml" else [path]


def write_export(
    program: Any,  # noqa: ANN401 - `torch.export.ExportedProgram`
    model: Model,
    path: Path,
    options: ExportOptions,
    change: Callable[[Path], None] | None = None,
) -> None:
    """Write the files of a traced form.

    Args:
        program: of `trace_form`.
        model: what is exported.
        path: `.onnx`, `.pt2` or `.xml`; nothing else is left beside it.
        options: as for the form.
        change: made to the ONNX file before it gets its metadata and is converted.
    """
    described = describe_export(model, path, options)
    spec = described.to_json()
    if path.suffix.lower() == ".pt2":
        with _quiet():
            torch.export.save(program, path, extra_files={KEY: spec})
        return
    graph = path.with_suffix(".onnx")
    _write_onnx(program, graph)
    if change is not None:
        change(graph)
    _finish_onnx(graph, {KEY: spec, **describe_for_deepness(described, options)})
    if graph != path:
        _convert_to_openvino(graph, path, spec)
        graph.unlink()


def trace_form(form: ExportForm, model: Model, options: ExportOptions) -> Any:  # noqa: ANN401
    """The form as a graph, dynamic in batch, height and width unless the sides are fixed.

    Raises:
        ModelError: the network cannot be exported.
    """
    stride, bands = model.spec.stride, len(model.spec.bands)
    height, width = (options.tile,) * 2 if options.tile else (2 * stride, 3 * stride)
    free: dict[int, Any] = {0: torch.export.Dim("batch", max=2**16)}
    if options.tile is None:
        for axis, name in ((2, "rows"), (3, "columns")):
            cells = torch.export.Dim(name, max=LARGEST_SIDE // stride)
            free[axis] = stride * cells if stride > 1 else cells
    example = torch.zeros(2, bands, height, width)
    try:
        with _quiet():
            return torch.export.export(form, (example,), dynamic_shapes=(free,))
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        raise ModelError(_explain(model, error)) from error


def _write_onnx(program: Any, path: Path) -> None:  # noqa: ANN401
    with _quiet():
        torch.onnx.export(
            program,
            (),
            path,
            dynamo=True,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["classes"],
            external_data=False,
            verbose=False,
        )


def _finish_onnx(path: Path, metadata: Mapping[str, str]) -> None:
    """Name its sizes, and add the metadata."""
    import onnx

    model = onnx.load(path)
    for value in (*model.graph.input, *model.graph.output):
        sizes = value.type.tensor_type.shape.dim
        for size, name in zip(sizes, ("batch", "", "height", "width"), strict=True):
            if size.dim_param:
                size.dim_param = name
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, dict(metadata))
    model.doc_string = ""
    onnx.save(model, path)


def _convert_to_openvino(graph: Path, path: Path, spec: str) -> None:
    import openvino

    converted = openvino.convert_model(str(graph))
    converted.set_rt_info(spec, [KEY])
    openvino.save_model(converted, str(path), compress_to_fp16=False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's exporters have to say to their developers."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript")]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _explain(model: Model, error: Exception) -> str:
    reason = " ".join(str(error).split())[:300]
    hint = "try fixed sides with --tile"
    return f"{model.name}: its {model.spec.architecture} cannot be exported: {reason}; {hint}"
