"""Small models for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from geounet.classes import make_classes
from geounet.models import Band, Model, ModelSpec, build_network, load_model, save_model


def make_model(
    folder: Path,
    *,
    bands: int = 3,
    classes: int = 3,
    seed: int = 0,
    dtype: str = "uint8",
    pixel_size_m: float | None = 0.5,
    names: tuple[str | None, ...] | None = None,
    **arguments: Any,
) -> tuple[Path, Model]:
    """A U-Net with random weights and lively BatchNorm statistics, saved and loaded.

    Its classes all occur: the head's biases are chosen so on random input.
    """
    arguments = {"width": 6, "depth": 3, "padding": "same", "norm": "batch", **arguments}
    torch.manual_seed(seed)
    network = build_network("unet", bands, classes, arguments)
    _enliven(network, bands)
    geometry = network.geometry
    spec = ModelSpec(
        architecture="unet",
        arguments=arguments,
        bands=tuple(
            Band(name, dtype, 120.0 + i, 60.0) for i, name in enumerate(names or (None,) * bands)
        ),
        classes=make_classes([f"class {i}" for i in range(classes)]),
        pixel_size_m=pixel_size_m,
        margin=geometry.margin,
        stride=geometry.stride,
    )
    path = folder / f"model-{seed}.safetensors"
    save_model(path, network, spec)
    return path, load_model(path)


def _enliven(network: nn.Module, bands: int) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    network.eval()
    with torch.inference_mode():
        scores = network(torch.randn(1, bands, 64, 64))
    network.head.bias.data -= scores.mean((0, 2, 3))
    network.train()
