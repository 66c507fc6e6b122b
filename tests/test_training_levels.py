"""What the decoder's lower levels learn from."""

import numpy as np
import pytest
import torch
from test_training_average import make_run
from torch import nn

from geounet.models import build_network
from geounet.training.augment.augmentation import Pixels
from geounet.training.data.chips import Batch
from geounet.training.learning.levels import SIDES_WEIGHT, Levels, sum_losses
from geounet.training.learning.muon import group_weights
from geounet.training.learning.seeds import seed_step
from geounet.training.learning.step import compute_loss
from geounet.training.loss.loss_options import LossOptions
from geounet.training.loss.losses import make_loss

CPU = torch.device("cpu")


def make_resunet(classes=3):
    torch.manual_seed(0)
    return build_network("resunet", 2, classes, {"width": 8})


def make_pixels(side=64, seed=0):
    rng = np.random.default_rng(seed)
    labels = torch.from_numpy(rng.choice([0, 1, 2, 255], (2, side, side)).astype(np.uint8))
    border = torch.from_numpy(rng.random((2, side, side), np.float32))
    return Pixels(torch.randn(2, 2, side, side), labels != 255, labels, (border,))


def test_levels_are_the_scores_and_those_of_lower_resolutions():
    network, x = make_resunet().eval(), torch.randn(2, 2, 64, 96)
    first, *sides = Levels(network)(x)
    assert torch.equal(first, network(x))
    assert [tuple(side.shape) for side in sides] == [(2, 3, 4, 6), (2, 3, 8, 12), (2, 3, 16, 24)]
    (only,) = Levels(nn.Conv2d(2, 3, 3, padding=1))(x)
    assert only.shape == (2, 3, 64, 96)


def test_losses_are_added_up_each_at_its_own_resolution():
    pixels = make_pixels()
    loss = make_loss(LossOptions(loss="ce+dice", border_weight=10.0), (0.5, 0.3, 0.2), CPU)
    scores = [torch.randn(2, 3, side, side) for side in (64, 4, 16)]
    expected = loss(scores[0], pixels.labels, *pixels.others)
    for side, factor in zip(scores[1:], (16, 4), strict=True):
        middle = factor // 2 + factor * np.arange(64 // factor)
        labels, border = (
            torch.from_numpy(plane.numpy()[:, middle[:, None], middle])
            for plane in (pixels.labels, pixels.others[0])
        )
        expected = expected + SIDES_WEIGHT / 2 * loss(side, labels, border)
    assert float(sum_losses(loss, scores, pixels)) == pytest.approx(float(expected), rel=1e-6)
    alone = sum_losses(loss, scores[:1], pixels)
    assert torch.equal(alone, loss(scores[0], pixels.labels, *pixels.others))


def test_what_is_ignored_has_no_gradient_at_any_level():
    pixels = make_pixels()
    pixels.labels[0] = 255
    loss = make_loss(LossOptions(), (0.5, 0.3, 0.2), CPU)
    scores = [torch.randn(2, 3, side, side, requires_grad=True) for side in (64, 4, 8)]
    sum_losses(loss, scores, pixels).backward()
    for level in scores:
        assert not level.grad[0].any()
        assert level.grad[1].any()


def test_a_step_teaches_all_levels_and_prediction_needs_none(monkeypatch):
    run = make_run()
    network = make_resunet(classes=2)
    monkeypatch.setitem(vars(run.learner), "forward", Levels(network))
    rng = np.random.default_rng(0)
    image = rng.integers(0, 2, (2, 2, 64, 64), dtype=np.uint8)
    labels = rng.integers(0, 2, (2, 64, 64), dtype=np.uint8)
    batch = Batch(image, labels < 9, labels)
    compute_loss(run.learner, batch, seed_step(0, 1, 0)).backward()
    assert all(p.grad is not None and p.grad.any() for p in network.sides.parameters())
    before = network.eval()(torch.zeros(1, 2, 64, 64))
    for parameter in network.sides.parameters():
        nn.init.normal_(parameter)
    assert torch.equal(network(torch.zeros(1, 2, 64, 64)), before)


def test_scores_of_levels_are_no_directions_for_muon():
    network = make_resunet()
    maps, others, _ = group_weights(network, 0.01)
    scoring = [network.stem[0].weight, *(head.weight for head in (network.head, *network.sides))]
    assert {id(p) for p in others["params"]} == {id(p) for p in scoring}
    assert not {id(p) for p in maps["params"]} & {id(p) for p in scoring}
