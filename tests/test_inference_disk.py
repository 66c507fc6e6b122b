"""Full, broken and vanishing disks: exit 5 with one line, nothing broken, and it goes on after."""

import errno
import itertools
import os
import shutil
import subprocess
import sys

import pytest
from networks import make_model
from rasters import write_raster
from test_inference_predict import make_pixels

from geounet import files as whole_files
from geounet.cli.app import app
from geounet.cli.boundary import run
from geounet.errors import ResourceError
from geounet.inference import PredictOptions, predict
from geounet.inference.planning import parts
from geounet.inference.running.job import lock_job
from geounet.raster import cog

OUTPUTS = ("mask.tif", "mask.tif.aux.xml", "confidence.tif", "scores.tif")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    path, _ = make_model(folder, depth=2, width=4)
    return write_raster(folder / "scene.tif", make_pixels(530, 560)), path


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(parts, "PART_PIXELS", 150_000)


@pytest.fixture
def cli(capfd, monkeypatch, files):
    """Run predict with all outputs in a folder; returns exit code and stderr."""
    scene, model = files

    def call(folder, *arguments, mask="mask.tif"):
        command = (
            "predict", scene, "-m", model, "-o", folder / mask, "--quiet", "--tile", "256",
            "--precision", "float32", "--confidence", folder / "confidence.tif",
            "--scores", folder / "scores.tif", *arguments,
        )  # fmt: skip
        monkeypatch.setattr(sys, "argv", ["geounet", *map(str, command)])
        code = run(app)
        return code, capfd.readouterr().err

    return call


@pytest.fixture(scope="module")
def expected(tmp_path_factory, files):
    """The bytes of all outputs of a run that nothing disturbs."""
    scene, model = files
    folder = tmp_path_factory.mktemp("whole")
    options = PredictOptions(
        tile=256, precision="float32", engine="torch",
        confidence=folder / "confidence.tif", scores=folder / "scores.tif",
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "PART_PIXELS", 150_000)
        predict(scene, model, folder / "mask.tif", options)
    return read_outputs(folder)


def read_outputs(folder):
    return {name: (folder / name).read_bytes() for name in OUTPUTS if (folder / name).exists()}


def check_line(result, *words):
    code, err = result
    lines = [line for line in err.splitlines() if not line.startswith("_tiff")]  # libtiff's own
    assert code == 5, err
    assert len(lines) == 1, err
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0], err


def check_untouched(folder, expected, old):
    for name in OUTPUTS:
        content = (folder / name).read_bytes() if (folder / name).exists() else None
        assert content in (expected[name], old.get(name)), name


