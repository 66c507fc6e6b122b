"""`geounet export`: a model -> a file that other tools run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geounet.cli.bars import progress_bars
from geounet.cli.parameters import exporting, files, inputs, outputs
from geounet.cli.parameters.collecting import collect
from geounet.cli.summary import print_summary, share, size_text
from geounet.models.export.options import ExportOptions
from geounet.wording import counted

if TYPE_CHECKING:
    from geounet.evaluation import ExportSummary, Int8Loss


def export(
    model: files.TrainedModel,
    output: files.Exported,
    normalisation: exporting.Normalisation = ExportOptions.normalisation,
    activation: exporting.Activation = ExportOptions.activation,
    tile: exporting.Tile = ExportOptions.tile,
    int8: exporting.Int8 = ExportOptions.int8,
    scenes: exporting.Scenes = None,
    labels: exporting.Labels = None,
    bands: inputs.Bands = None,
    tolerance: exporting.Tolerance = ExportOptions.tolerance,
    overwrite: outputs.Overwrite = ExportOptions.overwrite,
    json: outputs.Json = False,
    quiet: outputs.Quiet = False,
) -> None:
    """Write a model for other tools, compared with torch before it is kept.

    The file gives as many pixels as it takes, and carries its spec: geounet predict and geounet
    info read it as they read the model. ONNX files also tell the QGIS plugin Deepness all that it
    would ask for.
    """
    options = collect(ExportOptions, locals())
    from geounet.evaluation import export as export_model

    with progress_bars(quiet=quiet) as progress:
        summary = export_model(model, output, options, progress)
    print_summary(summary, describe(summary), json=json, quiet=quiet)


def describe(summary: ExportSummary) -> str:
    """The final lines: what was made, and how far it is from the model."""
    real = summary.real_difference
    found = f"by {summary.random_difference:.1e} at most on random images"
    if real is not None:
        found += f", by {real:.1e} on the scenes"
    whose = "" if summary.int8 is None else "before int8 its "
    lines = [
        f"{summary.output}: {size_text(summary.size_bytes)} in {summary.elapsed_s:.1f} s; "
        f"{whose}probabilities differ from torch's {found} (allowed: {summary.tolerance:g})"
    ]
    if summary.int8 is not None:
        lines.append(_describe_int8(summary.int8))
    return "\n".join([*lines, *(f"note: {note}" for note in summary.notes)])


def _describe_int8(loss: Int8Loss) -> str:
    against = "the float32 mask" if loss.float_iou is None else "the labels"
    before = 1.0 if loss.float_iou is None else loss.float_iou
    lost = "-" if loss.loss is None else f"{loss.loss:+.4f}"
    after = "-" if loss.int8_iou is None else f"{loss.int8_iou:.4f}"
    return (
        f"int8: mean IoU with {against} {after} instead of {before:.4f} (loss {lost}) on "
        f"{counted(loss.windows, 'window')} that did not calibrate it; "
        f"{share(loss.labels_changed, 1)} of the labels changed, probabilities by "
        f"{loss.mean_difference:.1e} on average; "
        f"{loss.int8_mpx_per_s:.2f} Mpx/s instead of {loss.float_mpx_per_s:.2f}"
    )
