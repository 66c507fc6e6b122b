"""A trained model's weights as another's beginning: fine-tuning, also to other classes or bands.

Which axes of a tensor count bands or classes is seen by building the network with one more of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from geounet.classes import ClassInfo
from geounet.errors import ModelError
from geounet.models.architectures import build_empty
from geounet.models.checkpoint import Model

Axes = Mapping[str, tuple[frozenset[int], frozenset[int]]]
"""By the name of a tensor: its axes that count bands, and those that count classes."""


def transfer_weights(
    network: nn.Module, bands: Sequence[str | None], classes: Sequence[ClassInfo], model: Model
) -> None:
    """Let a network begin with a model's weights.

    Bands are matched by name where both have names, else by position; those that the model does
    not know begin with the mean of its bands. Classes are matched by name; those that it does not
    know stay as they are.

    Args:
        network: of the model's architecture and arguments, changed in place.
        bands: names of its input bands.
        classes: its classes in the order of its channels.
        model: where the weights come from.

    Raises:
        ModelError: the tensors are not those of the same architecture.
    """
    axes = _find_axes(model)
    mixture = _match_bands(bands, [band.name for band in model.spec.bands])
    known = [item.name for item in model.spec.classes]
    pairs = [(i, known.index(c.name)) for i, c in enumerate(classes) if c.name in known]
    theirs = model.network.state_dict()
    with torch.no_grad():
        for name, ours in network.state_dict().items():
            band_axes, class_axes = axes.get(name, (frozenset(), frozenset()))
            weights = theirs.get(name)
            if weights is None or not _is_alike(ours, weights, band_axes | class_axes):
                raise ModelError(f"{model.name} is another {model.spec.architecture}: {name}")
            for axis in band_axes:
                weights = torch.tensordot(weights, mixture.to(weights), ([axis], [1]))
                weights = weights.movedim(-1, axis)
            ours.copy_(_put(ours, weights, tuple(sorted(class_axes)), pairs))


def _find_axes(model: Model) -> Axes:
    spec = model.spec
    bands, classes = len(spec.bands), len(spec.classes)
    shapes, with_band, with_class = (
        dict(_list_shapes(build_empty(spec.architecture, *counts, spec.arguments)))
        for counts in ((bands, classes), (bands + 1, classes), (bands, classes + 1))
    )
    return {
        name: (_find_changes(shape, with_band[name]), _find_changes(shape, with_class[name]))
        for name, shape in shapes.items()
    }


def _list_shapes(network: nn.Module) -> Iterator[tuple[str, torch.Size]]:
    for name, tensor in network.state_dict().items():
        yield name, tensor.shape


def _find_changes(before: torch.Size, after: torch.Size) -> frozenset[int]:
    return frozenset(i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b)


def _match_bands(ours: Sequence[str | None], theirs: Sequence[str | None]) -> Tensor:
    """(our bands, their bands): how much of each of theirs is in each of ours."""
    sources: list[str | None] | range = range(len(theirs))
    wanted: Sequence[str | None] | range = range(len(ours))
    if all(ours) and all(theirs):
        sources, wanted = list(theirs), ours
    mixture = torch.full((len(ours), len(theirs)), 1 / len(theirs))
    for i, band in enumerate(wanted):
        if band in sources:
            mixture[i] = 0
            mixture[i, sources.index(band)] = 1  # type: ignore[arg-type]
    return mixture


def _is_alike(ours: Tensor, theirs: Tensor, free: frozenset[int]) -> bool:
    return ours.ndim == theirs.ndim and all(
        a == b or axis in free
        for axis, (a, b) in enumerate(zip(ours.shape, theirs.shape, strict=True))
    )


def _put(
    ours: Tensor, theirs: Tensor, axes: tuple[int, ...], pairs: Sequence[tuple[int, int]]
) -> Tensor:
    """Ours with the entries of theirs, whose axes of classes are paired."""
    if not axes:
        return theirs
    to, source = (torch.tensor([pair[i] for pair in pairs], dtype=torch.long) for i in (0, 1))
    part = _put(
        ours.index_select(axes[0], to), theirs.index_select(axes[0], source), axes[1:], pairs
    )
    return ours.index_copy(axes[0], to, part)
