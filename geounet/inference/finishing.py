"""The end of a run: its parts become the outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from geounet.inference.predictor import STEPS, nodata_of
from geounet.inference.run import Run
from geounet.raster import Window, assemble


def assemble_outputs(run: Run, parts: Sequence[Window], tags: Mapping[str, str]) -> None:
    """Make each output of its parts: a COG with overviews, class names and tags."""
    extent = run.plan.extent
    for kind, path in run.outputs.items():
        dtype = run.engine.request.make_blank(kind, 1, (1, 1)).dtype
        steps = {"GEOUNET_UNIT": f"probability in 1/{STEPS}"} if dtype == np.uint8 else {}
        assemble(
            [(run.job.part_path(kind, part), part.relative_to(extent)) for part in parts],
            run.scene.grid.crop(extent),
            path,
            nodata=nodata_of(dtype),
            classes=run.classes if kind == "mask" else None,
            tags=tags if kind == "mask" else {**tags, **steps},
        )
