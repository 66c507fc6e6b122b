"""Whether an exported file computes what torch computes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geounet.models.export_form import ExportForm
from geounet.models.export_options import ExportOptions
from geounet.models.foreign_network import ForeignNetwork
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
    offset, scale = _find_normalisation(spec)
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
        images: (N, bands, H, W) float32, values of scenes.
        spec: of the model.
    """
    worst = 0.0
    for image in images:
        x = image if form.is_normalising else normalise(image, spec)
        gap = (_read(form, form(x)) - _read(form, file.runner(x))).abs().max()
        worst = float(np.maximum(worst, gap.item()))  # NaN stays
    return worst


def predict_classes(
    file: ForeignNetwork, image: NDArray[np.float32], spec: ModelSpec
) -> NDArray[np.uint8]:
    """The class values (H, W) that a file gives of one image (bands, H, W) of a scene's values."""
    scores = file.run(normalise(torch.from_numpy(image)[None], spec))
    values = np.array([item.value for item in spec.classes], np.uint8)
    mask: NDArray[np.uint8] = values[scores[0].argmax(dim=0).numpy()]
    return mask


def as_input(
    images: Sequence[NDArray[np.float32]], spec: ModelSpec, options: ExportOptions
) -> list[NDArray[np.float32]]:
    """Images (bands, H, W) of a scene's values as the file takes them: (1, bands, H, W)."""
    batches = [torch.from_numpy(image)[None] for image in images]
    if options.normalisation == "outside":
        batches = [normalise(batch, spec) for batch in batches]
    return [batch.numpy() for batch in batches]


def normalise(image: Tensor, spec: ModelSpec) -> Tensor:
    """(value - offset) / scale of each band."""
    offset, scale = _find_normalisation(spec)
    return (image - offset) / scale


def _find_normalisation(spec: ModelSpec) -> tuple[Tensor, Tensor]:
    """Offset and scale, float32 (bands, 1, 1)."""
    offset = torch.tensor([band.offset for band in spec.bands])[:, None, None]
    return offset, torch.tensor([band.scale for band in spec.bands])[:, None, None]


def _read(form: ExportForm, x: Tensor) -> Tensor:
    return x if form.is_softmax else x.softmax(dim=1)
