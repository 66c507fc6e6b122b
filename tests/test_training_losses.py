"""The loss against closed forms."""

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from torch.nn import functional

from geounet.training.losses import SMOOTH, cross_entropy, dice_loss, one_hot, segmentation_loss


def make(seed=0, classes=3, shape=(2, 6, 5)):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(shape[0], classes, *shape[1:], generator=generator)
    labels = torch.randint(classes, shape, generator=generator).to(torch.uint8)
    labels[torch.rand(shape, generator=generator) < 0.3] = 255
    return scores, labels


def test_one_hot_marks_each_labelled_pixel_once():
    _, labels = make()
    truth = one_hot(labels, 3)
    assert (truth.sum(dim=1) == (labels != 255)).all()
    assert (truth.int().argmax(dim=1)[labels != 255] == labels[labels != 255]).all()


def test_cross_entropy_is_the_mean_over_labelled_pixels():
    scores, labels = make()
    found = cross_entropy(scores.log_softmax(dim=1), one_hot(labels, 3))
    expected = functional.cross_entropy(scores, labels.long(), ignore_index=255)
    assert float(found) == pytest.approx(float(expected), rel=1e-6)
    known = (labels != 255).numpy()
    probability = scores.softmax(dim=1).permute(0, 2, 3, 1).numpy()[known].astype(np.float64)
    probability /= probability.sum(axis=1, keepdims=True)
    assert float(found) == pytest.approx(log_loss(labels.numpy()[known], probability), rel=1e-5)


def test_dice_of_hard_predictions_is_that_of_sets():
    truth = torch.tensor([[[0, 0, 1, 1, 255]]], dtype=torch.uint8)
    predicted = one_hot(torch.tensor([[[0, 1, 1, 1, 0]]], dtype=torch.uint8), 2).float()
    first = (2 * 1 + SMOOTH) / (1 + 2 + SMOOTH)
    second = (2 * 2 + SMOOTH) / (3 + 2 + SMOOTH)
    found = dice_loss(predicted, one_hot(truth, 2))
    assert float(found) == pytest.approx(1 - (first + second) / 2)


def test_a_perfect_prediction_costs_nothing():
    _, labels = make()
    scores = 100.0 * one_hot(labels, 3).float()
    assert float(segmentation_loss(scores, labels)) == pytest.approx(0, abs=1e-6)


def test_ignored_pixels_have_no_gradient_at_all():
    scores, labels = make()
    scores.requires_grad_()
    segmentation_loss(scores, labels).backward()
    ignored = (labels == 255)[:, None].expand_as(scores)
    assert (scores.grad[ignored] == 0).all()
    assert (scores.grad[~ignored] != 0).any()


def test_ignored_pixels_do_not_change_the_loss():
    scores, labels = make()
    other = torch.where((labels == 255)[:, None], torch.tensor(50.0), scores)
    assert segmentation_loss(scores, labels) == segmentation_loss(other, labels)


def test_all_ignored_is_zero_with_zero_gradient():
    scores, labels = make()
    labels[:] = 255
    scores.requires_grad_()
    loss = segmentation_loss(scores, labels)
    loss.backward()
    assert loss.item() == 0
    assert (scores.grad == 0).all()


def test_the_gradient_is_that_of_finite_differences():
    scores, labels = make(shape=(1, 3, 3))

    def loss(values):
        log_probability = values.log_softmax(dim=1)
        truth = one_hot(labels, 3)
        return cross_entropy(log_probability, truth) + dice_loss(log_probability.exp(), truth)

    assert torch.autograd.gradcheck(loss, scores.double().requires_grad_())
