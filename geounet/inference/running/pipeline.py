"""Stages of a pipeline: plain generators, each in a thread of its own where it helps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")


def threaded(source: Iterable[T], depth: int = 2) -> Generator[T]:
    """The items of `source`, which runs in its own thread at most `depth` items ahead.

    In order. What `source` raises is raised here. When this generator is closed, or its consumer
    fails, `source` is closed too (in its thread) before closing returns. With `depth=0` it is
    the same program without a thread.
    """
    if depth == 0:
        yield from source
        return
    slots = threading.Semaphore(depth)
    stopped = threading.Event()
    items: SimpleQueue[tuple[T | None, BaseException | None, bool]] = SimpleQueue()
    thread = threading.Thread(
        target=_produce, args=(source, slots, stopped, items), name="geounet-stage", daemon=True
    )
    thread.start()
    try:
        while True:
            item, error, ended = items.get()
            if error is not None:
                raise error
            if ended:
                return
            yield item  # type: ignore[misc]
            slots.release()
    finally:
        stopped.set()
        slots.release()
        thread.join()


def _produce(
    source: Iterable[T],
    slots: threading.Semaphore,
    stopped: threading.Event,
    items: SimpleQueue[tuple[T | None, BaseException | None, bool]],
) -> None:
    iterator = iter(source)
    try:
        while True:
            slots.acquire()
            if stopped.is_set():
                break
            try:
                item = next(iterator)
            except StopIteration:
                break
            items.put((item, None, False))
        if isinstance(iterator, Generator):
            iterator.close()
    except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to the consumer
        items.put((None, error, True))
    else:
        items.put((None, None, True))


def interleave(sources: list[Generator[T]]) -> Generator[T]:
    """The first item of each, the second of each, ...: undoes `[items[i::n] for i in range(n)]`.

    All sources are closed at the end, also when the consumer stops early.
    """
    waiting = list(sources)
    try:
        while waiting:
            for source in list(waiting):
                try:
                    yield next(source)
                except StopIteration:
                    waiting.remove(source)
    finally:
        for source in sources:
            source.close()


@dataclass
class Stopwatch:
    """Seconds spent per stage, added up over calls; each stage is used by one thread."""

    seconds: dict[str, float] = field(default_factory=dict)
    clock: Callable[[], float] = time.perf_counter

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the time spent inside to `stage`."""
        started = self.clock()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + self.clock() - started
