"""`geounet predict`: scenes -> masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from geounet.cli.bars import progress_bars
from geounet.cli.boundary import stop_gently
from geounet.cli.jobs import Work, find_jobs, note_skipped
from geounet.cli.many import find_share, predict_all, predict_shards, report_shards
from geounet.cli.parameters import execution, files, inputs, mapping, outputs
from geounet.cli.parameters.collecting import collect
from geounet.cli.prediction_text import describe, describe_check, list_outlook
from geounet.cli.stac import check_order, check_stac_target, parse_assets, write_mask_item
from geounet.cli.staging import Staging, refuse_s3
from geounet.cli.summary import print_json, print_summary
from geounet.errors import GeounetError
from geounet.inference.options import PredictOptions

if TYPE_CHECKING:
    from geounet.inference import PredictSummary, Shard, Verification

UNDER_WAY = "the part that it is at"


def predict(
    images: files.Scenes,
    model: files.Models,
    output: files.MaskOutput,
    polygons: outputs.Polygons = PredictOptions.polygons,
    confidence: outputs.Confidence = PredictOptions.confidence,
    scores: outputs.Scores = PredictOptions.scores,
    stac: outputs.Stac = None,
    staging: outputs.Staging = None,
    scores_dtype: outputs.ScoresDtype = PredictOptions.scores_dtype,
    tta: mapping.Tta = PredictOptions.tta,
    stack: inputs.Stack = False,
    assets: inputs.Assets = None,
    bands: inputs.Bands = None,
    aoi: inputs.CutAoi = None,
    bbox: inputs.CutBbox = None,
    resample: inputs.Resample = PredictOptions.resample,
    allow_pixel_size: inputs.AllowPixelSize = PredictOptions.allow_pixel_size,
    allow_dtype: inputs.AllowDtype = PredictOptions.allow_dtype,
    tile: execution.Tile = PredictOptions.tile,
    batch: execution.Batch = PredictOptions.batch,
    device: execution.Device = PredictOptions.device,
    engine: execution.Engine = PredictOptions.engine,
    precision: execution.Precision = PredictOptions.precision,
    max_memory: execution.MaxMemory = PredictOptions.max_memory,
    readers: execution.Readers = PredictOptions.readers,
    shard: mapping.Shard = None,
    cluster: mapping.Cluster = PredictOptions.cluster,
    dry_run: mapping.DryRun = False,
    verify: mapping.Verify = 0,
    overwrite: outputs.Overwrite = PredictOptions.overwrite,
    json: outputs.Json = False,
    quiet: outputs.Quiet = False,
) -> None:
    """Map scenes of any size: the class of each pixel, without a trace of the tiling.

    The mask is a Cloud-Optimized GeoTIFF of class values with colours, 255 where there is no
    data. Ctrl-C finishes the part under way (twice: stops at once); the same command goes on.
    """
    given = locals()
    refuse_s3(polygons=polygons, stac=stac)
    area = Staging(staging)
    output = area.bring_output(output)
    places = {"confidence": area.bring(confidence), "scores": area.bring(scores)}
    jobs, items = find_jobs(images, output, assets, stack=stack, quiet=quiet)
    options = collect(PredictOptions, given, **places, keep_finished=area.is_used)
    work = Work(jobs, model, options, output)
    if assets is not None and bands is None:
        check_order(items, parse_assets(assets), model)
    check_stac_target(stac, jobs, overwrite=overwrite)
    area.check(jobs, overwrite=overwrite, is_shared=bool(shard or cluster))
    work.check_number()
    share = find_share(shard, cluster, dry_run=dry_run, verify=verify)
    if not (stack or items or quiet):
        note_skipped(images)
    if dry_run:
        _foresee(work, json=json)
        return
    work.make_folder()
    if share is not None:
        _compute_share(work, share, json=json, quiet=quiet)
        return
    summaries, failures = _map(work, quiet=quiet)
    write_mask_item(stac, summaries, items, overwrite=overwrite)
    checks = _verify(work, summaries, verify) if verify else []
    _report(area.upload(summaries), failures, checks, json=json, quiet=quiet)
    if failures:
        raise failures[0]


def _foresee(work: Work, *, json: bool) -> None:
    from geounet.inference import foresee

    outlooks = [
        foresee(image, work.models, output, work.options, makes_folder=work.is_in_folder)
        for image, output in work.jobs
    ]
    if json:
        print_json(outlooks)
        return
    for (image, output), outlook in zip(work.jobs, outlooks, strict=True):
        typer.echo(f"{image} -> {output}", err=True)
        for name, text in list_outlook(outlook):
            typer.echo(f"  {name:<12} {text}", err=True)


def _compute_share(work: Work, share: Shard, *, json: bool, quiet: bool) -> None:
    with progress_bars(quiet=quiet) as progress, stop_gently(UNDER_WAY) as stop:
        summaries, failures = predict_shards(work, share, progress, stop)
    report_shards(summaries, failures, json=json, quiet=quiet)
    if failures:
        raise failures[0]


def _map(work: Work, *, quiet: bool) -> tuple[list[PredictSummary], list[GeounetError]]:
    with progress_bars(quiet=quiet) as progress, stop_gently(UNDER_WAY) as stop:
        return predict_all(work, progress, stop)


def _verify(work: Work, summaries: Sequence[PredictSummary], windows: int) -> list[Verification]:
    from geounet.inference import verify

    images = {output: image for image, output in work.jobs}
    return [
        verify(images[one.output], work.models, one.output, work.options, windows)
        for one in summaries
    ]


def _report(
    summaries: Sequence[PredictSummary],
    failures: Sequence[GeounetError],
    checks: Sequence[Verification],
    *,
    json: bool,
    quiet: bool,
) -> None:
    failed = [str(error) for error in failures]
    notes = [f"note: {note}" for summary in summaries for note in summary.notes]
    lines = [*map(describe, summaries), *notes, *map(describe_check, checks)]
    content = {"masks": summaries, "failed": failed, "verified": checks}
    print_summary(content, "\n".join(lines), json=json, quiet=quiet)
