"""A model -> a file that other tools run, compared with torch before it is kept."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch

from geounet.errors import ModelError, ResourceError, UsageError
from geounet.evaluation.int8_loss import Int8Loss, measure_loss
from geounet.inference import Sample, free_memory, read_samples
from geounet.models import (
    ExportForm,
    ExportOptions,
    ForeignNetwork,
    Model,
    as_input,
    check_suffix,
    choose_tiling,
    describe_export,
    find_difference,
    is_foreign_file,
    list_files,
    load_model,
    make_export_form,
    make_images,
    quantise,
    trace_form,
    write_export,
)
from geounet.progress import Progress, ProgressCallback, ignore_progress
from geounet.raster import LOCK_FILE, locked_folder

WINDOWS = 32
"""Windows of the scenes that are read at most; with int8 every second one calibrates."""

COPIES = 6
"""Images in float32 that there are at a time, at least, while file and torch are compared."""

WINDOW_SIDE = 256
"""Their side at least, unless the file fixes it."""


@dataclass(frozen=True)
class ExportSummary:
    """What was exported.

    Attributes:
        output: the file.
        size_bytes: of it, with its weights.
        random_difference: largest difference of a probability between file and torch on random
            images, before quantisation.
        real_difference: the same on the scenes; None: none were given.
        tolerance: what they may be.
        int8: what quantisation costs; None: there was none.
        elapsed_s: seconds.
        notes: what one should know before one uses the file.
    """

    output: str
    size_bytes: int
    random_difference: float
    real_difference: float | None
    tolerance: float
    int8: Int8Loss | None
    elapsed_s: float
    notes: tuple[str, ...]


def export(
    model: str | Path,
    output: str | Path,
    options: ExportOptions | None = None,
    progress: ProgressCallback = ignore_progress,
) -> ExportSummary:
    """Export a model of `geounet train` to ONNX, torch.export or OpenVINO, by the output's suffix.

    Args:
        model: `.safetensors`.
        output: `.onnx`, `.pt2` or `.xml` (with its weights in the `.bin` beside it).
        options: how.
        progress: called with every step.

    Raises:
        UsageError: an option or the output cannot be meant, or a package is missing.
        ModelError: the model cannot be exported, or the file differs from it.
        InputError: a scene or its labels cannot be used.
        ResourceError: the file cannot be written.
    """
    started = time.perf_counter()
    options, output = options or ExportOptions(), Path(output)
    _check(Path(model), output, options)
    loaded = load_model(model)
    _check_room(loaded, options)
    form = make_export_form(loaded, options)
    steps = _Steps(progress, 5 if options.int8 else 3)
    samples = _read_samples(loaded, options)
    steps.next()
    with _staged(output) as folder:
        program = trace_form(form, loaded, options)
        place = folder / output.name
        write_export(program, loaded, place, options)
        steps.next()
        differences = _compare(form, loaded, place, samples, options)
        steps.next()
        loss = None
        if options.int8:
            place = folder / "int8" / output.name
            place.parent.mkdir()
            images = as_input([sample.image for sample in samples[::2]], loaded.spec, options)
            write_export(program, loaded, place, options, lambda graph: quantise(graph, images))
            steps.next()
            loss = measure_loss(folder / output.name, place, samples[1::2] or samples)
            steps.next()
        size = _publish(place, output)
    return ExportSummary(
        output=str(output),
        size_bytes=size,
        random_difference=differences[0],
        real_difference=differences[1],
        tolerance=options.tolerance,
        int8=loss,
        elapsed_s=time.perf_counter() - started,
        notes=_find_notes(loaded, output, options),
    )


class _Steps:
    """Counts the steps of an export."""

    def __init__(self, progress: ProgressCallback, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def next(self) -> None:
        self._done += 1
        self._progress(Progress("export", self._done, self._total, "step", {}))


def _check(model: Path, output: Path, options: ExportOptions) -> None:
    """Refuse what cannot be, before anything takes time."""
    check_suffix(output)
    if is_foreign_file(model):
        raise ModelError(f"{model} is an exported file itself; give a model of `geounet train`")
    if not options.tolerance > 0:
        raise UsageError(f"--tolerance is {options.tolerance}; give a positive number")
    if options.int8 and not options.scenes:
        raise UsageError("--int8 is calibrated on scenes like those to be mapped; give --scene")
    if options.int8 and output.suffix.lower() == ".pt2":
        raise UsageError(f"{output}: --int8 is for .onnx and .xml; leave it out, or name another")
    if options.labels is not None and not options.int8:
        raise UsageError("--labels tell what --int8 costs; give both, or leave them out")
    if not output.parent.is_dir():
        raise UsageError(f"{output}: there is no folder {output.parent}; make it first")
    for path in list_files(output):
        if path.is_dir():
            raise UsageError(f"{path} is a folder; choose another name")
        if path.exists() and not options.overwrite:
            raise UsageError(f"{path} exists; replace it with --overwrite, or choose another name")


def _check_room(model: Model, options: ExportOptions) -> None:
    """Refuse sides of which the images to compare alone are more than what is free.

    Raises:
        ResourceError: they are.
    """
    if options.tile is None:
        return
    needed = COPIES * len(model.spec.bands) * options.tile**2 * 4
    free = free_memory(torch.device("cpu"))
    if needed > free:
        raise ResourceError(
            f"--tile {options.tile}: an export with such sides takes at least {needed / 1e9:.1f} "
            f"GB of memory, {free / 1e9:.1f} are free; give a smaller --tile"
        )


def _read_samples(model: Model, options: ExportOptions) -> list[Sample]:
    if not options.scenes:
        return []
    stride = model.spec.stride
    side = options.tile or -(-WINDOW_SIDE // stride) * stride
    count = WINDOWS if options.int8 else 4
    return read_samples(model.spec, options.scenes, options.labels, options.bands, (count, side))


def _compare(
    form: ExportForm, model: Model, place: Path, samples: Sequence[Sample], options: ExportOptions
) -> tuple[float, float | None]:
    """The differences on random images, and on the scenes.

    Raises:
        ModelError: one is above the tolerance.
    """
    network = cast(ForeignNetwork, load_model(place).network)
    random = find_difference(form, network, make_images(model.spec, options), model.spec)
    images = [torch.from_numpy(sample.image)[None] for sample in samples[:4]]
    real = find_difference(form, network, images, model.spec) if images else None
    for where, difference in (("random images", random), ("the scenes", real)):
        if difference is not None and not difference <= options.tolerance:  # NaN is neither
            raise ModelError(
                f"{place.name}: its probabilities differ from torch's by {difference:.1e} on "
                f"{where}, above --tolerance {options.tolerance:g}; it is not kept"
            )
    return random, real


@contextmanager
def _staged(output: Path) -> Iterator[Path]:
    """A folder beside the output, which is gone afterwards; one left by a kill is cleared.

    Raises:
        ResourceError: there can be none, another export is at work in it, or the disk is full.
    """
    folder = output.with_name(f".{output.name}.export")
    try:
        with locked_folder(folder, output):
            _clear(folder)
            try:
                yield folder
            finally:
                _clear(folder)
    except OSError as error:
        if isinstance(error, ResourceError):
            raise
        reason = error.strerror or error
        raise ResourceError(
            f"{output} cannot be written: {reason}; choose another place"
        ) from error


def _clear(folder: Path) -> None:
    with suppress(OSError):
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != LOCK_FILE:
                path.unlink()


def _publish(place: Path, output: Path) -> int:
    """Put the files where they belong; bytes of all.

    The one that is named goes first and comes last: after a kill in between it is not there, rather
    than a graph beside another's weights.
    """
    made, wanted = list_files(place), list_files(output)
    if len(wanted) > 1:
        output.unlink(missing_ok=True)
    size = sum(file.stat().st_size for file in made)
    for file, target in zip(made, wanted, strict=True):
        file.replace(target)
    return size


def _find_notes(model: Model, output: Path, options: ExportOptions) -> tuple[str, ...]:
    if output.suffix.lower() != ".onnx":
        return ()
    spec = describe_export(model, output, options)
    tile, percent = choose_tiling(spec, options.tile)
    if options.tile is None:
        return (f"the QGIS plugin Deepness takes fixed sides only; for it, add --tile {tile}",)
    if tile * percent // 100 // 2 < (spec.margin or 0):
        best, _ = choose_tiling(spec, None)
        return (
            f"the zeros that the network pads with reach {spec.margin} pixels into its tiles of "
            f"{tile}: their borders will show; --tile {best} hides them",
        )
    return ()
