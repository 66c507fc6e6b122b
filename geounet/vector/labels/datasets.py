"""Which images have which labels, and what each is for: lists, a folder, or a CSV."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import fspath
from pathlib import Path

from geounet.errors import InputError, UsageError
from geounet.raster import find_local, list_scenes
from geounet.vector.labels.matching import match_labels

LAYOUT = "train/images, train/masks, val/images, val/masks, test/images, test/masks"

LABEL_FOLDERS = ("masks", "labels")
"""What the folder of labels beside `images` may be called."""

SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""What a split may be called, as a folder or in a CSV."""

COLUMNS = ("image", "labels", "split", "weight")
"""Of a CSV; the last two may be left out."""

GDAL_PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9_]+:")
"""What begins a part of a file, as in `NETCDF:"a.nc":v`; a single letter is a drive of Windows."""


@dataclass(frozen=True)
class Pair:
    """An image, its labels, and how often it is shown: `weight` times as often per pixel."""

    image: str | Path
    labels: str | Path
    weight: float = 1.0


@dataclass(frozen=True)
class Dataset:
    """Images with labels, by what they are for.

    Attributes:
        training: to learn from.
        validation: to choose the best model by; none: parts of the training images are held out.
        test: to measure that model on; may be none.
    """

    training: tuple[Pair, ...]
    validation: tuple[Pair, ...] = ()
    test: tuple[Pair, ...] = field(default=())


def find_dataset(
    images: Sequence[str | Path],
    labels: Sequence[str | Path],
    val_images: Sequence[str | Path] = (),
    val_labels: Sequence[str | Path] = (),
) -> Dataset:
    """Match images with labels.

    Args:
        images: files, or folders of them; alone without labels: a folder laid out in splits, or a
            CSV, as `read_layout` and `read_manifest` take them.
        labels: as `match_labels` takes them.
        val_images: as images; none: as the folder or the CSV says.
        val_labels: theirs.

    Raises:
        UsageError: there are no labels, or validation images twice.
        InputError: they do not match, or a folder or CSV cannot be used.
    """
    validation = _match(val_images, val_labels) if val_images else ()
    if labels:
        return Dataset(_match(images, labels), validation)
    if len(images) != 1 or not _holds_dataset(images[0]):
        raise UsageError(
            "there are no labels; give them with --labels, or give one folder with "
            f"{LAYOUT.partition(', val')[0]}, or one CSV with the columns {','.join(COLUMNS)}"
        )
    path = Path(images[0])
    dataset = read_layout(path) if path.is_dir() else read_manifest(path)
    if dataset.validation and validation:
        raise UsageError(f"{path} has validation images of its own; leave out --val-images")
    return Dataset(dataset.training, dataset.validation or validation, dataset.test)


def find_test(paths: Sequence[str | Path]) -> tuple[Pair, ...]:
    """The test images of a folder laid out in splits, of its `test`, or of a CSV, with labels.

    Raises:
        UsageError: it is no such folder or CSV, so that there are no labels.
        InputError: it has no test images, or they and their labels do not match.
    """
    if len(paths) != 1 or not _holds_dataset(paths[0]):
        raise UsageError(
            "there are no labels; give them with --labels, or give one folder with test/images, "
            f"test/masks and a model, or one CSV with the columns {','.join(COLUMNS[:3])}"
        )
    path = Path(paths[0])
    if not path.is_dir():
        found = tuple(_read_pairs(path)["test"])
    elif (path / "images").is_dir():
        found = tuple(_read_split(path.parent, [path.name]))
    else:
        found = tuple(_read_split(path, SPLITS["test"]))
    if not found:
        raise InputError(
            f"{path} has no test images with labels; lay them out as test/images and test/masks, "
            "or give images and --labels"
        )
    return found


def read_layout(folder: Path) -> Dataset:
    """A folder with `train/images` and `train/masks`, perhaps also `val/...` and `test/...`.

    Labels have the names of their images, with any suffix.

    Raises:
        InputError: there is nothing to train on, or images and labels do not match.
    """
    found = {split: tuple(_read_split(folder, names)) for split, names in SPLITS.items()}
    if not found["train"]:
        inside = ", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "nothing"
        raise InputError(
            f"{folder} has no train/images with train/masks; found: {inside}; lay it out as "
            f"{LAYOUT}, or give images and --labels"
        )
    return Dataset(found["train"], found["val"], found["test"])


