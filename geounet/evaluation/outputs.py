"""Numbers as a table, in a file."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from io import StringIO
from pathlib import Path

from geounet.errors import UsageError
from geounet.evaluation.naming import split_name
from geounet.evaluation.results import Comparison, Estimate, Evaluation, SceneComparison
from geounet.files import write_whole
from geounet.raster import find_local

ALL_SCENES = "all"
"""What the pooled numbers have in the column of the mask."""

COLUMNS = ("mask", "metric", "class", "value", "low", "high")
"""Of the table; with a comparison also `other` and `difference`, each with low and high."""

COMPARED = ("other", "other_low", "other_high", "difference", "difference_low", "difference_high")


def check_outputs(
    outputs: Iterable[str | Path | None], inputs: Iterable[str | Path], *, overwrite: bool
) -> None:
    """Nothing, if these files may be written; None is none.

    Raises:
        UsageError: one exists, cannot be made, is one of the inputs, or two are the same.
    """
    read = [file for file in map(find_local, inputs) if file is not None]
    paths = [Path(output) for output in outputs if output is not None]
    places = [path.resolve() for path in paths]
    for path, place in zip(paths, places, strict=True):
        if places.count(place) > 1:
            raise UsageError(f"{path} is to hold two outputs; name another file for one of them")
        if not path.parent.is_dir() or path.is_dir():
            what = "is a folder" if path.is_dir() else f"cannot be made: no folder {path.parent}"
            raise UsageError(f"{path} {what}; name a file")
        if path.exists() and any(path.samefile(file) for file in read):
            raise UsageError(f"{path} is also an input; name another file")
        if path.exists() and not overwrite:
            raise UsageError(f"{path} exists; replace it with --overwrite, or choose another name")


def write_csv(evaluation: Evaluation, path: str | Path) -> None:
    """One row per mask and metric, those of all masks first; what is undefined is empty.

    Raises:
        ResourceError: it cannot be written.
    """
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    compared = COMPARED if evaluation.comparison is not None else ()
    writer.writerow([*COLUMNS, *compared])
    writer.writerows(_list_rows(evaluation))
    write_whole(Path(path), text.getvalue().encode())


def _list_rows(evaluation: Evaluation) -> Iterator[list[object]]:
    groups = [(ALL_SCENES, evaluation.results), *((s.name, s.results) for s in evaluation.scenes)]
    comparison = evaluation.comparison
    others: list[Comparison | SceneComparison] = []
    if comparison is not None:
        others = [comparison, *comparison.scenes]
    for index, (name, results) in enumerate(groups):
        for metric, value in results.values.items():
            row: list[object] = [name, *split_name(metric), *_to_cells(value)]
            if others:
                row += _find(others[index].results.values, metric)
                row += _find(others[index].differences, metric)
            yield row


def _find(values: Mapping[str, Estimate], metric: str) -> list[float | None]:
    return _to_cells(values.get(metric, Estimate(None)))


def _to_cells(value: Estimate) -> list[float | None]:
    return [value.value, value.low, value.high]
