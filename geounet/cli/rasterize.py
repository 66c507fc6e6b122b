"""`geounet rasterize`: vectors -> a class raster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geounet.cli import parameters as p
from geounet.cli.bars import progress_bars
from geounet.cli.summary import print_json, share
from geounet.vector.label_options import LabelOptions
from geounet.vector.rasterize_options import RasterizeOptions

if TYPE_CHECKING:
    from geounet.vector import RasterizeSummary


def rasterize(
    vector: Annotated[
        str, typer.Argument(help="Polygons or lines; FILE|layername=NAME if it has several layers.")
    ],
    like: Annotated[
        str, typer.Option(metavar="SCENE", help="Raster whose grid the labels are to have.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="The class raster (.tif).")
    ],
    classes: p.Classes = RasterizeOptions.classes,
    class_field: p.ClassField = LabelOptions.class_field,
    line_width: p.LineWidth = LabelOptions.line_width_m,
    ignore: p.Ignore = None,
    sparse: p.Sparse = LabelOptions.sparse,
    separate: p.Separate = LabelOptions.separate_px,
    aoi: p.Aoi = None,
    bbox: p.Bbox = None,
    overwrite: p.Overwrite = RasterizeOptions.overwrite,
    json: p.Json = False,
    quiet: p.Quiet = False,
) -> None:
    """Burn vectors into a class raster on a scene's grid: the labels as train sees them.

    A pixel is of the polygon that holds its centre; of overlapping classes the highest value wins.
    What does not count (--aoi, --bbox) gets no label: 255.
    """
    options = RasterizeOptions(
        classes=classes,
        label_options=LabelOptions(
            class_field=class_field,
            line_width_m=line_width,
            ignore=ignore,
            sparse=sparse,
            separate_px=separate,
        ),
        aoi=aoi,
        bbox=bbox,
        overwrite=overwrite,
    )
    from geounet.vector import rasterize as rasterize_vectors

    with progress_bars(quiet=quiet) as progress:
        summary = rasterize_vectors(vector, like, output, options, progress)
    if json:
        print_json(summary)
    if not quiet:
        typer.echo(describe(summary), err=True)


def describe(summary: RasterizeSummary) -> str:
    """One line: the file, the share of each class, and what one has to know."""
    total = sum(summary.class_pixels.values()) + summary.unlabelled
    shares = [f"{name} {share(count, total)}" for name, count in summary.class_pixels.items()]
    if summary.unlabelled:
        shares.append(f"no label {share(summary.unlabelled, total)}")
    note = f" ({summary.note})" if summary.note else ""
    return f"{summary.output}: {', '.join(shares)}{note}"
