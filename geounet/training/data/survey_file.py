"""A survey in a file, so that the same inputs are not looked at again."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from geounet import __version__
from geounet.models import Geometry
from geounet.raster import Window, find_stored
from geounet.training.data.content import CELL, Content
from geounet.training.data.room import Room
from geounet.training.data.sources import Source
from geounet.training.data.statistics import Statistics
from geounet.training.data.survey import Survey, content_kind
from geounet.training.holdout.block import Block
from geounet.training.holdout.split import Split
from geounet.training.options import TrainOptions

if TYPE_CHECKING:
    from geounet.training.task import Inputs

LAYER_MARK = "|"
"""What stands between a file and the name of its layer."""

ARRAYS = ("scene", "cell", "value", "first", "pixels", "group")


def make_key(inputs: Inputs, geometry: Geometry, options: TrainOptions) -> str | None:
    """A digest of all that a survey depends on; None: there are inputs that tell of no change.

    Files count by name, size and time, those beside them that begin alike (a shapefile's, say) too.
    Servers, folders and VRTs may change without any of these.
    """
    parts = (inputs.sources, inputs.validation_sources, inputs.test_sources)
    paths = [path for part in parts for source in part for path in (source.image, source.labels)]
    files = [find_stored(str(path).partition(LAYER_MARK)[0]) for path in dict.fromkeys(paths)]
    plain = [file for file in files if file and file.is_file() and file.suffix.lower() != ".vrt"]
    if len(plain) < len(files):
        return None
    content = {
        "geounet": __version__,
        "cell": CELL,
        "sources": [[_describe(source) for source in part] for part in parts],
        "files": sorted(_list_files(plain)),
        "reading": asdict(inputs.reading),
        "split": [options.chip, geometry.margin, options.val_fraction, options.seed],
        "kind": content_kind(options),
        "whole": options.balance != "none",
    }
    return hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()


def dump_survey(survey: Survey, key: str) -> bytes:
    """The survey as arrays and JSON that `numpy.load` reads."""
    known = {
        "key": key,
        "kind": survey.content.kind,
        "guard": survey.split.guard,
        "training": [asdict(room) for room in survey.split.training],
        "validation": [asdict(block) for block in survey.split.validation],
        "statistics": asdict(survey.statistics),
        "notes": survey.notes,
    }
    file = io.BytesIO()
    np.savez_compressed(
        file,
        allow_pickle=False,
        known=np.array(json.dumps(known)),
        training_counts=survey.training_counts,
        validation_counts=survey.validation_counts,
        **{name: getattr(survey.content, name) for name in ARRAYS},
    )
    return file.getvalue()


def load_survey(path: Path, key: str) -> Survey | None:
    """The survey in a file; None: there is none, or it is of other inputs."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            known = json.loads(str(file["known"]))
            if known["key"] != key:
                return None
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    measured: Any = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in known["statistics"].items()
    }
    return Survey(
        split=Split(
            training=tuple(_make_room(room) for room in known["training"]),
            validation=tuple(_make_block(block) for block in known["validation"]),
            guard=known["guard"],
        ),
        statistics=Statistics(**measured),
        content=Content(kind=known["kind"], **{name: arrays[name] for name in ARRAYS}),
        training_counts=arrays["training_counts"],
        validation_counts=arrays["validation_counts"],
        notes=tuple(known["notes"]),
    )


def _describe(source: Source) -> list[Any]:
    aoi = None if source.aoi is None else hashlib.sha256(source.aoi.wkb).hexdigest()
    return [str(source.image), str(source.labels), asdict(source.area.window), aoi]


def _list_files(paths: Iterable[Path]) -> Iterable[list[Any]]:
    """Name, target, size and time of these files, and of those beside them that begin alike.

    Beside a link and beside its target: tools that version data link to what they store.
    """
    wanted: defaultdict[Path, set[str]] = defaultdict(set)
    for path in paths:
        for file in (path.parent.resolve() / path.name, path.resolve()):
            wanted[file.parent].add(file.name.partition(".")[0])
    for folder, names in wanted.items():
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.partition(".")[0] in names and entry.is_file():
                    stat = entry.stat()
                    target = os.path.realpath(entry.path) if entry.is_symlink() else ""
                    yield [entry.path, target, stat.st_size, stat.st_mtime_ns]


def _make_room(room: Mapping[str, Any]) -> Room:
    pieces, hidden = (tuple(Window(**w) for w in room[name]) for name in ("pieces", "hidden"))
    height, width = room["shape"]
    return Room(room["scene"], Window(**room["area"]), pieces, hidden, (height, width))


def _make_block(block: Mapping[str, Any]) -> Block:
    return Block(block["scene"], Window(**block["window"]))
