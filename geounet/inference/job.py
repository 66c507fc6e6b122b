"""The parts folder beside an output: what makes a run resumable."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geounet.errors import InputError, ResourceError, UsageError
from geounet.raster import Window, read_tags

JOB_FORMAT = 1
JOB_FILE, PARTIAL_FILE = "job.json", "job.json.partial"

JOB_TAG = "GEOUNET_JOB"
"""GDAL metadata item of an output: the digest of its job's fingerprint."""


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
        """Remove the folder; job.json last, so that what is left after a kill is known."""
        for file in self.folder.iterdir():
            if file.name != JOB_FILE:
                file.unlink()
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
    begun = {PARTIAL_FILE}  # killed before it began
    if folder.exists() and {f.name for f in folder.iterdir()} - begun and not overwrite:
        raise InputError(
            f"{folder} holds the parts of another run ({_difference(found, fingerprint)}); "
            "finish that run, or discard them with --overwrite"
        )
    try:
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir()
        content = {"format": JOB_FORMAT, "fingerprint": fingerprint, "part_rows": part_rows}
        partial = folder / PARTIAL_FILE
        partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
        partial.replace(folder / JOB_FILE)
    except OSError as error:
        raise ResourceError(f"{folder} cannot be written: {error.strerror or error}") from error
    return Job(folder, part_rows)


def find_finished(outputs: Iterable[Path], fingerprint: Mapping[str, Any]) -> set[Path]:
    """The outputs that this job has already finished, told by the tag that it leaves in them."""
    digest = digest_job(fingerprint)
    return {path for path in outputs if path.exists() and _read_digest(path) == digest}


def digest_job(fingerprint: Mapping[str, Any]) -> str:
    """SHA-256 of a fingerprint, for the tag `JOB_TAG`."""
    return hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()


def refuse_existing(outputs: Iterable[Path]) -> None:
    """Refuse outputs that exist.

    Raises:
        UsageError: with the option that helps.
    """
    for path in outputs:
        if path.exists():
            raise UsageError(f"{path} exists; replace it with --overwrite, or choose another name")


def check_output(path: Path, suffixes: tuple[str, ...]) -> None:
    """Refuse an output that cannot be made, or has an unknown suffix.

    Raises:
        UsageError: with the option or command that helps.
    """
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"{path}: the name of this output must end in {' or '.join(suffixes)}")
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give the name of a file")
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent}: no such folder; make it first")


def _read_digest(path: Path) -> str | None:
    try:
        return read_tags(path).get(JOB_TAG)
    except InputError:
        return None


def _read_job(folder: Path) -> dict[str, Any] | None:
    try:
        content = json.loads((folder / JOB_FILE).read_text(encoding="utf-8"))
        return content if content["format"] == JOB_FORMAT else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _difference(found: Mapping[str, Any] | None, fingerprint: Mapping[str, Any]) -> str:
    if found is None:
        return "without a readable job.json"
    now, then = json.loads(json.dumps(fingerprint)), found["fingerprint"]
    keys = [k for k in now if now[k] != then.get(k)] + [k for k in then if k not in now]
    return "another " + ", ".join(keys)
