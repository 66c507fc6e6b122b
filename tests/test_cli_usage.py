"""Wrong usage: what, what was found, what to do, in our words and not in the parser's."""

import sys

import pytest

from geounet.cli.app import app
from geounet.cli.boundary import run


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("predict s.tif -o m.tif", "--model / -m is missing; give it; see "),
        ("predict -m m -o o", "IMAGE is missing; give it; see "),
        (
            "polygonize m.tif m.gpkg --min-area 5ha",
            "--min-area is '5ha'; give a number; see ",
        ),
        (
            "train s.tif -o run --epochs 2.5",
            "--epochs is '2.5'; give a whole number; see ",
        ),
        (
            "train s.tif -o run --schedule up",
            "Invalid value for '--schedule': 'up' is not one of 'one-cycle', 'cosine', 'plateau'; "
            "see ",
        ),
        ("train s.tif -l l.tif", "--output is missing; give the folder of the run with -o FOLDER"),
        (
            "train none.tif --show-augmentation a.png",
            "there are no labels; give them with --labels",
        ),
    ],
)
def test_lines(capsys, monkeypatch, tmp_path, command, line):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["geounet", *command.split()])
    assert run(app) in (2, 3)
    found = capsys.readouterr().err
    assert found.count("\n") == 1
    assert found.startswith(f"error: {line}")


def test_help_is_wrapped_by_the_terminal_alone(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setattr(sys, "argv", ["geounet", "train", "--help"])
    assert run(app) == 0
    lines = [line.strip() for line in capsys.readouterr().out.split("Arguments")[0].splitlines()]
    first = lines.index("The run folder holds the model")
    assert lines[first + 1] == "(model.safetensors) and report.html, which shows"
    assert lines[first + 2] == "how good it is on held-out blocks of the scenes,"
