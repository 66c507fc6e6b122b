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
from geounet.inference.loading import ModelLike, load_models, start_engine
from geounet.inference.options import PredictOptions
from geounet.inference.plan import Plan, make_plan
from geounet.models import Model
from geounet.raster import Scene, limit_cache, open_scene

CACHE_BYTES = 128 * 2**20
"""GDAL's block cache: neighbouring tiles share a margin, not more."""

RASTER_SUFFIXES = (".tif", ".tiff")


class Prepared(NamedTuple):
    """All that a run works with; the scene is open."""

    scene: Scene
    models: list[Model]
    engine: Engine
    plan: Plan


@contextmanager
def prepare(
    image: str | Path, model: ModelLike | Sequence[ModelLike], options: PredictOptions
) -> Iterator[Prepared]:
    """Load the models, open the scene, see that they fit, start the engine and plan.

    Raises:
        UsageError, InputError, ModelError, ResourceError: as `predict`.
    """
    models = load_models(model)
    with limit_cache(CACHE_BYTES), open_scene(image, options.bands) as scene:
        for one in models:
            check_fit(one.spec, scene, options)
        engine = start_engine(models, scene.dtype, options)
        yield Prepared(scene, models, engine, make_plan(scene, models, engine, options))


def check_outputs(image: str | Path, output: Path, options: PredictOptions) -> dict[str, Path]:
    """The output files by kind, the mask last: a part is done once its mask is there.

    Raises:
        UsageError: one exists, cannot be made, is the scene itself, or is named twice.
    """
    named = {"confidence": options.confidence, "scores": options.scores, "mask": output}
    outputs = {kind: path for kind, path in named.items() if path is not None}
    for path in outputs.values():
        check_output(path, RASTER_SUFFIXES, overwrite=options.overwrite)
        if path.exists() and Path(image).exists() and path.samefile(image):
            raise UsageError(f"{path} is the scene itself; choose another output")
    if len({path.absolute() for path in outputs.values()}) < len(outputs):
        raise UsageError(f"{output} is named for two outputs; choose different names")
    return outputs
