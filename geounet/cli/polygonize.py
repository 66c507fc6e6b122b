"""`geounet polygonize`: a mask -> polygons."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from geounet.cli import parameters as p
from geounet.cli.bars import progress_bars
from geounet.cli.summary import print_json
from geounet.vector.options import PolygonizeOptions

CLEANING = "Regions"
OUTLINES = "Outlines"


def polygonize(
    mask: Annotated[str, typer.Argument(help="A mask: class values in one integer band.")],
    output: Annotated[
        Path, typer.Argument(help="The polygons: .gpkg, .parquet, .fgb or .geojson.")
    ],
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,NAME",
            show_default="all but the one with value 0",
            help="Classes to make polygons of.",
            rich_help_panel=CLEANING,
        ),
    ] = None,
    min_area: Annotated[
        float,
        typer.Option(
            metavar="M2",
            help="Dissolve regions smaller than this into the class of their longest border.",
            rich_help_panel=CLEANING,
        ),
    ] = PolygonizeOptions.min_area_m2,
    drop_small: Annotated[
        bool,
        typer.Option(
            "--drop-small",
            help="Leave such regions out instead: they become background.",
            rich_help_panel=CLEANING,
        ),
    ] = PolygonizeOptions.drop_small,
    min_hole: Annotated[
        float,
        typer.Option(
            metavar="M2",
            help="Fill holes smaller than this: background inside one class.",
            rich_help_panel=CLEANING,
        ),
    ] = PolygonizeOptions.min_hole_m2,
    simplify: Annotated[
        float,
        typer.Option(
            metavar="M",
            help="Move borders by up to this to save vertices; neighbours stay neighbours.",
            rich_help_panel=OUTLINES,
        ),
    ] = PolygonizeOptions.simplify_m,
    smooth: Annotated[
        bool,
        typer.Option(
            "--smooth",
            help="Round corners, within the same distance or that of a pixel.",
            rich_help_panel=OUTLINES,
        ),
    ] = PolygonizeOptions.smooth,
    regularize: Annotated[
        bool,
        typer.Option(
            "--regularize",
            help="Square the outlines of buildings that touch no other polygon.",
            rich_help_panel=OUTLINES,
        ),
    ] = PolygonizeOptions.regularize,
    connectivity: Annotated[
        str,
        typer.Option(
            metavar="4|8",
            help="8: pixels that touch at a corner are of one region.",
            rich_help_panel=CLEANING,
        ),
    ] = str(PolygonizeOptions.connectivity),
    confidence: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            show_default="no such column",
            help="Confidence raster of predict; each polygon gets its mean and minimum.",
            rich_help_panel=p.INPUT,
        ),
    ] = None,
    scores: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            show_default="no such columns",
            help="Scores raster of predict; each polygon gets the mean score of every class, and "
            "its confidence.",
            rich_help_panel=p.INPUT,
        ),
    ] = None,
    crs: Annotated[
        str | None,
        typer.Option(
            metavar="EPSG:N",
            show_default="the mask's; GeoJSON is always in EPSG:4326",
            help="CRS to bring the polygons to; areas stay those on the ground.",
            rich_help_panel=p.OUTPUT,
        ),
    ] = PolygonizeOptions.crs,
    layer: Annotated[
        str,
        typer.Option(metavar="NAME", help="Name of the layer.", rich_help_panel=p.OUTPUT),
    ] = PolygonizeOptions.layer,
    append: Annotated[
        bool,
        typer.Option(
            "--append",
            help="Add to a GeoPackage, if it exists; what was added before is not added again.",
            rich_help_panel=p.OUTPUT,
        ),
    ] = PolygonizeOptions.append,
    overwrite: p.Overwrite = PolygonizeOptions.overwrite,
    json: p.Json = False,
    quiet: p.Quiet = False,
) -> None:
    """Make polygons of a mask: one per connected region of a class, edges exactly on pixel edges.

    Columns: class_id, class, area_m2, perimeter_m, pixels; if known, confidence, confidence_min
    and score_<class>.
    """
    if connectivity not in ("4", "8"):
        raise typer.BadParameter(f"{connectivity!r}: write 4 or 8", param_hint="--connectivity")
    options = PolygonizeOptions(
        connectivity=8 if connectivity == "8" else 4,
        classes=tuple(name.strip() for name in classes.split(",")) if classes else None,
        min_area_m2=min_area,
        drop_small=drop_small,
        min_hole_m2=min_hole,
        simplify_m=simplify,
        smooth=smooth,
        regularize=regularize,
        confidence=confidence,
        scores=scores,
        crs=crs,
        layer=layer,
        append=append,
        overwrite=overwrite,
    )
    from geounet.vector import polygonize as polygonize_mask

    with progress_bars(quiet=quiet) as progress:
        summary = polygonize_mask(mask, output, options, progress)
    if json:
        print_json(summary)
    if not quiet:
        known = "" if summary.is_new else ", all of them there already: nothing added"
        typer.echo(f"{output}: {summary.polygons} polygons{known}", err=True)
