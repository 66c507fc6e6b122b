"""`geounet predict`: scenes -> masks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from geounet.cli import parameters as p
from geounet.cli.bars import progress_bars
from geounet.cli.boundary import stop_gently
from geounet.cli.many import (
    Job,
    find_share,
    predict_on_cluster,
    predict_shards,
    report_shards,
    work_off,
)
from geounet.cli.stac import (
    check_stac_target,
    explain_item,
    pair_items,
    parse_assets,
    read_items,
    write_mask_item,
)
from geounet.cli.staging import Staging, refuse_s3
from geounet.cli.summary import print_json, size_text
from geounet.cli.summary import share as share_text
from geounet.errors import GeounetError, UsageError
from geounet.inference.options import PredictOptions

QUALITY = "Quality"
WORKERS = "Many workers"

if TYPE_CHECKING:
    from geounet.inference import Outlook, PredictSummary, Verification
    from geounet.progress import ProgressCallback
    from geounet.raster import StacItem


def predict(
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE...", help="Scenes: anything GDAL opens, or a folder."),
    ],
    model: Annotated[
        list[Path],
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help="Model file of geounet train or geounet export, or another's .onnx, .pt2 or .xml "
            "with a .json that describes it; repeated, an ensemble: mean of probabilities.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="The mask (.tif), also at s3://; a folder for several images.",
            metavar="OUT",
        ),
    ],
    polygons: Annotated[
        Path | None,
        typer.Option(
            help="Also write polygons here (.gpkg, .parquet, .fgb, .geojson); one image only.",
            metavar="FILE",
            rich_help_panel=p.OUTPUT,
        ),
    ] = PredictOptions.polygons,
    confidence: Annotated[
        Path | None,
        typer.Option(
            help="Also write the winning class's probability here (.tif, uint8 in 1/254); "
            "one image only.",
            metavar="FILE",
            rich_help_panel=p.OUTPUT,
        ),
    ] = PredictOptions.confidence,
    scores: Annotated[
        Path | None,
        typer.Option(
            help="Also write the probabilities of all classes here (.tif, a band each); "
            "one image only.",
            metavar="FILE",
            rich_help_panel=p.OUTPUT,
        ),
    ] = PredictOptions.scores,
    stac: Annotated[
        Path | None,
        typer.Option(
            "--stac",
            help="Also describe the mask as a STAC Item here (.json), with its classes and grid; "
            "one image only.",
            metavar="FILE",
            rich_help_panel=p.OUTPUT,
        ),
    ] = None,
    staging: Annotated[
        Path | None,
        typer.Option(
            "--staging",
            help="Where outputs at s3:// are made before they are uploaded.",
            metavar="FOLDER",
            show_default="the system's folder for temporary files",
            rich_help_panel=p.OUTPUT,
        ),
    ] = None,
    scores_dtype: Annotated[
        Literal["uint8", "float16", "float32"],
        typer.Option(help="uint8: in 1/254.", rich_help_panel=p.OUTPUT),
    ] = PredictOptions.scores_dtype,
    tta: Annotated[
        Literal["none", "flip", "d4"],
        typer.Option(
            help="Average over flips (4 passes) or all symmetries of the square (8).",
            rich_help_panel=QUALITY,
        ),
    ] = PredictOptions.tta,
    stack: Annotated[
        bool,
        typer.Option(
            "--stack",
            help="The images are the bands of one scene, on any grids; the first decides.",
            rich_help_panel=p.INPUT,
        ),
    ] = False,
    assets: Annotated[
        str | None,
        typer.Option(
            metavar="KEY,KEY,...",
            help="The images are STAC Items (.json, also by https); these assets of each are the "
            "bands of a scene, in this order, as with --stack.",
            rich_help_panel=p.INPUT,
        ),
    ] = None,
    bands: p.Bands = None,
    aoi: p.CutAoi = None,
    bbox: p.CutBbox = None,
    resample: p.Resample = PredictOptions.resample,
    allow_pixel_size: p.AllowPixelSize = PredictOptions.allow_pixel_size,
    allow_dtype: p.AllowDtype = PredictOptions.allow_dtype,
    tile: Annotated[
        int | None,
        typer.Option(
            parser=p.parse_count,
            metavar="auto|N",
            show_default="auto: the largest that fits the memory",
            help="Side of the tiles in pixels. Changes the speed, never a label; only of foreign "
            "models (smp, .onnx, .pt2, .xml) it is part of the result.",
            rich_help_panel=p.SPEED,
        ),
    ] = PredictOptions.tile,
    batch: Annotated[
        int | None,
        typer.Option(
            parser=p.parse_count,
            metavar="auto|N",
            show_default="auto",
            help="Tiles per step.",
            rich_help_panel=p.SPEED,
        ),
    ] = PredictOptions.batch,
    device: p.Device = PredictOptions.device,
    engine: Annotated[
        Literal["auto", "torch", "openvino"],
        typer.Option(
            help="What runs the network; auto: openvino on the CPU if installed, else torch.",
            rich_help_panel=p.SPEED,
        ),
    ] = PredictOptions.engine,
    precision: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"],
        typer.Option(
            help="Arithmetic; auto: bfloat16 where the hardware has it.", rich_help_panel=p.SPEED
        ),
    ] = PredictOptions.precision,
    max_memory: p.MaxMemory = PredictOptions.max_memory,
    readers: Annotated[
        int,
        typer.Option(min=1, max=64, help="Threads that read.", rich_help_panel=p.SPEED),
    ] = PredictOptions.readers,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Compute the I-th of N shares of the parts of all images, from 0/N, and stop: in "
            "any order, also at the same time, on machines that see the same files. The same "
            "command without it then makes the outputs.",
            rich_help_panel=WORKERS,
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS|local[:N]",
            show_default="this process",
            help="Compute the parts on a Dask cluster (extra dask): the address of its scheduler, "
            "as tcp://host:8786, whose workers see the same files; or processes of this machine, "
            "one per GPU, or N that share the cores.",
            rich_help_panel=WORKERS,
        ),
    ] = PredictOptions.cluster,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print the plan and the time it would take; write nothing.",
            rich_help_panel=QUALITY,
        ),
    ] = False,
    verify: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="Then compute N random windows again with another tiling, and compare.",
            rich_help_panel=QUALITY,
        ),
    ] = 0,
    overwrite: p.Overwrite = PredictOptions.overwrite,
    json: p.Json = False,
    quiet: p.Quiet = False,
) -> None:
    """Map scenes of any size: the class of each pixel, without a trace of the tiling.

    The mask is a Cloud-Optimized GeoTIFF of class values with colours, 255 where there is no
    data. Ctrl-C finishes the part under way (twice: stops at once); the same command goes on.
    """
    refuse_s3(polygons=polygons, stac=stac)
    area = Staging(staging)
    output, confidence, scores = (
        area.bring_output(output),
        area.bring(confidence),
        area.bring(scores),
    )
    options = PredictOptions(
        bands=bands,
        resample=resample,
        allow_pixel_size=allow_pixel_size,
        allow_dtype=allow_dtype,
        aoi=aoi,
        bbox=bbox,
        tile=tile,
        batch=batch,
        device=device,
        engine=engine,
        precision=precision,
        max_memory=max_memory,
        readers=readers,
        confidence=confidence,
        scores=scores,
        scores_dtype=scores_dtype,
        polygons=polygons,
        tta=tta,
        overwrite=overwrite,
        cluster=cluster,
    )
    jobs, items = _find_jobs(images, output, assets, stack=stack, quiet=quiet)
    check_stac_target(stac, jobs, overwrite=overwrite)
    area.check(jobs, overwrite=overwrite, is_shared=bool(shard or cluster))
    if len(jobs) > 1 and (polygons or confidence or scores):
        raise UsageError(
            f"--polygons, --confidence and --scores take one image, not {len(jobs)}; "
            "run geounet for each image"
        )
    share = find_share(shard, cluster, dry_run=dry_run, verify=verify)
    if not stack and not items and not quiet:
        _note_skipped(images)
    in_folder = jobs[0][1] != output
    if dry_run:
        _foresee(jobs, model, options, json=json, makes_folder=in_folder)
        return
    if in_folder:
        _make_folder(output)
    with progress_bars(quiet=quiet) as progress, stop_gently("the part that it is at") as stop:
        if share is not None:
            shares, failures = predict_shards(jobs, model, options, share, progress, stop)
        else:
            summaries, failures = _predict_all(jobs, model, options, progress, stop)
    if share is not None:
        report_shards(shares, failures, json=json, quiet=quiet)
    else:
        write_mask_item(stac, summaries, items, overwrite=overwrite)
        checks = _verify(jobs, model, summaries, options, verify) if verify else []
        summaries = area.upload(summaries)
        _report(summaries, failures, checks, json=json, quiet=quiet)
    if failures:
        raise failures[0]


def _report(
    summaries: list[PredictSummary],
    failures: list[GeounetError],
    checks: list[Verification],
    *,
    json: bool,
    quiet: bool,
) -> None:
    if json:
        failed = [str(error) for error in failures]
        print_json({"masks": summaries, "failed": failed, "verified": checks})
    if not quiet:
        notes = [f"note: {note}" for summary in summaries for note in summary.notes]
        for line in [*map(describe, summaries), *notes, *map(_describe_check, checks)]:
            typer.echo(line, err=True)


def _find_jobs(
    images: list[str], output: Path, assets: str | None, *, stack: bool, quiet: bool
) -> tuple[list[Job], list[StacItem]]:
    """What to map, and the Items that it is of, if --assets says so."""
    if assets is None:
        explain_item(images)
        return (_stack_files(images, output) if stack else _pair_outputs(images, output)), []
    if stack:
        raise UsageError("--assets makes a stack of each Item by itself; leave --stack out")
    keys, items = parse_assets(assets), read_items(images)
    jobs = pair_items(items, keys, output)
    for note in (note for item in items for note in item.find_notes(keys)):
        if not quiet:
            typer.echo(f"note: {note}", err=True)
    return jobs, items


def _stack_files(images: list[str], output: Path) -> list[Job]:
    """The one scene that the files are."""
    from geounet.raster import list_scenes

    for image in images:
        if list_scenes(image) != [image]:
            raise UsageError(
                f"{image}: --stack needs the files in the model's band order, not a folder"
            )
    return [(tuple(images), output)]


def _pair_outputs(images: list[str], output: Path) -> list[Job]:
    """Each scene with its mask: OUT itself for one image, OUT/<stem>.tif for several."""
    from geounet.raster import SCENE_SUFFIXES, find_local, list_scenes, name_of

    found = find_local(output)
    is_folder = found is not None and found.is_dir()
    scenes = [scene for image in images for scene in list_scenes(image)]
    if scenes == images[:1] and not is_folder:
        return [(scenes[0], output)]
    names = [name_of(scene) for scene in scenes]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"several images are named {', '.join(twice)}; map them in separate runs")
    if output.suffix.lower() in SCENE_SUFFIXES and not is_folder:
        raise UsageError(
            f"{output}: several images need a folder as output, not a file, or --stack if they "
            "are the bands of one scene"
        )
    return [(scene, output / f"{name}.tif") for scene, name in zip(scenes, names, strict=True)]


def _note_skipped(images: list[str]) -> None:
    from geounet.raster import list_skipped

    for image in images:
        if names := list_skipped(image):
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            typer.echo(
                f"note: {', '.join(names[:3])}{more} in {image}: no raster by its name, left out; "
                "a file that is named by itself may be called anything",
                err=True,
            )


def _make_folder(output: Path) -> None:
    try:
        output.mkdir(exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{output} cannot be made: {error.strerror}; name another folder"
        ) from error


def _predict_all(
    jobs: list[Job],
    model: list[Path],
    options: PredictOptions,
    progress: ProgressCallback,
    stop: Event,
) -> tuple[list[PredictSummary], list[GeounetError]]:
    from geounet.inference import load_models
    from geounet.inference import predict as predict_scene

    if options.cluster is not None:
        return predict_on_cluster(jobs, model, options, progress, stop)
    loaded = load_models(model)
    return work_off(
        jobs, lambda _, job: predict_scene(job[0], loaded, job[1], options, progress, stop), stop
    )


def _foresee(
    jobs: list[Job], model: list[Path], options: PredictOptions, *, json: bool, makes_folder: bool
) -> None:
    from geounet.inference import foresee

    outlooks = [
        foresee(image, model, output, options, makes_folder=makes_folder) for image, output in jobs
    ]
    if json:
        print_json(outlooks)
        return
    for (image, output), outlook in zip(jobs, outlooks, strict=True):
        typer.echo(f"{image} -> {output}", err=True)
        for name, text in _list_outlook(outlook):
            typer.echo(f"  {name:<12} {text}", err=True)


def _list_outlook(outlook: Outlook) -> Iterator[tuple[str, str]]:
    """What a person wants to know of a run, by name."""
    height, width = outlook.tile_shape
    known, expected = outlook.pixel_size_m, outlook.expected_s
    yield "output", f"{outlook.width} x {outlook.height} px"
    yield "pixel size", "not known" if known is None else f"{known:.4g} m"
    yield "tiles", f"{outlook.tiles_missing} to compute of {outlook.tiles}, {width} x {height} px"
    yield "tiling", f"{outlook.tiling}; context of {outlook.margin} px; batches of {outlook.batch}"
    kept = f"{outlook.parts_kept} kept from an earlier run"
    yield "parts", f"{outlook.parts} of {min(outlook.part_rows, outlook.height)} rows, {kept}"
    yield "network", f"{outlook.engine}, {outlook.precision}, on {outlook.device}"
    yield "memory", f"about {size_text(outlook.memory_bytes)}"
    sizes = (f"{kind} {size_text(size)}" for kind, size in outlook.output_bytes.items())
    yield "disk", f"{', '.join(sizes)} before compression"
    yield "time", "-" if expected is None else f"about {expected:.3g} s"
    for note in outlook.notes:
        yield "note", note


def _verify(
    jobs: list[Job],
    model: list[Path],
    summaries: list[PredictSummary],
    options: PredictOptions,
    windows: int,
) -> list[Verification]:
    from geounet.inference import verify

    images = {output: image for image, output in jobs}
    return [verify(images[s.output], model, s.output, options, windows) for s in summaries]


def _describe_check(check: Verification) -> str:
    return (
        f"verified {check.windows} windows with another tiling: {check.labels_changed} of "
        f"{check.pixels} labels changed, scores differ by {check.largest_score_difference:.1e} "
        "at most"
    )


def describe(summary: PredictSummary) -> str:
    """The final line: what was made, how fast, and what took the time."""
    pixels = summary.height * summary.width
    if summary.was_done:
        polygons = f"; polygons: {summary.polygons}" if summary.polygons else ""
        return f"{summary.output}: an earlier run has done it; nothing was to be computed{polygons}"
    rate = pixels / summary.elapsed_s / 1e6
    classes = ", ".join(
        f"{name} {share_text(count, pixels)}" for name, count in summary.class_pixels.items()
    )
    stages = ", ".join(
        f"{name} {seconds:.1f} s" + (" (bottleneck)" if name == summary.bottleneck else "")
        for name, seconds in summary.stage_s.items()
    )
    tiles = "tile" if summary.tiles == 1 else "tiles"
    skipped = f", {summary.tiles_skipped} of them without data" if summary.tiles_skipped else ""
    peaks = [size_text(summary.peak_memory_bytes)]
    if summary.peak_device_bytes is not None:
        peaks.append(f"{size_text(summary.peak_device_bytes)} on the device")
    return (
        f"{summary.output}: {summary.width} x {summary.height} px; {classes}, "
        f"no data {share_text(summary.nodata_pixels, pixels)}\n"
        f"{summary.elapsed_s:.1f} s, {rate:.2f} Mpx/s on {summary.device} ({summary.engine}, "
        f"{summary.precision}); {summary.tiles} {tiles} of {summary.tile_shape[1]} x "
        f"{summary.tile_shape[0]}{skipped}; {stages}; peak memory {', '.join(peaks)}"
    )
