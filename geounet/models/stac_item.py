"""A model as an Item of STAC with the Machine Learning Model extension (MLM 1.4.0)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from geounet.models.anatomy import describe_network
from geounet.models.checkpoint import name_model
from geounet.models.foreign.file import is_foreign_file
from geounet.models.spec import ModelSpec
from geounet.stac import (
    changed_at,
    describe_classes,
    describe_file,
    format_moment,
    make_item,
)

FRAMEWORKS = {
    ".safetensors": ("PyTorch", "safetensors"), ".pt2": ("PyTorch", "torch.export.save"),
    ".onnx": ("ONNX", "onnx"), ".xml": ("OpenVINO", "openvino"),
}  # fmt: skip
"""`mlm:framework` and `mlm:artifact_type` by the suffix of a model file."""

SEMVER = re.compile(r"\d+\.\d+\.\d+")


def describe_model_item(path: Path, spec: ModelSpec, folder: Path) -> dict[str, Any]:
    """The Item of a model file, to be written in a folder.

    Its place is unknown (`geometry` is null): the spec names the training scenes, not where they
    lie. Its date is that of the training, else that of the file.
    """
    framework, artifact = FRAMEWORKS[path.suffix.lower()]
    names, side = _name_bands(spec), _find_side(path, spec)
    bands = [{"name": n, "data_type": b.dtype} for n, b in zip(names, spec.bands, strict=True)]
    properties = {
        "datetime": _find_date(spec) or changed_at(path),
        "description": f"Semantic segmentation of {', '.join(names)} into "
        f"{', '.join(item.name for item in spec.classes)}",
        "bands": bands,  # here for MLM, in the asset for STAC, which wants them there, too
        "mlm:name": _name_model(path),
        "mlm:architecture": spec.architecture,
        "mlm:tasks": ["semantic-segmentation"],
        "mlm:framework": framework,
        **_describe_version(spec, framework),
        **_describe_size(path, spec),
        "mlm:pretrained": True,
        "mlm:input": [_describe_input(spec, names, side)],
        "mlm:output": [_describe_output(spec, side)],
        "mlm:hyperparameters": _list_hyperparameters(spec),
        **({} if spec.pixel_size_m is None else {"gsd": spec.pixel_size_m}),
    }
    assets = {"model": {
        **describe_file(path, folder, "application/octet-stream", "mlm:model"),
        "title": f"{spec.architecture}, {framework}",
        "mlm:artifact_type": artifact,
        "bands": bands,
    }}  # fmt: skip
    assets["model"]["roles"].append("mlm:weights")
    weights = path.with_suffix(".bin")
    if path.suffix.lower() == ".xml" and weights.is_file():
        assets["weights"] = {
            **describe_file(weights, folder, "application/octet-stream", "mlm:weights"),
            "title": "weights",
        }
        assets["model"]["roles"] = ["mlm:model"]
    return make_item(name_model(path), properties, assets, ("mlm", "file", "classification"))


def _find_side(path: Path, spec: ModelSpec) -> int:
    """Height and width that the file takes; -1 if it takes any."""
    if not is_foreign_file(path):
        return -1
    from geounet.models.foreign.network import open_foreign  # runs it: brings the packages for that

    return open_foreign(path, spec).side or -1


def _describe_input(spec: ModelSpec, names: list[str], side: int) -> dict[str, Any]:
    is_inside = spec.arguments.get("normalisation") == "inside"
    scaling = [
        {"type": "z-score", "mean": band.offset, "stddev": band.scale} for band in spec.bands
    ]
    return {
        "name": "scene",
        "description": "Pixels as they are stored"
        + ("; the file scales them itself" if is_inside else ", before the scaling"),
        "bands": names,
        "input": {
            "shape": [-1, len(names), side, side],
            "dim_order": ["batch", "bands", "height", "width"],
            "data_type": "float32",
        },
        "value_scaling": None if is_inside else scaling,
        "resize_type": None,
        "pre_processing_function": None,
    }


def _describe_output(spec: ModelSpec, side: int) -> dict[str, Any]:
    name = str(spec.arguments.get("output", "scores"))
    what = "probability" if name == "probabilities" else "score"
    return {
        "name": name,
        "description": f"A {what} per class and pixel; the largest one tells the class",
        "tasks": ["semantic-segmentation"],
        "result": {
            "shape": [-1, len(spec.classes), side, side],
            "dim_order": ["batch", "class", "height", "width"],
            "data_type": "float32",
        },
        "classification:classes": describe_classes(spec.classes),
        "post_processing_function": None,
    }


def _name_bands(spec: ModelSpec) -> list[str]:
    """The bands' names, unique: `band 3` where a band has none, `red 3` where it is taken."""
    names: list[str] = []
    for number, band in enumerate(spec.bands, start=1):
        name = band.name or f"band {number}"
        names.append(f"{name} {number}" if name in names else name)
    return names


def _name_model(path: Path) -> str:
    """As the extension wants it: letters, digits, `_`, `.` and `-`, a letter first."""
    name = re.sub(r"[^a-zA-Z0-9_.-]+", "-", name_model(path)).strip("_.-")
    return name if re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_.-]+[a-zA-Z0-9]", name) else f"model-{name}0"


def _find_date(spec: ModelSpec) -> str | None:
    try:
        return format_moment(datetime.fromisoformat(str(spec.training.get("date"))))
    except ValueError:
        return None


def _describe_version(spec: ModelSpec, framework: str) -> dict[str, str]:
    found = SEMVER.match(str(spec.training.get("torch", "")))
    return {"mlm:framework_version": found[0]} if found and framework == "PyTorch" else {}


def _describe_size(path: Path, spec: ModelSpec) -> dict[str, int]:
    if is_foreign_file(path):
        return {}
    return {"mlm:total_parameters": describe_network(spec).parameters}


def _list_hyperparameters(spec: ModelSpec) -> dict[str, Any]:
    """Those of the network and, as far as they are plain values, of its training."""
    training = {
        f"training.{name}": value
        for name, value in spec.training.items()
        if isinstance(value, str | int | float | bool) and re.fullmatch(r"[0-9a-zA-Z_.-]+", name)
    }
    arguments: Mapping[str, Any] = spec.arguments
    return {"margin_px": spec.margin, "stride_px": spec.stride, **arguments, **training}
