"""Progress bars on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from geounet.progress import Progress, ProgressCallback, ignore_progress

if TYPE_CHECKING:
    from tqdm import tqdm

SCALED_UNITS = ("px", "B")
"""Units counted in k, M and G; others, like epochs, are shown as they are."""


@contextmanager
def progress_bars(quiet: bool) -> Iterator[ProgressCallback]:
    """A callback that draws one bar per stage, with rate and ETA, until the block is left.

    Nothing is drawn if `quiet`, or if stderr is no terminal.
    """
    if quiet or not sys.stderr.isatty():
        yield ignore_progress
        return
    bars = _Bars()
    try:
        yield bars.show
    finally:
        bars.close()


class _Bars:
    """The bar of the current stage; those of earlier stages stay on the screen."""

    def __init__(self) -> None:
        self._stage: str | None = None
        self._bar: tqdm[NoReturn] | None = None

    def show(self, progress: Progress) -> None:
        """Bring the bar up to date; a stage that starts again gets a bar of its own."""
        bar = self._bar
        if bar is None or self._stage != progress.stage or progress.done < bar.n:
            self.close()
            bar = self._bar = _make_bar(progress)
            self._stage = progress.stage
        bar.total = progress.total
        if progress.values:
            bar.set_postfix(
                {name: f"{value:.4g}" for name, value in progress.values.items()}, refresh=False
            )
        bar.update(progress.done - bar.n)

    def close(self) -> None:
        """Draw the bar's last state and end its line."""
        if self._bar is not None:
            self._bar.refresh()
            self._bar.close()
            self._bar = None


def _make_bar(progress: Progress) -> tqdm[NoReturn]:
    from tqdm import tqdm

    # `initial` keeps work of an earlier run out of the rate and the ETA
    return tqdm(
        desc=progress.stage,
        total=progress.total,
        initial=progress.done,
        unit=progress.unit,
        unit_scale=progress.unit in SCALED_UNITS,
        file=sys.stderr,
        dynamic_ncols=True,
    )
