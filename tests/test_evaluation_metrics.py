"""Metrics and confusion matrices against scikit-learn."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from geounet.classes import make_classes
from geounet.evaluation import ConfusionMatrix

CLASSES = make_classes(["a", "b", "c", "d"], [0, 2, 7, 254])
VALUES = [item.value for item in CLASSES]


@st.composite
def label_and_mask(draw):
    """Arrays in which classes may be absent from one or both, with and without 255."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.tuples(st.integers(0, 12), st.integers(1, 12)))
    choices = st.lists(st.sampled_from([*VALUES, 255]), min_size=1, max_size=5, unique=True)
    return tuple(rng.choice(draw(choices), shape).astype("uint8") for _ in range(2))


def close(value, expected):
    """Equal, and None exactly where the reference has NaN."""
    return expected != expected if value is None else value == pytest.approx(float(expected))


@settings(deadline=None, max_examples=150)
@given(arrays=label_and_mask())
def test_metrics_are_those_of_scikit_learn(arrays):
    labels, mask = arrays
    matrix = ConfusionMatrix(CLASSES)
    matrix.add(labels, mask)
    counted = (labels != 255) & (mask != 255)
    truth, guess = labels[counted], mask[counted]
    result = matrix.metrics()
    assert result.pixels == truth.size
    if not truth.size:
        assert not matrix.counts.any()
        assert result.overall_accuracy is result.mean_iou is result.kappa is result.mcc is None
        return
    by_class = {"labels": VALUES, "average": None, "zero_division": np.nan}
    assert (matrix.counts == reference.confusion_matrix(truth, guess, labels=VALUES)).all()
    scores = reference.precision_recall_fscore_support(truth, guess, **by_class)
    for k, item in enumerate(result.classes):
        precision, recall, dice, support = (column[k] for column in scores)
        assert close(item.precision, precision)
        assert close(item.recall, recall)
        assert close(item.dice, dice)
        assert item.support == support
        assert item.predicted == (guess == item.value).sum()
        either = (truth == item.value) | (guess == item.value)
        both = (truth == item.value) & (guess == item.value)
        assert item.iou == (both.sum() / either.sum() if either.any() else None)
    present = np.union1d(truth, guess)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # classes that are only predicted
        balanced = reference.balanced_accuracy_score(truth, guess)
    mean_iou = reference.jaccard_score(truth, guess, labels=present, average="macro")
    weighted_iou = reference.jaccard_score(truth, guess, labels=present, average="weighted")
    assert close(result.mean_iou, mean_iou)
    assert close(result.frequency_weighted_iou, weighted_iou)
    assert close(result.overall_accuracy, reference.accuracy_score(truth, guess))
    assert close(result.balanced_accuracy, balanced)
    if present.size > 1:
        assert close(result.kappa, reference.cohen_kappa_score(truth, guess))
    else:
        assert result.kappa is None
    if np.unique(truth).size > 1 and np.unique(guess).size > 1:
        assert close(result.mcc, reference.matthews_corrcoef(truth, guess))
    else:
        assert result.mcc is None


@settings(deadline=None, max_examples=50)
@given(arrays=label_and_mask(), step=st.integers(1, 13))
def test_windows_add_up_to_the_whole(arrays, step):
    whole, pieces, other = (ConfusionMatrix(CLASSES) for _ in range(3))
    labels, mask = arrays
    whole.add(labels, mask)
    for i, row in enumerate(range(0, len(labels), step)):
        rows = slice(row, row + step)
        (pieces if i % 2 else other).add(labels[rows], mask[rows])
    pieces.merge(other)
    assert (pieces.counts == whole.counts).all()
    assert (pieces.unpredicted == whole.unpredicted).all()
    assert pieces.metrics() == whole.metrics()


def test_labelled_pixels_without_prediction_are_counted_apart():
    matrix = ConfusionMatrix(CLASSES)
    matrix.add(np.array([0, 2, 2, 255, 7], "uint8"), np.array([255, 255, 2, 255, 0], "uint8"))
    assert matrix.unpredicted.tolist() == [1, 1, 0, 0]
    assert matrix.metrics().pixels == 2


def test_a_class_that_is_nowhere_is_undefined_and_not_zero():
    matrix = ConfusionMatrix(CLASSES)
    matrix.add(np.array([0, 2], "uint8"), np.array([0, 7], "uint8"))
    by_name = {item.name: item for item in matrix.metrics().classes}
    assert (by_name["b"].iou, by_name["b"].precision, by_name["b"].recall) == (0.0, None, 0.0)
    assert (by_name["c"].iou, by_name["c"].precision, by_name["c"].recall) == (0.0, 0.0, None)
    assert (by_name["d"].iou, by_name["d"].dice, by_name["d"].support) == (None, None, 0)
    assert matrix.metrics().mean_iou == pytest.approx(1 / 3)
    assert json.loads(json.dumps(matrix.metrics().to_dict()))["classes"][3]["iou"] is None


def test_large_counts_stay_exact():
    matrix = ConfusionMatrix(make_classes("ab"))
    matrix.counts[:] = [[6 * 10**12, 10**12], [2 * 10**12, 10**12]]
    small = ConfusionMatrix(make_classes("ab"))
    small.counts[:] = [[6, 1], [2, 1]]
    assert matrix.metrics().kappa == small.metrics().kappa
    assert matrix.metrics().mcc == pytest.approx(small.metrics().mcc)


def test_what_is_no_class_is_not_counted_silently():
    matrix = ConfusionMatrix(CLASSES)
    with pytest.raises(ValueError, match="values other than the classes"):
        matrix.add(np.array([0, 1], "uint8"), np.array([0, 0], "uint8"))
    with pytest.raises(ValueError, match="differ in shape"):
        matrix.add(np.zeros(2, "uint8"), np.zeros(3, "uint8"))
    with pytest.raises(ValueError, match="different classes"):
        matrix.merge(ConfusionMatrix(CLASSES[:2]))
    assert not matrix.counts.any()
