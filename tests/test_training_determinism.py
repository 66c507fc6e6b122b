"""The same seed gives the same bits; what is switched for it is switched back."""

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from team_steps import learn, make_quick
from test_training_team import make_scene
from torch.backends import cudnn
from torch.utils import deterministic

from geounet.training.learning.seeds import seeded
from geounet.training.loss.loss_options import LossOptions


def read_switches():
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        deterministic.fill_uninitialized_memory,
        cudnn.deterministic,
        cudnn.benchmark,
    )


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_kernels_are_chosen_for_cuda_and_only_meanwhile(kind, monkeypatch):
    """Without a device: the random numbers of one cannot be forked here."""
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices: torch.no_grad())
    monkeypatch.setattr(cudnn, "benchmark", True)
    before = read_switches()
    with pytest.raises(KeyError), seeded(0, torch.device(kind)):
        if kind == "cuda":
            assert read_switches() == (True, True, False, True, False)
        else:
            assert read_switches() == before
        raise KeyError
    assert read_switches() == before


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("architecture", ["unet", "resunet", "lightunet", "fcn8s"])
def test_on_one_gpu_the_same_seed_gives_the_same_bits(
    tmp_path, monkeypatch, architecture, precision
):
    make_quick(monkeypatch.setattr)
    make_scene(tmp_path)
    options = {
        "architecture": architecture,
        "depth": 2 if architecture.endswith("unet") and architecture != "resunet" else None,
        "width": 8,
        "device": "cuda",
        "precision": precision,
        "augment": "strong",
        "loss_options": LossOptions(loss="ce+dice+focal", border_weight=10),
    }
    learn(tmp_path, "first", **options)
    torch.cuda.empty_cache()
    torch.rand(1000, device="cuda")  # others' random numbers have no part in it
    learn(tmp_path, "second", **options)
    first, second = (load_file(tmp_path / run / "state.safetensors") for run in ("first", "second"))
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)
