"""Which network a training builds: an architecture with arguments, or that of a given model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geounet.errors import UsageError

DEFAULT_ARCHITECTURE = "resunet"

SMP = "smp:"
"""Architectures of segmentation_models_pytorch begin so: `smp:Unet:resnet34`."""

UNET = {"width": 32, "depth": 4, "padding": "same", "norm": "batch", "dropout": 0.0}
FCN = {"width": 32, "dropout": 0.0}

NETWORK_ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "resunet": {"width": 64, "blocks": (1, 1, 1, 1), "dropout": 0.0},
    "unet": UNET,
    "lightunet": UNET,
    "fcn32s": FCN,
    "fcn16s": FCN,
    "fcn8s": FCN,
}
"""What each architecture takes, with the default for training."""

SMP_ARGUMENTS: Mapping[str, Any] = {"encoder_weights": None}

ARGUMENT_NAMES = ("width", "depth", "padding", "norm", "blocks", "dropout", "encoder_weights")
"""Of all architectures."""

FREE_ARGUMENTS = ("padding", "dropout")
"""Those that a model to begin with does not fix: they have no weights."""


def resolve_network(
    architecture: str | None, init: str | Path | None, given: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """The architecture and all its keyword arguments except bands and classes.

    Args:
        architecture: its name; None: the default, or the one of `init`.
        init: model to begin with.
        given: arguments that are not left to the default.

    Raises:
        UsageError: there is no such architecture, it takes no such argument, or `init` is another.
        ModelError: `init` is no model of geounet's.
    """
    if init is not None:
        return _resolve_init(architecture, init, given)
    name = architecture or DEFAULT_ARCHITECTURE
    known = SMP_ARGUMENTS if name.startswith(SMP) else NETWORK_ARGUMENTS.get(name)
    if known is None:
        names = ", ".join([*NETWORK_ARGUMENTS, f"{SMP}Unet:resnet34 and its like"])
        raise UsageError(f"--architecture {name} is unknown; choose from: {names}")
    _check_taken(name, given, known)
    return name, {**known, **given}


def _resolve_init(
    architecture: str | None, init: str | Path, given: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    from geounet.models import is_foreign_file, read_spec

    if is_foreign_file(Path(init)):
        raise UsageError(f"--init {init} cannot be trained; give a model.safetensors")
    spec = read_spec(init)
    if architecture not in (None, spec.architecture):
        raise UsageError(
            f"--init {init} is a {spec.architecture}, --architecture says {architecture}; "
            "leave one of them out"
        )
    arguments = {name: value for name, value in spec.arguments.items() if name != "encoder_weights"}
    _check_taken(spec.architecture, given, arguments)
    for name, value in given.items():
        if name not in FREE_ARGUMENTS and _plain(value) != _plain(arguments[name]):
            raise UsageError(
                f"--init {init} has {name} {_plain(arguments[name])}, --{name} says "
                f"{_plain(value)}; leave --{name} out"
            )
    return spec.architecture, {**arguments, **given}


def _plain(value: object) -> object:
    """JSON has lists where Python may have tuples."""
    return list(value) if isinstance(value, tuple) else value


def _check_taken(architecture: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    if extra := sorted(given.keys() - known.keys()):
        flag = extra[0].replace("_", "-")
        raise UsageError(f"--{flag} does not go with --architecture {architecture}; leave it out")