@pytest.fixture
def disk(tmp_path):
    """A file system of its own, and what mounts it anew."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options):
        return subprocess.run(["mount", *options, folder], capture_output=True).returncode == 0

    if os.name == "nt" or os.geteuid() or not mount(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]):
        pytest.skip("mounting a file system needs root")
    try:
        yield folder, lambda options: mount(["-o", f"remount,{options}"])
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("size_kb", [16, 100, 500, 800, 1000, 1200, 1400])
def test_a_full_disk(disk, cli, expected, size_kb, overwrite):
    """It fills at the first part or at a later one, or while the outputs are assembled."""
    folder, remount = disk
    old = {name: name.encode() for name in OUTPUTS} if overwrite else {}
    for name, content in old.items():
        (folder / name).write_bytes(content)
    assert remount(f"size={size_kb}k")
    arguments = ["--overwrite"] if overwrite else []
    check_line(cli(folder, *arguments), "No space left on device", "free space")
    check_untouched(folder, expected, old)
    assert remount("size=64m")
    code, err = cli(folder, *arguments)
    assert (code, err) == (0, "")
    assert read_outputs(folder) == expected
    assert {path.name for path in folder.iterdir()} == set(OUTPUTS)


def test_a_read_only_disk(disk, cli):
    folder, remount = disk
    assert remount("ro")
    check_line(cli(folder), "mask.tif", "Read-only file system")


@pytest.mark.parametrize("kind", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_every_step_that_must_reach_the_disk(tmp_path, cli, expected, monkeypatch, kind):
    """job.json, each part, each output: whichever fails, the same command goes on after."""
    original = whole_files.flush
    for step in range(1, 60, 1 if kind == errno.ENOSPC else 7):
        folder, calls = tmp_path / str(step), itertools.count(1)
        folder.mkdir()
        arguments = ["--overwrite"] if step % 2 else []
        old = {name: name.encode() for name in OUTPUTS} if arguments else {}
        for name, content in old.items():
            (folder / name).write_bytes(content)

        def flush(path, calls=calls, step=step):
            if next(calls) == step:
                raise OSError(kind, os.strerror(kind))
            original(path)

        with monkeypatch.context() as patch:
            patch.setattr(whole_files, "flush", flush)
            patch.setattr(cog, "flush", flush)
            result = cli(folder, *arguments)
        if result[0] == 0:
            break
        check_line(result, os.strerror(kind))
        check_untouched(folder, expected, old)
        assert cli(folder, *arguments)[0] == 0
        assert read_outputs(folder) == expected
        assert {path.name for path in folder.iterdir()} == set(OUTPUTS)
    assert 15 < step < 59


def test_a_rename_that_fails_keeps_the_old_pair(tmp_path, cli, expected, monkeypatch):
    old = {name: name.encode() for name in OUTPUTS}
    for name, content in old.items():
        (tmp_path / name).write_bytes(content)
    original = type(tmp_path).replace

    def replace(self, target):
        if str(target).endswith("mask.tif"):
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        return original(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(type(tmp_path), "replace", replace)
        check_line(cli(tmp_path, "--overwrite"), "mask.tif", "quota")
    assert (tmp_path / "mask.tif").read_bytes() == b"mask.tif"
    assert (tmp_path / "mask.tif.aux.xml").read_bytes() == b"mask.tif.aux.xml"
    assert cli(tmp_path, "--overwrite")[0] == 0
    assert read_outputs(tmp_path) == expected


@pytest.mark.parametrize("kind", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_that_cannot_flush(tmp_path, cli, expected, monkeypatch, kind):
    def refuse(descriptor):
        raise OSError(kind, os.strerror(kind))

    monkeypatch.setattr(os, "fsync", refuse)
    assert cli(tmp_path)[0] == 0
    assert read_outputs(tmp_path) == expected


def test_a_folder_that_disappears(tmp_path, files):
    scene, model = files
    folder = tmp_path / "out"
    folder.mkdir()

    def remove(progress):
        if progress.done > 100_000:
            shutil.rmtree(folder, ignore_errors=True)

    with pytest.raises(ResourceError, match=r"mask.tif.parts.*cannot be written \(No such file"):
        predict(scene, model, folder / "mask.tif", PredictOptions(tile=128), remove)
    assert not folder.exists()


def test_names_that_cannot_be(tmp_path, cli):
    (tmp_path / "file").write_text("")
    for folder, name, says in (
        (tmp_path, "x" * 240 + ".tif", "longer than 240 bytes"),
        (tmp_path, "x" * 300 + ".tif", "longer than 240 bytes"),
        (tmp_path / "file", "mask.tif", "is a file"),
    ):
        code, err = cli(folder, mask=name)
        assert code == 2, err
        assert says in err
        assert len(err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_name_that_is_just_short_enough(tmp_path, files):
    scene, model = files
    name = "x" * 236 + ".tif"
    predict(scene, model, tmp_path / name)
    assert {path.name for path in tmp_path.iterdir()} == {name, f"{name}.aux.xml"}


def test_two_runs_of_one_output(tmp_path, cli, expected):
    """The second is refused, and takes nothing from the first."""
    with lock_job(tmp_path / "mask.tif"):
        (tmp_path / "mask.tif.parts" / "mask-000000000.tif").write_text("of the first")
        for arguments in ((), ("--overwrite",)):
            check_line(cli(tmp_path, *arguments), "mask.tif is being written by another run")
        assert (tmp_path / "mask.tif.parts" / "mask-000000000.tif").exists()
        (tmp_path / "mask.tif.parts" / "mask-000000000.tif").unlink()
    assert list(tmp_path.iterdir()) == []
    assert cli(tmp_path)[0] == 0
    assert read_outputs(tmp_path) == expected


def test_two_runs_that_share_one_further_output(tmp_path, files):
    scene, model = files
    with cog._workspace(tmp_path / "scores.tif"):
        options = PredictOptions(scores=tmp_path / "scores.tif")
        with pytest.raises(ResourceError, match=r"scores\.tif is being written by another run"):
            predict(scene, model, tmp_path / "mask.tif", options)
    predict(scene, model, tmp_path / "mask.tif", options)


@pytest.mark.parametrize("size", [0, 500, -1])
@pytest.mark.parametrize("name", ["mask", "scores"])
def test_a_part_that_was_cut_off_is_computed_again(
    tmp_path, cli, expected, monkeypatch, name, size
):
    """By a copy to another machine that broke off; -1: without its last byte."""
    with monkeypatch.context() as patch:
        patch.setattr(cog, "write_overviews", lambda *_: (_ for _ in ()).throw(OSError("stop")))
        assert cli(tmp_path)[0] == 5
    damaged = sorted((tmp_path / "mask.tif.parts").glob(f"{name}-*.tif"))[1]
    damaged.write_bytes(damaged.read_bytes()[:size])
    assert cli(tmp_path)[0] == 0
    assert read_outputs(tmp_path) == expected


def test_a_job_that_lost_its_description(tmp_path, cli, expected, monkeypatch):
    """Parts without a readable job.json are whose? They are kept until someone says otherwise."""
    with monkeypatch.context() as patch:
        patch.setattr(cog, "write_overviews", lambda *_: (_ for _ in ()).throw(OSError("stop")))
        cli(tmp_path)
    (tmp_path / "mask.tif.parts" / "job.json").write_text("")
    code, err = cli(tmp_path)
    assert code == 3
    assert "without a readable job.json" in err
    assert list((tmp_path / "mask.tif.parts").glob("mask-*.tif"))
    assert cli(tmp_path, "--overwrite")[0] == 0
    assert read_outputs(tmp_path) == expected
