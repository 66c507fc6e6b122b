"""The parts folder beside an output: what makes a run resumable."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geounet.errors import InputError, ResourceError, UsageError
from geounet.raster import Window

JOB_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Job:
    """A run's parts on disk.

    Attributes:
        folder: `OUT.parts/`.
        part_rows: rows of a part; those of the run that began the job.
    """

    folder: Path
    part_rows: int

    def part_path(self, kind: str, part: Window) -> Path:
        """The file of a part of an output ("mask", "confidence")."""
        return self.folder / f"{kind}-{part.row_off:09d}.tif"

    def is_done(self, kinds: tuple[str, ...], part: Window) -> bool:
        """Whether all outputs of a part are on disk; a file that is there is whole."""
        return all(self.part_path(kind, part).exists() for kind in kinds)

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def open_job(
    output: Path, fingerprint: Mapping[str, Any], part_rows: int, *, overwrite: bool
) -> Job:
    """Begin a job, or go on with the same one.

    Args:
        output: the file that the parts will become.
        fingerprint: everything that can change a pixel of the result, as JSON.
        part_rows: rows of a part for a job that begins; one that goes on keeps its own.
        overwrite: discard another job's parts rather than refuse them.

    Raises:
        InputError: the folder holds another job's parts.
        ResourceError: it cannot be made.
    """
    folder = output.with_name(output.name + ".parts")
    found = _read_job(folder)
    if found is not None and found.get("fingerprint") == json.loads(json.dumps(fingerprint)):
        return Job(folder, int(found["part_rows"]))
    if folder.exists() and any(folder.iterdir()) and not overwrite:
        raise InputError(
            f"{folder} holds the parts of another run ({_difference(found, fingerprint)}); "
            "finish that run, or discard them with --overwrite"
        )
    try:
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir()
        content = {"format": JOB_FORMAT, "fingerprint": fingerprint, "part_rows": part_rows}
        partial = folder / "job.json.partial"
        partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
        partial.replace(folder / "job.json")
    except OSError as error:
        raise ResourceError(f"{folder} cannot be written: {error.strerror or error}") from error
    return Job(folder, part_rows)


def check_output(path: Path, suffixes: tuple[str, ...], *, overwrite: bool) -> None:
    """Refuse an output that exists, cannot be made, or has an unknown suffix.

    Raises:
        UsageError: with the option or command that helps.
    """
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"{path}: the name of this output must end in {' or '.join(suffixes)}")
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give the name of a file")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists; replace it with --overwrite, or choose another name")
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent}: no such folder; make it first")


def _read_job(folder: Path) -> dict[str, Any] | None:
    try:
        content = json.loads((folder / "job.json").read_text(encoding="utf-8"))
        return content if content["format"] == JOB_FORMAT else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _difference(found: Mapping[str, Any] | None, fingerprint: Mapping[str, Any]) -> str:
    if found is None:
        return "without a readable job.json"
    now, then = json.loads(json.dumps(fingerprint)), found["fingerprint"]
    keys = [k for k in now if now[k] != then.get(k)] + [k for k in then if k not in now]
    return "another " + ", ".join(keys)
