"""Shares of the parts: in any order, by several processes, the bytes of a single run."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
from networks import make_model
from rasters import write_raster
from test_inference_predict import make_pixels

from geounet.cli.app import app
from geounet.cli.boundary import run
from geounet.errors import InputError, Interrupted, ResourceError, UsageError
from geounet.inference import PredictOptions, Shard, predict, predict_shard
from geounet.inference.planning import parts, plan
from geounet.inference.running.job import lock_job
from geounet.raster import Window

PLAIN = PredictOptions(tile=32, engine="torch", precision="float32")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model"), depth=2, width=4)


@pytest.fixture(autouse=True, scope="module")
def small_parts():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "PART_PIXELS", 3000)
        yield


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A scene of 200 x 90 pixels that is computed in seven parts."""
    return write_raster(tmp_path_factory.mktemp("scene") / "scene.tif", make_pixels(200, 90))


@pytest.fixture
def cli(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["geounet", "predict", *map(str, arguments)])
        code = run(app)
        out, err = capsys.readouterr()
        return code, out, err

    return call


def find_parts(folder, kind="mask"):
    return sorted(path.name for path in folder.glob(f"{kind}-*.tif"))


def list_options(folder):
    return PredictOptions(
        tile=32, engine="torch", precision="float32",
        confidence=folder / "confidence.tif", scores=folder / "scores.tif",
    )  # fmt: skip


def read_all(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, scene, model):
    """The files of a single run."""
    folder = tmp_path_factory.mktemp("whole")
    predict(scene, model[1], folder / "mask.tif", list_options(folder))
    return read_all(folder)


@pytest.fixture(scope="module")
def whole_mask(tmp_path_factory, scene, model):
    """The bytes of the mask of a single run that makes nothing else."""
    mask = tmp_path_factory.mktemp("mask") / "mask.tif"
    predict(scene, model[1], mask, PLAIN)
    return mask.read_bytes()


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_shards_in_any_order(tmp_path, scene, model, whole, order):
    folder = tmp_path / "shards"
    folder.mkdir()
    options, left = list_options(folder), 7
    for index in order:
        summary = predict_shard(scene, model[1], folder / "mask.tif", Shard(index, 3), options)
        assert summary.parts_computed == len(range(index, 7, 3))
        left -= summary.parts_computed
        assert (summary.parts, summary.parts_left) == (7, left)
    assert {path.name for path in folder.iterdir()} == {"mask.tif.parts"}
    done = predict(scene, model[1], folder / "mask.tif", options)
    assert (done.tiles, done.parts_resumed) == (0, 7)
    assert read_all(folder) == whole


def test_what_no_shard_has_done_is_done_at_the_end(tmp_path, scene, model, whole):
    folder = tmp_path / "shards"
    folder.mkdir()
    options = list_options(folder)
    predict_shard(scene, model[1], folder / "mask.tif", Shard(1, 3), options)
    assert predict(scene, model[1], folder / "mask.tif", options).parts_resumed == 2
    assert read_all(folder) == whole


@pytest.mark.parametrize(("scenes", "count"), [(1, 3), (2, 3), (5, 4), (3, 1), (4, 100)])
@pytest.mark.parametrize("number", [1, 2, 7, 12])
def test_shards_partition_the_parts(scenes, count, number):
    """Part j of scene k is of shard (j + k) mod count."""
    every = [Window(row_off=10 * j, col_off=0, height=10, width=5) for j in range(number)]
    for scene in range(scenes):
        found = [
            (every.index(part), index)
            for index in range(count)
            for part in Shard(index, count).choose(every, scene)
        ]
        assert sorted(found) == [(j, (j + scene) % count) for j in range(number)]


def test_the_first_one_decides_the_cut(tmp_path, scene, model, whole_mask, monkeypatch):
    """The others may have another amount of memory free."""
    folder = tmp_path / "shards"
    folder.mkdir()
    options = replace(PLAIN, tile=None)
    tiles = {}
    for index, side in enumerate((32, 64, 16)):
        with monkeypatch.context() as patch:
            patch.setattr(plan, "TILE_SIDES", (side,))
            predict_shard(scene, model[1], folder / "mask.tif", Shard(index, 3), options)
        if index == 0:
            job = (folder / "mask.tif.parts" / "job.json").read_bytes()
        tiles[index] = len(find_parts(folder / "mask.tif.parts"))
    assert (folder / "mask.tif.parts" / "job.json").read_bytes() == job
    assert tiles == {0: 3, 1: 5, 2: 7}
    assert predict(scene, model[1], folder / "mask.tif", options).tiles == 0
    assert (folder / "mask.tif").read_bytes() == whole_mask


