"""`torchrun -m geounet train`: one node or two, killed, stopped, resumed with other numbers."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from teams import find_port
from test_training_team import make_scene

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
OPTIONS = (
    "--architecture unet --width 4 --depth 2 --chip 32 --batch 12 --workers 1 --device cpu",
    "--precision float32 --epochs 3",
)


@pytest.fixture
def folder(tmp_path):
    return make_scene(tmp_path)


def start(folder, *options, launch=("--standalone", "--nproc-per-node", "2")):
    """The command under torchrun; `launch` none: without it."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", *launch, "-m"] if launch else []
    return subprocess.Popen(
        [
            *(torchrun or [sys.executable, "-m"]),
            *("geounet", "train", folder / "image.tif", "--labels", folder / "labels.tif"),
            *("-o", folder / "run", *" ".join(OPTIONS).split(), *options),
        ],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finish(process):
    """Exit code, stdout, and what geounet said on stderr."""
    out, text = process.communicate(timeout=300)
    said = [line for line in text.splitlines() if re.match(r"(error|note|epoch|stopping)", line)]
    return process.returncode, out, said


def find_workers(process):
    """The processes that torchrun has started: ids by rank."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            if parent == str(process.pid):
                variables = (entry / "environ").read_bytes().split(b"\0")
                ranks = [int(v[5:]) for v in variables if v.startswith(b"RANK=")]
                found |= dict.fromkeys(ranks, int(entry.name))
        except (OSError, IndexError):
            continue
    return found


def wait_for(path, seconds=200):
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} does not appear"
        time.sleep(0.05)


def read_losses(run):
    return [float(x.split(",")[2]) for x in (run / "history.csv").read_text().splitlines()[1:]]


def test_a_dead_process_ends_all_and_the_run_goes_on_with_another_number(folder):
    """Also the first; with one process, with two, and with three."""
    for dead, launch in ((1, 2), (0, 2)):
        process = start(folder, "--resume", "--epochs", "300",
                        launch=("--standalone", "--nproc-per-node", str(launch)))  # fmt: skip
        state = folder / "run" / "state.safetensors"
        wait_for(state)
        before = state.stat().st_mtime_ns
        while state.stat().st_mtime_ns == before:
            time.sleep(0.05)
        os.kill(find_workers(process)[dead], signal.SIGKILL)
        killed_at = time.monotonic()
        code, _, said = finish(process)
        assert time.monotonic() - killed_at < 60
        assert code != 0
        assert len(said) == 1, said
        assert re.search("one of the 2 processes .* is gone.*--resume goes on", said[0])
    done = len(read_losses(folder / "run"))
    assert done >= 2
    for count in (3, 1):
        done += 1
        launch = ("--standalone", "--nproc-per-node", str(count)) if count > 1 else ()
        process = start(folder, "--resume", "--epochs", str(done), "--json", launch=launch)
        code, out, _ = finish(process)
        assert code == 0
        assert f'"processes": {count}' in out
        assert len(read_losses(folder / "run")) == done
    assert all(np.isfinite(v).all() for v in load_file(state).values() if v.dtype.kind == "f")


def test_a_signal_to_torchrun_saves_the_run_at_the_step(folder):
    process = start(folder, "--epochs", "300")
    wait_for(folder / "run" / "state.safetensors")
    process.send_signal(signal.SIGINT)
    _, _, said = finish(process)
    assert len(said) == 1, said
    assert "can be used; the same command with --resume goes on" in said[0]
    assert not (folder / "run" / ".lock").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--batch", "5"), "--batch is 5, .* give --batch 6"),
        (("--val-fraction", "7"), "--val-fraction is 7"),
        (("--chip", "many"), "--chip is"),
        (("--bands", "1,9"), "image.tif"),
        (("--device", "cuda:1"), "--device cuda:1 is for one process"),
    ],
)
def test_errors_are_told_once(folder, options, message):
    code, out, said = finish(start(folder, *options))
    assert code != 0
    assert len(said) == 1, said
    assert re.match(f"error: .*{message}", said[0])
    assert not out


def test_two_nodes(folder):
    """As on two machines; each has one process. Only the first writes and speaks."""
    port = find_port()
    launch = ("--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d")
    launch += ("--rdzv-endpoint", f"127.0.0.1:{port}", "--local-addr", "127.0.0.1")
    nodes = [start(folder, launch=(*launch, "--node-rank", str(rank))) for rank in (0, 1)]
    results = [finish(node) for node in nodes]
    assert [code for code, *_ in results] == [0, 0]
    spoken = [said for *_, said in results if said]
    assert len(spoken) == 1
    assert "2 x cpu" in spoken[0][0]
    assert len(read_losses(folder / "run")) == 3
