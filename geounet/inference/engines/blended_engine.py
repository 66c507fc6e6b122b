"""Engines of networks without a finite margin: their tiles overlap, and their scores are blended.

Such a network pads, or looks at its whole input: it has no `trace`. How its tiles overlap is
decided here, from how far the border of a tile is measured to reach into it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import cast
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geounet.classes import NODATA
from geounet.errors import ModelError, ResourceError, UsageError
from geounet.inference.engines.blending import Blend
from geounet.inference.engines.engine import (
    Engine,
    Outputs,
    Pending,
    count_changes,
    is_out_of_memory,
)
from geounet.inference.engines.predictor import STEPS, Request, to_blended_form
from geounet.inference.engines.runtime import Runtime
from geounet.models import ForeignNetwork, Geometry, ModelSpec, measure_reach

Members = Sequence[tuple[nn.Module, ModelSpec]]
"""Networks with their specs."""

DEFAULT_TILE = 1024
"""Side of the tiles unless spec, file or `--tile` say otherwise: twice what is common in training,
since what overlaps is computed twice and more, and is as wide in small tiles."""

MEASURED_TILE = 512
"""Side of the largest tile in which the reach is measured."""

RAMP_SHARE = 16
"""Tiles hand over to each other within a 16th of their side."""

ALIGNED_STRIDES = 8
"""Tiles of fewer strides are too small to lie at multiples of the stride."""


class BlendedEngine:
    """What runs the tiles of such networks, with how they overlap.

    It is not called for outputs: `tiles` is called for scores, which `blend_results` sums up.

    Attributes:
        tiles: gives float32 scores of tiles.
        blend: how tiles overlap.
        request: the outputs of the run.
        geometry: its stride is the step of the tiles, at which parts are cut.
        stride: of the networks.
    """

    def __init__(self, tiles: Engine, members: Members, request: Request, blend: Blend) -> None:
        self.tiles, self.request, self.blend = tiles, request, blend
        self.name = name_engines(tiles, members)
        self.runtime, self.classes, self.ahead = tiles.runtime, tiles.classes, tiles.ahead
        self.geometry = Geometry(blend.step, margin=blend.rim, read_margin=blend.rim, spare=0)
        self.stride = find_stride(members)
        self._values = np.array([c.value for c in members[0][1].classes], np.uint8)

    def submit(self, image: NDArray[np.generic], valid: NDArray[np.bool_]) -> Pending:
        """Begin the scores of tiles."""
        return self.tiles.submit(image, valid)

    def __call__(self, image: NDArray[np.generic], valid: NDArray[np.bool_]) -> Outputs:
        """The scores of tiles."""
        return self.tiles(image, valid)

    def rest(self) -> None:
        """See `Engine`."""
        self.tiles.rest()

    def decide(self, scores: NDArray[np.float32]) -> Outputs:
        """The outputs of the request from blended scores (K, H, W), NaN where there is no data."""
        has_data = ~np.isnan(scores[0])
        if not has_data.any():
            shape = has_data.shape
            kinds = self.request.kinds
            return {kind: self.request.make_blank(kind, self.classes, shape) for kind in kinds}
        outputs: Outputs = {
            "mask": np.where(has_data, self._values[scores.argmax(axis=0)], np.uint8(NODATA))
        }
        if self.request.confidence:
            outputs["confidence"] = _quantise(scores.max(axis=0), has_data)
        if self.request.scores is not None:
            is_uint8 = self.request.scores == "uint8"
            outputs["scores"] = (
                _quantise(scores, has_data) if is_uint8 else scores.astype(self.request.scores)
            )
        return outputs


def move_tiles(engine: BlendedEngine) -> BlendedEngine:
    """The same with tiles that lie about half a step elsewhere: to compare."""
    step = engine.blend.step
    shift = step // (2 * engine.stride) * engine.stride or step // 2
    moved = copy.copy(engine)
    moved.blend = replace(engine.blend, shift=shift)
    return moved


def engine_of_tiles(engine: Engine) -> Engine:
    """What is called for tiles: the engine itself unless it is blended."""
    return engine.tiles if isinstance(engine, BlendedEngine) else engine


def request_of_tiles(request: Request) -> Request:
    """What a blended run asks of its tiles: scores as they are."""
    return Request(scores="float32", tta=request.tta)


def choose_blend(members: Members, tile: int | None) -> Blend | None:
    """How the tiles of these networks overlap; None: they do not, the tiling is exact.

    Args:
        members: networks with their specs.
        tile: side of the tiles that is asked for.

    Raises:
        ModelError: some of the networks are exact and some not, or one cannot run.
        UsageError: they cannot have such tiles.
    """
    are_exact = {callable(getattr(network, "trace", None)) for network, _ in members}
    if are_exact == {True}:
        return None
    if len(are_exact) > 1:
        names = ", ".join(spec.architecture for _, spec in members)
        raise ModelError(
            f"an ensemble of {names}: some have exact tiles and some blended ones; use one kind"
        )
    side, stride = _choose_side(members, tile), find_stride(members)
    reach = max(find_reach(network, spec, side) for network, spec in members)
    # with rim and ramp at multiples of the stride all tiles are, and poolings fall alike in them
    unit = stride if side >= ALIGNED_STRIDES * stride else 1
    rim = min(-(-reach // unit), side // 4 // unit) * unit
    return Blend(side, rim, max(side // RAMP_SHARE // unit, 1) * unit)


def find_stride(members: Members) -> int:
    """What the sides of the tiles of these networks are multiples of."""
    return math.lcm(*(spec.stride for _, spec in members))


def fix_precision(members: Members, runtime: Runtime, asked: str) -> Runtime:
    """The runtime for these networks: a foreign file keeps the precision it was exported in.

    Raises:
        UsageError: another is asked for.
    """
    if not any(is_file(network) for network, _ in members):
        return runtime
    if asked not in ("auto", "float32"):
        raise UsageError(
            f"--precision {asked}: an exported file keeps the precision it was exported in; "
            "leave --precision out"
        )
    return Runtime(runtime.device, "float32")


def is_file(network: nn.Module) -> bool:
    """Whether a network is what a foreign file holds."""
    return isinstance(network, ForeignNetwork)


def find_reach(network: nn.Module, spec: ModelSpec, side: int) -> int:
    """How far the border of a tile reaches into it: measured once for these weights.

    Raises:
        ModelError: the network cannot run, or does not give what the spec says.
    """
    is_fixed = getattr(network, "side", None) is not None
    most = max(MEASURED_TILE // (2 * spec.stride), 1) * 2 * spec.stride
    measured = side if is_fixed else min(side, most)
    # in training the weights change between validations
    changes = sum(map(count_changes, network.parameters()))
    known = _reaches.setdefault(network, {})
    if (measured, changes) not in known:
        known[measured, changes] = _measure(network, spec, measured)
    return known[measured, changes]


_reaches: WeakKeyDictionary[nn.Module, dict[tuple[int, int], int]] = WeakKeyDictionary()


def _measure(network: nn.Module, spec: ModelSpec, side: int) -> int:
    """On the CPU in float32, wherever the run will be: the tiling must not depend on it."""
    form = to_blended_form(network).cpu().float()
    name = getattr(network, "path", spec.architecture)
    expected = (1, len(spec.classes), side, side)

    def run(x: Tensor) -> Tensor:
        try:
            scores = form(x.contiguous(memory_format=torch.channels_last))
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise ResourceError(
                    f"{name} does not fit the memory with tiles of {side}; choose smaller ones "
                    "with --tile (which changes the result of this model a little)"
                ) from error
            reason = " ".join(str(error).split())[:300]
            raise ModelError(
                f"{name} cannot run on {tuple(x.shape)}: {reason}; sides are "
                f"multiples of the spec's stride, {spec.stride}"
            ) from error
        if tuple(scores.shape) != expected:
            raise ModelError(
                f"{name} gives {tuple(scores.shape)} of {tuple(x.shape)}, the spec "
                f"means {expected}: a score for each of its classes at each pixel"
            )
        return cast(Tensor, scores)

    with torch.inference_mode():
        return measure_reach(run, len(spec.bands), side, spec.stride)


def _choose_side(members: Members, tile: int | None) -> int:
    fixed = {getattr(network, "side", None) for network, _ in members} - {None}
    told = {spec.arguments.get("tile") for _, spec in members} - {None}
    stride = find_stride(members)
    if tile is not None and fixed - {tile}:
        raise UsageError(f"--tile {tile}: the model takes tiles of {_list(fixed)} only")
    sides = fixed or ({tile} if tile else told) or {DEFAULT_TILE // stride * stride}
    if len(sides) > 1:
        hint = "" if fixed else "; choose one with --tile"
        raise ModelError(f"the models of the ensemble have tiles of {_list(sides)} pixels{hint}")
    (side,) = sides
    if not isinstance(side, int) or side < 1 or side % stride:
        raise UsageError(f"tiles of {side} pixels; this model needs a multiple of {stride}")
    return side


def _list(sides: set[int | None]) -> str:
    return " and ".join(sorted(map(str, sides)))


def name_engines(tiles: Engine, members: Members) -> str:
    """The word of `--engine`, or what runs an exported file."""
    files = [network.engine if is_file(network) else None for network, _ in members]
    return " and ".join(sorted({str(name or tiles.name) for name in files}))


def _quantise(probability: NDArray[np.float32], has_data: NDArray[np.bool_]) -> NDArray[np.uint8]:
    steps = np.rint(np.where(has_data, probability, 0) * STEPS).astype(np.uint8)
    return np.where(has_data, steps, np.uint8(NODATA))
