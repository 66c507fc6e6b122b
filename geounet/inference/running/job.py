"""The parts folder beside an output: what makes a run resumable."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from geounet.errors import InputError, ResourceError, UsageError
from geounet.files import flush, publish
from geounet.raster import (
    LOCK_FILE,
    FolderLock,
    Window,
    guard_writing,
    is_whole,
    locked_folder,
    read_tags,
)

JOB_FORMAT = 2
JOB_FILE, PARTIAL_FILE = "job.json", "job.json.partial"

MAX_NAME = 240
"""Bytes of an output's name: file systems take 255, and ".aux.xml" or ".parts" is added to it."""

_PART_NAME = re.compile(r"\.*[a-z-]+-[0-9]{9}\.tif")
"""With which parts begin, and with dots before it drafts and temporary files."""

JOB_TAG = "GEOUNET_JOB"
"""GDAL metadata item of an output: the digest of its job's fingerprint."""


@dataclass(frozen=True, slots=True)
class Job:
    """A run's parts on disk.

    Attributes:
        folder: `OUT.parts/`.
        cut: how the run that began the job cuts it.
        draft: what the drafts of a process are called by that does not hold the folder's lock: it
            computes parts, and whoever holds the lock publishes them; empty: the parts themselves.
    """

    folder: Path
    cut: Mapping[str, Any]
    draft: str = ""

    def part_path(self, kind: str, part: Window) -> Path:
        """The file of a part of an output ("mask", "confidence")."""
        name = f"{kind}-{part.row_off:09d}.tif"
        return self.folder / (f".{name}.{self.draft}" if self.draft else name)

    def publish_draft(self, kinds: Iterable[str], part: Window, draft: str) -> None:
        """Make a draft the part; the mask, with which it is done, comes last of the kinds.

        Raises:
            ResourceError: it is not there.
        """
        drafted = replace(self, draft=draft)
        for kind in kinds:
            path = self.part_path(kind, part)
            with guard_writing(path):
                drafted.part_path(kind, part).replace(path)
        flush(self.folder)

    def discard_draft(self, kinds: Iterable[str], part: Window, draft: str) -> None:
        """Remove a draft, if it is there."""
        drafted = replace(self, draft=draft)
        for kind in kinds:
            with suppress(OSError):
                drafted.part_path(kind, part).unlink()

    def is_there(self, part: Window) -> bool:
        """Whether a part seems to be done, without a look into its files."""
        return self.part_path("mask", part).exists()

    def is_done(self, kinds: tuple[str, ...], part: Window) -> bool:
        """Whether all outputs of a part are on disk, and not cut off by whoever copied them."""
        return all(is_whole(self.part_path(kind, part), part.shape) for kind in kinds)

    def remove(self) -> None:
        """Remove the parts; the folder goes when its lock is lifted.

        Raises:
            ResourceError: one cannot be removed.
        """
        with guard_writing(self.folder):
            _discard_parts(self.folder)


@contextmanager
def lock_job(output: Path, *, shared: bool = False) -> Iterator[FolderLock]:
    """Keep other runs away from an output meanwhile: from its parts folder, which is made.

    Shards share the lock: the first one is alone until it has begun the job.

    Raises:
        ResourceError: another run is writing the output, or the folder cannot be made.
    """
    with locked_folder(name_folder(output), output, shared=shared) as lock:
        yield lock


