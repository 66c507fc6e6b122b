"""A `.pt2` file of torch.export as a network, read without torch's own loader.

`torch.export.load` unpickles what a file brings and evaluates its shape expressions: it can run
code. The graph itself is JSON and the weights are raw numbers, so this module reads those two, runs
the graph operation by operation, and knows no operation that is not arithmetic on tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch
from torch import Tensor, nn

from geounet.errors import ModelError
from geounet.models.foreign.archive import DTYPES, ExportedArchive
from geounet.models.foreign.file import check_input
from geounet.models.foreign.operations import call_operation, find_operation

PLAIN = ("as_int", "as_ints", "as_floats", "as_bool", "as_bools", "as_string")
REFERENCES = ("name", "as_name")
NESTED = ("as_optional_tensor", "as_sym_int", "as_sym_bool", "as_sym_float")
LISTS = ("as_tensors", "as_optional_tensors", "as_sym_ints", "as_sym_bools", "as_sym_floats")
TABLES: dict[str, Mapping[int, Any]] = {
    "as_scalar_type": DTYPES,
    "as_layout": {7: torch.strided},
    "as_memory_format": {
        1: torch.contiguous_format,
        2: torch.channels_last,
        4: torch.preserve_format,
    },
}
"""The kinds of arguments, by how their value is found."""


@dataclass(frozen=True)
class Step:
    """One operation of a graph.

    Attributes:
        run: the operation.
        arguments: name and argument, as the file has them.
        results: the names of its results; one list for an operation that gives several.
        is_list: whether it gives them as one list.
        last: names that nothing needs afterwards.
    """

    run: Callable[..., Any]
    arguments: Sequence[tuple[str, Mapping[str, Any]]]
    results: Sequence[str]
    is_list: bool
    last: Sequence[str]


class ExportedNetwork(nn.Module):
    """(N, bands, H, W) float32 -> the first output of the graph, in the precision it has.

    Tiles are computed one by one, whatever the batch, as those of an ONNX file.

    Attributes:
        side: height and width of the input if the graph fixes them, else None.
        bands: input bands, if the graph fixes them.
        path: the file.
        has_views: whether it looks at memory in another shape, which fixes how numbers lie there.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        try:
            with ZipFile(path) as archive:
                self._read(ExportedArchive(archive))
        except (BadZipFile, KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
            if isinstance(error, ModelError):
                raise
            raise ModelError(
                f"{path} is no graph of torch.export that geounet can read ({_one_line(error)}); "
                "save it with torch.export.save of torch 2.9 or newer, or export it to ONNX"
            ) from error

    def forward(self, x: Tensor) -> Tensor:
        """Run the graph on each tile."""
        try:
            return torch.cat([self._run(x[i : i + 1]) for i in range(len(x))])
        except (RuntimeError, TypeError, ValueError, KeyError) as error:
            if any(word in str(error) for word in ("memory", "ALLOC", "unable to find an engine")):
                raise
            raise ModelError(
                f"{self.path} fails on {tuple(x.shape[1:])}: {_one_line(error)}"
            ) from error

    def _run(self, x: Tensor) -> Tensor:
        # a copy: the graph may work in place
        values: dict[str, Any] = {self._input: x.clone()}
        for name, index in self._weights.items():
            values[name] = self.get_buffer(f"weight_{index}")
        for step in self._steps:
            arguments = {n: _resolve(a, values, x.device) for n, a in step.arguments}
            result = call_operation(step.run, arguments)
            if len(step.results) == 1 and not step.is_list:
                values[step.results[0]] = result
            elif step.results:  # what only checks sizes gives nothing
                values.update(zip(step.results, result, strict=False))
            for name in step.last:
                values.pop(name, None)
        return values[self._output]  # type: ignore[no-any-return]

    def _read(self, archive: ExportedArchive) -> None:
        program = archive.read_json("models/model.json")["graph_module"]
        graph, signature = program["graph"], program["signature"]
        users, self._weights = [], {}
        for position, given in enumerate(signature["input_specs"]):
            ((kind, content),) = given.items()
            if kind == "user_input":
                users.append(content["arg"]["as_tensor"]["name"])
            else:
                tensor = archive.read_tensor(kind, content)
                self.register_buffer(f"weight_{position}", tensor)
                self._weights[content["arg"]["name"]] = position
        if len(users) != 1:
            raise ModelError(f"{self.path} takes {len(users)} inputs; a model takes one")
        (self._input,) = users
        sizes = [size.get("as_int") for size in graph["tensor_values"][self._input]["sizes"]]
        self.bands, self.side = check_input(self.path, sizes)
        if any("user_output" not in given for given in signature["output_specs"]):
            raise ModelError(f"{self.path} changes itself when it runs; export it with eval()")
        self.has_views = any(".aten.view." in node["target"] for node in graph["nodes"])
        self._output = graph["outputs"][0]["as_tensor"]["name"]
        self._steps = _read_steps(graph["nodes"], keep={self._output, *self._weights})


def _read_steps(nodes: Sequence[Mapping[str, Any]], keep: set[str]) -> list[Step]:
    """The graph's operations in order, each with the values that end with it."""
    steps: list[Step] = []
    needed = set(keep)
    for node in reversed(nodes):
        arguments = [(one["name"], one["arg"]) for one in node["inputs"]]
        results, is_list = _name_results(node["outputs"])
        names = {name for _, argument in arguments for name in _names_in(argument)}
        steps.append(
            Step(
                run=find_operation(node["target"]),
                arguments=arguments,
                results=results,
                is_list=is_list,
                last=sorted((names | set(results)) - needed),
            )
        )
        needed |= names
    return steps[::-1]


def _resolve(argument: Mapping[str, Any], values: Mapping[str, Any], device: torch.device) -> Any:  # noqa: ANN401
    """The value of an argument as the file has it: one key tells its kind."""
    ((kind, content),) = ((k, c) for k, c in argument.items() if c is not None)
    if kind in PLAIN:
        return content
    if kind in TABLES:
        return TABLES[kind][content]
    if kind in REFERENCES:
        return values[content]
    if kind == "as_tensor":
        return values[content["name"]]
    if kind == "as_device":  # where it was exported does not matter
        return device
    if kind in NESTED:
        return _resolve(content, values, device)
    if kind in LISTS:
        return [_resolve(one, values, device) for one in content]
    return {"as_none": None, "as_float": float(content)}[kind]


def _names_in(argument: object) -> set[str]:
    """The values that an argument refers to."""
    if isinstance(argument, Mapping):
        own = {argument[key] for key in ("name", "as_name") if isinstance(argument.get(key), str)}
        return own.union(*(_names_in(item) for item in argument.values()))
    if isinstance(argument, list):
        return set().union(*(_names_in(item) for item in argument))
    return set()


def _name_results(outputs: Sequence[Mapping[str, Any]]) -> tuple[list[str], bool]:
    names = [sorted(_names_in([one]), key=str) for one in outputs if "as_tensors" not in one]
    if len(outputs) == 1 and "as_tensors" in outputs[0]:
        return [one["name"] for one in outputs[0]["as_tensors"]], True
    return [name for found in names for name in found], False


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
