"""Dask clusters: one that runs somewhere, or worker processes of this machine."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from geounet import __version__
from geounet.errors import ResourceError, UsageError
from geounet.inference.engines.runtime import resolve_runtime
from geounet.inference.options import PredictOptions

if TYPE_CHECKING:
    from distributed import Client

CONNECT_S = 10.0
"""How long a scheduler may take to answer."""

THREADS_EACH = 4
"""Of a worker process of this machine, unless told otherwise: more speed up one tile little."""

LOGGERS = ("distributed", "distributed.client", "distributed.core", "tornado.application")
"""Say nothing below errors: a worker that is lost is no news to the user, but made good."""


@dataclass(frozen=True)
class Cluster:
    """Where parts are computed.

    Attributes:
        client: speaks with the scheduler.
        name: how messages call it.
        share: worker processes that share the memory that a run may take.
    """

    client: Client
    name: str
    share: int


@dataclass(frozen=True)
class LocalPlan:
    """Worker processes of this machine.

    Attributes:
        environments: of each.
        threads: that each computes with.
        share: of how many the memory of a device is.
    """

    environments: list[dict[str, str]]
    threads: int
    share: int


@contextmanager
def open_cluster(where: str, options: PredictOptions) -> Iterator[Cluster]:
    """Connect to a scheduler ("tcp://host:8786"), or start workers here ("local", "local:4").

    Raises:
        UsageError: it cannot be meant, or Dask is not installed.
        ResourceError: no scheduler answers, or workers cannot be started.
    """
    check_cluster(where)
    count = parse_cluster(where)
    with ExitStack() as stack:  # closed last to first
        stack.enter_context(_quiet_logs())
        address, share = where, 1
        if count is not None:
            plan = plan_local(count, options)
            address, share = stack.enter_context(_start_local(plan)), plan.share
        yield Cluster(stack.enter_context(_connect(address, where)), where, share)


def parse_cluster(where: str) -> int | None:
    """The number of local workers, 0 for as many as are good; None: an address.

    Raises:
        UsageError: it is neither.
    """
    if where == "local":
        return 0
    match = re.fullmatch(r"local:([0-9]{1,6})", where)
    if match and int(match[1]) > 0:
        return int(match[1])
    if not re.fullmatch(r"(tcp|tls|wss?|ucx)://[^/]+:[0-9]{1,5}(/.*)?", where):
        raise UsageError(
            f"--cluster {where}: write local, local:N, or the address of a Dask scheduler "
            "such as tcp://host:8786"
        )
    return None


def check_cluster(where: str) -> None:
    """Refuse what is no cluster, and any without Dask.

    Raises:
        UsageError: it cannot be meant, or Dask is not installed.
    """
    parse_cluster(where)
    if importlib.util.find_spec("distributed") is None:
        raise UsageError(
            "--cluster needs Dask, which is not installed; pip install 'geounet[dask]'"
        )


def plan_local(count: int, options: PredictOptions) -> LocalPlan:
    """One process per GPU, or processes that share the cores.

    Args:
        count: processes; 0: as many as are good.
        options: which device is meant.

    Raises:
        UsageError: there are fewer cores.
    """
    runtime = resolve_runtime(options.device, options.precision)
    cores = torch.get_num_threads()
    if runtime.device.type == "cuda" and options.device in ("auto", "cuda"):
        devices = _list_devices()
        count = count or len(devices)
        each = [{"CUDA_VISIBLE_DEVICES": devices[i % len(devices)]} for i in range(count)]
        return LocalPlan(each, max(1, cores // count), -(-count // len(devices)))
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if count > (here or 1):
        raise UsageError(f"--cluster local:{count}: this machine has {here} cores; choose fewer")
    count = count or (max(1, cores // THREADS_EACH) if runtime.device.type == "cpu" else 1)
    return LocalPlan([{}] * count, max(1, cores // count), count)


def _list_devices() -> list[str]:
    """The CUDA devices that this process sees, as CUDA_VISIBLE_DEVICES names them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible:
        return visible.split(",")
    return [str(i) for i in range(torch.cuda.device_count())]


def make_call() -> Callable[[str, bytes], tuple[str, str, bytes]]:
    """What workers call: (version of geounet, packed work) -> (outcome, worker, result).

    A function inside a function goes over the wire as it is, not by name: neither the scheduler
    nor a worker without geounet fails at it.
    """

    def call(version: str, packed: bytes) -> tuple[str, str, bytes]:
        from distributed import get_worker

        here = get_worker()
        try:
            from geounet import __version__ as found
        except ImportError:
            return "version", here.address, b"no geounet"
        if found != version:
            return "version", here.address, f"geounet {found}".encode()
        from geounet.inference.cluster.worker import Place, perform

        place = Place(here.state.nthreads, here.memory_manager.memory_limit, here.address)
        return "done", here.address, perform(packed, place)

    return call


def refuse_version(worker: str, found: bytes) -> ResourceError:
    """The error of a worker that has another geounet, or none."""
    return ResourceError(
        f"worker {worker} has {found.decode()}, this is geounet {__version__}; install the same "
        "version for all workers"
    )


@contextmanager
def _connect(address: str, name: str) -> Iterator[Client]:
    from distributed import Client

    try:
        client = Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise ResourceError(
            f"no Dask scheduler answers at {name} within {CONNECT_S:.0f} s; start one there, or "
            "correct the address"
        ) from error
    try:
        yield client
    finally:
        client.close(timeout=2)


@contextmanager
def _start_local(plan: LocalPlan) -> Iterator[str]:
    """Workers with nannies, which start a new one for each that dies; gives the address."""
    from distributed import Nanny, Scheduler, SpecCluster

    def describe(environment: dict[str, str]) -> dict[str, Any]:
        options = {
            "nthreads": plan.threads,
            "memory_limit": 0,  # ours is planned; Dask's would pause or kill
            "env": environment,
            "host": "127.0.0.1",
            "dashboard": False,
            "silence_logs": logging.CRITICAL,
            "preload": ["geounet.inference.cluster.preloading"],
        }
        return {"cls": Nanny, "options": options}

    try:
        cluster = SpecCluster(
            workers={i: describe(one) for i, one in enumerate(plan.environments)},
            scheduler={
                "cls": Scheduler,
                "options": {"host": "127.0.0.1", "port": 0, "dashboard": False},
            },
            silence_logs=logging.CRITICAL,
        )
    except (OSError, RuntimeError, TimeoutError) as error:
        raise ResourceError(
            f"worker processes cannot be started ({error}); check the memory, or leave out "
            "--cluster"
        ) from error
    with cluster:
        yield cluster.scheduler_address


@contextmanager
def _quiet_logs() -> Iterator[None]:
    """Keep Dask's logs out of stderr meanwhile."""
    import distributed  # noqa: F401 - which sets the levels

    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
