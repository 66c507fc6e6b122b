"""Parts computed by the workers of a Dask cluster: the bytes of a single run, whatever happens."""

import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import make_model
from rasters import write_raster
from test_inference_predict import make_pixels

from geounet.cli.app import app
from geounet.cli.boundary import run
from geounet.errors import InputError, Interrupted, ModelError, ResourceError, UsageError
from geounet.inference import PredictOptions, PredictSummary, predict, predict_scenes
from geounet.inference.cluster import board as boards
from geounet.inference.cluster import cluster as clusters
from geounet.inference.cluster import driving, worker
from geounet.inference.cluster.board import Board, Task
from geounet.inference.cluster.cluster import Cluster, make_call, parse_cluster, plan_local
from geounet.inference.cluster.orders import Order, PartsDone, make_order
from geounet.inference.cluster.worker import Place, compute_parts, pack
from geounet.inference.planning import parts
from geounet.inference.running.beginning import outline_run
from geounet.inference.running.job import lock_job, open_job
from geounet.inference.running.preparation import prepare
from geounet.raster import Window

distributed = pytest.importorskip("distributed")

PLAIN = PredictOptions(tile=32, engine="torch", precision="float32")
PLACE = Place(threads=1, memory_limit=None, name="tcp://here:1")


@pytest.fixture(autouse=True, scope="module")
def small_parts():
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "PART_PIXELS", 3000)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model"), depth=2, width=4)[0]


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A scene of 200 x 90 pixels that is computed in seven parts."""
    return write_raster(tmp_path_factory.mktemp("scene") / "scene.tif", make_pixels(200, 90))


@pytest.fixture(scope="module")
def whole_mask(tmp_path_factory, scene, model):
    """The bytes of the mask of a single run."""
    mask = tmp_path_factory.mktemp("mask") / "mask.tif"
    predict(scene, model, mask, PLAIN)
    return mask.read_bytes()


@pytest.fixture(scope="module")
def client():
    """Three workers in this process."""
    with (
        distributed.LocalCluster(
            n_workers=3, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture
def on_cluster(client, monkeypatch):
    """Options that mean those workers."""

    @contextmanager
    def open_these(where, options):
        yield Cluster(client, where, 1)

    monkeypatch.setattr(driving, "open_cluster", open_these)
    return replace(PLAIN, cluster="tcp://these:1")


@pytest.fixture
def cli(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["geounet", "predict", *map(str, arguments)])
        code = run(app)
        return code, capsys.readouterr().err

    return call


def read_all(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_bytes_of_a_single_run(tmp_path, scene, model, on_cluster):
    results = {}
    for name, options in (("one", PLAIN), ("many", on_cluster)):
        folder = tmp_path / name
        folder.mkdir()
        options = replace(
            options, confidence=folder / "confidence.tif", scores=folder / "scores.tif"
        )
        results[name] = predict(scene, model, folder / "mask.tif", options)
    assert read_all(tmp_path / "many") == read_all(tmp_path / "one")
    same = ("class_pixels", "nodata_pixels", "tiles", "tiles_skipped", "tile_shape", "batch")
    for key in (*same, "engine", "device", "precision", "was_done", "notes"):
        assert getattr(results["many"], key) == getattr(results["one"], key), key


def test_scenes_share_the_workers(tmp_path, scene, model, on_cluster):
    """In the order in which they end; one that fails does not stop the others."""
    other = write_raster(tmp_path / "other.tif", make_pixels(70, 120, seed=3))
    bands = write_raster(tmp_path / "bands.tif", make_pixels(50, 60, bands=2))
    seen = []
    jobs = [(file, tmp_path / f"mask-{file.stem}.tif") for file in (scene, bands, other)]
    ended = list(predict_scenes(jobs, model, on_cluster, seen.append))
    failed = [one for one in ended if not isinstance(one, PredictSummary)]
    assert len(ended) == 3
    assert [type(error) for error in failed] == [ModelError]
    assert "bands.tif gives 2 bands" in str(failed[0])
    for file in (scene, other):
        predict(file, model, tmp_path / "alone.tif", replace(PLAIN, overwrite=True))
        mask = tmp_path / f"mask-{file.stem}.tif"
        assert mask.read_bytes() == (tmp_path / "alone.tif").read_bytes()
    assert not list(tmp_path.glob("*.parts"))
    last = [progress for progress in seen if progress.stage == "predict"][-1]
    assert (last.done, last.values["workers"]) == (200 * 90 + 70 * 120, 3)


def test_stops_gently_and_goes_on_without_the_cluster(
    tmp_path, scene, model, on_cluster, whole_mask
):
    stop, mask = threading.Event(), tmp_path / "mask.tif"

    def ask_to_stop(progress):
        if progress.done:
            stop.set()

    with pytest.raises(Interrupted, match=r"of about 18000 pixels are done.*same command"):
        predict(scene, model, mask, on_cluster, ask_to_stop, stop)
    kept = list((tmp_path / "mask.tif.parts").glob("mask-*.tif"))
    assert 0 < len(kept) < 7
    assert predict(scene, model, mask, PLAIN).parts_resumed == len(kept)
    assert mask.read_bytes() == whole_mask
    assert predict(scene, model, mask, on_cluster).was_done
    assert {path.name for path in tmp_path.iterdir()} == {"mask.tif", "mask.tif.aux.xml"}


def test_a_stop_at_once_can_be_resumed(tmp_path, scene, model, on_cluster, whole_mask):
    def press_twice(progress):
        if progress.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict(scene, model, tmp_path / "mask.tif", on_cluster, press_twice)
    assert not (tmp_path / "mask.tif").exists()
    assert predict(scene, model, tmp_path / "mask.tif", on_cluster).parts_resumed > 0
    assert (tmp_path / "mask.tif").read_bytes() == whole_mask
    assert not (tmp_path / "mask.tif.parts").exists()


def test_an_error_of_a_worker_is_one_of_ours(tmp_path, scene, model, on_cluster, monkeypatch):
    def fail(*_):
        raise ResourceError("the disk is full; free some")

    monkeypatch.setattr(worker, "stream_parts", fail)
    with pytest.raises(ResourceError, match=r"^worker inproc://.*: the disk is full; free some$"):
        predict(scene, model, tmp_path / "mask.tif", on_cluster)
    assert (tmp_path / "mask.tif.parts" / "job.json").exists()


class Unportable(Exception):
    """Cannot be made again of its message, as pickle does it."""

    def __init__(self, path, reason):
        super().__init__(f"{path}: {reason}")


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (OSError(5, "Input/output error"), OSError),
        (TimeoutError("too slow"), TimeoutError),
        (Unportable("a", "b"), RuntimeError),
    ],
)
def test_an_unexpected_error_of_a_worker_is_told(
    tmp_path, scene, model, on_cluster, monkeypatch, raised, expected
):
    """As what it is, with the place: no lost connection, and no lost worker."""

    def fail(*_):
        raise raised

    monkeypatch.setattr(worker, "stream_parts", fail)
    with pytest.raises(expected, match=re.escape(str(raised))) as caught:
        predict(scene, model, tmp_path / "mask.tif", on_cluster)
    assert not isinstance(caught.value, ResourceError)
    assert "on worker inproc://" in caught.value.__notes__[0]
    assert "raise raised" in caught.value.__notes__[0]
    assert (tmp_path / "mask.tif.parts" / "job.json").exists()


def test_another_geounet_on_a_worker(tmp_path, scene, model, on_cluster, monkeypatch):
    monkeypatch.setattr(boards, "__version__", "9.9")
    with pytest.raises(ResourceError, match=r"worker inproc.* has geounet .*install the same"):
        predict(scene, model, tmp_path / "mask.tif", on_cluster)


def test_no_geounet_on_a_worker(client, monkeypatch):
    """What is sent is read without it, by the scheduler and by the worker."""
    call = pickle.loads(distributed.protocol.pickle.dumps(make_call()))
    assert call.__module__ == "geounet.inference.cluster.cluster"
    here = type("Worker", (), {"address": "tcp://there:1"})
    monkeypatch.setattr(distributed, "get_worker", lambda: here)
    monkeypatch.setitem(sys.modules, "geounet", None)
    assert call("1.0", b"") == ("version", "tcp://there:1", b"no geounet")
    sent = distributed.protocol.pickle.dumps(make_call())
    script = "import sys, pickle; sys.modules['geounet'] = None; pickle.load(sys.stdin.buffer)"
    subprocess.run([sys.executable, "-c", script], input=sent, check=True)


@pytest.fixture
def job(tmp_path, scene, model):
    """An order whose job is begun."""
    order = make_order(str(scene), tmp_path / "mask.tif", (str(model),), PLAIN, 1)
    with prepare(scene, model, PLAIN) as prepared, lock_job(order.output) as lock:
        outline = outline_run(prepared, PLAIN)
        open_job(lock, *outline, overwrite=False)
    return order


PART = Window(row_off=0, col_off=0, height=32, width=90)


def test_a_worker_leaves_a_draft(tmp_path, job, scene, model):
    done = compute_parts(PLACE, job, (PART,), "draft")
    assert done.counts.sum() == PART.area
    names = {path.name for path in (tmp_path / "mask.tif.parts").iterdir()}
    assert names == {"lock", "job.json", ".mask-000000000.tif.draft"}
    predict(scene, model, tmp_path / "mask.tif", PLAIN)  # which removes what nobody has published
    assert not (tmp_path / "mask.tif.parts").exists()


def test_a_late_worker_is_refused(tmp_path, job, scene, model, monkeypatch):
    """Its draft neither brings the folder back nor gets into another job's."""
    monkeypatch.setattr(worker, "VISIBLE_S", 0.1)
    predict(scene, model, tmp_path / "mask.tif", PLAIN)
    with pytest.raises(ResourceError, match=r"job\.json is not there.*same places"):
        compute_parts(PLACE, job, (PART,), "draft")
    assert {path.name for path in tmp_path.iterdir()} == {"mask.tif", "mask.tif.aux.xml"}