def test_several_scenes_share_their_parts(tmp_path, model, cli):
    scenes = [
        write_raster(tmp_path / f"{name}.tif", make_pixels(rows, 90, seed=rows))
        for name, rows in (("a", 90), ("b", 200), ("c", 30))
    ]
    command = (*scenes, "-m", model[0], "--tile", 32, "-q")
    assert cli(*command, "-o", tmp_path / "whole")[0] == 0
    left = 11
    for index in (2, 0, 1):
        code, out, _ = cli(*command, "-o", tmp_path / "out", "--shard", f"{index}/3", "--json")
        assert code == 0
        said = json.loads(out)
        computed = [one["parts_computed"] for one in said["shards"]]
        assert computed == [
            sum((j + k) % 3 == index for j in range(count)) for k, count in enumerate((3, 7, 1))
        ]
        left -= sum(computed)
        assert said["parts_left"] == left
        assert said["failed"] == []
    assert left == 0
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".parts"}
    code, out, _ = cli(*command, "-o", tmp_path / "out", "--json")
    assert code == 0
    assert [one["tiles"] for one in json.loads(out)["masks"]] == [0, 0, 0]
    assert read_all(tmp_path / "out") == read_all(tmp_path / "whole")


def test_says_what_is_left(tmp_path, scene, model, cli):
    command = (scene, "-m", model[0], "-o", tmp_path / "mask.tif", "--tile", 32)
    code, out, err = cli(*command, "--shard", "0/2")
    assert (code, out) == (0, "")
    assert "mask.tif: 4 of 7 parts computed, 3 left" in err
    assert "without --shard" not in err
    assert "3 of 7 parts computed, 0 left" in cli(*command, "--shard", "1/2")[2]
    code, _, err = cli(*command, "--shard", "0/2")
    assert "0 of 7 parts computed, 4 were there, 0 left" in err
    assert "the same command without --shard makes the outputs" in err
    assert cli(*command)[0] == 0
    assert "its outputs are finished" in cli(*command, "--shard", "1/2")[2]
    assert not (tmp_path / "mask.tif.parts").exists()


def test_polygons_come_at_the_end(tmp_path, scene, model, cli):
    command = (scene, "-m", model[0], "--tile", 32, "-q")
    whole, shared = tmp_path / "whole", tmp_path / "shared"
    for folder in (whole, shared):
        folder.mkdir()
    outputs = ("-o", shared / "mask.tif", "--polygons", shared / "map.gpkg")
    for index in range(2):
        assert cli(*command, *outputs, "--shard", f"{index}/2")[0] == 0
        assert not (shared / "map.gpkg").exists()
    assert cli(*command, *outputs)[0] == 0
    assert cli(*command, "-o", whole / "mask.tif", "--polygons", whole / "map.gpkg")[0] == 0
    assert read_all(shared) == read_all(whole)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--shard", "3/3"), "shard 3/3: shards count from 0; choose 0/3 to 2/3"),
        (("--shard", "0/0"), "shard 0/0: shards count from 0"),
        (("--shard", "1"), "--shard 1: write I/N"),
        (("--shard", "-1/3"), "--shard -1/3: write I/N"),
        (("--shard", "0/3", "--verify", "1"), "leave --dry-run and --verify out"),
        (("--shard", "0/3", "--dry-run"), "leave --dry-run and --verify out"),
    ],
)
def test_shards_that_cannot_be_meant(tmp_path, scene, model, cli, arguments, says):
    code, out, err = cli(scene, "-m", model[0], "-o", tmp_path / "mask.tif", *arguments)
    assert (code, out) == (2, "")
    assert says in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "mask.tif.parts").exists()


