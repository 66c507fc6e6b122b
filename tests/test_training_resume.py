"""Runs that are stopped or killed, and go on to the same weights as one that was left alone."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch
from rasters import write_raster
from safetensors.numpy import load_file
from safetensors.torch import save_file
from test_training_average import make_run

from geounet.errors import InputError, Interrupted, ModelError, UsageError
from geounet.training import TrainOptions, train
from geounet.training.keeping.state import load_state, restore, save_state
from geounet.vector import LabelOptions

EPOCHS = 5
STEPS = 3
OPTIONS = {
    "architecture": "unet",
    "width": 4,
    "depth": 2,
    "chip": 16,
    "batch": 2,
    "dropout": 0.2,
    "ema": 0.9,
    "workers": 0,
    "device": "cpu",
    "precision": "float32",
    "epochs": EPOCHS,
}


class Killed(BaseException):
    """Nothing in geounet knows it."""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Epochs of 3 steps, and no pictures."""
    chips = STEPS * OPTIONS["batch"]
    monkeypatch.setattr("geounet.training.options.EPOCH_CHIPS", (chips, chips))
    monkeypatch.setattr(
        "geounet.training.keeping.run_folder.RunFolder.write_figure", lambda *_: None
    )
    monkeypatch.setattr("geounet.training.keeping.record.Record.conclude", lambda *_: None)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    rng = np.random.default_rng(0)
    labels = np.kron(rng.random((8, 8)) < 0.4, np.ones((8, 8))).astype(np.uint8)
    image = (rng.integers(0, 50, (3, 64, 64)) + 120 * labels).astype(np.uint8)
    return write_raster(folder / "image.tif", image), write_raster(folder / "labels.tif", labels)


def learn(pair, output, progress=lambda _: None, stop=None, **options):
    return train(
        [pair[0]], [pair[1]], output, TrainOptions(**{**OPTIONS, **options}), progress, stop
    )


def read_weights(folder):
    """The kept model's, and all that the state holds."""
    return {
        (name, key): value
        for name in ("model.safetensors", "state.safetensors")
        for key, value in load_file(folder / name).items()
    }


def read_history(folder):
    """The rows without their times."""
    lines = (folder / "history.csv").read_text().splitlines()
    return [line.rsplit(",", 1)[0] for line in lines]


def assert_same_run(first, second):
    assert read_history(first) == read_history(second)
    weights, others = read_weights(first), read_weights(second)
    assert weights.keys() == others.keys()
    for name, values in weights.items():
        np.testing.assert_array_equal(values, others[name], err_msg=str(name))


@pytest.fixture
def unbroken(pair, tmp_path):
    learn(pair, tmp_path / "unbroken")
    return tmp_path / "unbroken"


def kill_at(step):
    """A progress callback that kills the run at a step: without the time to save anything."""

    def watch(progress):
        if progress.stage == "train" and progress.done >= step:
            raise Killed

    return watch


def test_killed_in_every_epoch_it_ends_in_the_same_weights(pair, unbroken, tmp_path, monkeypatch):
    monkeypatch.setattr("geounet.training.learning.loop.REPORT_EVERY", 1)
    draw = random.Random(0)
    for epoch in range(EPOCHS):
        with pytest.raises(Killed):
            step = epoch * STEPS + draw.randint(1, STEPS)
            learn(pair, tmp_path / "run", kill_at(step), resume=True)
    summary = learn(pair, tmp_path / "run", resume=True)
    assert summary.epochs == EPOCHS
    assert_same_run(tmp_path / "run", unbroken)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {path.name for path in unbroken.iterdir()}


@pytest.mark.parametrize(
    "options",
    [
        {"optimiser": "sgd", "schedule": "cosine", "accumulate": 2},
        {"schedule": "plateau", "patience": 3, "workers": 2},
        {"architecture": "resunet", "chip": 32, "width": 4, "depth": None},
    ],
    ids=["sgd", "plateau", "resunet"],
)
def test_stopped_within_an_epoch_it_goes_on_at_that_step(pair, tmp_path, monkeypatch, options):
    monkeypatch.setattr("geounet.training.learning.loop.REPORT_EVERY", 1)
    summary = learn(pair, tmp_path / "unbroken", **options)
    every = summary.chips // (OPTIONS["batch"] * options.get("accumulate", 1))
    for step in (1, 4, 5, 9, every):  # after the last one nothing is left but its validation
        stop, last = Event(), []

        def watch(progress, step=step, stop=stop, last=last):
            if progress.stage == "train":
                last.append(progress.done)
                if progress.done >= step:
                    stop.set()

        expected = "the same command with --resume goes on"
        with suppress(Interrupted) if step >= 9 else pytest.raises(Interrupted, match=expected):
            learn(pair, tmp_path / "run", watch, stop, resume=True, **options)
        assert step <= last[-1] <= step + 1
    learn(pair, tmp_path / "run", resume=True, **options)
    assert_same_run(tmp_path / "run", tmp_path / "unbroken")


