"""The network of a training, and where it is trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import nn

from geounet.errors import ResourceError, UsageError
from geounet.inference import Runtime, is_out_of_memory, resolve_runtime
from geounet.models import Geometry, build_network
from geounet.training.options import TrainOptions
from geounet.training.task import Inputs


def resolve_training_runtime(options: TrainOptions) -> Runtime:
    """The device, and bfloat16 where its hardware has it, else float32."""
    runtime = resolve_runtime(options.device, options.precision)
    if runtime.precision == "float16":  # it would need a scaled loss
        return Runtime(runtime.device, "float32")
    return runtime


def build_training_network(inputs: Inputs, options: TrainOptions) -> nn.Module:
    """A network with fresh weights that fits the inputs and the chips.

    Raises:
        UsageError: there is one class, or the chips are too small or of a wrong size.
    """
    bands, classes = len(inputs.band_names), len(inputs.classes)
    if classes < 2:
        raise UsageError(
            f"there is one class, {inputs.classes[0].name}; a map needs two: "
            "name all with --classes"
        )
    network = build_network(options.architecture, bands, classes, options.network_arguments)
    stride = cast(Geometry, network.geometry).stride
    if options.chip % stride:
        raise UsageError(f"--chip is {options.chip}; this network needs a multiple of {stride}")
    if options.chip == stride and options.batch == 1 and _is_normalised(network, options):
        raise UsageError(
            f"--chip {options.chip} with --batch 1 leaves one pixel at the network's lowest level, "
            f"too little to normalise; give --batch 2 or --chip {2 * stride}"
        )
    return network


@contextmanager
def memory_watched(device: torch.device) -> Iterator[None]:
    """Want of memory is something that the user can act on."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not is_out_of_memory(error):
            raise
        raise ResourceError(
            f"training does not fit the memory of {device}; lower --batch, --chip or --width"
        ) from error


def _is_normalised(network: nn.Module, options: TrainOptions) -> bool:
    """Whether the batch is normalised at the lowest level, and no context adds pixels there."""
    padded = options.network_arguments.get("padding") != "valid"
    return padded and any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
