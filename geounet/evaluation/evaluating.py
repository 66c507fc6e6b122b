"""Compare masks with labels: from files to an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geounet.errors import InputError
from geounet.evaluation.bootstrap import MIN_BLOCKS
from geounet.evaluation.counting import SceneSums, count_scene, list_compared
from geounet.evaluation.jobs import Job, Source, choose_block_px, find_pairs, plan_jobs
from geounet.evaluation.measures.boundary import tell_oblong
from geounet.evaluation.measures.families import check_metrics, choose_families
from geounet.evaluation.measures.family import Family
from geounet.evaluation.naming import resolve_names
from geounet.evaluation.options import EvaluateOptions
from geounet.evaluation.outputs import write_csv
from geounet.evaluation.products import check_products, open_products
from geounet.evaluation.reading import Legends
from geounet.evaluation.results import (
    Blocks,
    Comparison,
    Evaluation,
    Failed,
    Resampling,
    Results,
    SceneComparison,
    SceneEvaluation,
)
from geounet.evaluation.shared_classes import (
    check_compared,
    compare_names,
    find_legend,
    find_mask_options,
    tell_nameless,
)
from geounet.evaluation.summarizing import find_differences, pool, summarize
from geounet.progress import Progress, ProgressCallback, ignore_progress
from geounet.raster import Window, limit_cache
from geounet.vector import Legend
from geounet.wording import counted

OF_OBJECTS = {"object", "topology"}
"""Families of metrics that compare objects."""

CACHE_BYTES = 256 * 2**20
"""GDAL may keep so many bytes of blocks, which windows with a halo read again."""

UNLIKE = 1e-3
"""Share of the pixels whose scores may favour another class than the mask, unsaid."""

FEW_BLOCKS = 20
"""Intervals of fewer blocks are to be taken with caution."""


@dataclass(frozen=True)
class _Task:
    """What is the same for all scenes."""

    legend: Legend
    families: tuple[Family, ...]
    block_px: int
    options: EvaluateOptions

    def summarize(self, scenes: Sequence[SceneSums]) -> Results:
        tables = pool([scene.tables for scene in scenes])
        unpredicted = _add_up([scene.unpredicted for scene in scenes])
        return summarize(self.families, tables, unpredicted, self.legend.classes, self.options)

    def summarize_others(self, scenes: Sequence[SceneSums]) -> Results:
        tables = pool([scene.other_tables for scene in scenes])
        none = np.zeros(len(self.legend.classes), np.int64)
        families = list_compared(self.families)
        return summarize(families, tables, none, self.legend.classes, self.options)

    def compare(self, job: Job, sums: SceneSums) -> SceneComparison:
        families = list_compared(self.families)
        differences = find_differences(families, sums.tables, sums.other_tables, self.options)
        return SceneComparison(str(job.other), self.summarize_others([sums]), differences)


def evaluate(
    masks: str | Path | Sequence[str | Path],
    labels: str | Path | Sequence[str | Path] = (),
    options: EvaluateOptions = EvaluateOptions(),  # noqa: B008  frozen
    progress: ProgressCallback = ignore_progress,
) -> Evaluation:
    """Compare masks with labels.

    A pixel counts if it has a label and the mask has data there. Labelled pixels without data in
    the mask are counted apart (`confusion.unpredicted`) and enter no metric. Labels on another grid
    are warped (nearest) onto the mask's, which `notes` say.

    Args:
        masks: class rasters, 255 or nodata where there is no data, or folders of them. With
            `options.model` images, or one folder laid out in splits, or a CSV of such.
        labels: rasters or vectors: one per mask in the same order, one folder matched by name, or
            one file for all; none: those of the test images of such a folder.
        options: classes, area, metrics, how to understand the labels.
        progress: called after every window.

    Raises:
        UsageError: an option cannot be meant.
        InputError: a file cannot be used, a value is of no class, or the area has no pixel.
        ModelError: the model cannot be used, or does not fit an image.
        ResourceError: memory, disk or device.
    """
    check_metrics(options.metrics)
    options = replace(
        options,
        fail_under=resolve_names(options.fail_under),
        fail_over=resolve_names(options.fail_over),
    )
    pairs = find_pairs(masks, labels)
    check_products(pairs, options)
    with _open_jobs(pairs, options, progress) as (jobs, notes):
        evaluation = _evaluate(jobs, notes, options, progress)
        if options.csv is not None:
            write_csv(evaluation, options.csv)
        return evaluation


@contextmanager
def _open_jobs(
    pairs: Sequence[tuple[Source, Source]], options: EvaluateOptions, progress: ProgressCallback
) -> Iterator[tuple[list[Job], list[str]]]:
    """The jobs, and notes on what was left out; masks of a model are there until it is left."""
    if not options.model:
        yield plan_jobs(pairs, options)
        return
    from geounet.evaluation.mapping import mapped_jobs  # brings torch with it

    with mapped_jobs(pairs, options, progress) as jobs:
        yield jobs


def _evaluate(
    jobs: Sequence[Job], notes: Sequence[str], options: EvaluateOptions, progress: ProgressCallback
) -> Evaluation:
    legend = find_legend(
        [(job.mask, job.labels) for job in jobs], [job.grid for job in jobs], options
    )
    found = tuple(job.scores for job in jobs if job.scores is not None)  # not folders of them
    options = replace(options, model=(), masks=None, scores=found)
    families = choose_families(legend.classes, options)
    size = sum(family.size for family in families)
    block_px = choose_block_px(jobs, size, options.block)
    task = _Task(legend, families, block_px, options)
    advance = _count_pixels(jobs, progress)
    how = _find_legends(jobs, legend, families, options)
    with (
        limit_cache(CACHE_BYTES),
        open_products(jobs, how, families, options) as products,
    ):
        seen_by = products.watchers
        sums = [count_scene(job, how, families, block_px, advance, seen_by) for job in jobs]
        _require_any(jobs, sums)
        evaluation = _conclude(task, jobs, sums, [*notes, *legend.notes])
        products.write(evaluation, jobs)
    return evaluation


def _find_legends(
    jobs: Sequence[Job], legend: Legend, families: Sequence[Family], options: EvaluateOptions
) -> Legends:
    """What the files hold for the classes."""
    labels = legend.options
    if options.features and labels.separate_px is None and OF_OBJECTS & {f.name for f in families}:
        labels = replace(labels, separate_px=0)
    mask = find_mask_options([job.mask for job in jobs], legend.classes)
    others = [job.other for job in jobs if job.other is not None]
    check_compared(others, jobs[0].mask, options)
    other = find_mask_options(others, legend.classes) if others else mask
    return Legends(legend.classes, labels, mask, other)


def _count_pixels(jobs: Sequence[Job], progress: ProgressCallback) -> Callable[[int], None]:
    """What hears of the pixels of every window, and reports them."""
    total, done = sum(job.area.area for job in jobs), 0

    def advance(pixels: int) -> None:
        nonlocal done
        done += pixels
        progress(Progress("evaluate", done, total, "px"))

    return advance


def _require_any(jobs: Sequence[Job], sums: Sequence[SceneSums]) -> None:
    """Nothing, if a pixel counts.

    Raises:
        InputError: not one does; the message says what there is.
    """
    if any(one.blocks for one in sums):
        return
    job, more = jobs[0], f" and {len(jobs) - 1} more" if len(jobs) > 1 else ""
    bare = sum(int(one.unpredicted.sum()) for one in sums)
    left_out = sum(one.left_out for one in sums)
    if not bare + left_out:
        found = f"{job.labels} labels none there; check the labels, --ignore and the area"
    elif not left_out:
        found = f"no data in all {bare} labelled ones; give a mask that has data there"
    else:
        found = f"{job.other} has no data in {left_out} with a label; compare masks of one place"
    raise InputError(f"{job.name}{more}: not one pixel counts; {found}")


def _conclude(
    task: _Task, jobs: Sequence[Job], sums: Sequence[SceneSums], notes: Sequence[str]
) -> Evaluation:
    """The numbers of each scene, and of all."""
    pooled = task.summarize(sums)
    alone = [pooled] if len(jobs) == 1 else [task.summarize([one]) for one in sums]
    scenes = tuple(
        SceneEvaluation(
            mask=str(job.mask),
            labels=str(job.labels),
            results=results,
            blocks=_place_blocks(task, job, one),
            notes=_list_notes(task, job, one, results),
            scores=None if job.scores is None else str(job.scores),
            image=None if job.image is None else str(job.image),
            is_kept=job.is_kept,
        )
        for job, one, results in zip(jobs, sums, alone, strict=True)
    )
    resampling = Resampling(
        resamples=task.options.bootstrap if task.options.intervals else 0,
        block_px=task.block_px,
        blocks=sum(len(one.blocks) for one in sums),
        seed=task.options.seed,
    )
    told = [*notes, *(note for scene in scenes for note in scene.notes), *_warn_few(resampling)]
    return Evaluation(
        scenes=scenes,
        results=pooled,
        resampling=resampling,
        notes=tuple(dict.fromkeys(told)),  # each once: one label file may serve many masks
        failed=_find_failed(pooled, task.options),
        comparison=_compare(task, jobs, sums) if task.options.compare else None,
    )


def _compare(task: _Task, jobs: Sequence[Job], sums: Sequence[SceneSums]) -> Comparison:
    mine, theirs = pool([one.tables for one in sums]), pool([one.other_tables for one in sums])
    agreement = _add_up([_agreement(one).sum(axis=0) for one in sums])
    both, only_mask, only_other, neither = agreement.tolist()
    return Comparison(
        scenes=tuple(task.compare(job, one) for job, one in zip(jobs, sums, strict=True)),
        results=task.summarize_others(sums),
        differences=find_differences(list_compared(task.families), mine, theirs, task.options),
        agreement=(both, only_mask, only_other, neither),
    )


def _place_blocks(task: _Task, job: Job, sums: SceneSums) -> Blocks:
    """Where the blocks are, with what is counted in them."""
    side, size = task.block_px, len(task.legend.classes)
    windows = tuple(
        Window(row_off=row * side, col_off=col * side, height=side, width=side).intersect(job.area)
        for row, col in sums.blocks
    )
    return Blocks(windows, sums.tables["pixel"].reshape(-1, size, size), sums.agreement)


def _list_notes(task: _Task, job: Job, sums: SceneSums, results: Results) -> tuple[str, ...]:
    """What a reader of the numbers has to know."""
    by_value = task.options.classes is None and task.legend.options.threshold is None
    is_guess = by_value and not task.legend.options.mapping
    about_labels = (
        sums.note,
        tell_nameless(job.labels, results.confusion) if is_guess else None,
        compare_names(job.labels, task.legend.classes),
    )
    notes = [f"{job.labels}: {note}" for note in about_labels if note is not None]
    if unpredicted := int(sums.unpredicted.sum()):
        notes.append(f"{job.name}: no data in {unpredicted} labelled pixels, which do not count")
    if sums.other_note is not None:
        notes.append(f"{job.other}: {sums.other_note}")
    if sums.left_out:
        notes.append(
            f"{job.other}: no data in {sums.left_out} pixels that {job.name} has; only what both "
            "have counts"
        )
    if sums.unlike > UNLIKE * sums.scored:
        notes.append(
            f"{job.scores}: another class than that of {job.name} is the likeliest in "
            f"{sums.unlike / sums.scored:.1%} of the pixels; if predict did not write the two "
            "together, what is said of probabilities is not of this mask"
        )
    boundary = results.details.get("boundary", {})
    if boundary and (oblong := tell_oblong(job.grid)):
        notes.append(f"{job.name}: {oblong}")
    if far := boundary.get("hausdorff_more_than_cap"):
        notes.append(
            f"{job.name}: Hausdorff distance of {', '.join(far)}: more than "
            f"{boundary['hausdorff_cap_px']} px, see --hausdorff-cap"
        )
    if not sums.blocks:
        notes.append(f"{job.name}: no pixel has both a label and a class")
    return tuple(notes)


def _warn_few(resampling: Resampling) -> list[str]:
    """A word of caution about intervals of few blocks."""
    blocks, side = resampling.blocks, resampling.block_px
    if not resampling.resamples or not 0 < blocks < FEW_BLOCKS:
        return []
    few = f"{counted(blocks, 'block')} of {side} px"
    if blocks < MIN_BLOCKS:
        return [f"no intervals from {few}; smaller ones: --block"]
    return [f"intervals from {few} only; smaller ones: --block"]


def _find_failed(results: Results, options: EvaluateOptions) -> tuple[Failed, ...]:
    """The metrics that are less than they should be, or more, or undefined."""
    failed = []
    for wanted, sign, limits in (
        ("at least", 1, options.fail_under),
        ("at most", -1, options.fail_over),
    ):
        for name, limit in limits:
            value = results.values[name].value
            if value is None or sign * value < sign * limit:
                failed.append(Failed(name, value, wanted, limit))
    return tuple(failed)


def _agreement(sums: SceneSums) -> NDArray[np.int64]:
    return np.zeros((0, 4), np.int64) if sums.agreement is None else sums.agreement


def _add_up(arrays: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    total: NDArray[np.int64] = np.sum(arrays, axis=0)
    return total
