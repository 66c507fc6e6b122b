"""Outputs at `s3://`: made in a folder of this machine, uploaded at the end.

They are removed here only once all of them are there: until then the same command finds what it
has made, computes nothing again, and uploads what is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from geounet.errors import ResourceError, UsageError

if TYPE_CHECKING:
    from geounet.cli.jobs import Job
    from geounet.inference import PredictSummary


@dataclass
class Staging:
    """Where outputs lie until they are uploaded.

    Attributes:
        folder: given by the user; None: a folder for temporary files, the same for the same
            addresses, so that the same command goes on.
        urls: what goes where, by its place in the folder.
    """

    folder: Path | None
    urls: dict[Path, str] = field(default_factory=dict)

    @property
    def is_used(self) -> bool:
        """Whether an output is to be uploaded."""
        return bool(self.urls)

    def bring(self, path: Path | None) -> Path | None:
        """Where to make an output: at its own place, if it is on this machine.

        Raises:
            ResourceError: the folder cannot be made.
        """
        from geounet.raster import find_s3

        url = None if path is None else find_s3(path)
        if url is None:
            return path
        folder = self.folder or _find_temporary(url)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ResourceError(f"{folder} cannot be made: {error.strerror}") from error
        local = folder / url.rpartition("/")[2]
        if local in self.urls:
            raise UsageError(f"two outputs are called {local.name}; choose different names")
        self.urls[local] = url
        return local

    def bring_output(self, output: Path) -> Path:
        """As `bring`, of what must be there."""
        return self.bring(output) or output

    def check(self, jobs: Sequence[Job], *, overwrite: bool, is_shared: bool) -> None:
        """Refuse to replace what is there, before the hours that come first.

        What an earlier call has uploaded, which failed at another file, is no obstacle.

        Raises:
            UsageError: something is there, or other processes could not find the folder.
        """
        from geounet.raster import exists_remote, is_uploaded

        if self.urls and is_shared and self.folder is None:
            raise UsageError(
                "many workers need one folder that all of them see; name it with --staging, or "
                "an output on a disk that they share"
            )

        found = {output: self.find_url(output) for _, output in jobs} | self.urls
        for file, url in found.items():
            if overwrite or url is None or not url.endswith((".tif", ".tiff")):
                continue
            if exists_remote(url) and not is_uploaded(file, url):
                raise UsageError(f"{url} exists; replace it with --overwrite, or choose another")

    def find_url(self, file: Path) -> str | None:
        """Where a file is to be uploaded, itself or as one of a folder; None if it stays."""
        if file in self.urls:
            return self.urls[file]
        folder = self.urls.get(file.parent)
        return None if folder is None else f"{folder}/{file.name}"

    def upload(self, summaries: Sequence[PredictSummary]) -> list[PredictSummary]:
        """Upload what was made, then remove it here; the summaries with a note of it.

        Raises:
            ResourceError: something cannot be uploaded; all is still here.
        """
        noted = [self._upload_one(summary) for summary in summaries]
        for summary in summaries:
            for file, _ in self._list_staged(summary):
                _remove(file)
        return noted

    def _upload_one(self, summary: PredictSummary) -> PredictSummary:
        notes = []
        for file, url in self._list_staged(summary):
            _upload_once(file, url)
            notes.append(f"uploaded to {url}")
        return replace(summary, notes=(*summary.notes, *notes))

    def _list_staged(self, summary: PredictSummary) -> Iterator[tuple[Path, str]]:
        """The outputs that are to be uploaded, and where to."""
        for file in (summary.confidence, summary.scores, summary.output):
            url = None if file is None else self.find_url(file)
            if file is not None and url is not None:
                yield file, url


def _upload_once(file: Path, url: str) -> None:
    """Upload a file, unless an earlier call has done so before it failed at another one.

    A marker says that its sidecar went with it: the two are two objects, and a kill may come in
    between.

    Raises:
        ResourceError: it cannot be uploaded.
    """
    from geounet.raster import is_uploaded, upload

    marker = _name_marker(file)
    if marker.exists() and is_uploaded(file, url):
        return
    marker.unlink(missing_ok=True)
    upload(file, url)
    with suppress(OSError):  # a full disk: then it may be uploaded twice
        marker.touch()


def _remove(file: Path) -> None:
    """Remove an output, and its folder if that is empty then."""
    for local in (_name_marker(file), file.with_name(f"{file.name}.aux.xml"), file):
        local.unlink(missing_ok=True)
    with suppress(OSError):  # it holds more
        file.parent.rmdir()


def _name_marker(file: Path) -> Path:
    return file.with_name(f".{file.name}.uploaded")


def _find_temporary(url: str) -> Path:
    """A folder for temporary files, the same for the same address."""
    import hashlib
    import tempfile

    digest = hashlib.sha256(url.encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"geounet-{digest}"


def refuse_s3(**paths: Path | None) -> None:
    """Refuse outputs that are written on disks only.

    Raises:
        UsageError: one is at `s3://`.
    """
    from geounet.raster import find_s3

    for option, path in paths.items():
        if path is not None and find_s3(path):
            raise UsageError(f"--{option} {find_s3(path)}: rasters only go to s3://; name a file")
