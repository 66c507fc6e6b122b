"""What all tests share."""

import pytest


@pytest.fixture(autouse=True)
def torch_is_the_engine(request, monkeypatch):
    """`--engine auto` is torch, installed or not: OpenVINO takes a second to start.

    Tests of the choice itself are marked `chooses_engine`.
    """
    if "chooses_engine" not in request.keywords:
        monkeypatch.setattr("geounet.inference.starting.fits_openvino", lambda *_: False)