@pytest.mark.parametrize("stride", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_at_any_moment_of_saving(pair, tmp_path, monkeypatch, stride):
    """Before every (fifth) change of a file in the run folder."""
    learn(pair, tmp_path / "unbroken", epochs=2)
    moments = count_changes(monkeypatch, lambda: learn(pair, tmp_path / "counted", epochs=2))
    assert moments > 12
    for moment in range(1, moments, stride):
        run = tmp_path / str(moment)
        with pytest.raises(Killed), monkeypatch.context() as patch:
            watch_changes(patch, limit=moment)
            learn(pair, run, epochs=2)
        learn(pair, run, epochs=2, resume=True)
        assert_same_run(run, tmp_path / "unbroken")
        assert {p.name for p in run.iterdir()} == {p.name for p in (tmp_path / "counted").iterdir()}


def count_changes(monkeypatch, work):
    with monkeypatch.context() as patch:
        seen = watch_changes(patch, limit=None)
        work()
    return len(seen)


def watch_changes(patch, limit):
    """Kills before the `limit`-th change of a file; the changes so far."""
    seen = []

    def watched(name, change):
        def watch(*arguments, **named):
            if len(seen) == limit:
                raise Killed
            seen.append(name)
            return change(*arguments, **named)

        return watch

    for name in ("write_bytes", "replace", "unlink"):
        patch.setattr(Path, name, watched(name, getattr(Path, name)))
    for place in ("geounet.training.keeping.state", "safetensors.torch"):  # state, then model
        patch.setattr(f"{place}.save_file", watched("save_file", save_file))
    return seen


def cut_in_half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("damage", [cut_in_half, Path.unlink])
def test_a_model_that_a_power_cut_took_is_made_again_from_the_state(pair, tmp_path, damage):
    run = tmp_path / "run"
    learn(pair, run, epochs=1)
    model = run / "model.safetensors"
    before, names = model.read_bytes(), {path.name for path in run.iterdir()}
    damage(model)
    for left in (".state.safetensors.0123abcd.partial", ".tmpVeQykh"):  # ours, and of safetensors
        (run / left).write_bytes(b"half")
    learn(pair, run, epochs=1, resume=True)
    assert model.read_bytes() == before
    assert {path.name for path in run.iterdir()} == names


def test_a_kept_model_that_cannot_be_made_again_is_asked_for(pair, tmp_path, monkeypatch):
    monkeypatch.setattr("geounet.training.learning.loop.REPORT_EVERY", 1)
    run, stop = tmp_path / "run", Event()

    def watch(progress):
        if progress.stage == "train" and progress.done > STEPS:
            stop.set()

    with pytest.raises(Interrupted):
        learn(pair, run, watch, stop)
    model = run / "model.safetensors"
    before = model.read_bytes()
    cut_in_half(model)
    with pytest.raises(ModelError, match=r"model of epoch 1.*put it back, .*--overwrite"):
        learn(pair, run, resume=True)
    model.write_bytes(before)
    assert learn(pair, run, resume=True).epochs == EPOCHS


def test_all_files_of_a_run_have_the_mode_of_new_files(pair, tmp_path):
    before = os.umask(0o027)
    try:
        learn(pair, tmp_path / "run", epochs=1)
        (tmp_path / "other").touch()
    finally:
        os.umask(before)
    mode = (tmp_path / "other").stat().st_mode
    assert {path.name: path.stat().st_mode for path in (tmp_path / "run").iterdir()} == {
        path.name: mode for path in (tmp_path / "run").iterdir()
    }


def test_what_may_change_and_what_not(pair, tmp_path):
    learn(pair, tmp_path / "run", epochs=1)
    for changed, message in (
        ({"lr": 1e-3}, r"--lr is 0.001, but the run in .*run was started with 0.005"),
        ({"width": 8}, "--width is 8"),
        ({"depth": None}, "--depth is not given, but the run in .* was started with 2"),
        ({"clip": 2.0, "patience": 3}, "--clip is 2.0"),
        ({"seed": 1, "chip": 32}, r"--chip is 32.* \(--seed too\)"),
        ({"label_options": LabelOptions(ignore=7)}, "--ignore is 7"),
    ):
        with pytest.raises(UsageError, match=message):
            learn(pair, tmp_path / "run", resume=True, **{"epochs": 1, **changed})
    longer = learn(pair, tmp_path / "run", resume=True, epochs=3, workers=2, patience=9)
    assert longer.epochs == 3
    with pytest.raises(UsageError, match=r"--resume .* --overwrite"):
        TrainOptions(resume=True, overwrite=True)


def test_other_images_are_refused(pair, tmp_path):
    learn(pair, tmp_path / "run", epochs=1)
    image = np.random.default_rng(1).integers(0, 200, (3, 64, 64)).astype(np.uint8)
    other = write_raster(tmp_path / "other.tif", image)
    with pytest.raises(InputError, match="images or labels are not those"):
        learn((other, pair[1]), tmp_path / "run", epochs=2, resume=True)
    before = pair[0].read_bytes()
    try:
        write_raster(pair[0], image)
        with pytest.raises(InputError, match="pixel values or labels are not those"):
            learn(pair, tmp_path / "run", epochs=2, resume=True)
    finally:
        pair[0].write_bytes(before)


def test_folders_that_no_run_can_go_on_in(pair, tmp_path):
    assert learn(pair, tmp_path / "new", epochs=1, resume=True).epochs == 1
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"no state.safetensors to go on from"):
        learn(pair, tmp_path / "notes", resume=True)
    (tmp_path / "new" / "state.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"no state that a run can go on from.*--overwrite"):
        learn(pair, tmp_path / "new", epochs=1, resume=True)


def test_the_state_of_a_scaled_loss_is_kept(tmp_path):
    run, other = (make_run("float16") for _ in range(2))
    run.learner.scaler.scale(torch.ones(1))
    run.learner.scaler.update(1234.0)
    save_state(tmp_path / "state.safetensors", run, {})
    restore(other, load_state(tmp_path / "state.safetensors"))
    assert other.learner.scaler.state_dict()["scale"] == 1234.0


SCRIPT = """
import sys
import geounet.training.options as options
options.EPOCH_CHIPS = (24, 24)
from geounet.cli import main
sys.exit(main())
"""
COMMAND = "--architecture unet --width 4 --depth 2 --chip 16 --batch 2 --epochs 12 --resume"


def start(pair, folder):
    script = f"import sys; sys.argv[0] = 'geounet'\n{textwrap.dedent(SCRIPT)}"
    command = [sys.executable, "-c", script, "train", str(pair[0]), "-l", str(pair[1])]
    return subprocess.Popen(
        [*command, "-o", str(folder), *COMMAND.split(), "--device", "cpu", "-q"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_saving(run, state):
    """Until the run has saved something, or is over."""
    before = state.stat().st_mtime_ns if state.exists() else None
    while run.poll() is None:
        if state.exists() and state.stat().st_mtime_ns != before:
            return
        time.sleep(0.01)


@pytest.mark.slow
def test_the_command_goes_on_after_sigkill_and_sigint(pair, tmp_path):
    with start(pair, tmp_path / "unbroken") as alone:
        said = alone.communicate()[1]
    assert alone.returncode == 0, said
    draw = random.Random(0)
    for number in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with start(pair, tmp_path / "run") as run:
            wait_for_saving(run, tmp_path / "run" / "state.safetensors")
            time.sleep(draw.uniform(0, 0.3))
            run.send_signal(number)
            said = run.communicate(timeout=120)[1]
        assert run.returncode in (0, 130, -number), said
        assert run.returncode != 130 or "--resume goes on" in said
    with start(pair, tmp_path / "run") as run:
        said = run.communicate()[1]
    assert run.returncode == 0, said
    assert_same_run(tmp_path / "run", tmp_path / "unbroken")
