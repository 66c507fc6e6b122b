"""What a prediction did, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from geounet.inference.engines.runtime import peak_device_memory, peak_memory
from geounet.inference.options import PredictOptions
from geounet.inference.planning.fit import find_notes
from geounet.inference.running.run import Run


@dataclass(frozen=True)
class PredictSummary:
    """What a prediction did.

    Attributes:
        output: the mask.
        confidence: the confidence raster, if one was asked for.
        scores: the scores raster, if one was asked for.
        polygons: the polygons, if they were asked for.
        height: rows of the output.
        width: columns of the output.
        class_pixels: pixels by class name.
        nodata_pixels: pixels without data, or outside the AOI.
        tiles: tiles computed by this run; one that goes on computes only what is missing.
        tiles_skipped: those without a valid pixel, which skip the network.
        parts_resumed: parts found from an earlier run.
        tile_shape: height and width of the tiles.
        batch: tiles per step.
        engine: what ran the network.
        device: where it ran.
        precision: in which arithmetic.
        elapsed_s: seconds in all.
        stage_s: seconds spent in each stage; stages overlap.
        bottleneck: the stage that took the longest.
        peak_memory_bytes: the most main memory that this process has held so far.
        peak_device_bytes: the most memory of the device that torch has held; None on the CPU.
        was_done: an earlier run had finished the mask and what goes with it.
        notes: what of the scene one should know before one believes the mask.
    """

    output: Path
    confidence: Path | None
    scores: Path | None
    polygons: Path | None
    height: int
    width: int
    class_pixels: dict[str, int]
    nodata_pixels: int
    tiles: int
    tiles_skipped: int
    parts_resumed: int
    tile_shape: tuple[int, int]
    batch: int
    engine: str
    device: str
    precision: str
    elapsed_s: float
    stage_s: dict[str, float]
    bottleneck: str | None
    peak_memory_bytes: int
    peak_device_bytes: int | None
    was_done: bool
    notes: tuple[str, ...]


def summarize(
    run: Run, options: PredictOptions, parts_resumed: int, elapsed_s: float
) -> PredictSummary:
    """What a run has done."""
    counts, extent = run.counts, run.plan.area.extent
    class_pixels = {c.name: int(counts[c.value]) for c in run.classes}
    return PredictSummary(
        output=run.outputs["mask"],
        confidence=run.outputs.get("confidence"),
        scores=run.outputs.get("scores"),
        polygons=options.polygons,
        height=extent.height,
        width=extent.width,
        class_pixels=class_pixels,
        nodata_pixels=extent.area - sum(class_pixels.values()),
        tiles=run.tiles,
        tiles_skipped=run.tiles_skipped,
        parts_resumed=parts_resumed,
        tile_shape=run.plan.tile_shape,
        batch=run.plan.batch,
        engine=run.engine.name,
        device=str(run.engine.runtime.device),
        precision=run.engine.runtime.precision,
        elapsed_s=elapsed_s,
        stage_s=run.watch.seconds,
        bottleneck=max(run.watch.seconds, key=run.watch.seconds.__getitem__, default=None),
        peak_memory_bytes=peak_memory(),
        peak_device_bytes=peak_device_memory(run.engine.runtime.device),
        was_done=run.was_done,
        notes=find_notes([model.spec for model in run.models], run.scene, options),
    )
