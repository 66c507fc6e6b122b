"""The state of a run in one file: all that is needed to go on as if nothing had happened.

Tensors and JSON in safetensors: reading it can never run code. It appears whole or not at all, and
it alone says how far a run is; the other files of the run folder are drawn from it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from geounet.errors import InputError
from geounet.files import drafted
from geounet.models import ModelSpec
from geounet.training.keeping.history import Epoch
from geounet.training.learning.learner import Learner
from geounet.training.run import Chosen, Run, Unfinished

FORMAT_VERSION = 2
METADATA_KEY = "geounet-state"


@dataclass(frozen=True)
class State:
    """A saved run.

    Attributes:
        settings: as in settings.json, the options as they were given among them.
        spec: of the model to be.
        chosen: what the options may have left open.
        steps: taken.
        seconds: of its clock: in all, before the first step, and reserved for the end.
        epochs: those that were over.
        current: losses and seconds of the one under way.
        scaler: of the loss.
        tensors: of network, average and optimiser.
    """

    settings: Mapping[str, Any]
    spec: ModelSpec
    chosen: Chosen
    steps: int
    seconds: Mapping[str, float]
    epochs: list[Epoch]
    current: Mapping[str, Any]
    scaler: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


def save_state(path: Path, run: Run, settings: Mapping[str, Any]) -> None:
    """Write the file, whole or not at all.

    Raises:
        ResourceError: it cannot be written.
    """
    content = {
        "format_version": FORMAT_VERSION,
        "settings": settings,
        "spec": run.spec.to_json(),
        "chosen": asdict(run.chosen),
        "steps": run.clock.steps,
        "seconds": {
            "elapsed": run.clock.elapsed_s,
            "begun": run.clock.begun_s,
            "reserve": run.clock.reserve_s,
        },
        "epochs": [asdict(epoch) for epoch in run.epochs],
        "current": asdict(run.current) | {"losses": run.current.list_losses()},
        "scaler": run.learner.scaler.state_dict(),
    }
    text = json.dumps(content, default=str)
    with drafted(path, SafetensorError) as partial:
        save_file(dict(_collect(run.learner)), partial, metadata={METADATA_KEY: text})


def load_state(path: Path) -> State:
    """Read the file.

    Raises:
        InputError: it is damaged, or of another geounet.
    """
    try:
        with safe_open(path, framework="pt") as file:
            content = json.loads((file.metadata() or {})[METADATA_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if content.pop("format_version") != FORMAT_VERSION:
            raise ValueError("it is of another version of geounet")
        content["spec"] = ModelSpec.from_json(content["spec"])
        content["chosen"] = Chosen(**content["chosen"])
        content["epochs"] = [Epoch.from_dict(epoch) for epoch in content["epochs"]]
        return State(**content, tensors=tensors)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is no state that a run can go on from: {error}; start anew with --overwrite"
        ) from error


def restore(run: Run, state: State) -> None:
    """Put a fresh run where the saved one was.

    Raises:
        InputError: the state is of another network or optimiser.
    """
    try:
        _distribute(run.learner, state.tensors)
    except (KeyError, RuntimeError) as error:
        raise InputError(
            f"the saved state does not fit the network: {error}; start anew with --overwrite"
        ) from error
    if state.scaler and run.learner.scaler.is_enabled():
        run.learner.scaler.load_state_dict(dict(state.scaler))
    run.spec = state.spec
    run.clock.steps = state.steps
    run.clock.started -= state.seconds["elapsed"]
    run.clock.begun_s, run.clock.reserve_s = state.seconds["begun"], state.seconds["reserve"]
    run.epochs = list(state.epochs)
    run.current = Unfinished(**state.current)
    run.current.losses = [
        torch.tensor(loss, device=run.learner.runtime.device) for loss in state.current["losses"]
    ]


def _collect(learner: Learner) -> Iterator[tuple[str, Tensor]]:
    """All tensors of a learner with names, on the CPU."""
    for name, tensor in _named_weights(learner):
        yield name, tensor.detach().cpu().contiguous()
    for index, parameter in enumerate(_parameters(learner)):
        for key, value in learner.optimiser.state.get(parameter, {}).items():
            yield f"optimiser.{index}.{key}", value.detach().cpu().contiguous()


def _distribute(learner: Learner, tensors: Mapping[str, Tensor]) -> None:
    """Undo `_collect`, in the memory formats of the learner: kernels then take the same paths."""
    with torch.no_grad():
        for name, tensor in _named_weights(learner):
            tensor.copy_(tensors[name])
    state: dict[int, dict[str, Tensor]] = {}
    parameters = _parameters(learner)
    for name, tensor in tensors.items():
        kind, _, rest = name.partition(".")
        if kind == "optimiser":
            index, _, key = rest.partition(".")
            like = parameters[int(index)]
            fits = tensor.shape == like.shape
            value = torch.empty_like(like).copy_(tensor) if fits else tensor
            state.setdefault(int(index), {})[key] = value
    groups = learner.optimiser.state_dict()["param_groups"]
    learner.optimiser.load_state_dict({"state": state, "param_groups": groups})


def _named_weights(learner: Learner) -> Iterator[tuple[str, Tensor]]:
    networks: dict[str, nn.Module] = {"network": learner.network}
    if learner.average is not None:
        networks["average"] = learner.average.network
    for kind, network in networks.items():
        for name, tensor in network.state_dict().items():
            yield f"{kind}.{name}", tensor


def _parameters(learner: Learner) -> list[Tensor]:
    """In the order in which the optimiser counts them."""
    return [p for group in learner.optimiser.param_groups for p in group["params"]]
