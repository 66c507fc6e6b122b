"""Progress on stderr: bars in a terminal, lines now and then in a log."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from geounet.progress import Progress, ProgressCallback, ignore_progress

if TYPE_CHECKING:
    from tqdm import tqdm

SCALED_UNITS = ("px", "B")
"""Units counted in k, M and G; others, like epochs, are shown as they are."""

LOG_EVERY_S = 60.0
"""Seconds between the lines of a stage, and before its first: short work leaves none."""

LINE = "{desc}: {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"


@contextmanager
def progress_bars(quiet: bool) -> Iterator[ProgressCallback]:
    """A callback that draws one bar per stage, with rate and ETA, until the block is left.

    Where stderr is no terminal, the same is told in lines, one a minute. Nothing if `quiet`.
    """
    if quiet:
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
            if not self._bar.delay:
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
        **_choose_style(),
    )


def _choose_style() -> dict[str, Any]:
    """How to draw on stderr."""
    if sys.stderr.isatty():
        return {"file": sys.stderr, "dynamic_ncols": True}
    times = {"delay": LOG_EVERY_S, "mininterval": LOG_EVERY_S, "maxinterval": LOG_EVERY_S}
    return {"file": _Log(), "bar_format": LINE, "miniters": 1, **times}


class _Log:
    """Stderr, where nothing is drawn over: each state of a bar is a line."""

    def write(self, text: str) -> None:
        """Add what is drawn, without what moves a terminal's cursor."""
        if line := text.strip():
            sys.stderr.write(f"{line}\n")

    def flush(self) -> None:
        """Let it be seen."""
        sys.stderr.flush()
