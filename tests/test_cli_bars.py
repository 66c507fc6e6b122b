from __future__ import annotations

import contextlib
import io
import re
import time

import pytest

from geounet.cli import bars
from geounet.cli.bars import progress_bars
from geounet.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def lines(self) -> list[str]:
        """What a reader sees: of each line, the text after the last carriage return."""
        plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", self.getvalue())
        return [line.split("\r")[-1].strip() for line in plain.split("\n") if line.strip()]


def draw(*reports: Progress, quiet: bool = False) -> list[str]:
    """The lines left on a terminal after these reports."""
    terminal = Terminal()
    # Not a fixture: pytest sets sys.stderr anew between setup and test
    with contextlib.redirect_stderr(terminal), progress_bars(quiet) as progress:
        for report in reports:
            progress(report)
    return terminal.lines()


def test_one_bar_per_stage_with_rate_and_values():
    read, predict = draw(
        *(Progress("read", done, 4, "file") for done in range(5)),
        *(
            Progress("predict", done, 2_000_000, "px", {"miou": 0.123456})
            for done in (0, 600_000, 2_000_000)
        ),
    )
    assert read.startswith("read: 100%") and "4/4" in read and "file/s" in read
    assert "2.00M/2.00M" in predict and "px/s" in predict
    assert "miou=0.1235" in predict


def test_stage_that_starts_again_gets_a_bar_of_its_own():
    lines = draw(*(Progress("validate", done, 3, "block") for done in (0, 3, 0, 3)))
    assert [line.split("|")[0] for line in lines] == ["validate: 100%"] * 2


def test_total_may_be_unknown_or_come_later():
    (line,) = draw(
        Progress("polygonize", 10, None, "strip"), Progress("polygonize", 30, 40, "strip")
    )
    assert line.startswith("polygonize:  75%") and "30/40" in line


def test_what_was_done_before_the_bar_is_not_in_the_rate():
    (line,) = draw(Progress("predict", 900, 1000, "tile"))
    assert "900/1000" in line and "?tile/s" in line


def test_bar_keeps_its_line_when_the_work_fails():
    terminal = Terminal()
    with (
        contextlib.redirect_stderr(terminal),
        pytest.raises(ValueError, match="broken"),
        progress_bars(quiet=False) as progress,
    ):
        progress(Progress("predict", 1, 4, "part"))
        raise ValueError("broken")
    assert terminal.getvalue().endswith("\n")
    assert "1/4" in terminal.lines()[-1]


def test_nothing_is_drawn_when_quiet():
    assert draw(Progress("predict", 1, 2, "px"), quiet=True) == []


def log(*reports: Progress) -> list[str]:
    """The lines that these reports leave where stderr is no terminal."""
    with contextlib.redirect_stderr(io.StringIO()) as text, progress_bars(quiet=False) as progress:
        for report in reports:
            progress(report)
            time.sleep(0.02)
    assert not set("\r\x1b") & set(text.getvalue())
    return text.getvalue().splitlines()


def test_a_log_gets_lines_now_and_then(monkeypatch):
    monkeypatch.setattr(bars, "LOG_EVERY_S", 0.05)
    lines = log(
        *(Progress("train", done, 100, "steps", {"loss": 1 / (done + 1)}) for done in range(20))
    )
    states = [int(line.removeprefix("train: ").split("/100")[0]) for line in lines]
    assert states == sorted(set(states)) and 3 <= len(states) <= 8
    assert lines[-1].startswith("train: 19/100 [00:") and lines[-1].endswith("loss=0.05]")


def test_a_log_gets_no_line_of_short_work():
    assert log(*(Progress("predict", done, 2, "px") for done in range(3))) == []


def test_a_log_tells_no_total_that_is_not_known(monkeypatch):
    monkeypatch.setattr(bars, "LOG_EVERY_S", 0.01)
    first, *_ = log(*(Progress("polygonize", done, None, "strip") for done in range(3)))
    assert first.startswith("polygonize: 1/? [")
