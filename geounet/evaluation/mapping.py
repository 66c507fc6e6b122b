"""Images that a model maps first, to be evaluated as masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from geounet.errors import InputError, ResourceError, UsageError
from geounet.evaluation.jobs import Job, Source, plan_jobs
from geounet.evaluation.measures.families import PROBABILITY, choose_names
from geounet.evaluation.options import EvaluateOptions
from geounet.inference import load_models, predict
from geounet.models import Model
from geounet.progress import ProgressCallback
from geounet.raster import Grid, name_of, open_scene
from geounet.vector import is_vectors, limit_grid, resolve_legend


@contextmanager
def mapped_jobs(
    images: Sequence[tuple[Source, Source]], options: EvaluateOptions, progress: ProgressCallback
) -> Iterator[tuple[list[Job], list[str]]]:
    """The jobs of masks that the model makes of images, with labels, and notes.

    The masks are in `options.masks`, or in a temporary folder until the context is left. What
    options and labels lack is found before anything is mapped.

    Raises:
        UsageError: options cannot be meant.
        InputError: an image or its labels cannot be used, or none has pixels in the area.
        ModelError: the model cannot be used, or does not fit.
        ResourceError: memory, disk or device.
    """
    models = load_models(options.model)
    wanted, notes = _choose_images(images, models, options)
    has_scores = PROBABILITY in choose_names(models[0].spec.classes, options)
    with _folder(options.masks) as folder:
        masks = [folder / f"{name_of(image)}.tif" for image, _ in wanted]
        scores = [folder / f"{mask.stem}-scores.tif" if has_scores else None for mask in masks]
        for (image, labels), mask, score in zip(wanted, masks, scores, strict=True):
            is_cut = _have_places(image, labels)
            how = replace(
                options.predict_options,
                aoi=options.aoi if is_cut else None,
                bbox=options.bbox if is_cut else None,
                scores=score,
                overwrite=options.overwrite,
            )
            predict(image, models, mask, how, progress)
        pairs = [(mask, labels) for mask, (_, labels) in zip(masks, wanted, strict=True)]
        found = tuple(score for score in scores if score is not None)
        jobs, _ = plan_jobs(pairs, replace(options, model=(), masks=None, scores=found))
        is_kept = options.masks is not None
        yield (
            [
                replace(job, image=image, is_kept=is_kept)
                for job, (image, _) in zip(jobs, wanted, strict=True)
            ],
            notes,
        )


def _choose_images(
    images: Sequence[tuple[Source, Source]], models: Sequence[Model], options: EvaluateOptions
) -> tuple[list[tuple[Source, Source]], list[str]]:
    """The images that have pixels in the area, and a note for each that has none."""
    wanted, grids, outside = [], [], []
    for image, labels in images:
        grid = _read_grid(image)
        try:
            limit_grid(grid, options.bbox, options.aoi, image)
        except InputError as error:  # other images may lie there
            outside.append(error)
            continue
        wanted.append((image, labels))
        grids.append(grid)
    if not wanted:
        raise outside[0]
    names = [name_of(image) for image, _ in wanted]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"several images are named {', '.join(twice)}; evaluate them one by one")
    classes = options.classes or models[0].spec.classes
    files = [labels for _, labels in wanted]
    resolve_legend(classes, files, grids, options.label_options, may_be_empty=True)
    return wanted, [f"left out: {error}" for error in outside]


def _have_places(image: Source, labels: Source) -> bool:
    """Whether labels are placed by coordinates, not pixel by pixel, which takes whole masks."""
    if is_vectors(labels):
        return True
    own = _read_grid(labels, allow_palette=True)
    has_points = own.sensor is not None and own.sensor.gcps_crs is not None
    return _read_grid(image).crs is not None and (own.crs is not None or has_points)


def _read_grid(path: Source, *, allow_palette: bool = False) -> Grid:
    with open_scene(path, allow_palette=allow_palette) as scene:
        return scene.grid


@contextmanager
def _folder(path: str | Path | None) -> Iterator[Path]:
    """A folder that stays, or one that goes."""
    if path is None:
        with TemporaryDirectory(prefix="geounet-") as name:
            yield Path(name)
        return
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--masks {folder} is a file; name a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(
            f"{folder} cannot be made: {error.strerror}; name another folder"
        ) from error
    yield folder