def test_a_worker_that_would_compute_something_else(job, scene, model, monkeypatch):
    monkeypatch.setattr("torch.__version__", "0.0")
    with pytest.raises(InputError, match=r"here it would be another version of torch; give all"):
        compute_parts(PLACE, job, (PART,), "draft")


def test_a_worker_that_does_not_see_the_scene(job, tmp_path):
    packed = pack(compute_parts, replace(job, image="/nowhere/scene.tif"), (PART,), "draft")
    error = pickle.loads(worker.perform(packed, PLACE))
    assert isinstance(error, InputError)
    assert str(error).startswith("worker tcp://here:1: /nowhere/scene.tif")


def test_a_draft_in_a_folder_without_a_job_is_no_other_run(tmp_path, scene, model, whole_mask):
    """A paused worker may write into the folder of the run after the next."""
    folder = tmp_path / "mask.tif.parts"
    folder.mkdir()
    (folder / ".mask-000000000.tif.0123.tmp").write_text("late")
    predict(scene, model, tmp_path / "mask.tif", PLAIN)
    assert (tmp_path / "mask.tif").read_bytes() == whole_mask
    assert not folder.exists()


@pytest.mark.parametrize(
    ("options", "place", "share", "limit"),
    [
        (replace(PLAIN, max_memory=4 * 10**9), PLACE, 4, 10**9),
        (PLAIN, PLACE, 10**6, None),
        (PLAIN, replace(PLACE, memory_limit=10**9), 1, 6 * 10**8),
        (replace(PLAIN, max_memory=10**9), replace(PLACE, memory_limit=10**9), 1, 10**9),
    ],
)
def test_memory_is_shared(options, place, share, limit, monkeypatch):
    monkeypatch.setattr(worker, "free_memory", lambda _: 8 * 10**9)
    order = Order("scene.tif", ("model",), Path("mask.tif"), options, share)
    expected = limit or 8 * 10**9 // 2 // share
    assert worker._limit_memory(place, order).max_memory == expected


