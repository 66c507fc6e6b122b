"""The examples run as they stand, only smaller."""

import importlib.util
import re
import shlex
from contextlib import contextmanager
from pathlib import Path

import geopandas
import pytest
from networks import make_model
from rasters import write_raster
from test_inference_predict import make_pixels

from geounet.cli.app import app
from geounet.cli.boundary import run
from geounet.inference.cluster import driving
from geounet.inference.cluster.cluster import Cluster
from geounet.inference.planning import parts

EXAMPLES = Path(__file__).parent.parent / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_from_python(tmp_path, capsys):
    load("from_python").main(tmp_path, side=384, epochs=1)
    out = capsys.readouterr().out
    assert "predict: 147456 of 147456 px" in out
    assert "building" in out
    assert len(geopandas.read_file(tmp_path / "map.gpkg", layer="polygons")) > 0


def list_commands(page):
    """The lines of the page's bash blocks, without comments."""
    text = (EXAMPLES / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]


def test_scaling(tmp_path, monkeypatch):
    """Every command of the page, on two small scenes; all ways end in the same bytes."""
    distributed = pytest.importorskip("distributed")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scenes").mkdir()
    for name, rows in (("a", 200), ("b", 90)):
        write_raster(tmp_path / "scenes" / f"{name}.tif", make_pixels(rows, 90))
    make_model(tmp_path, depth=2, width=4)[0].rename(tmp_path / "model.safetensors")

    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):

        @contextmanager
        def open_here(where, options):
            yield Cluster(client, where, 1)

        monkeypatch.setattr(parts, "PART_PIXELS", 3000)
        monkeypatch.setattr(driving, "open_cluster", open_here)
        for command in list_commands("scaling.md"):
            if command[:1] == ["geounet"]:
                monkeypatch.setattr("sys.argv", [*command, "--tile", "32", "-q"])
                assert run(app) == 0, command
            elif command:
                assert command[:2] in (["dask", "scheduler"], ["dask", "worker"])
    for name in ("a.tif", "b.tif"):
        found = {path.parent.name: path.read_bytes() for path in tmp_path.glob(f"maps-*/{name}")}
        assert set(found) == {"maps-local", "maps-dask", "maps-shards"}
        assert len(set(found.values())) == 1
