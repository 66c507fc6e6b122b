"""Scenes and models for the benchmarks, made on the spot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.windows import Window
from torch import nn

from geounet.classes import make_classes
from geounet.cli.landscape import make_landscape
from geounet.models import Band, ModelSpec, build_network, save_model

CLASSES = ("land", "building", "water", "trees")
PIXEL_M = 0.5
CORNER = rasterio.Affine(PIXEL_M, 0, 600_000, 0, -PIXEL_M, 5_200_000)
BLOCK = 512


def write_landscapes(image: Path, labels: Path, size: int) -> None:
    """Drawn land of fields, woods and villages: uint8 red, green, blue and class values.

    A mosaic of landscapes of 1024 pixels, each of another seed; both files deflated, in blocks.
    """
    cell = min(size, 1024)
    with _create(image, size, 3) as pixels, _create(labels, size, 1) as classes:
        for number, row in enumerate(range(0, size, cell)):
            for col in range(0, size, cell):
                bands, values = _draw(1000 * number + col // cell, cell)
                height, width = min(cell, size - row), min(cell, size - col)
                window = Window(col, row, width, height)
                pixels.write(bands[:, :height, :width], window=window)
                classes.write(values[None, :height, :width], window=window)


def write_flat_scene(path: Path, size: int, seed: int = 0) -> None:
    """Blocks of one colour each: any size is soon written, and small on disk."""
    rng = np.random.default_rng(seed)
    with _create(path, size, 3) as target:
        for row in range(0, size, BLOCK):
            height = min(BLOCK, size - row)
            colours = rng.integers(0, 256, (3, 1, -(-size // BLOCK)), np.uint8)
            strip = colours.repeat(height, axis=1).repeat(BLOCK, axis=2)[..., :size]
            target.write(strip, window=Window(0, row, size, height))


def write_sparse_scene(path: Path, size: int) -> None:
    """A scene of which no block is on disk; GDAL reads zeros, which are data."""
    with _create(path, size, 3, SPARSE_OK=True):
        pass


def write_model(path: Path, *, width: int, depth: int = 4, scene: Path | None = None) -> None:
    """The paper's U-Net for three uint8 bands with random weights, padded, with BatchNorm.

    With a scene, BatchNorm's statistics and the head's biases are such that its activations are of
    the usual size and its classes all occur there.
    """
    torch.manual_seed(0)
    arguments = {"width": width, "depth": depth, "padding": "same", "norm": "batch"}
    network = build_network("unet", 3, len(CLASSES), arguments)
    spec = ModelSpec(
        architecture="unet",
        arguments=arguments,
        bands=tuple(Band(None, "uint8", 90.0, 45.0) for _ in range(3)),
        classes=make_classes(CLASSES),
        pixel_size_m=PIXEL_M,
        margin=network.geometry.margin,
        stride=network.geometry.stride,
    )
    if scene is not None:
        _calibrate(network, (_read_samples(scene) - 90.0) / 45.0)
    save_model(path, network, spec)


def _calibrate(network: nn.Module, samples: torch.Tensor) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the plain mean of all batches
    with torch.no_grad():
        network.train()(samples)
        network.head.bias -= network.eval()(samples).mean((0, 2, 3))


def _read_samples(scene: Path, count: int = 4, side: int = 256) -> torch.Tensor:
    rng = np.random.default_rng(0)
    with rasterio.open(scene) as source:
        corners = rng.integers(0, [source.height - side + 1, source.width - side + 1], (count, 2))
        pixels = [source.read(window=Window(c, r, side, side)) for r, c in corners.tolist()]
    return torch.from_numpy(np.stack(pixels)).float()


def _draw(seed: int, size: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Colours (3, size, size) and class values; a landscape's empty corner shows its opposite."""
    landscape = make_landscape(seed, size, size)
    bands, labels = landscape.image[:3], landscape.labels
    empty = labels == 255
    bands = np.where(empty, bands[:, ::-1, ::-1], bands)
    labels = np.where(empty, labels[::-1, ::-1], labels)
    values = np.array([0, 1, 0, 2, 3], np.uint8)[labels]  # roads are land
    return np.clip(bands // 18, 0, 255).astype(np.uint8), values


def _create(path: Path, size: int, count: int, **options: object) -> rasterio.io.DatasetWriter:
    return rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=size,
        width=size,
        count=count,
        dtype="uint8",
        crs=CRS.from_epsg(32632),
        transform=CORNER,
        tiled=True,
        blockxsize=BLOCK,
        blockysize=BLOCK,
        interleave="pixel",
        compress="deflate",
        bigtiff="if_safer",
        **options,
    )
