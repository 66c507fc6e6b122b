"""`geounet rasterize`: vectors -> a class raster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geounet.cli.bars import progress_bars
from geounet.cli.parameters import files, inputs, labelling, outputs
from geounet.cli.parameters.collecting import collect, collect_labels
from geounet.cli.summary import print_summary, share
from geounet.vector.labels.label_options import LabelOptions
from geounet.vector.rasterize_options import RasterizeOptions

if TYPE_CHECKING:
    from geounet.vector import RasterizeSummary


def rasterize(
    vector: files.Vector,
    like: files.Like,
    output: files.ClassRaster,
    classes: labelling.Classes = RasterizeOptions.classes,
    class_field: labelling.ClassField = LabelOptions.class_field,
    line_width_m: labelling.LineWidth = LabelOptions.line_width_m,
    ignore: labelling.Ignore = None,
    sparse: labelling.Sparse = LabelOptions.sparse,
    separate_px: labelling.Separate = LabelOptions.separate_px,
    aoi: inputs.Aoi = None,
    bbox: inputs.Bbox = None,
    overwrite: outputs.Overwrite = RasterizeOptions.overwrite,
    json: outputs.Json = False,
    quiet: outputs.Quiet = False,
) -> None:
    """Burn vectors into a class raster on a scene's grid: the labels as train sees them.

    A pixel is of the polygon that holds its centre; of overlapping classes the highest value wins.
    What does not count (--aoi, --bbox) gets no label: 255.
    """
    given = locals()
    options = collect(RasterizeOptions, given, label_options=collect_labels(given))
    from geounet.vector import rasterize as rasterize_vectors

    with progress_bars(quiet=quiet) as progress:
        summary = rasterize_vectors(vector, like, output, options, progress)
    print_summary(summary, describe(summary), json=json, quiet=quiet)


def describe(summary: RasterizeSummary) -> str:
    """One line: the file, the share of each class, and what one has to know."""
    total = sum(summary.class_pixels.values()) + summary.unlabelled
    shares = [f"{name} {share(count, total)}" for name, count in summary.class_pixels.items()]
    if summary.unlabelled:
        shares.append(f"no label {share(summary.unlabelled, total)}")
    note = f" ({summary.note})" if summary.note else ""
    return f"{summary.output}: {', '.join(shares)}{note}"
