"""`geounet polygonize`: a mask -> polygons."""

from __future__ import annotations

from typing import Literal

import typer

from geounet.cli.bars import progress_bars
from geounet.cli.parameters import files, inputs, outputs, tracing
from geounet.cli.parameters.collecting import collect
from geounet.cli.summary import print_summary
from geounet.vector.options import PolygonizeOptions
from geounet.wording import counted


def polygonize(
    mask: files.Mask,
    output: files.Polygons,
    classes: tracing.Classes = None,
    min_area_m2: tracing.MinArea = PolygonizeOptions.min_area_m2,
    drop_small: tracing.DropSmall = PolygonizeOptions.drop_small,
    min_hole_m2: tracing.MinHole = PolygonizeOptions.min_hole_m2,
    simplify_m: tracing.Simplify = PolygonizeOptions.simplify_m,
    smooth: tracing.Smooth = PolygonizeOptions.smooth,
    regularize: tracing.Regularize = PolygonizeOptions.regularize,
    connectivity: tracing.Connectivity = str(PolygonizeOptions.connectivity),
    confidence: inputs.ConfidenceRaster = None,
    scores: inputs.ScoresRaster = None,
    crs: outputs.Crs = PolygonizeOptions.crs,
    layer: outputs.Layer = PolygonizeOptions.layer,
    append: outputs.Append = PolygonizeOptions.append,
    overwrite: outputs.Overwrite = PolygonizeOptions.overwrite,
    json: outputs.Json = False,
    quiet: outputs.Quiet = False,
) -> None:
    """Make polygons of a mask: one per connected region of a class, edges exactly on pixel edges.

    Columns: class_id, class, area_m2, perimeter_m, pixels; if known, confidence, confidence_min
    and score_<class>.
    """
    options = collect(
        PolygonizeOptions,
        locals(),
        connectivity=_parse_connectivity(connectivity),
        classes=tuple(name.strip() for name in classes.split(",")) if classes else None,
    )
    from geounet.vector import polygonize as polygonize_mask

    with progress_bars(quiet=quiet) as progress:
        summary = polygonize_mask(mask, output, options, progress)
    known = "" if summary.is_new else ", all of them there already: nothing added"
    text = f"{output}: {counted(summary.polygons, 'polygon')}{known}"
    print_summary(summary, text, json=json, quiet=quiet)


def _parse_connectivity(text: str) -> Literal[4, 8]:
    if text not in ("4", "8"):
        raise typer.BadParameter(f"{text!r}: write 4 or 8", param_hint="--connectivity")
    return 8 if text == "8" else 4
