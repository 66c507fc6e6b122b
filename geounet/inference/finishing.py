"""The end of a run: its parts become the outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from geounet.inference.predictor import STEPS, nodata_of
from geounet.inference.returning import name_strip, return_parts
from geounet.inference.run import Run
from geounet.raster import Resampled, Window, assemble


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
