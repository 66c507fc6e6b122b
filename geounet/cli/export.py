"""`geounet export`: a model -> a file that other tools run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from geounet.cli import parameters as p
from geounet.cli.bars import progress_bars
from geounet.cli.summary import print_json, share, size_text
from geounet.models.export_options import ExportOptions

FORM = "Form"
CHECKS = "Checks"

if TYPE_CHECKING:
    from geounet.evaluation import ExportSummary, Int8Loss


def export(
    model: Annotated[Path, typer.Argument(help="Model file of geounet train.")],
    output: Annotated[
        Path,
        typer.Argument(
            help="The file: .onnx (ONNX), .pt2 (torch.export) or .xml (OpenVINO, with a .bin)."
        ),
    ],
    normalisation: Annotated[
        Literal["inside", "outside"],
        typer.Option(
            help="inside: the file takes the scene's values as they are; outside: (value - mean) / "
            "deviation of each band.",
            rich_help_panel=FORM,
        ),
    ] = ExportOptions.normalisation,
    activation: Annotated[
        Literal["softmax", "none"],
        typer.Option(
            help="softmax: the file gives probabilities; none: scores before softmax.",
            rich_help_panel=FORM,
        ),
    ] = ExportOptions.activation,
    tile: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="PX",
            show_default="any multiple of the model's stride",
            help="Fix height and width of the input, as the QGIS plugin Deepness needs it.",
            rich_help_panel=FORM,
        ),
    ] = ExportOptions.tile,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8",
            help="Quantise to 8 bits, calibrated on windows of the scenes; says what it costs.",
            rich_help_panel=FORM,
        ),
    ] = ExportOptions.int8,
    scene: Annotated[
        list[str] | None,
        typer.Option(
            "--scene",
            metavar="IMAGE",
            show_default="random images only",
            help="Also compare on windows of this image; repeat it for several.",
            rich_help_panel=CHECKS,
        ),
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            "--labels",
            "-l",
            metavar="LABELS",
            show_default="the float32 mask",
            help="Labels of the scenes, by which to tell what --int8 costs.",
            rich_help_panel=CHECKS,
        ),
    ] = None,
    bands: p.Bands = None,
    tolerance: Annotated[
        float,
        typer.Option(
            metavar="X",
            help="Largest difference of a probability from torch's; above it nothing is kept.",
            rich_help_panel=CHECKS,
        ),
    ] = ExportOptions.tolerance,
    overwrite: p.Overwrite = ExportOptions.overwrite,
    json: p.Json = False,
    quiet: p.Quiet = False,
) -> None:
    """Write a model for other tools, compared with torch before it is kept.

    The file gives as many pixels as it takes, and carries its spec: geounet predict and geounet
    info read it as they read the model. ONNX files also tell the QGIS plugin Deepness all that it
    would ask for.
    """
    options = ExportOptions(
        normalisation=normalisation,
        activation=activation,
        tile=tile,
        tolerance=tolerance,
        int8=int8,
        scenes=tuple(scene or ()),
        labels=None if labels is None else tuple(labels),
        bands=bands,
        overwrite=overwrite,
    )
    from geounet.evaluation import export as export_model

    with progress_bars(quiet=quiet) as progress:
        summary = export_model(model, output, options, progress)
    if json:
        print_json(summary)
    if not quiet:
        typer.echo(describe(summary), err=True)


def describe(summary: ExportSummary) -> str:
    """The final lines: what was made, and how far it is from the model."""
    real = summary.real_difference
    found = f"by {summary.random_difference:.1e} at most on random images"
    if real is not None:
        found += f", by {real:.1e} on the scenes"
    lines = [
        f"{summary.output}: {size_text(summary.size_bytes)} in {summary.elapsed_s:.1f} s; "
        f"probabilities differ from torch's {found} (allowed: {summary.tolerance:g})"
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
        f"{loss.windows} windows that did not calibrate it; {share(loss.labels_changed, 1)} of the "
        f"labels changed; {loss.int8_mpx_per_s:.2f} Mpx/s instead of {loss.float_mpx_per_s:.2f}"
    )
