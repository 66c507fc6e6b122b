"""Which epoch's model is kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geounet.evaluation import Metrics
from geounet.training.keeping.history import TOLERANCE, Epoch, EpochResult, find_best, find_kept


def make_epochs(scores):
    """Epochs with these mean IoUs."""
    metrics = (Metrics((), 1, score, score, score, score, None, None) for score in scores)
    result = EpochResult(1.0, 5, 1.0, 0.1)
    return [Epoch(number, result, m, 1.0, 1e-3) for number, m in enumerate(metrics, 1)]


@pytest.mark.parametrize(
    ("scores", "best", "kept"),
    [
        ([0.5, 0.81, 0.70, 0.80], 2, 4),
        ([0.5, 0.83, 0.70, 0.80], 2, 2),
        ([0.80, 0.80, 0.80], 1, 3),
        ([0.9, None], 1, 1),
        ([None], 1, 1),
    ],
)
def test_of_epochs_about_as_good_the_latest_is_kept(scores, best, kept):
    epochs = make_epochs(scores)
    assert (find_best(epochs).number, find_kept(epochs).number) == (best, kept)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_what_was_kept_last_is_what_is_kept_in_the_end(scores):
    """Models are written when their epoch is over, and no earlier one can come back."""
    epochs, kept = make_epochs(scores), 0
    for number in range(1, len(epochs) + 1):
        if find_kept(epochs[:number]).number == number:
            kept = number
    assert find_kept(epochs).number == kept
    assert epochs[kept - 1].score >= max(scores) - TOLERANCE
