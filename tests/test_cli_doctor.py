"""`geounet doctor`: true facts, and never a crash."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec

import pytest
import rasterio
import shapely
import torch
import tqdm

from geounet.cli.app import app
from geounet.cli.boundary import run
from geounet.cli.checkup import examine, machine, packages, speed, trying
from geounet.cli.doctor import describe


@pytest.fixture(scope="module")
def facts():
    return examine(is_timed=False)


def find(items, name):
    return next(item for item in items if item["name"] == name)


def test_versions_are_those_of_the_packages(facts):
    assert facts["libraries"]["GDAL"] == rasterio.__gdal_version__
    assert facts["libraries"]["GEOS"] == shapely.geos_version_string
    assert find(facts["packages"], "torch")["version"] == torch.__version__.split("+")[0]
    assert find(facts["packages"], "rasterio")["extra"] is None
    assert find(facts["packages"], "openvino")["extra"] == "openvino"
    assert "ruff" not in [package["name"] for package in facts["packages"]]


def test_machine_and_devices(facts):
    assert 0 < facts["machine"]["usable_cores"] <= os.cpu_count()
    assert facts["machine"]["free_disk_bytes"] == pytest.approx(
        shutil.disk_usage(".").free, rel=0.1
    )
    assert [device["name"] for device in facts["devices"]][-1] == "cpu"
    assert facts["devices"][-1]["precision"] in ("float32", "bfloat16")
    assert facts["formats"]["COG"]
    assert facts["formats"]["GPKG"]
    assert facts["formats"]["GTiff DEFLATE"]


def test_the_chosen_engine_is_that_of_predict(facts):
    is_openvino = not torch.cuda.is_available() and find_spec("openvino") is not None
    chosen = [engine["name"] for engine in facts["engines"] if engine["is_chosen"]]
    assert chosen == ["openvino" if is_openvino else "torch"]
    assert facts["can_predict"]
    assert facts["scene_s"] is None
    assert json.loads(json.dumps(facts)) == facts


def test_why_an_engine_is_chosen():
    def report(name, device="cpu", *, is_chosen=True):
        return speed.EngineReport(name, is_chosen, device, "float32", 2.0, None)

    assert "fastest" in speed.explain_choice([report("torch", is_chosen=False), report("openvino")])
    assert "cuda:0" in speed.explain_choice([report("torch", "cuda:0")])
    assert "pip install 'geounet[openvino]'" in speed.explain_choice([report("torch")])
    assert speed.explain_choice([]) == "no engine runs here"


def test_the_slowest_stage_decides_how_long_a_scene_takes():
    engine = speed.EngineReport("torch", True, "cpu", "float32", 2.0, None)
    assert speed.foresee_scene([engine], speed.DiskReport(50, 300)) == pytest.approx(50)
    assert speed.foresee_scene([engine], speed.DiskReport(1, 300)) == pytest.approx(100)
    assert speed.foresee_scene([engine], speed.DiskReport(50, 3)) == pytest.approx(100)
    assert speed.foresee_scene([engine], trying.Problem("none")) is None


def test_disk_speed_is_measured():
    report = speed.time_disk()
    assert report.write_mb_per_s > 1
    assert report.read_mb_per_s > 1


@pytest.mark.slow
def test_speed_is_measured():
    engine = find([vars(report) for report in speed.check_engines(is_timed=True)], "torch")
    assert engine["mpx_per_s"] > 0


def test_what_is_broken_is_a_line(monkeypatch):
    def break_import(name):
        raise OSError(f"{name}: a library\nis missing")

    monkeypatch.setattr(packages.importlib, "import_module", break_import)
    monkeypatch.setattr(machine, "_name_devices", lambda: break_import("torch"))
    monkeypatch.setattr(machine, "_find_drivers", lambda: break_import("rasterio"))
    monkeypatch.setattr(speed, "_start", lambda name: break_import("torch"))
    facts = examine(is_timed=True)
    assert not facts["can_predict"]
    assert "a library is missing" in find(facts["packages"], "rasterio")["problem"]
    assert facts["libraries"]["GDAL"] == "OSError: rasterio: a library is missing"
    assert facts["devices"][0]["problem"]
    assert not facts["formats"]["COG"]
    assert all("\n" not in line for line in describe(facts))


def test_a_missing_extra_and_an_old_package_say_what_to_do(monkeypatch):
    def find_version(name):
        if name in ("openvino", "tqdm"):
            raise packages.importlib.metadata.PackageNotFoundError(name)
        return "0.9.0" if name == "shapely" else "99.0"

    monkeypatch.setattr(packages.importlib.metadata, "version", find_version)
    monkeypatch.setitem(sys.modules, "openvino", None)
    found = {package.name: package for package in packages.list_packages()}
    assert found["openvino"].problem == "not installed; pip install -U 'geounet[openvino]'"
    assert found["shapely"].problem == "older than 2.1; pip install -U 'geounet'"
    assert found["numpy"].problem is None
    assert (found["tqdm"].version, found["tqdm"].problem) == (tqdm.__version__, None)


def test_exit_codes(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["geounet", "doctor", "--no-speed", "--json"])
    assert run(app) == 0
    assert json.loads(capsys.readouterr().out)["can_predict"]
    monkeypatch.setattr(speed, "_start", lambda name: 1 / 0)
    assert run(app) == 5
    told = capsys.readouterr()
    assert json.loads(told.out)["reason"].startswith("torch: ZeroDivisionError")
    assert told.err.startswith("error: geounet cannot predict here; torch: ZeroDivisionError")


@pytest.mark.slow
def test_it_survives_a_package_that_cannot_be_loaded(tmp_path):
    (tmp_path / "rasterio.py").write_text("raise ImportError('libgdal.so: cannot open')")
    command = [sys.executable, "-m", "geounet", "doctor", "--no-speed"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=environment, text=True, capture_output=True)
    assert done.returncode == 5, done.stderr
    assert "libgdal.so: cannot open" in done.stdout
    assert done.stderr.count("\n") == 1
