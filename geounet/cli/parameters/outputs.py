"""Panel "Output": what else is written, and what is said."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from geounet.inference.options import ScoresDtype as ScoresDtypeName

option = partial(typer.Option, rich_help_panel="Output")

Overwrite = Annotated[bool, option("--overwrite", help="Replace existing outputs.")]
Json = Annotated[bool, option("--json", help="Print one JSON summary on stdout.")]
Quiet = Annotated[bool, option("--quiet", "-q", help="No progress, no summary.")]

# of predict
Polygons = Annotated[
    Path | None,
    option(
        metavar="FILE",
        help="Also write polygons here (.gpkg, .parquet, .fgb, .geojson); one image only.",
    ),
]
Confidence = Annotated[
    Path | None,
    option(
        metavar="FILE",
        help="Also write the winning class's probability here (.tif, uint8 in 1/254); "
        "one image only.",
    ),
]
Scores = Annotated[
    Path | None,
    option(
        metavar="FILE",
        help="Also write the probabilities of all classes here (.tif, a band each); "
        "one image only.",
    ),
]
Stac = Annotated[
    Path | None,
    option(
        metavar="FILE",
        help="Also describe the mask as a STAC Item here (.json), with its classes and grid; "
        "one image only.",
    ),
]
Staging = Annotated[
    Path | None,
    option(
        metavar="FOLDER",
        show_default="the system's folder for temporary files",
        help="Where outputs at s3:// are made before they are uploaded.",
    ),
]
ScoresDtype = Annotated[ScoresDtypeName, option(help="uint8: in 1/254.")]

# of train
Resume = Annotated[
    bool, option("--resume", help="Go on with the run in the folder, if there is one.")
]
Tensorboard = Annotated[
    bool,
    option("--tensorboard", help="Write event files for TensorBoard too (extra tensorboard)."),
]

# of evaluate
Csv = Annotated[
    Path | None,
    option(
        metavar="FILE",
        show_default="none",
        help="Also write all numbers here, a row per mask and metric.",
    ),
]
Report = Annotated[
    Path | None,
    option(
        metavar="FILE.html",
        show_default="none",
        help="Also write a page with all numbers, figures, where the errors are and the worst "
        "windows. It needs no other file and no network, and can be printed.",
    ),
]
ReportFigures = Annotated[
    bool,
    option("--report-figures", help="Also write every figure of the report as a PNG beside it."),
]
ReportImages = Annotated[
    list[str] | None,
    option(
        metavar="IMAGE",
        show_default="none; with --model they are known",
        help="What the report shows beside the masks: one image per mask in their order "
        "(repeat the option), or a folder, matched by name.",
    ),
]
Errors = Annotated[
    Path | None,
    option(
        metavar="FILE",
        show_default="none",
        help="Also write polygons of false negatives, false positives and confusions, with "
        "both classes and the area: .gpkg (with a QGIS style), .parquet, .fgb or .geojson.",
    ),
]

# of polygonize
Crs = Annotated[
    str | None,
    option(
        metavar="EPSG:N",
        show_default="the mask's; GeoJSON is always in EPSG:4326",
        help="CRS to bring the polygons to; areas stay those on the ground.",
    ),
]
Layer = Annotated[str, option(metavar="NAME", help="Name of the layer.")]
Append = Annotated[
    bool,
    option(
        "--append",
        help="Add to a GeoPackage, if it exists; what was added before is not added again.",
    ),
]
