"""How much memory a network's activations take, at any size of tile."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from geounet.models import ForeignNetwork, Geometry, to_inference_form

PADDED_SIDE = 256
"""Side at which networks of others are recorded: most of their strides divide it."""

GUESSED_BYTES = 1024
"""Bytes per pixel that the network of a foreign file is taken to need."""


class Made(NamedTuple):
    """The so many-th storage that a function made; `is_joined`: by concatenating others."""

    number: int
    itemsize: int
    shape: torch.Size
    is_joined: bool = False


@dataclass(frozen=True)
class Activations:
    """What a forward pass makes and frees, recorded at two sizes of input.

    The sides of all feature maps are linear in the input's, so that two passes on small inputs
    tell those of any. (torch's own way, tensors on the meta device, brings its compiler:
    three seconds and 180 MB.)
    """

    sides: tuple[int, int]
    passes: tuple[list[Made | int], list[Made | int]]

    def count_bytes(self, side: int, *, joins_in_place: bool = False) -> int:
        """The most bytes alive at once with an input of (1, bands, side, side).

        With `joins_in_place`, what is concatenated was written to its place, and takes none twice.
        """
        share = (side - self.sides[0]) / (self.sides[1] - self.sides[0])
        alive: dict[int, float] = {}
        peak = 0.0
        # matched by number, not by place: a profiler in the process holds frames, and with them
        # tensors, for moments, so that one pass may free in another order
        large = {made.number: made for made in self.passes[1] if isinstance(made, Made)}
        for event in self.passes[0]:
            if isinstance(event, int):
                del alive[event]
                continue
            is_counted = not (event.is_joined and joins_in_place)
            sides = zip(event.shape, large[event.number].shape, strict=True)
            cells = math.prod(a + share * (b - a) for a, b in sides)
            alive[event.number] = is_counted * cells * event.itemsize
            peak = max(peak, sum(alive.values()))
        return int(peak)


def activation_bytes(
    network: nn.Module, bands: int, side: int, dtype: torch.dtype, *, joins_in_place: bool = False
) -> int:
    """The most bytes of feature maps alive during a pass on (1, bands, side, side).

    Args:
        network: a trained one; left as it is.
        bands: input bands.
        side: of the input in pixels.
        dtype: of the arithmetic.
        joins_in_place: concatenation copies nothing.
    """
    if network not in _recorded:
        is_ours = hasattr(network, "geometry")
        _recorded[network] = (_record_twice if is_ours else _record_padded)(network, bands)
    in_float32 = _recorded[network].count_bytes(side, joins_in_place=joins_in_place)
    return in_float32 * dtype.itemsize // torch.float32.itemsize


_recorded: WeakKeyDictionary[nn.Module, Activations] = WeakKeyDictionary()


def _record_twice(network: nn.Module, bands: int) -> Activations:
    geometry: Geometry = network.geometry  # type: ignore[assignment]
    small, large = (2 * geometry.read_margin + n * geometry.stride for n in (2, 4))
    form = to_inference_form(network).float()
    return Activations((small, large), (_record(form, bands, small), _record(form, bands, large)))


def _record_padded(network: nn.Module, bands: int) -> Activations:
    """Of a network that pads: in proportion to the area; a guess where it does not tell."""
    per_pixel = GUESSED_BYTES
    with suppress(RuntimeError):  # it does not take such a side
        events = [] if isinstance(network, ForeignNetwork) else _record(network, bands, PADDED_SIDE)
        if events:
            peak = Activations((0, 1), (events, events)).count_bytes(0)
            per_pixel = -(-peak // PADDED_SIDE**2)
    sides = (PADDED_SIDE, 2 * PADDED_SIDE)
    small, large = ([Made(1, per_pixel, torch.Size((one, one)))] for one in sides)
    return Activations(sides, ([*small], [*large]))


def _record(network: nn.Module, bands: int, side: int) -> list[Made | int]:
    recorder = _Recorder()
    with torch.inference_mode(), recorder:
        network(torch.zeros(1, bands, side, side))
    return recorder.events


class _Recorder(TorchFunctionMode):
    """Notes the storages that functions return when they come, and their numbers when they go."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Made | int] = []
        self.seen: dict[int, int] = {}
        self.made = 0

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            storage = result.untyped_storage()
            key = storage._cdata
            if key not in self.seen:
                self.made += 1
                self.seen[key] = self.made
                size, is_joined = result.element_size(), func is torch.cat
                self.events.append(Made(self.seen[key], size, result.shape, is_joined))
                weakref.finalize(storage, self._release, key)
        return result

    def _release(self, key: int) -> None:
        self.events.append(self.seen.pop(key))
