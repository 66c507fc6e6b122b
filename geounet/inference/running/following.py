"""The polygons of a run, made in another process while the network works on the next part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geounet.inference.engines.predictor import nodata_of
from geounet.inference.options import PredictOptions
from geounet.inference.running.job import refuse_existing
from geounet.inference.running.run import Run
from geounet.progress import ProgressCallback
from geounet.raster import Mosaic, Resampled, Window, store_grid

if TYPE_CHECKING:
    from geounet.vector import Follower

Files = Sequence[tuple[Mapping[str, Path], Window]]
"""Of each part its files by kind of output, and its window in the outputs."""


@contextmanager
def start_polygons(options: PredictOptions) -> Iterator[Polygons]:
    """Begin to get ready for the polygons of a run; for none, if none are asked for.

    Raises:
        ResourceError: no process can be started.
    """
    if options.polygons is None:
        yield Polygons(options)
        return
    from geounet.vector import start_follower

    with start_follower() as follower:
        yield Polygons(options, follower)


@dataclass
class Polygons:
    """The polygons of a run. Without a follower, all that is asked of it is nothing."""

    options: PredictOptions
    follower: Follower | None = None
    origin: Window | None = None  # of the outputs, in the scene; None: parts are not followed

    def begin(self, run: Run, parts: Sequence[Window], missing: Sequence[Window]) -> None:
        """Follow the parts of a run, of which some are missing.

        Those of a resampled scene are on another grid than the outputs, which then come at the end.
        """
        if self.follower is None or isinstance(run.scene, Resampled):
            return
        self.origin = run.plan.area.extent
        paths = [{kind: run.job.part_path(kind, part) for kind in run.outputs} for part in parts]
        windows = [part.relative_to(self.origin) for part in parts]
        self._order(run, list(zip(paths, windows, strict=True)))
        for part in set(parts) - set(missing):
            self.add(part)

    def add(self, part: Window) -> None:
        """Take in a part of the run that is on disk.

        Raises:
            GeounetError: what making polygons has failed with so far.
        """
        if self.follower is not None and self.origin is not None:
            self.follower.add(part.relative_to(self.origin))

    def finish(self, run: Run, progress: ProgressCallback) -> None:
        """Have the polygons at their place, of the finished outputs if parts were not followed.

        Raises:
            UsageError: there are other ones.
            GeounetError: what else making them has failed with.
        """
        if self.follower is None:
            return
        if self.origin is None:
            extent = run.plan.area.output_grid.extent
            self._order(run, [(run.outputs, extent)])
            self.follower.add(extent)
        with run.watch.measure("polygonize"):
            self.follower.finish(progress)

    def _order(self, run: Run, files: Files) -> None:
        from geounet.vector import Order

        if self.follower is not None and self.options.polygons is not None:
            rasters = _make_rasters(run, files)
            order = Order(self.options.polygons, self.options.overwrite, run.classes, rasters)
            self.follower.begin(order)


def refuse_polygons(outputs: Mapping[str, Path], finished: set[Path], path: Path | None) -> None:
    """Refuse polygons that exist, unless all outputs are finished: then they may be theirs.

    Raises:
        UsageError: with the option that helps.
    """
    if path is not None and not finished >= set(outputs.values()):
        refuse_existing([path])


def _make_rasters(run: Run, files: Files) -> dict[str, Mosaic]:
    """The outputs, read from files."""
    grid = store_grid(run.plan.area.output_grid)
    rasters = {}
    for kind, path in run.outputs.items():
        dtype = run.engine.request.make_blank(kind, 1, (1, 1)).dtype
        rasters[kind] = Mosaic(
            path=path,
            grid=grid,
            dtype=np.dtype(np.float32) if dtype == np.float16 else dtype,  # as GDAL shows it
            band_names=tuple(run.name_bands(kind)),
            nodata=nodata_of(dtype),
            parts=[(paths[kind], window) for paths, window in files],
        )
    return rasters
