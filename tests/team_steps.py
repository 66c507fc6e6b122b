"""Steps and runs that are the same however many processes share them: `teams` starts some."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from geounet.classes import make_classes
from geounet.errors import GeounetError
from geounet.inference import Runtime
from geounet.models import Band, ModelSpec, build_network
from geounet.training import TrainOptions, options, train
from geounet.training.augment.augment_options import PRESETS
from geounet.training.data.chips import Batch
from geounet.training.keeping.record import Record
from geounet.training.keeping.run_folder import RunFolder
from geounet.training.learning.learner import make_learner
from geounet.training.learning.seeds import seed_step
from geounet.training.learning.step import compute_loss, take_step
from geounet.training.loss.loss_options import LossOptions
from geounet.training.team.team import joined_team

SIDE, CHIPS, CLASSES = 32, 4, 3
CASES = {
    "ce": LossOptions(loss="ce", class_weights="inverse", border_weight=10),
    "focal": LossOptions(loss="focal", label_smoothing=0.1),
    "dice": LossOptions(loss="dice", border_weight=10),
    "iou": LossOptions(loss="iou"),
    "tversky": LossOptions(loss="tversky"),
    "lovasz": LossOptions(loss="lovasz", border_weight=10),
    "lovasz, no border": LossOptions(loss="0.5*lovasz+ce"),
}
NETWORKS = {
    "unet": {"width": 4, "depth": 2, "padding": "same", "norm": "batch", "dropout": 0.3},
    "fcn8s": {"width": 2, "dropout": 0.3},
    "resunet": {"width": 4, "blocks": (1, 1, 1, 1)},
}


def make_batch(share, seed=0):
    """Of 4 chips this process's. Every second one is nearly without labels, and lacks a class."""
    rng = np.random.default_rng(seed)
    side = SIDE + 2 * AUGMENT.overscan(SIDE)
    labels = rng.integers(0, CLASSES, (CHIPS, side, side)).astype(np.uint8)
    labels[rng.random(labels.shape) < 0.2] = 255
    labels[1::2][labels[1::2] == 2] = 255
    labels[1::2, 12:] = 255
    batch = Batch(
        rng.integers(0, 255, (CHIPS, 2, side, side)).astype(np.uint8),
        rng.random(labels.shape) < 0.95,
        labels,
        rng.random(labels.shape).astype(np.float32),
    )
    arrays = (batch.image, batch.valid, batch.labels, batch.border)
    return Batch(*(array[share.every] for array in arrays))


AUGMENT = replace(PRESETS["strong"], scale=1.3, band_dropout=0.3)


def make_test_learner(team, architecture="unet", **options):
    arguments = NETWORKS[architecture]
    chosen = TrainOptions(chip=SIDE, batch=CHIPS, augment=AUGMENT, lr=0.01, **options)
    torch.manual_seed(0)
    network = build_network(architecture, 2, CLASSES, arguments)
    classes = make_classes(["a", "b", "c"])
    spec = ModelSpec(
        architecture=architecture,
        arguments=arguments,
        bands=(Band(None, "uint8", 127.0, 70.0),) * 2,
        classes=classes,
        pixel_size_m=None,
        margin=8,
        stride=2,
        training={"class_shares": dict(zip("abc", (0.6, 0.3, 0.1), strict=True))},
    )
    return make_learner(network, spec, chosen, Runtime(torch.device("cpu"), "float32"), team)


def measure(team):
    """Losses, gradients and running statistics of one step in each case, by name."""
    found = {}
    for name, loss in CASES.items():
        found |= measure_gradients(team, name, make_test_learner(team, loss_options=loss))
    for name in NETWORKS:
        found |= measure_gradients(team, name, make_test_learner(team, name))
    learner = make_test_learner(team, ema=0.9, optimiser="sgd", weight_decay=0.0, clip=0.5)
    learner.network.train()
    for step in range(2):
        batches = [make_batch(team.share, seed) for seed in range(3)]
        loss = take_step(learner, batches, 0.01, seed_step(0, 1, step, team.share))
        found[f"loss of step {step}"] = loss.numpy()
    remembered = torch.nn.BatchNorm2d(2)
    remembered.running_mean += 1 + team.share.rank
    team.align(remembered)
    found["aligned"] = remembered.running_mean.numpy()
    return found | {f"after/{k}": v.numpy() for k, v in learner.network.state_dict().items()}


def measure_gradients(team, name, learner):
    learner.network.train()
    loss = compute_loss(learner, make_batch(team.share), seed_step(0, 1, 0, team.share))
    torch.autograd.backward(loss)
    found = {f"{name}/loss": loss.detach().numpy()}
    for key, parameter in learner.network.named_parameters():
        found[f"{name}/gradient/{key}"] = parameter.grad.numpy()
    for key, buffer in learner.network.named_buffers():
        found[f"{name}/buffer/{key}"] = buffer.numpy()
    return found


RUN = {
    "architecture": "unet",
    "width": 4,
    "depth": 2,
    "chip": 32,
    "batch": 4,
    "dropout": 0.2,
    "ema": 0.9,
    "workers": 1,
    "device": "cpu",
    "precision": "float32",
    "epochs": 2,
}


def make_quick(change):
    """Epochs of two steps, and no pictures; `change` sets attributes."""
    change(options, "EPOCH_CHIPS", (8, 8))
    change(RunFolder, "write_figure", lambda *_: None)
    change(Record, "conclude", lambda *_: None)


def learn(folder, name, progress=lambda _: None, **changes):
    """A run on the scene in the folder."""
    images, labels = [folder / "image.tif"], [folder / "labels.tif"]
    return train(images, labels, folder / name, TrainOptions(**{**RUN, **changes}), progress)


def main(folder, *cases):
    """Measure; then train, once for each further argument: options as JSON."""
    found = {"stages": [], "runs": []}
    with joined_team() as team:
        if not cases:
            np.savez(folder / f"{team.share.rank}.npz", **measure(team))
    make_quick(setattr)
    for case in cases or ("{}", '{"batch": 3}'):
        changes, name = json.loads(case), f"run{len(found['runs'])}"
        try:
            summary = learn(folder, name, lambda p: found["stages"].append(p.stage), **changes)
            told = [summary.metrics.mean_iou, summary.processes, summary.chips, summary.lr]
        except GeounetError as error:
            told = [type(error).__name__, str(error), error.exit_code]
        found["runs"].append(told)
    (folder / f"{team.share.rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
