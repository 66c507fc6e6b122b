"""Many scenes, and many workers: what `geounet predict` does of a list, or a share of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from threading import Event
from typing import TYPE_CHECKING, TypeVar

import typer

from geounet.cli.boundary import hide_secrets
from geounet.cli.jobs import Job, Work
from geounet.cli.summary import print_json
from geounet.errors import GeounetError, InputError, Interrupted, ModelError, UsageError
from geounet.wording import counted

if TYPE_CHECKING:
    from geounet.inference import PredictSummary, Shard, ShardSummary
    from geounet.progress import ProgressCallback

Summary = TypeVar("Summary")


def _parse_shard(text: str) -> Shard:
    """`0/3` -> the first of three shares.

    Raises:
        UsageError: it is no share.
    """
    from geounet.inference import Shard

    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text.strip())
    if match is None:
        raise UsageError(f"--shard {text}: write I/N, the first of three as 0/3")
    return Shard(int(match[1]), int(match[2]))


def find_share(
    shard: str | None, cluster: str | None, *, dry_run: bool, verify: int
) -> Shard | None:
    """The share of --shard, if there is one.

    Raises:
        UsageError: it is none, or options that exclude each other.
    """
    if shard is not None and cluster is not None:
        raise UsageError("--shard and --cluster are two ways to share the work; choose one")
    if cluster is not None:
        if dry_run:
            raise UsageError("--dry-run tells of one process; leave --cluster out")
        from geounet.inference import check_cluster

        check_cluster(cluster)
    if shard is None:
        return None
    if dry_run or verify:
        raise UsageError("--shard computes parts only; leave --dry-run and --verify out")
    return _parse_shard(shard)


def _work_off(
    jobs: Sequence[Job], work: Callable[[int, Job], Summary], stop: Event
) -> tuple[list[Summary], list[GeounetError]]:
    """Do the work of each scene, by its number; one that fails does not stop the others.

    Raises:
        Interrupted: `stop` was set between two.
        GeounetError: the only scene failed, or none can succeed.
    """
    summaries: list[Summary] = []
    failures: list[GeounetError] = []
    for number, job in enumerate(jobs):
        if stop.is_set():
            raise Interrupted(
                f"{len(summaries)} of {len(jobs)} images are done; the same command goes on"
            )
        try:
            summaries.append(work(number, job))
        except (InputError, ModelError, UsageError) as error:
            if len(jobs) == 1:
                raise
            _add_failure(failures, error)
    return summaries, _head_failures(failures, len(jobs))


def _add_failure(failures: list[GeounetError], error: GeounetError) -> None:
    """Note what a scene failed with, and say it, unless all fail alike."""
    if str(error) not in map(str, failures):  # one that concerns no single image
        typer.echo(f"error: {hide_secrets(str(error))}", err=True)
    failures.append(error)


def _head_failures(failures: list[GeounetError], scenes: int) -> list[GeounetError]:
    """The same, headed by how many of the scenes failed."""
    if not failures:
        return []
    return [type(failures[0])(f"{len(failures)} of {scenes} images failed"), *failures]


def predict_shards(
    work: Work, shard: Shard, progress: ProgressCallback, stop: Event
) -> tuple[list[ShardSummary], list[GeounetError]]:
    """Compute a share of the parts of all scenes."""
    from geounet.inference import load_models, predict_shard

    loaded, options = load_models(work.models), work.options

    def compute(number: int, job: Job) -> ShardSummary:
        image, output = job
        return predict_shard(image, loaded, output, shard, options, progress, stop, scene=number)

    return _work_off(work.jobs, compute, stop)


def predict_all(
    work: Work, progress: ProgressCallback, stop: Event
) -> tuple[list[PredictSummary], list[GeounetError]]:
    """Map all scenes, here or on a cluster."""
    from geounet.inference import load_models, predict

    if work.options.cluster is not None:
        return _predict_on_cluster(work, progress, stop)
    loaded, options = load_models(work.models), work.options
    return _work_off(
        work.jobs, lambda _, job: predict(job[0], loaded, job[1], options, progress, stop), stop
    )


def _predict_on_cluster(
    work: Work, progress: ProgressCallback, stop: Event
) -> tuple[list[PredictSummary], list[GeounetError]]:
    from geounet.inference import PredictSummary, predict_scenes

    summaries: list[PredictSummary] = []
    failures: list[GeounetError] = []
    for ended in predict_scenes(work.jobs, work.models, work.options, progress, stop):
        if isinstance(ended, PredictSummary):
            summaries.append(ended)
        else:
            _add_failure(failures, ended)
    return summaries, _head_failures(failures, len(work.jobs))


def report_shards(
    summaries: Sequence[ShardSummary],
    failures: Sequence[GeounetError],
    *,
    json: bool,
    quiet: bool,
) -> None:
    """Say what was done and what is left, for machines and for people."""
    left = sum(one.parts_left for one in summaries)
    if json:
        failed = [str(error) for error in failures]
        print_json({"shards": summaries, "failed": failed, "parts_left": left})
    if quiet:
        return
    for one in summaries:
        done = "its outputs are finished" if one.was_done else _describe_shard(one)
        typer.echo(f"{one.output}: {done}", err=True)
    if len(summaries) > 1:
        typer.echo(f"{counted(left, 'part')} of {counted(len(summaries), 'image')} left", err=True)
    if left == 0 and not failures:
        typer.echo("the same command without --shard makes the outputs", err=True)


def _describe_shard(one: ShardSummary) -> str:
    kept = f", {one.parts_resumed} were there" if one.parts_resumed else ""
    return (
        f"{one.parts_computed} of {one.parts} parts computed{kept}, {one.parts_left} left; "
        f"{one.elapsed_s:.1f} s on {one.device} ({one.engine}, {one.precision})"
    )
