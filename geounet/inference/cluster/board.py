"""Tasks handed out to the workers of a cluster, each worker a few at a time, until they are done.

Dask carries them. Which worker gets which is decided here: a worker computes one part at a time
whatever threads it has; what it holds when it is lost, or does not come back with, goes to another.
"""

from __future__ import annotations

import pickle
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from geounet import __version__
from geounet.errors import GeounetError, ResourceError
from geounet.inference.cluster.cluster import Cluster, make_call, refuse_version
from geounet.inference.cluster.orders import PartsDone
from geounet.inference.cluster.worker import Work, pack
from geounet.raster import Window

if TYPE_CHECKING:
    from distributed import Future

DEPTH = 2
"""Tasks that a worker holds: one that it computes, and the next, which need not be waited for."""

LOOK_S = 1.0
"""The workers are listed so often."""

LONELY_S = 600.0
"""How long there may be no worker: clusters that grow with the work take minutes."""

LOSSES = 3
"""A task may lose so many workers: what takes the memory of one takes that of all."""

BATCH_S, BATCH = 2.0, 32
"""A task is as many parts as take so long, and at most so many: within it reading, computing and
writing overlap from part to part, and what is paid for each task is paid once."""

SLOW = 2.0
"""A task that takes so many times as long as the longest parts would is given to another, too."""

FETCH_S = 30.0
"""A result that is there is fetched in this time, or lost."""

SLACK_S = 2.0
"""So much longer at least."""


@dataclass(eq=False)
class Task:
    """Work for a worker.

    Attributes:
        work: what it calls.
        order: with this; and if it computes parts, with these and a name for their drafts.
        owner: whose it is.
        parts: of the owner's that it computes.
        losses: workers that were lost with it.
        is_done: its result is there, or not wanted any more.
    """

    work: Work
    order: object
    owner: object
    parts: tuple[Window, ...] = ()
    losses: int = 0
    is_done: bool = False

    @property
    def arguments(self) -> tuple[Any, ...]:
        """Of the work."""
        return (self.order, self.parts) if self.parts else (self.order,)

    def join(self, other: Task) -> Task:
        """One task of the parts of both."""
        parts, losses = self.parts + other.parts, max(self.losses, other.losses)
        return replace(self, parts=parts, losses=losses)


@dataclass(eq=False)
class Copy:
    """A task in the hands of a worker."""

    task: Task
    worker: str
    draft: str
    future: Future[tuple[str, str, bytes]]
    handed_at: float


@dataclass(frozen=True)
class Result:
    """What became of a copy.

    Attributes:
        task: whose.
        draft: its name.
        value: what the work gives, or the error that it ended with.
        is_first: nobody else has done it before.
    """

    task: Task
    draft: str
    value: Any
    is_first: bool


