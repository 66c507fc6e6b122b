"""The Muon optimiser against its definition by singular values."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from geounet.models import ARCHITECTURES
from geounet.training.learning.muon import Muon, group_weights, orthogonalise


def quintic(singular):
    """What the iteration makes of singular values, one by one."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = singular / (np.linalg.norm(singular) + 1e-7)
    for _ in range(5):
        x = a * x + b * x**3 + c * x**5
    return x


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
def test_matrices_keep_their_directions_and_lose_their_lengths(rows, cols, seed):
    matrix = np.random.default_rng(seed).normal(size=(rows, cols))
    u, singular, vt = np.linalg.svd(matrix, full_matrices=False)
    found = orthogonalise(torch.from_numpy(matrix))
    np.testing.assert_allclose(found, (u * quintic(singular)) @ vt, atol=1e-7)


def test_float32_is_enough_for_the_largest_layers():
    matrix = np.random.default_rng(0).normal(size=(256, 2304)).astype(np.float32)
    matrix *= np.geomspace(1, 1e-3, 256, dtype=np.float32)[:, None]  # badly conditioned
    found = orthogonalise(torch.from_numpy(matrix))
    np.testing.assert_allclose(found, orthogonalise(torch.from_numpy(matrix).double()), atol=1e-3)


@pytest.mark.parametrize("shape", [(300, 700), (700, 300), (128, 128), (129, 400), (1, 5)])
def test_large_layers_are_those_of_the_definition(shape):
    """Products of which only blocks are computed."""
    matrix = np.random.default_rng(0).normal(size=shape)
    u, singular, vt = np.linalg.svd(matrix, full_matrices=False)
    found = orthogonalise(torch.from_numpy(matrix))
    np.testing.assert_allclose(found, (u * quintic(singular)) @ vt, atol=1e-7)


def test_steps_are_those_of_the_definition():
    """By hand with NumPy for maps, torch's own AdamW for the rest."""
    torch.manual_seed(0)
    network = nn.Sequential(*(nn.Conv2d(a, b, 3) for a, b in ((2, 4), (4, 6), (6, 5), (5, 2))))
    other = copy.deepcopy(network)
    optimiser = Muon(group_weights(network, weight_decay=0.1))
    rest = [p for n, p in other.named_parameters() if n not in ("1.weight", "2.weight")]
    decays = [{"params": [p], "weight_decay": 0.1 if p.ndim > 1 else 0} for p in rest]
    reference = torch.optim.AdamW(decays)
    momenta = {n: np.zeros(p.shape) for n, p in other.named_parameters()}
    for lr in (1e-2, 2e-2, 5e-3):
        x = torch.randn(2, 2, 16, 16)
        for one in (network, other):
            one.zero_grad()
            F.cross_entropy(one(x), torch.zeros(2, 8, 8, dtype=torch.long)).backward()
        for group in [*optimiser.param_groups, *reference.param_groups]:
            group["lr"] = lr
        for name in ("1.weight", "2.weight"):
            weight = dict(other.named_parameters())[name]
            gradient = weight.grad.double().numpy()
            momenta[name] = 0.95 * momenta[name] + 0.05 * gradient
            ahead = 0.95 * momenta[name] + 0.05 * gradient
            u, singular, vt = np.linalg.svd(ahead.reshape(len(ahead), -1), full_matrices=False)
            change = ((u * quintic(singular)) @ vt).reshape(weight.shape)
            length = 0.2 * np.sqrt(max(len(ahead), ahead[0].size))
            new = weight.detach().double().numpy() * (1 - lr * 0.1) - lr * length * change
            weight.data.copy_(torch.from_numpy(new))
        optimiser.step()
        reference.step()
        for (name, found), wanted in zip(
            network.named_parameters(), other.parameters(), strict=True
        ):
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5, msg=name)


def test_steps_are_as_long_as_those_of_adamw():
    weight = nn.Parameter(torch.zeros(64, 32, 3, 3))
    optimiser = Muon([{"params": [weight], "is_map": True, "weight_decay": 0.0, "lr": 1.0}])
    weight.grad = torch.randn(weight.shape)
    optimiser.step()
    assert 0.15 < float(weight.detach().square().mean().sqrt()) < 0.25


@pytest.mark.parametrize("name", ["unet", "resunet", "lightunet", "fcn8s"])
def test_every_weight_is_in_one_group(name):
    network = ARCHITECTURES[name](3, classes=5, width=8)
    maps, others, small = group_weights(network, 0.5)
    grouped = [p for group in (maps, others, small) for p in group["params"]]
    assert {id(p) for p in grouped} == {id(p) for p in network.parameters()}
    assert len(grouped) == len(list(network.parameters()))
    weights = [p for p in network.parameters() if p.ndim > 1]
    assert {id(weights[0]), id(weights[-1])} <= {id(p) for p in others["params"]}
    assert all(p.shape[1] > 1 and 5 not in p.shape[:2] for p in maps["params"])
    share = sum(p.numel() for p in maps["params"]) / sum(p.numel() for p in weights)
    assert share > (0.6 if name == "lightunet" else 0.9)  # depthwise filters are no maps
    assert [group["weight_decay"] for group in (maps, others, small)] == [0.5, 0.5, 0.0]


def test_weights_without_gradients_stay():
    weights = [nn.Parameter(torch.ones(4, 4)) for _ in range(2)]
    optimiser = Muon([{"params": weights, "is_map": True, "weight_decay": 0.5, "lr": 1.0}])
    weights[0].grad = torch.ones(4, 4)
    optimiser.step()
    assert (weights[1] == 1).all()
    assert (weights[0] != 1).all()