def test_local_processes_share_the_cores(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    on_cpu = replace(PLAIN, device="cpu")
    assert (plan_local(0, on_cpu).threads, len(plan_local(0, on_cpu).environments)) == (4, 4)
    assert (plan_local(3, on_cpu).threads, plan_local(3, on_cpu).share) == (5, 3)
    assert plan_local(16, on_cpu).threads == 1
    with pytest.raises(UsageError, match="this machine has 16 cores"):
        plan_local(17, on_cpu)


def test_one_local_process_per_gpu(monkeypatch):
    cuda = clusters.resolve_runtime("cpu", "float32").__class__(torch.device("cuda:0"), "float16")
    monkeypatch.setattr(clusters, "resolve_runtime", lambda *_: cuda)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    plan = plan_local(0, PLAIN)
    assert [one["CUDA_VISIBLE_DEVICES"] for one in plan.environments] == ["2", "5"]
    assert plan.share == 1
    shared = plan_local(4, PLAIN)
    assert [one["CUDA_VISIBLE_DEVICES"] for one in shared.environments] == ["2", "5", "2", "5"]
    assert shared.share == 2


@pytest.mark.parametrize(
    ("text", "found"),
    [("local", 0), ("local:3", 3), ("tcp://host:8786", None), ("tls://[::1]:8786", None)],
)
def test_clusters_that_can_be_meant(text, found):
    assert parse_cluster(text) == found


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--cluster", "local:0"), 2, "write local, local:N, or the address"),
        (("--cluster", "here"), 2, "write local, local:N, or the address"),
        (("--cluster", "tcp://host"), 2, "write local, local:N, or the address"),
        (("--cluster", "local:999999"), 2, "choose fewer"),
        (("--cluster", "local", "--shard", "0/2"), 2, "two ways to share the work; choose one"),
        (("--cluster", "local", "--dry-run"), 2, "leave --cluster out"),
        (("--cluster", "tcp://127.0.0.1:9"), 5, "no Dask scheduler answers at tcp://127.0.0.1:9"),
    ],
)
def test_clusters_that_cannot_be_used(tmp_path, scene, model, cli, arguments, code, says):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clusters, "CONNECT_S", 0.5)
        found, err = cli(scene, "-m", model, "-o", tmp_path / "mask.tif", *arguments)
    assert (found, len(err.splitlines())) == (code, 1), err
    assert says in err
    assert list(tmp_path.iterdir()) == []


