"""Stages in threads: in order, bounded, failing loudly, closing upstream."""

import threading
import time

import pytest

from geounet.inference.running.pipeline import Stopwatch, interleave, threaded


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_items_in_order(depth):
    assert list(threaded(iter(range(100)), depth)) == list(range(100))
    assert list(threaded([], depth)) == []


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_at_most_depth_items_ahead(depth):
    made = []

    def source():
        for i in range(50):
            made.append(i)
            yield i

    with_gap = threaded(source(), depth)
    for taken, _ in enumerate(with_gap, start=1):
        time.sleep(0.001)
        assert len(made) <= taken + depth


@pytest.mark.parametrize("depth", [0, 2])
def test_errors_are_raised_at_the_consumer_after_the_items_before_them(depth):
    def source():
        yield 1
        yield 2
        raise OSError("disk")

    seen = []
    with pytest.raises(OSError, match="disk"):
        for item in threaded(source(), depth):
            seen.append(item)
    assert seen == [1, 2]


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_closing_closes_upstream_in_its_own_thread(depth):
    closed_in = []

    def source():
        try:
            while True:
                yield threading.current_thread()
        finally:
            closed_in.append(threading.current_thread())

    stage = threaded(source(), depth)
    worker = next(stage)
    stage.close()
    assert closed_in == [worker]
    assert (worker is threading.current_thread()) == (depth == 0)


@pytest.mark.parametrize("depth", [0, 2])
def test_chains_fail_as_one_and_leave_no_thread(depth):
    before = threading.active_count()
    closed = []

    def first():
        try:
            yield from range(1000)
        finally:
            closed.append("first")

    def second(items):
        try:
            for item in items:
                if item == 3:
                    raise ValueError("three")
                yield item
        finally:
            items.close()

    with pytest.raises(ValueError, match="three"):
        list(threaded(second(threaded(first(), depth)), depth))
    assert closed == ["first"]
    assert threading.active_count() == before


def test_interleave_undoes_dealing_and_closes_all():
    closed = []

    def source(items):
        try:
            yield from items
        finally:
            closed.append(items[0])

    items = list(range(11))
    dealt = [source(items[i::3]) for i in range(3)]
    assert list(interleave(dealt)) == items
    dealt = [source(items[i::3]) for i in range(3)]
    closed.clear()
    stage = interleave(dealt)
    for _ in range(4):
        next(stage)
    stage.close()
    assert sorted(closed) == [0, 1, 2]


def test_stopwatch_adds_up():
    ticks = iter([0.0, 1.0, 5.0, 7.5])
    watch = Stopwatch(clock=lambda: next(ticks))
    for _ in range(2):
        with watch.measure("read"):
            pass
    assert watch.seconds == {"read": 3.5}
