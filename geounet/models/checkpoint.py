"""Model files. Loading one can never run code.

Ours are safetensors with the spec as metadata; `foreign_file` reads those of other makers.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from geounet.errors import ModelError
from geounet.files import drafted
from geounet.models.foreign.file import digest_foreign, is_foreign_file, read_foreign_spec
from geounet.models.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

METADATA_KEY = "geounet"


@dataclass(frozen=True)
class Model:
    """A network with its contract.

    Attributes:
        spec: the contract.
        network: weights loaded, in evaluation mode, on the CPU.
        name: as `name_model` gives it.
        digest: SHA-256 of that file, hexadecimal.
    """

    spec: ModelSpec
    network: nn.Module
    name: str
    digest: str


def save_model(path: Path, network: nn.Module, spec: ModelSpec) -> None:
    """Write the model file, whole or not at all.

    Raises:
        ResourceError: it cannot be written.
    """
    from safetensors.torch import save_file

    tensors = {name: t.detach().cpu().contiguous() for name, t in network.state_dict().items()}
    with drafted(path, SafetensorError) as partial:
        save_file(tensors, partial, metadata={METADATA_KEY: spec.to_json()})


def read_spec(path: str | Path) -> ModelSpec:
    """The spec of a model file, without torch and without reading the weights.

    That of a `.onnx`, `.pt2` or `.xml` file is inside, or in the `.json` beside it.

    Raises:
        ModelError: no such file, not safetensors (a pickle is not loaded), or no geounet spec.
    """
    path = Path(path)
    if is_foreign_file(path):
        return read_foreign_spec(path)
    metadata = _read_metadata(path)
    if METADATA_KEY not in metadata:
        raise ModelError(
            f"{path} is safetensors without a geounet spec; use a model made by `geounet train`"
        )
    try:
        return ModelSpec.from_json(metadata[METADATA_KEY])
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def load_model(path: str | Path) -> Model:
    """The model of a file, ready for inference on the CPU.

    Raises:
        ModelError: as `read_spec`; or weights that are not those of the architecture.
    """
    path = Path(path)
    spec = read_spec(path)
    if is_foreign_file(path):
        from geounet.models.foreign.network import open_foreign

        network: nn.Module = open_foreign(path, spec)
        digest = digest_foreign(path)
    else:
        network = _build_loaded(path, spec)
        digest = file_digest(path)
    network.eval().requires_grad_(False)
    return Model(spec, network, name_model(path), digest)


def name_model(path: Path) -> str:
    """The stem of a model file; of `RUN/model.safetensors`, as all runs have one, `RUN`."""
    is_common = path.stem.lower() == "model"
    return (path.parent.resolve().name if is_common else "") or path.stem


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _build_loaded(path: Path, spec: ModelSpec) -> nn.Module:
    """The network of a safetensors file, with its weights."""
    from safetensors.torch import load_file

    from geounet.models.architectures import build_empty

    network = build_empty(spec.architecture, len(spec.bands), len(spec.classes), spec.arguments)
    try:
        network.load_state_dict(load_file(path), assign=True)
    except (RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            f"{path}: its weights are not those of a {spec.architecture}: {reason}"
        ) from error
    return network


def _read_metadata(path: Path) -> dict[str, str]:
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "there is no such file"
        raise ModelError(f"{path}: {found}; give a model.safetensors of `geounet train`")
    try:
        with safe_open(path, framework="numpy") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path} is {_describe(path)}, not a safetensors model; geounet loads these, .onnx and "
            ".pt2 with a spec, and nothing that can run code"
        ) from error


def _describe(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(4)
    if head[:2] == b"\x80\x02" or head == b"PK\x03\x04":
        return "a pickle (PyTorch checkpoint)"
    return "damaged or something else" if head else "empty"