def test_a_stack_is_one_scene(tmp_path, scene, model, cli):
    bands = [
        write_raster(tmp_path / f"{i}.tif", band) for i, band in enumerate(make_pixels(200, 90))
    ]
    command = (*bands, "--stack", "-m", model[0], "-q", "--tile", 32)
    for index in range(2):
        assert cli(*command, "-o", tmp_path / "mask.tif", "--shard", f"{index}/2")[0] == 0
    assert len(find_parts(tmp_path / "mask.tif.parts")) == 7
    assert cli(*command, "-o", tmp_path / "mask.tif")[0] == 0
    assert cli(*command, "-o", tmp_path / "whole.tif")[0] == 0
    assert (tmp_path / "mask.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()


def test_parts_of_another_run(tmp_path, scene, model, whole_mask):
    """Refused; with --overwrite discarded, but not while shards are at work on them."""
    _, other = make_model(tmp_path, seed=5, depth=2, width=4)
    mask = tmp_path / "mask.tif"
    predict_shard(scene, other, mask, Shard(0, 2), PLAIN)
    before = read_all(tmp_path / "mask.tif.parts")
    with pytest.raises(InputError, match=r"another model.*--overwrite"):
        predict_shard(scene, model[1], mask, Shard(1, 2), PLAIN)
    overwriting = replace(PLAIN, overwrite=True)
    with lock_job(mask, shared=True) as lock:
        lock.share()
        with pytest.raises(ResourceError, match=r"shards of another run \(another model\)"):
            predict_shard(scene, model[1], mask, Shard(1, 2), overwriting)
        assert read_all(tmp_path / "mask.tif.parts") == before
    assert predict_shard(scene, model[1], mask, Shard(1, 2), overwriting).parts_left == 4
    assert len(find_parts(tmp_path / "mask.tif.parts")) == 3
    predict(scene, model[1], mask, PLAIN)
    assert mask.read_bytes() == whole_mask


def test_shards_keep_out_who_assembles(tmp_path, scene, model):
    mask = tmp_path / "mask.tif"
    with lock_job(mask, shared=True) as lock:
        predict_alone = pytest.raises(ResourceError, match="being written by another run")
        with predict_alone:
            predict(scene, model[1], mask)
        lock.share()
        with predict_alone:
            predict(scene, model[1], mask)
        with lock_job(mask, shared=True) as other:
            assert not other.is_alone
    assert not (tmp_path / "mask.tif.parts").exists()


def test_who_assembles_keeps_out_shards(tmp_path, scene, model, monkeypatch):
    monkeypatch.setattr("geounet.raster.locking.PATIENCE_S", 0.05)
    with lock_job(tmp_path / "mask.tif"), pytest.raises(ResourceError, match="another run"):
        predict_shard(scene, model[1], tmp_path / "mask.tif", Shard(0, 2))


def test_one_that_begins_is_waited_for(tmp_path):
    """Who comes first is alone until it has begun the job; the second waits, and is not alone."""
    held, seen = threading.Event(), []

    def come_second():
        held.wait()
        with lock_job(tmp_path / "mask.tif", shared=True) as lock:
            seen.append((lock.is_alone, (tmp_path / "mask.tif.parts" / "begun").exists()))

    thread = threading.Thread(target=come_second)
    thread.start()
    with lock_job(tmp_path / "mask.tif", shared=True) as lock:
        held.set()
        time.sleep(0.05)
        (tmp_path / "mask.tif.parts" / "begun").touch()
        lock.share()
        thread.join()
    assert seen == [(False, True)]


def test_stops_gently(tmp_path, scene, model, whole_mask):
    stop = threading.Event()
    stop.set()
    mask = tmp_path / "mask.tif"
    with pytest.raises(Interrupted, match="the same command goes on"):
        predict_shard(scene, model[1], mask, Shard(0, 2), PLAIN, stop=stop)
    assert predict_shard(scene, model[1], mask, Shard(0, 2), PLAIN).parts_left
    predict(scene, model[1], mask, PLAIN)
    assert mask.read_bytes() == whole_mask


COMMAND = """
import sys
from geounet.cli.app import app
from geounet.cli.boundary import run
from geounet.inference.planning import parts
parts.PART_PIXELS = 3000
sys.exit(run(app))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX processes")
def test_shards_at_the_same_time_and_a_kill(tmp_path, scene, model, whole_mask):
    """The one that is killed -9 holds up nobody, and the same command goes on."""
    mask = tmp_path / "mask.tif"

    def start(*arguments):
        command = ["predict", scene, "-m", model[0], "-o", mask, "--tile", 32, *arguments]
        command += ["--engine", "torch", "--precision", "float32"]
        return subprocess.Popen([sys.executable, "-c", COMMAND, *map(str, command)])

    shards = [start("--shard", f"{i}/3") for i in range(3)]
    while not (tmp_path / "mask.tif.parts" / "job.json").exists():
        time.sleep(0.001)
    shards[1].send_signal(signal.SIGKILL)
    assert [process.wait() for process in shards] == [0, -signal.SIGKILL, 0]
    assert start().wait() == 0
    assert mask.read_bytes() == whole_mask


def test_a_shard_is_made_valid(tmp_path):
    for index, count in ((3, 3), (-1, 3), (0, 0), (0, -1)):
        with pytest.raises(UsageError, match="count from 0"):
            Shard(index, count)
