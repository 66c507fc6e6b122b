"""Which labels belong to which image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from geounet.errors import InputError
from geounet.raster import find_local, name_of, open_scene
from geounet.vector.source import is_vectors
from geounet.wording import counted

Source = str | Path

SIDECARS = frozenset({
    ".xml", ".ovr", ".msk", ".tfw", ".tifw", ".pgw", ".jgw", ".wld", ".prj", ".dbf", ".shx", ".cpg",
    ".qix", ".sbn", ".sbx", ".qml", ".qmd", ".sld", ".lyr", ".txt", ".md",
    ".hdr", ".aux", ".rrd", ".stx", ".clr", ".gpkg-wal", ".gpkg-shm", ".gpkg-journal",
})  # fmt: skip
"""Suffixes of files beside labels that are no labels themselves."""


def match_labels(images: Sequence[Source], labels: Sequence[Source]) -> list[tuple[Source, Source]]:
    """Each image with its labels, in the order of the images.

    Labels are one file per image in the same order; or one folder, whose files are matched by name
    without suffix, perhaps beside the images themselves; or one file for all: vectors, or a raster
    with georeference.

    Raises:
        InputError: an image is left without labels, or has two.
    """
    if len(labels) == 1 and _is_folder(labels[0]):
        return _match_folder(images, Path(labels[0]))
    if len(labels) == len(images):
        return list(zip(images, labels, strict=True))
    if len(labels) == 1:
        _require_common(labels[0], len(images))
        return [(image, labels[0]) for image in images]
    raise InputError(
        f"{counted(len(images), 'image')} for {counted(len(labels), 'label file')}; give one "
        "for each image in the same order, a folder, or one file for all"
    )


def _is_folder(labels: Source) -> bool:
    """Whether it holds label files; a .gdb is one file that looks like a folder."""
    folder = find_local(labels)
    return folder is not None and folder.is_dir() and folder.suffix.lower() != ".gdb"


def _match_folder(images: Sequence[Source], folder: Path) -> list[tuple[Source, Source]]:
    by_stem: dict[str, list[Path]] = {}
    inside = folder.resolve()
    themselves = {Path(i).name for i in images if Path(i).parent.resolve() == inside}
    for file in sorted(folder.iterdir()):
        is_sidecar = file.suffix.lower() in SIDECARS or file.name.startswith(".")
        if not is_sidecar and file.name not in themselves:
            by_stem.setdefault(file.stem, []).append(file)
    stems = [name_of(image) for image in images]
    if missing := [stem for stem in stems if stem not in by_stem]:
        more = f" (nor of {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise InputError(
            f"{folder} has no labels of the name of image {missing[0]}{more}; "
            f"labels are matched by name, for example {missing[0]}.tif"
        )
    if twice := [stem for stem in stems if len(by_stem[stem]) > 1]:
        names = ", ".join(file.name for file in by_stem[twice[0]])
        raise InputError(f"{folder} has several labels of {twice[0]}: {names}; leave one")
    if len(set(stems)) < len(stems):
        double = next(stem for stem in stems if stems.count(stem) > 1)
        raise InputError(
            f"several images are named {double}, so that {folder} cannot be matched by name; "
            "give the labels one by one"
        )
    return [(image, by_stem[stem][0]) for image, stem in zip(images, stems, strict=True)]


def _require_common(labels: Source, count: int) -> None:
    """Nothing, if one file can be the labels of several images."""
    if is_vectors(labels):
        return
    with open_scene(labels, allow_palette=True) as raster:
        if not raster.grid.is_georeferenced:
            raise InputError(
                f"{labels} has no georeference, so that it cannot be the labels of {count} images; "
                "give one for each"
            )
