"""The end of a run: its parts, old and new, become the outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from geounet.inference.engines.predictor import STEPS, nodata_of
from geounet.inference.options import PredictOptions
from geounet.inference.running.beginning import Begun
from geounet.inference.running.following import Polygons
from geounet.inference.running.provenance import make_tags
from geounet.inference.running.returning import name_strip, return_parts
from geounet.inference.running.run import Run
from geounet.progress import Progress, ProgressCallback
from geounet.raster import Resampled, Window, assemble, clear_workspace


def assemble_outputs(run: Run, parts: Sequence[Window], tags: Mapping[str, str]) -> None:
    """Make each output of its parts: a COG with overviews, class names and tags.

    Those of a resampled scene are brought back onto its own grid first.
    """
    area, is_resampled = run.plan.area, isinstance(run.scene, Resampled)
    if isinstance(run.scene, Resampled):
        parts = return_parts(run, run.scene, parts)
    for kind, path in run.outputs.items():
        dtype = run.engine.request.make_blank(kind, 1, (1, 1)).dtype
        steps = {"GEOUNET_UNIT": f"probability in 1/{STEPS}"} if dtype == np.uint8 else {}
        name = name_strip(kind) if is_resampled else kind
        assemble(
            [(run.job.part_path(name, part), part.relative_to(area.extent)) for part in parts],
            area.output_grid,
            path,
            nodata=nodata_of(dtype),
            scale=1 / STEPS if dtype == np.uint8 and kind != "mask" else 1.0,
            classes=run.classes if kind == "mask" else None,
            tags=tags if kind == "mask" else {**tags, **steps},
        )


def resume_parts(begun: Begun, missing: Sequence[Window], polygons: Polygons) -> None:
    """Take in the parts that an earlier run has kept."""
    run = begun.run
    polygons.begin(run, begun.parts, missing)
    for part in set(begun.parts) - set(missing):
        run.count_classes(run.job.part_path("mask", part))


def finish_run(
    begun: Begun, options: PredictOptions, polygons: Polygons, progress: ProgressCallback
) -> None:
    """Make the outputs of the parts, which are all on disk, and remove these.

    Raises:
        ResourceError: something cannot be written.
        GeounetError: what making polygons has failed with.
    """
    run, outline = begun.run, begun.outline
    if begun.is_finished:
        run.was_done = True
        run.count_classes(run.outputs["mask"])
        for path in run.outputs.values():
            clear_workspace(path)
    else:
        progress(Progress("assemble", 0, None, "px"))
        tags = make_tags(outline.fingerprint, run.models, run.engine, options)
        with run.watch.measure("assemble"):
            assemble_outputs(run, begun.parts, tags)
    polygons.finish(run, progress)
    run.job.remove()