def test_without_dask(tmp_path, scene, model, cli, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, err = cli(scene, "-m", model, "-o", tmp_path / "mask.tif", "--cluster", "local")
    assert code == 2
    assert "pip install 'geounet[dask]'" in err
    assert len(err.splitlines()) == 1


def test_dask_is_not_imported_without_need():
    script = "import sys, geounet.inference.cluster.driving; sys.exit('distributed' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


# ---- the board, with workers that do what a test tells them


@dataclass
class FakeFuture:
    client: "FakeClient"
    worker: str
    packed: bytes
    callbacks: list = field(default_factory=list)
    answer: object = None
    cancelled: bool = False

    def add_done_callback(self, callback):
        self.callbacks.append(callback)

    def finish(self, value):
        self.answer = ("done", self.worker, pickle.dumps(value))
        for callback in self.callbacks:
            callback(self)

    def result(self, timeout):
        return self.answer

    def release(self):
        pass

    def cancel(self):
        self.cancelled = True


@dataclass
class FakeClient:
    workers: list
    futures: list = field(default_factory=list)

    def nthreads(self):
        return dict.fromkeys(self.workers, 1)

    def submit(self, call, version, packed, *, workers, **_):
        future = FakeFuture(self, workers[0], packed)
        self.futures.append(future)
        return future

    def held(self, worker):
        return [
            pickle.loads(f.packed)[1][0]
            for f in self.futures
            if f.worker == worker and f.answer is None and not f.cancelled
        ]

    def finish(self, worker, elapsed_s=0.01):
        """The oldest that a worker has."""
        future = next(
            f for f in self.futures if f.worker == worker and not f.answer and not f.cancelled
        )
        future.finish(make_done(elapsed_s))


def make_done(elapsed_s):
    return PartsDone(np.zeros(256, np.int64), 1, 0, {}, elapsed_s, 0)


@pytest.fixture
def make_board(monkeypatch):
    monkeypatch.setattr(boards, "LOOK_S", 0.0)
    monkeypatch.setattr(boards, "SLACK_S", 0.05)

    def make(workers, tasks):
        client = FakeClient(workers)
        board = Board(Cluster(client, "tcp://fake:1", 1))
        board.fresh.extend(
            Task(compute_parts, i, f"scene {i}", (replace(PART, row_off=i),)) for i in range(tasks)
        )
        return client, board

    return make


def work_once(board):
    return [(one.task.order, one.is_first) for one in board.wait()]


def test_each_worker_holds_two(make_board):
    client, board = make_board(["a", "b", "c"], 9)
    work_once(board)
    assert [client.held(one) for one in "abc"] == [[0, 3], [1, 4], [2, 5]]
    client.finish("b")
    assert work_once(board) == [(1, True)]
    work_once(board)
    assert client.held("b") == [4, 6]


def test_what_a_lost_worker_holds_is_next(make_board):
    client, board = make_board(["a", "b"], 6)
    work_once(board)
    client.workers.remove("a")
    work_once(board)
    for _ in range(6):
        client.finish("b")
        work_once(board)
    assert sorted(pickle.loads(f.packed)[1][0] for f in client.futures if f.answer) == [*range(6)]
    assert all(f.cancelled for f in client.futures if f.worker == "a")


def test_a_task_that_loses_every_worker(make_board):
    client, board = make_board(["a"], 1)
    for _ in range(3):
        work_once(board)
        client.workers = []
        work_once(board)
        client.workers = ["a"]
    work_once(board)
    client.workers = []
    with pytest.raises(ResourceError, match=r"4 workers of .* were lost at a scene's row 0"):
        work_once(board)


def test_a_paused_worker_holds_up_nobody(make_board):
    """What it has not begun goes to another at once, what it has begun after a while."""
    client, board = make_board(["a", "b"], 4)
    work_once(board)
    assert client.held("a") == [0, 2]
    results = []
    for _ in range(3):
        if client.held("b"):
            client.finish("b")
        results += work_once(board)
        work_once(board)
    assert (client.held("a"), client.held("b")) == ([0], [])
    assert results == [(1, True), (3, True), (2, True)]
    time.sleep(0.1)
    work_once(board)
    assert client.held("b") == [0]
    client.finish("b")
    assert work_once(board) == [(0, True)]
    client.finish("a")  # it wakes up
    assert work_once(board) == [(0, False)]


def test_short_parts_go_together(make_board):
    """As many as take two seconds, but no more than leave some for the others; of one scene."""
    client, board = make_board(["a", "b"], 0)
    for i in range(40):
        board.fresh.append(Task(compute_parts, "order", "scene", (replace(PART, row_off=i),)))

    def sizes(worker):
        return [len(pickle.loads(f.packed)[1][1]) for f in client.futures if f.worker == worker]

    work_once(board)
    assert (sizes("a"), sizes("b")) == ([1, 1], [1, 1])
    client.finish("a", elapsed_s=0.3)
    work_once(board)
    work_once(board)
    assert sizes("a") == [1, 1, 6]
    client.finish("b", elapsed_s=0.01)
    work_once(board)
    work_once(board)
    assert sizes("b") == [1, 1, 29 // 4]


def test_nobody_comes(make_board, monkeypatch):
    _, board = make_board([], 1)
    work_once(board)
    monkeypatch.setattr(boards, "LONELY_S", -1.0)
    with pytest.raises(ResourceError, match="tcp://fake:1 has had no worker"):
        work_once(board)


def test_what_is_not_begun_is_taken_back(make_board):
    client, board = make_board(["a", "b"], 9)
    work_once(board)
    board.empty()
    assert (client.held("a"), client.held("b"), len(board.fresh)) == ([0], [1], 0)
    board.close()
    assert (client.held("a"), client.held("b")) == ([], [])


# ---- processes

PROGRAM = """
import sys
from geounet.inference.planning import parts
parts.PART_PIXELS = 3000
if __name__ == "__main__":
    from geounet.cli.app import app
    from geounet.cli.boundary import run
    sys.exit(run(app))
"""


@contextmanager
def start_dask(folder, workers):
    """A scheduler and workers, each a process; gives the address and the workers."""
    file = folder / "scheduler.json"
    dask, preload = [sys.executable, "-m", "dask"], folder / "preload.py"
    preload.write_text("from geounet.inference.planning import parts; parts.PART_PIXELS = 3000")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    with ExitStack() as stack:

        def start(*command):
            process = subprocess.Popen([*dask, *map(str, command)], **quiet)
            stack.callback(process.wait)
            stack.callback(process.send_signal, signal.SIGCONT)
            stack.callback(process.kill)
            return process

        start("scheduler", "--host", "127.0.0.1", "--port", 0, "--no-dashboard",
              "--scheduler-file", file)  # fmt: skip
        processes = [
            start("worker", "--scheduler-file", file, "--no-nanny", "--nthreads", 1,
                  "--no-dashboard", "--local-directory", folder / str(i), "--preload", preload)
            for i in range(workers)
        ]  # fmt: skip
        with distributed.Client(scheduler_file=file, set_as_default=False, timeout=60) as client:
            client.wait_for_workers(workers, timeout=120)
            address = client.scheduler.address
        yield address, processes


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("program") / "program.py"
    path.write_text(PROGRAM)

    def start(*arguments, **options):
        command = [sys.executable, path, "predict", *arguments, *LONG]
        return subprocess.Popen([*map(str, command)], **options)

    return start


LONG = ("--tile", "32", "--engine", "torch", "--precision", "float32", "-q")


@pytest.fixture(scope="module")
def long_scene(tmp_path_factory):
    """A scene of 120 parts."""
    folder = tmp_path_factory.mktemp("long")
    return write_raster(folder / "long.tif", make_pixels(120 * 32, 90))


@pytest.fixture(scope="module")
def long_mask(tmp_path_factory, long_scene, model):
    mask = tmp_path_factory.mktemp("mask") / "mask.tif"
    predict(long_scene, model, mask, PLAIN)
    return mask.read_bytes()


def find_alive(group):
    """Processes of a group, but those that only wait to be told of."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of_group = path.read_text().rsplit(")", 1)[1].split()[:3]
            if int(of_group) == group and state != "Z":
                found.append((path.with_name("cmdline").read_bytes(), state))
        except OSError:
            continue
    return found


def wait_for_parts(folder, number):
    while len(list(folder.glob("mask-*.tif"))) < number:
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="stops processes")
def test_one_worker_is_killed_and_another_paused(tmp_path, long_scene, long_mask, model, program):
    """Of three; the one that is left ends it, and the paused one changes nothing when it wakes."""
    mask = tmp_path / "out" / "mask.tif"
    mask.parent.mkdir()
    with start_dask(tmp_path, workers=3) as (address, (killed, paused, _)):
        driver = program(long_scene, "-m", model, "-o", mask, "--cluster", address)
        wait_for_parts(mask.with_name("mask.tif.parts"), 10)
        killed.kill()
        paused.send_signal(signal.SIGSTOP)
        assert driver.wait(300) == 0
        assert mask.read_bytes() == long_mask
        paused.send_signal(signal.SIGCONT)
        time.sleep(3)
        assert paused.poll() is None
    assert mask.read_bytes() == long_mask
    assert {path.name for path in mask.parent.iterdir()} == {"mask.tif", "mask.tif.aux.xml"}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_local_workers_are_stopped_by_a_signal(
    tmp_path, long_scene, long_mask, model, program, number
):
    """As in a terminal, where all processes get it: 130, nobody stays, the same command goes on."""
    mask = tmp_path / "mask.tif"
    command = (long_scene, "-m", model, "-o", mask, "--cluster", "local:2")
    driver = program(*command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_for_parts(tmp_path / "mask.tif.parts", 5)
    if number == signal.SIGINT:
        os.killpg(driver.pid, number)
    else:
        driver.send_signal(number)
    err = driver.communicate(timeout=120)[1]
    assert driver.returncode == 130, err
    assert "the same command goes on" in err.splitlines()[-1]
    assert "Traceback" not in err
    until = time.monotonic() + 20
    while alive := find_alive(driver.pid):
        assert time.monotonic() < until, alive
        time.sleep(0.1)
    kept = len(list((tmp_path / "mask.tif.parts").glob("mask-*.tif")))
    assert 5 <= kept < 120
    assert program(*command[:-2]).wait() == 0
    assert mask.read_bytes() == long_mask


@pytest.mark.slow
def test_the_scheduler_dies(tmp_path, long_scene, long_mask, model, program):
    mask = tmp_path / "mask.tif"
    command = (long_scene, "-m", model, "-o", mask)
    with start_dask(tmp_path, workers=1) as (address, _):
        with distributed.Client(address, set_as_default=False) as client:
            pid = client.run_on_scheduler(os.getpid)
        driver = program(*command, "--cluster", address, stderr=subprocess.PIPE, text=True)
        wait_for_parts(tmp_path / "mask.tif.parts", 3)
        os.kill(pid, signal.SIGKILL)
        err = driver.communicate(timeout=120)[1]
    assert driver.returncode == 5, err
    assert "the same command goes on" in err
    assert len(err.splitlines()) == 1, err
    assert program(*command).wait() == 0
    assert mask.read_bytes() == long_mask


@pytest.mark.slow
def test_threads_change_no_bit(tmp_path, long_scene, long_mask, model, program):
    """Of this network; sums inside a convolution are not shared between threads."""
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    mask = tmp_path / "mask.tif"
    assert program(long_scene, "-m", model, "-o", mask, env=environment).wait() == 0
    assert mask.read_bytes() == long_mask
