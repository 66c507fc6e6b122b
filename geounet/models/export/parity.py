"""Whether an exported file computes what torch computes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geounet.models.export.form import ExportForm
from geounet.models.export.options import ExportOptions
from geounet.models.foreign.network import ForeignNetwork
from geounet.models.receptive_field import make_noise
from geounet.models.spec import ModelSpec

SIDE = 128
"""Pixels of the random images at least, unless the sides are fixed."""


def make_images(spec: ModelSpec, options: ExportOptions) -> Iterator[Tensor]:
    """Random images (N, bands, H, W) float32 in the values of the training scenes.

    Smooth noise of the bands' mean and deviation, of several shapes if the file takes them.
    """
    side = options.tile or -(-SIDE // spec.stride) * spec.stride
    noise = torch.from_numpy(make_noise(len(spec.bands), side + spec.stride))
    offset, scale = _find_normalisation(spec, torch.float32)
    scene = noise * scale + offset
    yield scene[None, :, :side, :side].contiguous()
    if options.tile is None:
        yield scene[None, :, : spec.stride, : side + spec.stride].contiguous()
        yield torch.stack([scene[:, :side, :side], scene[:, -side:, -side:]])


@torch.inference_mode()
def find_difference(
    form: ExportForm, file: ForeignNetwork, images: Iterable[Tensor], spec: ModelSpec
) -> float:
    """The largest difference of a probability; NaN if one of the two gives no numbers.

    Args:
        form: what was exported.
        file: what came of it.
        images: (N, bands, H, W), values of scenes.
        spec: of the model.
    """
    worst = 0.0
    for image in images:
        x = image.float() if form.is_normalising else normalise(image, spec)
        gap = (_read(form, form(x)) - _read(form, file.runner(x))).abs().max()
        worst = float(np.maximum(worst, gap.item()))  # NaN stays
    return worst


def predict_probabilities(
    file: ForeignNetwork, image: NDArray[np.floating[Any]], spec: ModelSpec
) -> NDArray[np.float32]:
    """What a file gives of one image (bands, H, W) of a scene's values: float32 (K, H, W)."""
    found = file.run(normalise(torch.from_numpy(image)[None], spec))[0]
    is_probability = spec.arguments.get("output") == "probabilities"
    probabilities: NDArray[np.float32] = (found if is_probability else found.softmax(dim=0)).numpy()
    return probabilities


def as_input(
    images: Sequence[NDArray[np.floating[Any]]], spec: ModelSpec, options: ExportOptions
) -> list[NDArray[np.float32]]:
    """Images (bands, H, W) of a scene's values as the file takes them: (1, bands, H, W)."""
    batches = [torch.from_numpy(image)[None] for image in images]
    if options.normalisation == "outside":
        batches = [normalise(batch, spec) for batch in batches]
    return [batch.float().numpy() for batch in batches]


def normalise(image: Tensor, spec: ModelSpec) -> Tensor:
    """(value - offset) / scale of each band, computed in the image's type, float32."""
    offset, scale = _find_normalisation(spec, image.dtype)
    return ((image - offset) / scale).float()


def _find_normalisation(spec: ModelSpec, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Offset and scale, (bands, 1, 1)."""
    offset = torch.tensor([band.offset for band in spec.bands], dtype=dtype)[:, None, None]
    return offset, torch.tensor([band.scale for band in spec.bands], dtype=dtype)[:, None, None]


def _read(form: ExportForm, x: Tensor) -> Tensor:
    return x if form.is_softmax else x.softmax(dim=1)
