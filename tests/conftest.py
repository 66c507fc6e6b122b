"""What all tests share."""

import os
import sys

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # the workers share the cores; set before torch is imported
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure(config):
    """Leave GPUs to the tests of GPUs: the others say what `--device auto` gives without one."""
    if "not gpu" in config.option.markexpr:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pytest.fixture(autouse=True)
def torch_is_the_engine(request, monkeypatch):
    """`--engine auto` is torch, installed or not: OpenVINO takes a second to start.

    Tests of the choice itself are marked `chooses_engine`.
    """
    if "chooses_engine" not in request.keywords:
        monkeypatch.setattr("geounet.inference.engines.starting.fits_openvino", lambda *_: False)


@pytest.fixture
def cli(capsys, monkeypatch, tmp_path):
    """Run a command in a folder of its own; returns exit code, stdout, stderr."""
    from geounet.cli.app import app
    from geounet.cli.boundary import run

    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["geounet", *map(str, arguments)])
        code = run(app)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call
