"""What comes before the first tile: outputs, models, scene, engine and plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from geounet.errors import UsageError
from geounet.heap import free_large_at_once
from geounet.inference.engines.engine import Engine
from geounet.inference.engines.starting import start_engine
from geounet.inference.options import PredictOptions
from geounet.inference.planning.budget import choose_cache
from geounet.inference.planning.fit import fit_scene
from geounet.inference.planning.plan import Plan, make_plan
from geounet.inference.running.job import check_output
from geounet.inference.running.loading import ModelLike, load_models
from geounet.models import Model
from geounet.raster import Resampled, SceneLike, find_stored, limit_cache, open_scene, open_stack

ImageLike = str | Path | Sequence[str | Path]
"""A scene's file, or several that are the bands of one scene."""


@dataclass(frozen=True)
class ScaledImage:
    """A scene to be read at another pixel size.

    Attributes:
        image: its files.
        scale: wanted pixel size by its own.
    """

    image: ImageLike
    scale: float


RASTER_SUFFIXES = (".tif", ".tiff")


class Prepared(NamedTuple):
    """All that a run works with; the scene is open."""

    scene: SceneLike
    models: list[Model]
    engine: Engine
    plan: Plan


@contextmanager
def prepare(
    image: ImageLike, model: ModelLike | Sequence[ModelLike], options: PredictOptions
) -> Iterator[Prepared]:
    """Load the models, open the scene, see that they fit, start the engine and plan.

    Raises:
        UsageError, InputError, ModelError, ResourceError: as `predict`.
    """
    free_large_at_once()
    with limit_cache(choose_cache(options.max_memory)), prepare_all(image, model, options) as all_:
        yield all_


@contextmanager
def prepare_all(
    image: ImageLike, model: ModelLike | Sequence[ModelLike], options: PredictOptions
) -> Iterator[Prepared]:
    """As `prepare`, for one who reads no pixels: GDAL's cache, the whole process's, stays as it is.

    Raises:
        UsageError, InputError, ModelError, ResourceError: as `predict`.
    """
    models = load_models(model)
    with open_image(image, options) as own:
        scene = fit_scene([one.spec for one in models], own, options)
        check_polygons(scene, options)
        engine = start_engine(models, scene.dtype, options)
        yield Prepared(scene, models, engine, make_plan(scene, models, engine, options))


def open_image(image: ImageLike | ScaledImage, options: PredictOptions) -> SceneLike:
    """The scene: one file, or several as its bands, perhaps at another pixel size.

    Raises:
        InputError: it cannot be read.
    """
    if isinstance(image, ScaledImage):
        return Resampled(open_image(image.image, options), image.scale)
    if isinstance(image, str | Path):
        return open_scene(image, options.bands)
    return open_stack(image, options.bands)


def image_of(image: ImageLike, scene: SceneLike) -> ImageLike | ScaledImage:
    """What `open_image` makes the scene of once more."""
    return ScaledImage(image, scene.scale) if isinstance(scene, Resampled) else image


def check_outputs(image: ImageLike, output: Path, options: PredictOptions) -> dict[str, Path]:
    """The output files by kind, the mask last: a part is done once its mask is there.

    Raises:
        UsageError: one cannot be made, is the scene itself, or is named twice.
    """
    files = [image] if isinstance(image, str | Path) else image
    named = {"confidence": options.confidence, "scores": options.scores, "mask": output}
    outputs = {kind: path for kind, path in named.items() if path is not None}
    for path in outputs.values():
        check_output(path, RASTER_SUFFIXES)
        if _is_among(path, files):
            raise UsageError(f"{path} is the scene itself; choose another output")
    if len({path.parent.resolve() / path.name for path in outputs.values()}) < len(outputs):
        raise UsageError(f"{output} is named for two outputs; choose different names")
    return outputs


def refuse_sources(scene: SceneLike, outputs: Iterable[Path]) -> None:
    """Refuse outputs in whose place there is a file that the scene is read from.

    Raises:
        UsageError: names one.
    """
    for path in outputs:
        if _is_among(path, scene.files):
            raise UsageError(f"{path} is a file of the scene itself; choose another output")


def _is_among(path: Path, files: Iterable[str | Path]) -> bool:
    stored = (file for one in files if (file := find_stored(one)) is not None)
    return path.exists() and any(path.samefile(file) for file in stored)


def check_polygons(scene: SceneLike, options: PredictOptions) -> None:
    """Refuse polygons that cannot be written, before the hours that come first.

    Raises:
        UsageError: the message says why.
    """
    path = options.polygons
    if path is None:
        return
    from geounet.vector import check_vector_output

    check_vector_output(path, scene.grid.crs, overwrite=True)
    if options.aoi is not None and _is_among(path, [options.aoi]):
        raise UsageError(f"{path} is the AOI itself; choose another file for the polygons")
