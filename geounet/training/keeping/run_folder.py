"""The run folder: what a training leaves behind. Every file appears whole or not at all."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geounet.errors import ResourceError, UsageError
from geounet.files import name_partial, write_whole
from geounet.raster import locked_folder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REPORTS = (
    *("history.csv", "curves.png", "examples.png", "report.html", "bad-batch.npz"),
    *("split.png", "split.gpkg"),
)
"""What tells of a run, beside the model, its state and its settings."""

FIRST = ("settings.json", "split.gpkg", "split.png")
"""What is written before there is a state to go on from."""

CONTENT = "content.npz"
"""What was found in the inputs: it may be there before a run, and stays for the next."""

LOCK = ".lock"
"""Folder that keeps other runs out; it stays behind where one is killed."""

LEFTOVERS = (".*.partial", ".tmp??????")
"""What a run that is killed may leave, beside finished files: drafts, and those of safetensors."""


@dataclass(frozen=True)
class RunFolder:
    """Where a training writes."""

    path: Path

    @property
    def model(self) -> Path:
        """The model that is kept so far."""
        return self.path / "model.safetensors"

    @property
    def state(self) -> Path:
        """What a run goes on from."""
        return self.path / "state.safetensors"

    @property
    def bad_batch(self) -> Path:
        """The chips that made the loss something else than a number."""
        return self.path / "bad-batch.npz"

    def write_settings(self, settings: Mapping[str, Any]) -> None:
        """Everything that was decided, as JSON; paths become text."""
        text = json.dumps(settings, indent=1, default=str)
        self._write("settings.json", text.encode())

    def clear(self, *, reports: bool = False) -> None:
        """Remove what a killed run has left, and what tells of an earlier one; no other files."""
        names = (*LEFTOVERS, *((self.state.name, *REPORTS) if reports else ()))
        try:
            for name in names:
                for path in filter(Path.is_file, self.path.glob(name)):
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise ResourceError(
                f"{self.path} cannot be cleared of an earlier run: {error.strerror or error}"
            ) from error

    def write_content(self, content: bytes) -> None:
        """What was found in the inputs."""
        self._write(CONTENT, content)

    def write_layer(self, layer: bytes) -> None:
        """Where is trained and validated, a GeoPackage."""
        self._write("split.gpkg", layer)

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

    def write_text(self, name: str, text: str) -> None:
        """A page or the like."""
        self._write(name, text.encode())

    def write_bad_batch(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Arrays that `numpy.load` reads."""
        content = io.BytesIO()
        np.savez_compressed(content, allow_pickle=False, **dict(arrays))
        self._write(self.bad_batch.name, content.getvalue())

    def _write(self, name: str, content: bytes) -> None:
        write_whole(self.path / name, content)


def check_run_folder(path: Path, *, overwrite: bool, resume: bool) -> None:
    """Refuse a folder that cannot be meant, before any work is done.

    Raises:
        UsageError: it is a file; or holds something, and `overwrite` is not set, nor `resume` with
            a state to go on from.
    """
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file; give a folder for the run")
    if overwrite or not path.is_dir() or (resume and RunFolder(path).state.exists()):
        return
    others = {found.name for found in path.iterdir()} - {CONTENT, LOCK}
    if resume:  # the same command may have been killed before it had saved anything
        others -= {*FIRST, *(found.name for n in LEFTOVERS for found in path.glob(n))}
    if others and resume:
        raise UsageError(
            f"{path} has no {RunFolder(path).state.name} to go on from, but other files; give "
            "another folder, or replace with --overwrite"
        )
    if others:
        raise UsageError(
            f"{path} is not empty; give another folder, go on with --resume, or replace with "
            "--overwrite"
        )


@contextmanager
def locked_run_folder(path: Path) -> Iterator[RunFolder]:
    """The folder, made if need be, with other runs kept out meanwhile; it goes if it stays empty.

    Raises:
        ResourceError: another run is in it, or it cannot be made or written.
    """
    is_new = not path.exists()
    folder = open_run_folder(path)
    try:
        with locked_folder(path / LOCK, path):
            yield folder
    finally:
        if is_new:
            with suppress(OSError):  # it holds something
                path.rmdir()


def open_run_folder(path: Path) -> RunFolder:
    """Make the folder, and see that one can write there; what is in it stays.

    Raises:
        ResourceError: it cannot be made or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = name_partial(path / "probe")
        probe.touch()
        probe.unlink()
    except OSError as error:
        reason = error.strerror or error
        raise ResourceError(f"{path} cannot be used as run folder: {reason}") from error
    return RunFolder(path)
