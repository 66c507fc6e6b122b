"""Stride and margin of a network, from its layers.

A network that pools and strides sees the scene through a lattice: cell `i` of a feature map
belongs to a fixed place of the input. The *padded* network that starts at pixel 0 defines the
lattice. The unpadded network computes some of its cells, exactly; `Span` says which.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from geounet.errors import ModelError


class OffLatticeError(ValueError):
    """A layer would start between two cells of the padded network's lattice."""


@dataclass(frozen=True, slots=True)
class Span:
    """The cells `first .. first + size - 1` of a feature map, along one axis.

    Each method is a layer without padding: it takes the cells that exist and returns those it
    can compute. `padding` is what the same layer would add in the padded network.
    """

    first: int
    size: int

    @property
    def end(self) -> int:
        """One past the last cell."""
        return self.first + self.size

    def convolve(self, kernel: int, stride: int = 1, padding: int | None = None) -> Span:
        """Cell i of the result reads cells `stride * i - padding ... + kernel - 1`."""
        shift = kernel // 2 if padding is None else padding
        if (self.first + shift) % stride:
            raise OffLatticeError(f"cell {self.first} + {shift} is no multiple of {stride}")
        if self.size < kernel:
            raise OffLatticeError(f"{self.size} cells are too few for a kernel of {kernel}")
        return Span((self.first + shift) // stride, (self.size - kernel) // stride + 1)

    def pool(self, factor: int = 2) -> Span:
        """Max pooling without overlap."""
        return self.convolve(factor, factor, padding=0)

    def upsample(self, factor: int = 2) -> Span:
        """Nearest neighbour, or a transposed convolution whose kernel is its stride."""
        return Span(self.first * factor, self.size * factor)

    def interpolate(self, factor: int) -> Span:
        """A transposed convolution whose kernel is twice its stride; cells with both sources."""
        if self.size < 2:
            raise OffLatticeError("one cell is too few to interpolate")
        return Span(factor * (self.first + 1) - factor // 2, factor * (self.size - 1))

    def crop_to(self, other: Span) -> int:
        """Leading cells to cut so that this span starts where the other does.

        Raises:
            OffLatticeError: the other reaches beyond this one.
        """
        if other.first < self.first or other.end > self.end:
            raise OffLatticeError(f"{other} is not within {self}")
        return other.first - self.first


@dataclass(frozen=True, slots=True)
class Geometry:
    """What the tiling must know of a network.

    Attributes:
        stride: period of the lattice in pixels; tiles begin at multiples of it.
        margin: pixels that the unpadded network loses on each side at most (92 of 572 at depth 4).
        read_margin: context to read around a write window whose edges are multiples of the
            stride: the smallest that puts all layers on the lattice. The output then covers the
            write window.
        spare: output pixels above and left of the write window, to be dropped; there may be some
            below and right of it, too.
    """

    stride: int
    margin: int
    read_margin: int
    spare: int


def find_geometry(trace: Callable[[Span], Span], stride: int) -> Geometry:
    """The geometry of a network whose layers are `trace`.

    Raises:
        ModelError: no margin up to 4096 pixels puts all layers on the lattice.
    """
    for read_margin in range(4096):
        read = Span(-read_margin, stride + 2 * read_margin)
        try:
            output = trace(read)
        except OffLatticeError:
            continue
        if output.first <= 0 and output.end >= stride:
            lost = max(output.first - read.first, read.end - output.end)
            return Geometry(stride, lost, read_margin, spare=-output.first)
    raise ModelError("the network's layers fit no lattice; it cannot be tiled exactly")


def find_padded_margin(trace: Callable[[Span], Span], stride: int) -> int:
    """How far the padding of the padded network reaches into an input that lies on the lattice.

    That is the margin, and what the unpadded network must leave out of such an input to be on the
    lattice: 96 for the U-Net of depth 4, whose margin is 92.

    Raises:
        ModelError: as `find_geometry`.
    """
    geometry = find_geometry(trace, stride)
    side = -(-geometry.read_margin // stride) * 4 * stride + 4 * stride
    reached = side
    for first in range(stride):
        for end in range(side - stride + 1, side + 1):
            try:
                output = trace(Span(first, end - first))
            except OffLatticeError:
                continue
            reached = min(reached, max(output.first, side - output.end))
    return reached


def legal_sizes(trace: Callable[[Span], Span], geometry: Geometry, upto: int) -> list[int]:
    """Input sizes up to `upto` that lose exactly 2 * margin pixels, all cells used."""
    found = []
    for size in range(1, upto + 1):
        try:
            output = trace(replace(Span(-geometry.read_margin, 0), size=size))
        except OffLatticeError:
            continue
        if output.size == size - 2 * geometry.margin:
            found.append(size)
    return found
