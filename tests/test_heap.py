"""What the C library keeps of freed memory, seen by the pages that the system has to give."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

CODE = """
import resource
from threading import Thread

import numpy as np

from geounet.heap import keep_freed, share_heap, trim_memory

SIZE = 100_000_000

def count_pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(SIZE, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def held():
    return int(open("/proc/self/statm").read().split()[1])

def run():
    with keep_freed():
        counts.append(count_pages())
        with keep_freed():
            pass
        counts.append(count_pages())
    counts.append(held())
    trim_memory()
    counts.append(held())
    counts.append(count_pages())

counts = []
share_heap()
thread = Thread(target=run)
thread.start()
thread.join()
print(*counts)
"""


def test_pages_of_freed_arrays_are_kept_for_the_next_and_then_given_back():
    if not hasattr(ctypes.CDLL(None), "mallopt"):
        pytest.skip("another C library")
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    first, second, kept, trimmed, after = map(int, done.stdout.split())
    assert first > 40  # 2 MB each at most
    assert second == 0
    assert kept - trimmed > 20_000  # of 4 kB: the array's
    assert after > 40
