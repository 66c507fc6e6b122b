"""What one may ask of predict. Each default is written here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Precision = Literal["auto", "float32", "bfloat16", "float16"]
EngineName = Literal["auto", "torch", "openvino"]

Tta = Literal["none", "flip", "d4"]
ScoresDtype = Literal["uint8", "float16", "float32"]

Bounds = tuple[float, float, float, float]
"""West, south, east, north."""


@dataclass(frozen=True, kw_only=True)  # no slots: the command line reads the defaults
class PredictOptions:
    """How to predict.

    Attributes:
        bands: the scene's bands to use, 1-based, in the model's order; None: all.
        resample: read the scene at the model's pixel size; the outputs are on its own grid.
        allow_pixel_size: accept a scene whose pixel size is not the model's.
        allow_dtype: accept a scene whose range of values is not the model's.
        aoi: vector file; only pixels whose centre is inside its polygons are mapped.
        bbox: west, south, east, north in the scene's CRS; the output is cut to it.
        tile: side of the tiles in pixels; None: the largest that fits `max_memory`.
        batch: tiles per step; None: by the device.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        engine: what runs the network; "auto" takes the fastest that is installed.
        precision: arithmetic; "auto": bfloat16 where the hardware has it.
        max_memory: bytes that the run may take; None: a share of what is free.
        readers: threads that read the scene.
        confidence: also write the winning class's probability here.
        scores: also write the probabilities of all classes here, a band each.
        scores_dtype: "uint8": in 1/254, 255 is no data; "float16" or "float32": NaN is no data.
        polygons: also write the polygons of the mask here, with confidence and scores if written.
        tta: average over the symmetries of the square: "flip" four, "d4" all eight.
        overwrite: replace existing outputs.
        keep_finished: but not those that this very job has finished: they wait for their upload.
        cluster: compute the parts on a Dask cluster: the address of its scheduler; "local" or
            "local:N", processes of this machine; None: in this process.
    """

    bands: tuple[int, ...] | None = None
    resample: bool = False
    allow_pixel_size: bool = False
    allow_dtype: bool = False
    aoi: str | Path | None = None
    bbox: Bounds | None = None
    tile: int | None = None
    batch: int | None = None
    device: str = "auto"
    engine: EngineName = "auto"
    precision: Precision = "auto"
    max_memory: int | None = None
    readers: int = 1
    confidence: Path | None = None
    scores: Path | None = None
    scores_dtype: ScoresDtype = "uint8"
    polygons: Path | None = None
    tta: Tta = "none"
    overwrite: bool = False
    keep_finished: bool = False
    cluster: str | None = None
