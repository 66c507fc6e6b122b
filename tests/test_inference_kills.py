"""SIGKILL at any moment, then the same command until it is done: the bytes of an unkilled run."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
from networks import make_model
from rasters import write_raster
from test_inference_predict import make_pixels

SERVER = """
import json, os, sys
import geounet.inference, geounet.vector, rasterio, torch
from geounet.cli.app import app
from geounet.cli.boundary import run
from geounet.inference.planning import parts

parts.PART_PIXELS = 60_000
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        sys.argv = ["geounet", *json.loads(line)]
        os._exit(run(app))
    print(child, flush=True)
    sys.stdin.readline()  # until then it stays, as a zombie at least, so that it can be killed
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Runs commands one after the other, each in a process of its own that need not import torch."""

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX processes")


class Server:
    """Starts commands, and kills them."""

    def __init__(self, process):
        self.process = process

    def start(self, *arguments):
        self.process.stdin.write(json.dumps([*map(str, arguments)]) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def wait(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def kill(self, child):
        """The exit code: -9, or 0 where it was too late."""
        os.kill(child, signal.SIGKILL)
        return self.wait()


@contextmanager
def start_server():
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, env=environment,
    ) as process:  # fmt: skip
        yield Server(process)
        process.stdin.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    path, _ = make_model(folder, depth=2, width=4)
    scene = write_raster(folder / "scene.tif", make_pixels(600, 1100), tiled=True)
    return scene, path


def list_arguments(files, folder):
    scene, model = files
    return (
        "predict", scene, "-m", model, "-o", folder / "mask.tif", "--tile", "128", "--quiet",
        "--confidence", folder / "confidence.tif", "--scores", folder / "scores.tif",
        "--precision", "float32",
    )  # fmt: skip


def read_folder(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def wait_for(conditions, child):
    """Until one after the other holds, or the process has ended."""
    for condition in conditions:
        while not condition():
            status = Path(f"/proc/{child}/stat").read_text()
            if status.rsplit(")", 1)[1].split()[0] == "Z":
                return
            time.sleep(0.0005)


def begin(folder):
    """What has happened, one after the other, when the clock of a kill begins."""
    parts, mask = folder / "mask.tif.parts", folder / ".mask.tif.tmp"
    return {
        "from the start": [],
        "computing": [(parts / "mask-000000000.tif").exists],
        "assembling": [lambda: any(folder.glob(".*.tif.tmp"))],
        "assembling the mask": [mask.exists],
        "clearing up": [mask.exists, lambda: not mask.exists()],
    }


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("overwrite", [False, True])
def test_thirty_kills_at_random_moments(tmp_path, files, overwrite):
    folder, whole = tmp_path / "killed", tmp_path / "whole"
    for place in (folder, whole):
        place.mkdir()
    arguments = (*list_arguments(files, folder), *(["--overwrite"] if overwrite else []))
    random, killed, finished = np.random.default_rng(overwrite), dict.fromkeys(begin(folder), 0), 0
    with start_server() as server:
        server.start(*list_arguments(files, whole))
        assert server.wait() == 0
        expected = read_folder(whole)
        old = make_old(folder, expected) if overwrite else {}
        durations = measure(server, arguments, folder)
        restore(folder, old)
        for moment in cycle(killed):
            if sum(killed.values()) >= 30 and min(killed.values()) >= 3:
                break
            assert finished < 100, f"always too late: {killed}"
            child = server.start(*arguments)
            wait_for(begin(folder)[moment], child)
            time.sleep(random.uniform(0, durations[moment]))
            if server.kill(child) == 0:
                finished += 1
                assert read_folder(folder) == expected
                assert {path.name for path in folder.iterdir()} == set(expected)
                restore(folder, old)
                continue
            killed[moment] += 1
            check_whole_or_old(folder, expected, old)
        server.start(*arguments)
        assert server.wait() == 0
    assert read_folder(folder) == expected
    assert {path.name for path in folder.iterdir()} == set(expected)
    print(f"killed {killed}, finished in between {finished}, seconds {durations}")  # noqa: T201


def make_old(folder, expected):
    """An output of an earlier run, to be replaced."""
    return {name: b"old " + content[:1000] for name, content in expected.items()}


def restore(folder, old):
    for path in folder.iterdir():
        path.unlink()
    for name, content in old.items():
        (folder / name).write_bytes(content)


def measure(server, arguments, folder):
    """Seconds from each moment to the end of a run."""
    durations = {}
    for moment, conditions in begin(folder).items():
        restore(folder, {})
        child = server.start(*arguments)
        wait_for(conditions, child)
        began = time.monotonic()
        assert server.wait() == 0
        durations[moment] = time.monotonic() - began
    return durations


def check_whole_or_old(folder, expected, old):
    """A name holds the new file, what was there before, or nothing if there was nothing."""
    for name in expected:
        path = folder / name
        content = path.read_bytes() if path.exists() else None
        assert content in (expected[name], old.get(name)), name
