"""The examples run as they stand, only smaller."""

import importlib.util
from pathlib import Path

import geopandas

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
