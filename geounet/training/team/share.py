"""What each of several processes does of the work that they have in common."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """Every `size`-th thing, from the `rank`-th on.

    The shares of all ranks partition whatever they are taken of.

    Attributes:
        rank: of this process, from 0.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def every(self) -> slice:
        """The share of a sequence: `things[share.every]`."""
        return slice(self.rank, None, self.size)


WHOLE = Share()
"""That of a process which is alone."""
