"""What comes before the first tile: outputs, models, scene, engine and plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from geounet.errors import UsageError
from geounet.inference.engine import Engine
from geounet.inference.fit import check_fit
from geounet.inference.job import check_output
from geounet.inference.loading import ModelLike, load_models
from geounet.inference.options import PredictOptions
from geounet.inference.plan import Plan, make_plan
from geounet.inference.starting import start_engine
from geounet.models import Model
from geounet.raster import SceneLike, limit_cache, open_scene, open_stack

CACHE_BYTES = 128 * 2**20
"""GDAL's block cache: neighbouring tiles share a margin, not more."""

ImageLike = str | Path | Sequence[str | Path]
"""A scene's file, or several that are the bands of one scene."""

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
    models = load_models(model)
    with limit_cache(CACHE_BYTES), open_image(image, options) as scene:
        for one in models:
            check_fit(one.spec, scene, options)
        engine = start_engine(models, scene.dtype, options)
        yield Prepared(scene, models, engine, make_plan(scene, models, engine, options))


def open_image(image: ImageLike, options: PredictOptions) -> SceneLike:
    """The scene: one file, or several as its bands.

    Raises:
        InputError: it cannot be read.
    """
    if isinstance(image, str | Path):
        return open_scene(image, options.bands)
    return open_stack(image, options.bands)


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
        if any(path.exists() and Path(f).exists() and path.samefile(f) for f in files):
            raise UsageError(f"{path} is the scene itself; choose another output")
    if len({path.absolute() for path in outputs.values()}) < len(outputs):
        raise UsageError(f"{output} is named for two outputs; choose different names")
    return outputs
