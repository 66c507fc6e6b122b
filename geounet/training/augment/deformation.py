"""Geometric variation: flips, turns, rotation, scale, shift and elastic deformation in one step.

All of them together say where each pixel comes from; then the image is interpolated once, and
whatever lies on its pixels is carried by nearest neighbour from the same places.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from geounet.training.augment.augment_options import AugmentOptions
from geounet.training.learning.seeds import Dice

NODES = 3
"""Per side of the grid of the elastic deformation."""

WARPED = 0.8
"""Share of the chips that are interpolated; the others stay as sharp as in prediction."""

MIRROR = torch.tensor([[1.0, 0.0], [0.0, -1.0]])
QUARTER = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
ORIENTATIONS = torch.stack(
    [flip @ QUARTER.matrix_power(k) for flip in (torch.eye(2), MIRROR) for k in range(4)]
)
"""(8, 2, 2): what `numpy.rot90` (k times), of the square or of its mirror image, reads from."""


def draw_positions(
    options: AugmentOptions, count: int, side: int, dice: Dice, device: torch.device
) -> Tensor:
    """Where the pixels of `count` squares come from.

    Returns:
        float32 (N, 2, side, side): row and column in the source, in pixels from its centre.
    """
    orientation = dice.choose(8 if options.turn else 1, count)
    warped = dice.uniform(count, 1, 1) < WARPED
    angle, zoom, *shift = (2 * dice.uniform(count, 1, 1) - 1 for _ in range(4))
    nodes = dice.normal(count, 2, NODES, NODES)

    matrix = ORIENTATIONS[orientation] @ rotation(angle * options.rotate_deg * warped)
    matrix = matrix * options.scale ** (zoom * warped)
    offset = torch.cat(shift, dim=1) * options.shift_px * warped
    amplitude = options.limit_elastic(side) * warped[..., None]

    matrix, offset = matrix.to(device, non_blocking=True), offset.to(device, non_blocking=True)
    axis = torch.arange(side, device=device) - (side - 1) / 2
    # no matrix product: with TF32 it would be off by tenths of a pixel
    along_rows = matrix[:, :, 0, None, None] * axis[:, None] + offset[..., None]
    positions: Tensor = along_rows + matrix[:, :, 1, None, None] * axis
    if options.elastic_px:
        positions += spread((amplitude * nodes).to(device, non_blocking=True), side)
    return positions


def rotation(degrees: Tensor) -> Tensor:
    """(N, 1, 1) -> (N, 2, 2); 0 gives exactly the identity, 90 what `QUARTER` is."""
    cos, sin = torch.cos(torch.deg2rad(degrees)), torch.sin(torch.deg2rad(degrees))
    return torch.cat([torch.cat([cos, sin], dim=2), torch.cat([-sin, cos], dim=2)], dim=1)


def spread(nodes: Tensor, side: int) -> Tensor:
    """Bicubic interpolation of (N, 2, k, k), whose outer nodes lie on the outermost pixels."""
    count = nodes.shape[-1]
    # separable, so two thin products instead of 16 taps per pixel
    unit = torch.eye(count, device=nodes.device)[None, :, :, None]
    weights = functional.interpolate(unit, size=(side, 1), mode="bicubic", align_corners=True)
    weights = weights[0, :, :, 0]  # (k, side)
    return weights.T @ nodes @ weights


def interpolate(image: Tensor, positions: Tensor) -> Tensor:
    """The image (N, B, h, w) at the positions, bicubic; beyond its edge its outermost pixels."""
    height, width = image.shape[-2:]
    rows, cols = positions.unbind(dim=1)
    grid = torch.stack([2 / width * cols, 2 / height * rows], dim=-1)  # (N, H, W, 2): x, y
    return functional.grid_sample(
        image, grid, mode="bicubic", padding_mode="border", align_corners=False
    )


@dataclass(frozen=True)
class Places:
    """The pixels of a source that some positions are nearest to.

    Attributes:
        index: int64 (N, H, W), row * side + column.
        inside: bool (N, H, W); elsewhere the position is beyond the source.
    """

    index: Tensor
    inside: Tensor

    def carry(self, plane: Tensor, fill: float) -> Tensor:
        """What lies on a source (N, h, w) or (N, B, h, w), of any dtype, exactly; `fill` beyond."""
        index, inside = self.index.flatten(1), self.inside
        if plane.ndim == 4:
            index, inside = index[:, None].expand(-1, plane.shape[1], -1), inside[:, None]
        moved = plane.flatten(-2).gather(-1, index)
        return moved.view(*plane.shape[:-2], *inside.shape[-2:]).masked_fill_(~inside, fill)


def find_nearest(positions: Tensor, side: int) -> Places:
    """The pixels of a source of this side at the positions (N, 2, H, W) from its centre.

    Sources whose sides differ by an even number are rounded alike: what lay together stays so.
    """
    half = (side - 1) % 2 / 2
    cells = (positions + half).round_().to(torch.int32) + (side - 1) // 2
    within = (cells >= 0) & (cells < side)
    inside = within[:, 0] & within[:, 1]
    rows, cols = cells.clamp_(0, side - 1).unbind(dim=1)
    return Places((rows * side + cols).long(), inside)
