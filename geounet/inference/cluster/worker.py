"""What a worker of a cluster does: outline a scene, compute parts. Knows nothing of the cluster.

Models, and with them the engine, stay loaded in the process from part to part.
"""

from __future__ import annotations

import pickle
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import torch

from geounet.errors import GeounetError, InputError, ResourceError
from geounet.inference.cluster.orders import Order, Outlined, PartsDone
from geounet.inference.engines.runtime import free_memory, peak_memory, resolve_runtime
from geounet.inference.options import PredictOptions
from geounet.inference.planning.budget import DEFAULT_BYTES
from geounet.inference.planning.plan import adopt_cut
from geounet.inference.running.beginning import outline_run
from geounet.inference.running.computing import stream_parts
from geounet.inference.running.job import JOB_FILE, describe_difference, find_job, name_folder
from geounet.inference.running.loading import load_models
from geounet.inference.running.preparation import Prepared, check_outputs, image_of, prepare
from geounet.inference.running.provenance import make_fingerprint
from geounet.inference.running.run import Run
from geounet.models import Model
from geounet.raster import Window

_ALONE = Lock()
"""Engines, and the memory that tiles are chosen for, are made for one part at a time."""

VISIBLE_S = 10.0
"""How long a network file system may take to show what another machine has written."""

SAFE_SHARE = 0.6
"""Of a worker's memory limit: Dask pauses at 0.8 of it, and kills at 0.95."""


@dataclass(frozen=True)
class Place:
    """What a process may take of its machine.

    Attributes:
        threads: that compute.
        memory_limit: bytes of main memory at which it is paused or killed; None: no such limit.
        name: how messages call it.
    """

    threads: int
    memory_limit: int | None
    name: str


Work = Callable[..., Outlined | PartsDone]


def pack(work: Work, *arguments: Any) -> bytes:  # noqa: ANN401 - as the work takes
    """Work for `perform`."""
    return pickle.dumps((work, arguments))


def perform(packed: bytes, place: Place) -> bytes:
    """Do work; gives, pickled, its result or the error that it ended with.

    Also an unexpected one: raised through Dask, an OSError would look like a lost connection.
    """
    work, arguments = pickle.loads(packed)
    if torch.get_num_threads() != place.threads:
        torch.set_num_threads(place.threads)
    result: object
    try:
        with _ALONE:
            result = work(place, *arguments)
    except GeounetError as error:
        result = type(error)(f"worker {place.name}: {error}")
    except Exception as error:  # noqa: BLE001 - the driver raises it
        result = _make_portable(error, place)
    return pickle.dumps(result)


def _make_portable(error: Exception, place: Place) -> Exception:
    """An error for another process, which cannot see where in this one it was raised."""
    told = "".join(traceback.format_exception(error))
    try:
        portable: Exception = pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - whatever its class does
        portable = RuntimeError(f"{type(error).__name__}: {error}")
    portable.add_note(f"on worker {place.name}:\n{told}")
    return portable


def outline_scene(place: Place, order: Order) -> Outlined:
    """What decides the job of a scene, as it is where its parts will be computed.

    Raises:
        GeounetError: as `predict`.
    """
    with _prepare(place, order) as prepared:
        outline = outline_run(prepared, order.options)
        runtime = prepared.engine.runtime
        return Outlined(outline, prepared.engine.name, runtime.device.type, runtime.precision)


def compute_parts(place: Place, order: Order, parts: tuple[Window, ...], draft: str) -> PartsDone:
    """Compute parts of a job that is begun, and leave them as drafts in the parts folder.

    Raises:
        GeounetError: as `predict`, or what is on disk is not the same to this process.
    """
    started = time.perf_counter()
    with _prepare(place, order) as prepared:
        run = _join(prepared, order, draft)
        for _ in stream_parts(run, parts, order.options):
            pass
    return PartsDone(
        counts=run.counts,
        tiles=run.tiles,
        tiles_skipped=run.tiles_skipped,
        stage_s=run.watch.seconds,
        elapsed_s=time.perf_counter() - started,
        peak_memory_bytes=peak_memory(),
    )


def _prepare(place: Place, order: Order) -> Any:  # noqa: ANN401 - a context manager
    files = tuple((path, *_identify(Path(path))) for path in order.models)
    return prepare(order.image, _load(files), _limit_memory(place, order))


def _identify(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0  # loading says so
    return status.st_size, status.st_mtime_ns


@lru_cache(1)
def _load(files: tuple[tuple[str, int, int], ...]) -> list[Model]:
    return load_models([path for path, *_ in files])


def _limit_memory(place: Place, order: Order) -> PredictOptions:
    """The options with what this process may take, where that is less than by default."""
    options = order.options
    if options.max_memory is not None:
        return replace(options, max_memory=max(1, options.max_memory // order.share))
    if resolve_runtime(options.device, options.precision).device.type != "cpu":
        return options
    limit = free_memory(torch.device("cpu")) // 2 // order.share
    if place.memory_limit:
        limit = min(limit, int(SAFE_SHARE * place.memory_limit))
    return replace(options, max_memory=limit) if limit < DEFAULT_BYTES else options


def _join(prepared: Prepared, order: Order, draft: str) -> Run:
    """The run that the driver has begun.

    Raises:
        InputError: this process would compute another result.
        ResourceError: it does not see the parts folder.
    """
    scene, models, engine, plan = prepared
    fingerprint = make_fingerprint(scene, models, engine, plan, order.options)
    _wait_for(name_folder(order.output) / JOB_FILE)
    job = find_job(order.output, fingerprint)
    if job is None:
        difference = describe_difference(order.output, fingerprint)
        raise InputError(
            f"here it would be {difference}; give all workers the same files, versions and kind "
            "of device"
        )
    plan = adopt_cut(plan, job.cut, engine, order.options)
    outputs = check_outputs(order.image, order.output, order.options)
    job = replace(job, draft=draft)
    return Run(image_of(order.image, scene), scene, models, engine, plan, job, outputs)


def _wait_for(path: Path) -> None:
    until = time.monotonic() + VISIBLE_S
    while not path.exists():
        if time.monotonic() > until:
            raise ResourceError(
                f"{path} is not there; give all workers the same files at the same places, on a "
                "disk that they share"
            )
        time.sleep(0.1)