@dataclass
class Board:
    """What is to be done, and who does it.

    Attributes:
        cluster: whose workers.
        fresh: tasks that nobody has, in their order.
        copies: what workers have, by draft.
        workers: addresses.
        longest_s: that a part has taken.
        latest_s: that one took of late.
    """

    cluster: Cluster
    fresh: deque[Task] = field(default_factory=deque)
    copies: dict[str, Copy] = field(default_factory=dict)
    workers: list[str] = field(default_factory=list)
    longest_s: float | None = None
    latest_s: float | None = None
    _events: SimpleQueue[str | Callable[[], None]] = field(default_factory=SimpleQueue)
    _looked_at: float = -LOOK_S
    _seen_at: float = field(default_factory=time.monotonic)
    _call: Callable[..., Any] = field(default_factory=make_call)

    @property
    def wanted(self) -> int:
        """Fresh tasks that keep the workers busy while the next are prepared."""
        return max(8, DEPTH * len(self.workers))

    def wake(self, action: Callable[[], None]) -> None:
        """Have an action done by who waits for results; from any thread."""
        self._events.put(action)

    def wait(self) -> Iterator[Result]:
        """Hand out what is fresh, and wait a moment for results.

        Raises:
            ResourceError: the scheduler is gone, no worker comes, or all get lost.
            GeounetError: a worker cannot be used.
            Exception: what nobody expected, as a worker has raised it.
        """
        self._look()
        self._hand_out()
        with suppress(Empty):
            event = self._events.get(timeout=LOOK_S / 2)
            while True:
                if callable(event):
                    event()
                elif event in self.copies:
                    yield from self._take(self.copies.pop(event))
                event = self._events.get_nowait()

    def drop(self, owner: object) -> None:
        """Forget the tasks of an owner; results that come late are told as not the first."""
        self.fresh = deque(task for task in self.fresh if task.owner is not owner)
        for copy in self.copies.values():
            if copy.task.owner is owner:
                copy.task.is_done = True

    def empty(self) -> None:
        """Forget what no worker has begun."""
        self.fresh.clear()
        for copies in self._by_worker().values():
            for copy in copies[1:]:
                self._withdraw(copy)

    def close(self) -> None:
        """Forget everything."""
        self.fresh.clear()
        for copy in list(self.copies.values()):
            self._withdraw(copy)

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked_at < LOOK_S:
            return
        try:
            self.workers = sorted(self.cluster.client.nthreads())
        except (OSError, TimeoutError, RuntimeError) as error:
            raise self._lost_scheduler() from error
        self._looked_at = now
        for copy in list(self.copies.values()):
            if copy.worker not in self.workers:
                self._withdraw(copy)
                self._lose(copy.task)
        if self.workers:
            self._seen_at = now
        elif now - self._seen_at > LONELY_S:
            raise ResourceError(
                f"{self.cluster.name} has had no worker for {LONELY_S / 60:.0f} minutes; start "
                "some, and the same command goes on"
            )

    def _lose(self, task: Task) -> None:
        """A worker is gone: the task is next, unless too many went that way, or others have it."""
        task.losses += 1
        if task.losses > LOSSES:
            where = f"row {task.parts[0].row_off}" if task.parts else "its beginning"
            raise ResourceError(
                f"{task.losses} workers of {self.cluster.name} were lost at a scene's {where}; if "
                "it is for want of memory, choose --max-memory, and the same command goes on"
            )
        if not task.is_done and all(copy.task is not task for copy in self.copies.values()):
            self.fresh.appendleft(task)

    def _hand_out(self) -> None:
        held = self._by_worker()
        for depth in range(DEPTH):
            for worker in self.workers:
                if self.fresh and len(held[worker]) <= depth:
                    held[worker].append(self._hand(self._choose(), worker))
        if not self.fresh:
            for worker in self.workers:
                if not held[worker]:
                    self._relieve(worker, held)

    def _choose(self) -> Task:
        """The next task: parts of one scene that take `BATCH_S`, but no more than a fair share."""
        task = self.fresh.popleft()
        fair = len(self.fresh) // (DEPTH * len(self.workers))
        size = 1 if not self.latest_s else min(BATCH, fair, int(BATCH_S / self.latest_s))
        while len(task.parts) < size and self.fresh:
            other = self.fresh[0]
            if other.owner is not task.owner or not task.parts:
                break
            task = task.join(self.fresh.popleft())
        return task

    def _relieve(self, idle: str, held: dict[str, list[Copy]]) -> None:
        """Give an idle worker what another has not begun, or does not come back with."""
        for copies in held.values():
            for copy in copies[1:]:
                if not copy.task.is_done:
                    copies.remove(copy)
                    self._withdraw(copy)
                    held[idle].append(self._hand(copy.task, idle))
                    return
        if self.longest_s is None:
            return
        patience = SLOW * self.longest_s
        many = Counter(copy.task for copy in self.copies.values())
        late = [
            copy
            for copy in self.copies.values()
            if time.monotonic() - copy.handed_at
            > patience * DEPTH * max(1, len(copy.task.parts)) + SLACK_S
            and not copy.task.is_done
            and many[copy.task] == 1
        ]
        if late:
            oldest = min(late, key=lambda copy: copy.handed_at)
            held[idle].append(self._hand(oldest.task, idle))

    def _hand(self, task: Task, worker: str) -> Copy:
        draft = uuid.uuid4().hex
        arguments = (*task.arguments, draft) if task.parts else task.arguments
        future = self.cluster.client.submit(
            self._call,
            __version__,
            pack(task.work, *arguments),
            key=f"geounet-{draft}",
            workers=[worker],
            pure=False,
        )
        copy = Copy(task, worker, draft, future, time.monotonic())
        self.copies[draft] = copy
        future.add_done_callback(lambda _: self._events.put(draft))
        return copy

    def _withdraw(self, copy: Copy) -> None:
        del self.copies[copy.draft]
        with suppress(Exception):  # the scheduler may be gone
            copy.future.cancel()

    def _take(self, copy: Copy) -> Iterator[Result]:
        fetched = self._fetch(copy)
        if fetched is None:
            self._lose(copy.task)
            return
        outcome, worker, packed = fetched
        if outcome != "done":
            raise refuse_version(worker, packed)
        value, task = pickle.loads(packed), copy.task
        is_first, task.is_done = not task.is_done, True
        if is_first and isinstance(value, Exception) and not isinstance(value, GeounetError):
            raise value
        if isinstance(value, PartsDone):
            each_s = value.elapsed_s / len(task.parts)
            self.latest_s, self.longest_s = each_s, max(self.longest_s or 0.0, each_s)
        yield Result(task, copy.draft, value, is_first)

    def _fetch(self, copy: Copy) -> tuple[str, str, bytes] | None:
        """What a worker answers; None if it was lost meanwhile."""
        try:
            fetched: tuple[str, str, bytes] = copy.future.result(timeout=FETCH_S)
        except TimeoutError:
            return None
        except (CancelledError, OSError) as error:
            raise self._lost_scheduler() from error
        except RuntimeError as error:
            if "deserialization" not in str(error):
                raise
            raise ResourceError(
                f"{self.cluster.name} cannot read what is sent; give it the versions of Python "
                "and Dask that are installed here"
            ) from error
        finally:
            copy.future.release()
        return fetched

    def _by_worker(self) -> dict[str, list[Copy]]:
        """The copies of each worker, the oldest first."""
        held: dict[str, list[Copy]] = {worker: [] for worker in self.workers}
        for copy in self.copies.values():
            held.setdefault(copy.worker, []).append(copy)
        return held

    def _lost_scheduler(self) -> ResourceError:
        return ResourceError(
            f"the connection to {self.cluster.name} is lost; the same command goes on"
        )
