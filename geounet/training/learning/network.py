"""The network of a training, and where it is trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from geounet.errors import ResourceError, UsageError
from geounet.inference import Runtime, free_memory, is_out_of_memory, resolve_runtime
from geounet.models import Geometry, build_network, load_model, transfer_weights
from geounet.raster import limit_cache
from geounet.training.options import TrainOptions
from geounet.training.task import Inputs
from geounet.training.team.team import SOLO, Team

CACHE_BYTES = 2 * 10**9
"""Memory for blocks of images and labels at most, unless told otherwise."""

ENCODER_STRIDE = 32
"""Of the encoders of segmentation_models_pytorch."""


def resolve_training_runtime(options: TrainOptions, team: Team = SOLO) -> Runtime:
    """The device, and half precision where its hardware has it, else float32.

    Raises:
        UsageError: there is no such device, or it is for one process only.
        ResourceError: this machine does not have it, or not for each of its processes.
    """
    runtime = resolve_runtime(team.choose_device(options.device), options.precision)
    if runtime.device.type == "cuda":
        torch.cuda.set_device(runtime.device)  # where NCCL looks
    return runtime


def build_training_network(inputs: Inputs, options: TrainOptions) -> nn.Module:
    """A network with fresh weights, or those of `--init`, that fits the inputs and the chips.

    Raises:
        UsageError: there is one class, or the chips are too small or of a wrong size.
        ModelError: there is no such network, or `--init` is no model of it.
        ResourceError: weights that are asked for cannot be fetched.
    """
    bands, classes = len(inputs.band_names), len(inputs.classes)
    if classes < 2:
        raise UsageError(
            f"there is one class, {inputs.classes[0].name}; a map needs two: "
            "name all with --classes"
        )
    architecture, arguments = options.network
    network = build_network(architecture, bands, classes, arguments)
    if options.init is not None:
        transfer_weights(network, inputs.band_names, inputs.classes, load_model(options.init))
    stride = find_training_geometry(network, options).stride
    if options.chip % stride:
        raise UsageError(f"--chip is {options.chip}; this network needs a multiple of {stride}")
    if options.chip == stride and options.batch == 1 and _is_normalised(network, options):
        raise UsageError(
            f"--chip {options.chip} with --batch 1 leaves one pixel at the network's lowest level, "
            f"too little to normalise; give --batch 2 or --chip {2 * stride}"
        )
    return network


def find_training_geometry(network: nn.Module, options: TrainOptions) -> Geometry:
    """The network's own; of one without a finite margin what its chips show it.

    Half a chip is the context of its middle. Its poolings end at a 32nd of the resolution.
    """
    own: Geometry | None = getattr(network, "geometry", None)
    return own or Geometry(ENCODER_STRIDE, options.chip // 2, options.chip // 2, spare=0)


@contextmanager
def memory_watched(
    device: torch.device, max_memory: int | None = None, processes: int = 1
) -> Iterator[None]:
    """Want of memory is something that the user can act on.

    Args:
        device: of the network.
        max_memory: bytes for blocks of images and labels that are kept between chips; None: half of
            what is free, at most 2 GB.
        processes: that share the main memory.
    """
    cache = (max_memory or min(free_memory(torch.device("cpu")) // 2, CACHE_BYTES)) // processes
    try:
        with limit_cache(cache, may_grow=True):
            yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not is_out_of_memory(error):
            raise
        raise ResourceError(
            f"training does not fit the memory of {device}; lower --batch, --chip or --width"
        ) from error


def _is_normalised(network: nn.Module, options: TrainOptions) -> bool:
    """Whether the batch is normalised at the lowest level, and no context adds pixels there."""
    padded = options.network[1].get("padding") != "valid"
    return padded and any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