def read_manifest(path: Path) -> Dataset:
    """A CSV with the columns image, labels, and perhaps split and weight.

    Paths are relative to the CSV. split is train (if empty), val or test. weight is how often a
    pixel of the scene is shown, compared with one of weight 1 (if empty).

    Raises:
        InputError: it cannot be read, lacks a column, or a row cannot be meant.
    """
    pairs = _read_pairs(path)
    if not pairs["train"]:
        raise InputError(f"{path} has no row with split train; add some")
    return Dataset(*map(tuple, pairs.values()))


def _read_pairs(path: Path) -> dict[str, list[Pair]]:
    """The rows of a CSV by split."""
    pairs: dict[str, list[Pair]] = {split: [] for split in SPLITS}
    for line, row in _read_rows(path):
        where = f"{path}, line {line}"
        split = _parse_split(row.get("split") or "train", where)
        image, labels = (_resolve(path, row[column], where, column) for column in COLUMNS[:2])
        pairs[split].append(Pair(image, labels, _parse_weight(row.get("weight") or "1", where)))
    return pairs


def _holds_dataset(path: str | Path) -> bool:
    found = find_local(path)
    return found is not None and (found.is_dir() or found.suffix.lower() == ".csv")


def _match(images: Sequence[str | Path], labels: Sequence[str | Path]) -> tuple[Pair, ...]:
    scenes = [scene for image in images for scene in list_scenes(fspath(image))]
    if len(labels) == 1 and any(fspath(image) == fspath(labels[0]) for image in images):
        advice = "give the file of its labels"
        if Path(labels[0]).is_dir():
            advice = f"name the images by a pattern, for example {labels[0]}/*.tif"
        raise InputError(f"{labels[0]} is given as images and as labels; {advice}")
    return tuple(Pair(image, found) for image, found in match_labels(scenes, labels))


def _read_split(folder: Path, names: Sequence[str]) -> Iterator[Pair]:
    """The pairs of the folder of one split; none if it is not there."""
    parts = [folder / name for name in names if (folder / name / "images").is_dir()]
    if len(parts) > 1:
        raise InputError(f"{folder} has both {parts[0].name} and {parts[1].name}; leave one")
    for part in parts:
        labels = [part / name for name in LABEL_FOLDERS if (part / name).is_dir()]
        if len(labels) != 1:
            found = "both " + " and ".join(LABEL_FOLDERS)
            if not labels:
                found = "neither " + " nor ".join(LABEL_FOLDERS)
            raise InputError(
                f"{part} has {found} beside images; put the labels into one of the two"
            )
        yield from _match([part / "images"], labels)


def _read_rows(path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Line number and cells, without outer blanks, of the rows that are not empty."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            file.seek(0)
            reader = csv.DictReader(file, delimiter=";" if ";" in header else ",")
            columns = [name.strip().lower() for name in reader.fieldnames or ()]
            if missing := [name for name in COLUMNS[:2] if name not in columns]:
                raise InputError(
                    f"{path} has no column {missing[0]}; found: {', '.join(columns) or 'nothing'}; "
                    f"write {','.join(COLUMNS)} into the first line"
                )
            reader.fieldnames = columns
            for row in reader:
                _require_no_more(row.get(None), f"{path}, line {reader.line_num}", len(columns))
                cells = {name: (row[name] or "").strip() for name in columns}
                if any(cells.values()):
                    yield reader.line_num, cells
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is no CSV in UTF-8 ({error}); save it as such") from error


def _require_no_more(cells: Sequence[str] | None, where: str, count: int) -> None:
    """Nothing, unless a row has more cells than the header, perhaps its split."""
    if more := [cell for cell in cells or () if cell.strip()]:
        raise InputError(
            f"{where}: there is {more[0].strip()!r} after the last of the {count} columns that the "
            f"first line names; write {','.join(COLUMNS)} into the first line, or quote a comma"
        )


def _resolve(manifest: Path, text: str, where: str, column: str) -> str:
    """A path in a CSV: relative to it, or a URL or whatever else GDAL opens."""
    if not text:
        raise InputError(f"{where}: the {column} column is empty; fill it in or delete the line")
    file = manifest.parent / text
    is_special = "://" in text or text.startswith("/vsi") or GDAL_PREFIX.match(text)
    return text if is_special and find_local(file) is None else str(file)


def _parse_split(text: str, where: str) -> str:
    for split, names in SPLITS.items():
        if text.lower() in names:
            return split
    raise InputError(f"{where}: split is {text!r}; write train, val or test")


def _parse_weight(text: str, where: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not 0 < weight < math.inf:
        raise InputError(f"{where}: weight is {text!r}; write a positive number, 1 being usual")
    return weight
