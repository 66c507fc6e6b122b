"""What `auto` means: a batch that memory has room for, a learning rate by a range test."""

import numpy as np
import pytest
import torch
from rasters import write_raster
from torch import nn

from geounet.inference import Runtime
from geounet.models import UNet
from geounet.training import TrainOptions, train
from geounet.training.learning.choosing import choose_batch, choose_lr, measure_chip

CPU = Runtime(torch.device("cpu"), "float32")


def test_what_is_kept_of_a_chip_is_counted():
    """Of convolution, ReLU in place and convolution: the input and the activations between."""
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(inplace=True), nn.Conv2d(8, 2, 1))
    before = [p.detach().clone() for p in network.parameters()]
    assert measure_chip(network, (3, 32), CPU) == 4 * 32 * 32 * (3 + 8 + 2)
    assert all((a == b).all() for a, b in zip(before, network.parameters(), strict=True))


def test_running_statistics_are_not_touched():
    network = UNet(2, 2, width=4, depth=1, padding="same", norm="batch")
    before = {k: v.clone() for k, v in network.state_dict().items()}
    measure_chip(network, (2, 16), CPU)
    assert all((v == before[k]).all() for k, v in network.state_dict().items())


@pytest.mark.parametrize(
    ("kind", "chips", "expected"),
    [("cpu", 1000, 8), ("cpu", 5.5, 4), ("cpu", 0.1, 1), ("meta", 1000, 32), ("meta", 17, 16)],
)
def test_the_batch_is_what_memory_has_room_for(monkeypatch, kind, chips, expected):
    network = UNet(3, 2, width=4, depth=1, padding="same", norm="none")
    chip_bytes = measure_chip(network, (3, 32), CPU)
    free = int(2 * 2 * chips * chip_bytes) + 1  # workspace, and half of what is free
    monkeypatch.setattr("geounet.training.learning.choosing.free_memory", lambda device: free)
    monkeypatch.setattr("geounet.training.learning.choosing.measure_chip", lambda *_: chip_bytes)
    assert choose_batch(network, 3, 32, Runtime(torch.device(kind), "float32")) == expected


def test_the_rate_lies_between_the_steepest_fall_and_a_tenth_of_the_lowest():
    rates = [10.0**k for k in range(-5, 1)]
    assert choose_lr(list(zip(rates, [1.0, 0.9, 0.5, 0.4, 0.45, 3.0], strict=True))) == 3.2e-4
    assert choose_lr([(1e-5, 1.0), (1e-4, 2.0)]) == 3.2e-6


def test_a_run_that_chooses_learns_and_goes_on_as_it_chose(tmp_path, monkeypatch):
    monkeypatch.setattr("geounet.training.options.EPOCH_CHIPS", (96, 96))
    rng = np.random.default_rng(0)
    labels = np.kron(rng.random((12, 12)) < 0.4, np.ones((8, 8))).astype(np.uint8)
    image = (rng.integers(0, 50, (3, 96, 96)) + 120 * labels).astype(np.uint8)
    image = write_raster(tmp_path / "image.tif", image)
    labels = write_raster(tmp_path / "labels.tif", labels)
    options = {"architecture": "unet", "width": 4, "depth": 2, "chip": 32, "augment": "none"}
    options |= {"batch": None, "lr": None, "device": "cpu", "precision": "float32", "workers": 0}

    def learn(folder, **more):
        return train([image], [labels], tmp_path / folder, TrainOptions(**options, **more))

    first = learn("a", epochs=4)
    assert first.batch == 8
    assert 1e-3 < first.lr < 1
    assert first.metrics.mean_iou > 0.9
    assert learn("b", epochs=1).lr == first.lr
    monkeypatch.setattr("geounet.training.learning.choosing.choose_lr", lambda curve: 1e-9)
    assert learn("b", epochs=2, resume=True).lr == first.lr
