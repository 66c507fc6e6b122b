"""Networks of segmentation_models_pytorch by name: `smp:<Name>:<encoder>`.

They pad, so they have no exact tiling: `trace` is what they lack, and inference blends them.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import torch
from torch import nn

from geounet.errors import ModelError, ResourceError

PREFIX = "smp:"

OWN_ARGUMENTS = ("tile",)
"""Arguments of a spec that are for the tiling, not for the network."""

GIVEN_ARGUMENTS = ("encoder_name", "in_channels", "classes", "activation", "aux_params")
"""Arguments of the package that are not the spec's: fixed, or they make it give something else."""


def build_smp(
    architecture: str, bands: int, classes: int, arguments: Mapping[str, Any]
) -> nn.Module:
    """A network of segmentation_models_pytorch that gives scores before softmax.

    Args:
        architecture: `smp:Unet:resnet34`.
        bands: input bands.
        classes: output classes.
        arguments: of the package's class. `encoder_weights` names weights to begin with, fetched
            from their hub ("imagenet"); without it they are random.

    Raises:
        ModelError: the package is not installed, or has no such network, encoder or argument.
        ResourceError: the weights cannot be fetched.
    """
    package = _import_package(architecture)
    name, encoder = _parse_name(architecture)
    known: dict[str, type[nn.Module]] = package.MODEL_ARCHITECTURES_MAPPING
    if name.lower() not in known:
        raise ModelError(
            f"{architecture}: segmentation_models_pytorch has no {name}; it has: "
            f"{', '.join(kind.__name__ for kind in known.values())}"
        )
    kind = known[name.lower()]
    wanted = {key: value for key, value in arguments.items() if key not in OWN_ARGUMENTS}
    _check_arguments(architecture, kind, wanted)
    try:
        return kind(
            encoder_name=encoder,
            in_channels=bands,
            classes=classes,
            **{"encoder_weights": None, **wanted},
        )
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"{architecture} cannot be built: {_one_line(error)}") from error
    except OSError as error:
        raise ResourceError(
            f"the weights {wanted.get('encoder_weights')!r} of {encoder} cannot be fetched: "
            f"{_one_line(error)}; leave encoder_weights out, or fetch them where there is a network"
        ) from error


def build_smp_to_load(
    architecture: str, bands: int, classes: int, arguments: Mapping[str, Any]
) -> nn.Module:
    """The same for weights that come from a file: nothing is fetched, no random state changed."""
    wanted = {key: value for key, value in arguments.items() if key != "encoder_weights"}
    with torch.random.fork_rng(devices=[]):
        return build_smp(architecture, bands, classes, wanted)


def _import_package(architecture: str) -> ModuleType:
    if importlib.util.find_spec("segmentation_models_pytorch") is None:
        raise ModelError(
            f"{architecture} needs a package that is not installed; pip install 'geounet[smp]'"
        )
    return importlib.import_module("segmentation_models_pytorch")


def _parse_name(architecture: str) -> tuple[str, str]:
    name, _, encoder = architecture.removeprefix(PREFIX).partition(":")
    # timm takes "hf-hub:..." and paths as names, and would fetch or open them
    if not name or not encoder or ":" in encoder or "/" in encoder:
        raise ModelError(f"{architecture!r} names no network; write smp:Unet:resnet34")
    return name, encoder


def _check_arguments(
    architecture: str, kind: type[nn.Module], arguments: Mapping[str, Any]
) -> None:
    """Only what the class itself names: the rest would reach timm, which opens files by name."""
    parameters = inspect.signature(kind.__init__).parameters.values()
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    taken = [name for name in named if name != "self" and name not in GIVEN_ARGUMENTS]
    if unknown := sorted(set(arguments) - set(taken)):
        raise ModelError(
            f"{architecture} takes no {', '.join(unknown)}; it takes: {', '.join(taken)}"
        )


def _one_line(error: Exception) -> str:
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return " ".join(text.split())[:300]
