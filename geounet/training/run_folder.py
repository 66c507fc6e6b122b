"""The run folder: what a training leaves behind. Every file appears whole or not at all."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geounet.errors import ResourceError, UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REPORTS = ("history.csv", "curves.png", "examples.png")
"""What tells of a run's epochs, beside the model and its settings."""


@dataclass(frozen=True)
class RunFolder:
    """Where a training writes."""

    path: Path

    @property
    def model(self) -> Path:
        """The best model so far."""
        return self.path / "model.safetensors"

    def write_settings(self, settings: Mapping[str, Any]) -> None:
        """Everything that was decided, as JSON; paths become text."""
        text = json.dumps(settings, indent=1, default=str)
        self._write("settings.json", text.encode())

    def remove_reports(self) -> None:
        """Remove what tells of an earlier run's epochs, no other files."""
        try:
            for name in REPORTS:
                (self.path / name).unlink(missing_ok=True)
        except OSError as error:
            raise ResourceError(
                f"{self.path} cannot be cleared of an earlier run: {error.strerror or error}"
            ) from error

    def write_history(self, rows: Sequence[Mapping[str, object]]) -> None:
        """One row per epoch, anew each time; None is an empty cell."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        self._write("history.csv", text.getvalue().encode())

    def write_figure(self, name: str, figure: Figure) -> None:
        """A figure as PNG."""
        png = io.BytesIO()
        figure.savefig(png, format="png")
        self._write(name, png.getvalue())

    def _write(self, name: str, content: bytes) -> None:
        path = self.path / name
        partial = path.with_name(name + ".partial")
        try:
            partial.write_bytes(content)
            partial.replace(path)
        except OSError as error:
            raise ResourceError(f"{path} cannot be written: {error.strerror or error}") from error


def check_run_folder(path: Path, *, overwrite: bool) -> None:
    """Refuse a folder that cannot be meant, before any work is done.

    Raises:
        UsageError: it is a file, or holds something and `overwrite` is not set.
    """
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file; give a folder for the run")
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise UsageError(f"{path} is not empty; give another folder, or replace with --overwrite")


def open_run_folder(path: Path) -> RunFolder:
    """Make the folder, and see that one can write there; what is in it stays.

    Raises:
        ResourceError: it cannot be made or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / "probe.partial"
        probe.touch()
        probe.unlink()
    except OSError as error:
        reason = error.strerror or error
        raise ResourceError(f"{path} cannot be used as run folder: {reason}") from error
    return RunFolder(path)
