"""The moving average of the weights, and what keeps or drops it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from geounet.classes import make_classes
from geounet.inference import Runtime
from geounet.models import Band, ModelSpec, UNet
from geounet.training import TrainOptions
from geounet.training.learning.average import WeightAverage
from geounet.training.learning.learner import make_learner
from geounet.training.learning.schedule import Clock, make_schedule
from geounet.training.learning.seeds import Dice
from geounet.training.run import Chosen, Run


def make_run(precision="float32", **options):
    """A run without data: a small network about to learn."""
    chosen = TrainOptions(**{"chip": 16, "batch": 2, "augment": "none", **options})
    torch.manual_seed(0)
    network = UNet(2, 2, width=4, depth=1, padding="same", norm="batch")
    spec = ModelSpec(
        architecture="unet",
        arguments={"width": 4, "depth": 1, "padding": "same", "norm": "batch"},
        bands=(Band(None, "uint8", 0.0, 1.0),) * 2,
        classes=make_classes(["a", "b"]),
        pixel_size_m=None,
        margin=8,
        stride=2,
        training={"class_shares": {"a": 0.5, "b": 0.5}},
    )
    runtime = Runtime(torch.device("cpu"), precision)
    learner = make_learner(network, spec, chosen, runtime)
    schedule = make_schedule(chosen.schedule, chosen.warm_up)
    clock = Clock(10, None, 0.0)
    return Run(None, spec, chosen, Chosen(2, 1e-3), learner, schedule, clock, 5)


def test_the_average_is_the_recursion_of_its_docstring():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    average = WeightAverage(network, decay=0.8)
    expected = {k: v.double().numpy().copy() for k, v in network.state_dict().items()}
    rng = np.random.default_rng(0)
    for step in range(1, 80):
        decay = min(0.8, (1 + step) / (10 + step))
        for name, tensor in network.state_dict().items():
            tensor.copy_(torch.from_numpy(np.asarray(rng.integers(0, 9, tensor.shape))))
            mixed = decay * expected[name] + (1 - decay) * tensor.double().numpy()
            is_counter = name.endswith("num_batches_tracked")
            expected[name] = tensor.numpy().copy() if is_counter else mixed
        average.update(network, step)
    for name, tensor in average.network.state_dict().items():
        np.testing.assert_allclose(tensor.numpy(), expected[name], rtol=1e-5)
    assert not any(p.requires_grad for p in average.network.parameters())
    assert all(p.requires_grad for p in network.parameters())


def test_biases_and_norms_do_not_decay():
    for optimiser in ("muon", "adamw", "sgd"):
        learner = make_run(optimiser=optimiser, weight_decay=0.5).learner
        decays = {
            id(p): group["weight_decay"]
            for group in learner.optimiser.param_groups
            for p in group["params"]
        }
        for parameter in learner.network.parameters():
            assert decays[id(parameter)] == (0.5 if parameter.ndim > 1 else 0)
    assert learner.optimiser.param_groups[0]["momentum"] == 0.99


@pytest.mark.parametrize("clip", [0.0, 0.1])
def test_gradients_are_clipped(clip):
    from geounet.training.learning.step import take_step

    run = make_run(clip=clip, optimiser="sgd", momentum=0.0, weight_decay=0.0)
    before = [p.detach().clone() for p in run.learner.network.parameters()]
    take_step(run.learner, [make_batch()], 1.0, Dice(torch.Generator()))
    change = zip(before, run.learner.network.parameters(), strict=True)
    norm = torch.stack([(a - b.detach()).norm() for a, b in change]).norm()
    assert norm == pytest.approx(0.1, rel=1e-4) if clip else norm > 0.11


def make_batch(seed=0, chips=2):
    from geounet.training.data.chips import Batch

    rng = np.random.default_rng(seed)
    return Batch(
        rng.integers(0, 5, (chips, 2, 16, 16)).astype(np.uint8),
        np.ones((chips, 16, 16), bool),
        rng.integers(0, 2, (chips, 16, 16)).astype(np.uint8),
    )


def test_accumulated_gradients_are_the_mean_of_the_batches():
    from geounet.training.learning.step import compute_loss, take_step

    batches = [make_batch(seed) for seed in range(3)]
    run = make_run(clip=0.0, optimiser="sgd", momentum=0.0, weight_decay=0.0)
    run.learner.network.eval()
    parameters = list(run.learner.network.parameters())
    losses = [compute_loss(run.learner, batch, Dice(torch.Generator())) for batch in batches]
    mean = torch.stack(losses).mean()
    expected = torch.autograd.grad(mean, parameters)
    before = [p.detach().clone() for p in parameters]
    loss = take_step(run.learner, batches, 0.5, Dice(torch.Generator()))
    assert float(loss) == pytest.approx(float(mean.detach()), rel=1e-6)
    for old, new, gradient in zip(before, parameters, expected, strict=True):
        torch.testing.assert_close(old - 0.5 * gradient, new.detach())


def test_running_statistics_average_over_more_steps_as_the_rate_falls():
    from threading import Event

    from geounet.training.learning.loop import train_epoch

    run = make_run(schedule="one-cycle")
    run = replace(run, chosen=Chosen(2, 0.0))  # the weights stay
    norm = next(m for m in run.learner.network.modules() if isinstance(m, nn.BatchNorm2d))
    means = []
    norm.register_forward_pre_hook(lambda _, x: means.append(x[0].mean((0, 2, 3)).double()))
    train_epoch(run, [[make_batch(seed)] for seed in range(10)], lambda: None, Event())
    rates = [run.schedule.factor(k / 10) for k in range(10)]
    momenta = [0.1] + [0.1 * max(rate, 0.1) for rate in rates[1:]]  # it rises in the first
    assert momenta[1] == pytest.approx(0.1)
    assert momenta[-1] == pytest.approx(0.01)
    expected = torch.zeros(4, dtype=torch.float64)
    for mean, momentum in zip(means, momenta, strict=True):
        expected = (1 - momentum) * expected + momentum * mean
    torch.testing.assert_close(norm.running_mean.double(), expected, rtol=1e-5, atol=1e-7)
