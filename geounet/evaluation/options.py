"""What one may ask of evaluate. Each default is written here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from geounet.errors import UsageError
from geounet.evaluation.measures.sizes import LENGTH, parse_bounds, parse_size
from geounet.inference.options import PredictOptions
from geounet.vector.labels.label_options import LabelOptions

if TYPE_CHECKING:
    from geounet.raster import Bounds

ALL = "all"
"""Every family of metrics that there are data for."""

MAX_CAP, MAX_WARP = 256, 32
"""Pixels around each window that are read, too: as many as the cap, and 8 for each to be warped."""

MAX_BOOTSTRAP = 100_000
"""Every draw of each metric is held, 8 bytes: of 150 metrics 120 MB."""


@dataclass(frozen=True, kw_only=True)  # no slots: the command line reads the defaults
class EvaluateOptions:
    """How to evaluate.

    Attributes:
        classes: `NAME,NAME` or a JSON file; None: as the mask files tell.
        label_options: how the labels are to be understood.
        aoi: vector file; only pixels whose centre is inside its polygons count.
        bbox: west, south, east, north in the masks' CRS; only pixels in it count.
        metrics: families of metrics: "pixel", which there always is, and others of `FAMILIES`, or
            "all". Scores bring "probability" with them.
        boundary_width: how near is near, for boundary IoU and F1: `3px` or `1.5m`.
        hausdorff_cap: up to so many pixels the Hausdorff distance is exact; above it is unknown.
        connectivity: 4: pixels of one object share an edge; 8: or but a corner.
        features: each feature of vector labels is an object, also where two touch, or one is in
            several parts; otherwise what is connected is, as in rasters and in the mask.
        object_sizes: areas from which on an object is medium, and large, in px or m2; the default
            is COCO's, 32 x 32 and 96 x 96 pixels.
        warp: so many pixels boundaries may be warped before what differs is an error of topology.
        scores: probabilities of the classes, as predict writes them, one file per mask in the same
            order, or one folder matched by name.
        compare: masks to compare with, likewise; only what both have counts.
        intervals: how sure the numbers are, too.
        bootstrap: how often blocks are drawn for that.
        block: side of these blocks in pixels; None: 256, doubled until there are at most 2048.
        seed: of the draws.
        fail_under: pairs of a metric and what it should be at least, see `Evaluation.failed`. It
            brings the metric's family with it.
        fail_over: likewise what it should be at most, of those that are better the smaller.
        model: model files: the masks are images, which they map first (several: an ensemble).
        masks: folder to keep these masks in; None: they are removed.
        predict_options: how to map; AOI, bbox and overwrite are those here.
        csv: also write all numbers here, a row per mask and metric.
        report: also write a page here, HTML that needs no other file.
        report_figures: every figure of it also as a PNG beside it.
        images: what the report shows behind the masks, likewise one file per mask or a folder; with
            a model the images are known.
        errors: also write polygons of what is wrong here: .gpkg, .parquet, .fgb, .geojson.
        overwrite: replace existing outputs, and masks in the folder of another model or image.
    """

    classes: str | None = None
    label_options: LabelOptions = LabelOptions()  # noqa: RUF009  frozen
    aoi: str | Path | None = None
    bbox: Bounds | None = None
    metrics: tuple[str, ...] = ("pixel",)
    boundary_width: str = "3px"
    hausdorff_cap: int = 32
    connectivity: Literal[4, 8] = 4
    features: bool = True
    object_sizes: str = "1024px,9216px"
    warp: int = 5
    scores: tuple[str | Path, ...] = ()
    compare: tuple[str | Path, ...] = ()
    intervals: bool = True
    bootstrap: int = 1000
    block: int | None = None
    seed: int = 0
    fail_under: tuple[tuple[str, float], ...] = ()
    fail_over: tuple[tuple[str, float], ...] = ()
    model: tuple[str | Path, ...] = ()
    masks: str | Path | None = None
    predict_options: PredictOptions = PredictOptions()  # noqa: RUF009  frozen
    csv: str | Path | None = None
    report: str | Path | None = None
    report_figures: bool = False
    images: tuple[str | Path, ...] = ()
    errors: str | Path | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        self._check_metrics()
        if not 100 <= self.bootstrap <= MAX_BOOTSTRAP:
            raise UsageError(f"--bootstrap is {self.bootstrap}; draw 100 to {MAX_BOOTSTRAP} times")
        if self.block is not None and self.block < 1:
            raise UsageError(f"--block is {self.block}; give a positive number of pixels")
        if self.seed < 0:
            raise UsageError(f"--seed is {self.seed}; give 0 or more")
        if self.masks is not None and not self.model:
            raise UsageError("--masks keeps what --model maps; give a model, or leave it out")
        if self.report is not None and Path(self.report).suffix.lower() not in (".html", ".htm"):
            raise UsageError(f"--report {self.report}: it is written as HTML; name it .html")
        if (self.report_figures or self.images) and self.report is None:
            raise UsageError("--report-figures and --images are for a report; name it: --report")
        if self.model and self.images:
            raise UsageError("--images are for masks; with --model the images are known")
        if self.model and self.scores:
            raise UsageError("--model makes scores of its own; ask for them: --metrics probability")

    def _check_metrics(self) -> None:
        parse_size(self.boundary_width, "--boundary-width", LENGTH)
        parse_bounds(self.object_sizes, "--object-sizes")
        for option, number, most in (
            ("--hausdorff-cap", self.hausdorff_cap, MAX_CAP),
            ("--warp", self.warp, MAX_WARP),
        ):
            if not 1 <= number <= most:
                raise UsageError(f"{option} is {number}; give 1 to {most} pixels")
