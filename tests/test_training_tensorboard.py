"""Event files, read back by TensorBoard itself."""

import sys
from contextlib import closing

import pytest

from geounet.classes import make_classes
from geounet.errors import UsageError
from geounet.evaluation.measures.metrics import compute_metrics
from geounet.training.keeping.history import Epoch, EpochResult
from geounet.training.keeping.tensorboard import EventFile, check_tensorboard


def make_epoch(number, loss):
    metrics = compute_metrics(make_classes(["a", "b"]), [[3, 1], [0, 4]])
    return Epoch(number, EpochResult(loss, 5, 1.0, 0.1), metrics, 10.0 * number, 1e-3)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_epochs_done_once_more_replace_those_before(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with closing(EventFile(tmp_path)) as events:
        assert not list(tmp_path.iterdir())  # a run that is killed now starts again
        for number in (1, 2, 3):
            events.add(make_epoch(number, 1 / number))
    with closing(EventFile(tmp_path)) as events:
        events.add(make_epoch(3, 0.25))
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in found.Scalars("loss")] == [(1, 1.0), (2, 0.5), (3, 0.25)]
    assert found.Scalars("iou_b")[-1].value == pytest.approx(0.8)


def test_a_missing_package_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match=r"geounet\[tensorboard\]"):
        check_tensorboard()
