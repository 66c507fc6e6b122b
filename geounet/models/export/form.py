"""The form of a network that other tools run: pixels of an image in, as many results out.

Tools that run exported networks feed tiles and expect the output to be as large. So the network
pads with zeros, whatever padding it was trained with; farther than its margin from the border of
its input the values are those of the unpadded network, and `geounet predict` uses only these.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from geounet.errors import UsageError
from geounet.models.checkpoint import Model
from geounet.models.export.options import ExportOptions
from geounet.models.geometry import find_padded_margin
from geounet.models.inference_form import fold_weights
from geounet.models.spec import ModelSpec

COARSE = 1e-3
"""Steps of a band's normalised values that may change what a network says."""

WIDE = ("int32", "uint32", "int64", "uint64", "float64")
"""Types of pixels that float32 cannot hold."""


class ExportForm(nn.Module):
    """(N, bands, H, W) float32 -> (N, classes, H, W) float32; H and W multiples of the stride.

    It does not fill up other sides: torch exports padding for sides that need it only, and
    OpenVINO makes nonsense of indices that mirror.

    Args:
        network: gives scores before softmax, as many as its input has pixels.
        spec: of the model.
        options: whether normalisation and softmax are part of it.
    """

    offset: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, spec: ModelSpec, options: ExportOptions) -> None:
        super().__init__()
        self.network = network
        self.is_normalising = options.normalisation == "inside"
        self.is_softmax = options.activation == "softmax"
        for name in ("offset", "scale"):
            numbers = [getattr(band, name) for band in spec.bands]
            self.register_buffer(name, torch.tensor(numbers, dtype=torch.float32)[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        """Normalise, compute, softmax, the first and the last if they are part of it."""
        if self.is_normalising:
            x = (x - self.offset) / self.scale
        x = self.network(x)
        return x.softmax(dim=1) if self.is_softmax else x


def make_export_form(model: Model, options: ExportOptions) -> ExportForm:
    """What is exported of a model, which is left as it is.

    Raises:
        UsageError: the tile does not fit the network's stride, or the file cannot take the scene's
            values as they are.
    """
    stride = model.spec.stride
    if options.normalisation == "inside":
        _check_float32(model.spec)
    if options.tile is not None and (options.tile < 2 * stride or options.tile % stride):
        raise UsageError(
            f"--tile {options.tile}: this model needs a multiple of {stride} from {2 * stride} on"
        )
    return ExportForm(to_padded_form(model.network), model.spec, options).eval()


def _check_float32(spec: ModelSpec) -> None:
    """Nothing, if a file that takes the scene's values, in float32, sees what differs in them.

    `geounet predict` normalises bands of 32 and more bits in float64.

    Raises:
        UsageError: says what to do instead.
    """
    for number, band in enumerate(spec.bands, start=1):
        step = abs(band.offset) * torch.finfo(torch.float32).eps / band.scale
        if step > COARSE and band.dtype in WIDE:
            raise UsageError(
                f"band {band.name or number} of {band.dtype} has values about {band.offset:g} that "
                f"differ by {band.scale:.3g}: float32, which an exported file takes, is too coarse "
                "for them; leave the normalisation out of the file: --normalisation outside"
            )


def describe_export(model: Model, path: Path, options: ExportOptions) -> ModelSpec:
    """The spec of the exported file, by which `geounet predict` runs it.

    Its margin is how far the zeros that the file pads with reach.
    """
    spec = model.spec
    arguments: dict[str, object] = {
        "output": "probabilities" if options.activation == "softmax" else "scores",
        "normalisation": options.normalisation,
    }
    tile = options.tile or spec.arguments.get("tile")
    if tile is not None:
        arguments["tile"] = tile
    origin = {"architecture": spec.architecture, "arguments": dict(spec.arguments)}
    trace = getattr(model.network, "trace", None)
    return replace(
        spec,
        architecture=path.suffix.lower().removeprefix("."),
        arguments=arguments,
        margin=find_padded_margin(trace, spec.stride) if callable(trace) else None,
        training={**spec.training, "exported_from": {**origin, "sha256": model.digest}},
    )


def to_padded_form(network: nn.Module) -> nn.Module:
    """A copy whose output is as large as its input: zero padding, BatchNorm folded.

    A network of others pads already, and is left as it is.
    """
    network = copy.deepcopy(network).eval().requires_grad_(False)
    if not callable(getattr(network, "trace", None)):
        return network
    fold_weights(network)
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.stride == (1, 1):
            module.padding = tuple(size // 2 for size in module.kernel_size)
    return network