def open_job(
    lock: FolderLock, fingerprint: Mapping[str, Any], cut: Mapping[str, Any], *, overwrite: bool
) -> Job:
    """Begin a job, or go on with the same one.

    Args:
        lock: of the output that the parts will become, as `lock_job`.
        fingerprint: everything that can change a pixel of the result, as JSON.
        cut: of a job that begins, as `describe_cut`; one that goes on keeps its own.
        overwrite: discard another job's parts rather than refuse them.

    Raises:
        InputError: the folder holds another job's parts.
        ResourceError: it cannot be made, or shards of another run are at work there.
    """
    if job := find_job(lock.output, fingerprint):
        return job
    folder = name_folder(lock.output)
    difference = describe_difference(lock.output, fingerprint)
    if not lock.is_alone:
        raise ResourceError(
            f"{folder}: shards of another run ({difference}) are at work there; wait for their "
            "end, or choose another output"
        )
    if any(map(_is_kept, folder.iterdir())) and not overwrite:
        raise InputError(
            f"{folder} holds the parts of another run ({difference}); "
            "finish that run, or discard them with --overwrite"
        )
    content = {"format": JOB_FORMAT, "fingerprint": fingerprint, "cut": cut}
    partial = folder / PARTIAL_FILE
    with guard_writing(folder):
        _discard_parts(folder)
        partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
        publish(partial, folder / JOB_FILE)
    return Job(folder, cut)


def find_job(output: Path, fingerprint: Mapping[str, Any]) -> Job | None:
    """The job that a run with this fingerprint goes on with."""
    folder = name_folder(output)
    found = _read_job(folder)
    if found is None or found["fingerprint"] != json.loads(json.dumps(fingerprint)):
        return None
    return Job(folder, found["cut"])


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
    if len(os.fsencode(path.name)) > MAX_NAME:
        raise UsageError(f"{path}: this name is longer than {MAX_NAME} bytes; choose a shorter one")
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give the name of a file")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is a pipe or device; give the name of a file")
    if path.parent.is_file():
        raise UsageError(f"{path.parent} is a file, not a folder; choose another output")
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent}: no such folder; make it first")


def name_folder(output: Path) -> Path:
    """Of an output's parts."""
    return output.with_name(output.name + ".parts")


def _discard_parts(folder: Path) -> None:
    """Remove what is ours; job.json last, so that what a kill leaves is known."""
    for file in folder.iterdir():
        if _PART_NAME.match(file.name):
            file.unlink()
    for name in (PARTIAL_FILE, JOB_FILE):
        (folder / name).unlink(missing_ok=True)


def _read_digest(path: Path) -> str | None:
    try:
        return read_tags(path).get(JOB_TAG)
    except InputError:
        return None


def _read_job(folder: Path) -> dict[str, Any] | None:
    """What job.json says; None if it is not there, of another geounet, or damaged."""
    try:
        content = json.loads((folder / JOB_FILE).read_text(encoding="utf-8"))
        (height, width), cut = content["cut"]["tile_shape"], content["cut"]
        numbers = (cut["part_rows"], height, width, cut["batch"])
        is_sound = all(isinstance(n, int) and n > 0 for n in numbers)
        is_sound &= content["format"] == JOB_FORMAT and isinstance(content["fingerprint"], dict)
        return content if is_sound else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_kept(file: Path) -> bool:
    """Whether a file is more than what a kill leaves before a job begins, or a draft."""
    is_passing = file.name.startswith(".") and _PART_NAME.match(file.name)
    return not is_passing and file.name not in (PARTIAL_FILE, LOCK_FILE)


def describe_difference(output: Path, fingerprint: Mapping[str, Any]) -> str:
    """In what an output's job is another one, for messages."""
    found = _read_job(name_folder(output))
    if found is None:
        return "without a readable job.json"
    now, then = json.loads(json.dumps(fingerprint)), found["fingerprint"]
    keys = [k for k in now if now[k] != then.get(k)] + [k for k in then if k not in now]
    if keys == ["scene"] and (names := _changed_files(now["scene"], then["scene"])):
        return f"{names} has changed since"
    return "another " + ", ".join(keys)


def _changed_files(now: list[dict[str, Any]], then: list[dict[str, Any]]) -> str:
    """Names of a scene's files that are there as before, but of another size or date."""
    names = [[file["name"] for file in files] for files in (now, then)]
    if names[0] != names[1]:
        return ""
    return ", ".join(a["name"] for a, b in zip(now, then, strict=True) if a != b)
