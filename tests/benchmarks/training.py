"""How fast geounet trains, beside the bare network and the usual loop; in turns.

    python tests/benchmarks/training.py scene.tif --labels buildings.geojson

* bare: forward, cross-entropy, backward and optimiser on one batch that never changes, in the
  memory format, precision and with the optimiser kernel of geounet, which also keeps freed memory.
  Networks that learn at several levels (resunet) give the scores of all, as in geounet's steps.
* geounet: the steps of `geounet train` on chips from the scene, with augmentation and its loss.
* usual: what most training loops do: float32, NCHW, torch's default optimiser kernel; one batch.
  Its optimiser is AdamW. In a process of its own, which has the C library's heap as it comes.

Each turn of geounet opens the files anew; a first step of each turn is not counted, so that chips
read ahead during others' turns are used up as they are made. Medians of the turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from tables import format_table
from torch import nn
from torch.multiprocessing import get_context
from torch.nn.functional import cross_entropy

from geounet.heap import keep_freed, trim_memory
from geounet.progress import ignore_progress
from geounet.training import TrainOptions
from geounet.training.augment.augmentation import Pixels
from geounet.training.data.chips import Batch, ChipStream
from geounet.training.learning.learner import make_optimiser
from geounet.training.learning.levels import Levels, sum_losses
from geounet.training.learning.network import (
    build_training_network,
    find_training_geometry,
    resolve_training_runtime,
)
from geounet.training.learning.seeds import seed_step
from geounet.training.learning.step import take_step
from geounet.training.loss.loss_options import LossOptions
from geounet.training.run import Chosen, Run, start_run
from geounet.training.task import find_inputs, plan_chips, prepare_task


@dataclass(frozen=True)
class Turn:
    """Some steps.

    Attributes:
        seconds: of a step.
        waiting: share of it that was waiting for chips.
    """

    seconds: float
    waiting: float = 0.0


def main() -> None:
    """Measure, and print a table and JSON."""
    arguments = parse_arguments()
    options = TrainOptions(
        architecture=arguments.architecture,
        width=arguments.width,
        optimiser=arguments.optimiser,
        augment=arguments.augment,
        loss_options=LossOptions(loss=arguments.loss),
        precision=arguments.precision,
        workers=arguments.workers,
        bbox=arguments.bbox,
    )
    run = prepare(arguments.image, arguments.labels, options)
    pixels = read_pixels(run)
    bare = make_bare(run, pixels)
    turns: dict[str, list[Turn]] = {"bare": [], "geounet": [], "usual": []}
    with usual_process(run, pixels) as time_usual:
        for _ in range(arguments.rounds):
            with keep_freed():
                turns["bare"].append(time_steps(bare, arguments.steps))
                turns["geounet"].append(time_geounet(run, arguments.steps))
            trim_memory()
            turns["usual"].append(time_usual(max(1, arguments.steps // 2)))
    show(run, turns)


def prepare(image: str, labels: str, options: TrainOptions) -> Run:
    """A run before its first step."""
    runtime = resolve_training_runtime(options)
    inputs = find_inputs([image], [labels], options)
    network = build_training_network(inputs, options)
    geometry = find_training_geometry(network, options)
    task = prepare_task(inputs, geometry, options, ignore_progress)
    return start_run(network, task, options, Chosen(8, 3e-3), runtime)


def make_bare(run: Run, pixels: Pixels) -> Callable[[], None]:
    """A step of geounet on one batch that never changes."""
    levels = Levels(deepcopy(run.learner.network).train())
    device = run.learner.runtime.device
    optimiser = make_optimiser(levels.network, run.options, device)
    return partial(step, levels, optimiser, pixels, run.learner.runtime.dtype)


@contextmanager
def usual_process(run: Run, pixels: Pixels) -> Iterator[Callable[[int], Turn]]:
    """What times so many steps of the usual loop on the batch, in another process."""
    network = deepcopy(run.learner.network).train().to(memory_format=torch.contiguous_format)
    still = Pixels(pixels.image.contiguous(), pixels.valid, pixels.labels)
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve_usual, args=(there, network, still), daemon=True)
    process.start()

    def time_there(count: int) -> Turn:
        here.send(count)
        return Turn(here.recv())

    yield time_there
    process.terminate()


def serve_usual(connection: Connection, network: nn.Module, pixels: Pixels) -> None:
    """Time steps as often as asked."""
    optimiser = torch.optim.AdamW(network.parameters())
    usual = partial(step, Top(network), optimiser, pixels, torch.float32)
    while True:
        connection.send(time_steps(usual, connection.recv()).seconds)


class Top(nn.Module):
    """A network that tells the scores of its last level only."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(N, bands, H, W) -> scores (N, K, H, W)."""
        return [self.network(x)]


def step(
    network: nn.Module, optimiser: torch.optim.Optimizer, pixels: Pixels, dtype: torch.dtype
) -> None:
    """Forward, loss of all levels, backward, optimise."""
    optimiser.zero_grad(set_to_none=True)
    with torch.autocast(pixels.image.device.type, dtype, enabled=dtype != torch.float32):
        scores = network(pixels.image)
    sum_losses(lose, scores, pixels).backward()
    optimiser.step()


def lose(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Plain cross-entropy."""
    return cross_entropy(scores.float(), labels.long(), ignore_index=255)


def read_pixels(run: Run) -> Pixels:
    """A batch as it reaches the network."""
    with closing(open_stream(run).batches(1, 1)) as batches:
        batch = next(batches)
    tensors = (torch.from_numpy(x) for x in (batch.valid, batch.labels))
    valid, labels = (x.to(run.learner.runtime.device) for x in tensors)
    image = run.learner.normalise(batch.image, batch.valid)
    pixels = run.learner.augment(Pixels(image, valid, labels), seed_step(0, 1, 0))
    return replace(pixels, image=pixels.image.contiguous(memory_format=torch.channels_last))


def open_stream(run: Run) -> ChipStream:
    """The chips of the run."""
    inputs, plan = run.task.inputs, plan_chips(run.task, run.options)
    return ChipStream(inputs.sources, inputs.reading, plan, run.chosen.batch, run.options.workers)


def time_steps(step: Callable[[], None], count: int) -> Turn:
    """Seconds of a step, after one that does not count."""
    step()
    synchronise()
    started = time.perf_counter()
    for _ in range(count):
        step()
    synchronise()
    return Turn((time.perf_counter() - started) / count)


def time_geounet(run: Run, count: int) -> Turn:
    """The same for steps on chips from the scene."""
    waiting = 0.0
    run.learner.network.train()
    with closing(open_stream(run).batches(1, 1000)) as batches:
        take(run, next(batches), 0)
        synchronise()
        started = time.perf_counter()
        for number in range(count):
            asked = time.perf_counter()
            batch = next(batches)
            waiting += time.perf_counter() - asked
            take(run, batch, number)
        synchronise()
        elapsed = time.perf_counter() - started
    return Turn(elapsed / count, waiting / elapsed)


def take(run: Run, batch: Batch, number: int) -> None:
    """One step as in `train_epoch`."""
    float(take_step(run.learner, [batch], run.lr, seed_step(0, 1, number)))


def synchronise() -> None:
    """Wait for the device."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def show(run: Run, turns: dict[str, list[Turn]]) -> None:
    """Table and JSON."""
    seconds = {name: statistics.median(t.seconds for t in some) for name, some in turns.items()}
    waiting = statistics.median(turn.waiting for turn in turns["geounet"])
    ratios = [  # turn by turn: the machine's speed drifts
        [a.seconds / b.seconds for a, b in zip(turns[name], turns["geounet"], strict=True)]
        for name in ("bare", "usual")
    ]
    of_bare, over_usual = (statistics.median(ratio) for ratio in ratios)
    chips = {name: run.chosen.batch / s for name, s in seconds.items()}
    rows = [["", "chips/s"], *([name, f"{value:.2f}"] for name, value in chips.items())]
    print(format_table(rows))
    runtime = run.learner.runtime
    print(
        f"{run.spec.architecture} on {runtime.device}, {runtime.precision}, "
        f"{torch.get_num_threads()} threads: {of_bare:.1%} of the bare step, "
        f"{over_usual:.2f} x the usual loop, waiting {waiting:.1%}"
    )
    result = {"of_bare": of_bare, "over_usual": over_usual, "waiting": waiting}
    print(json.dumps({"chips_per_s": chips, **result, "torch": torch.__version__}))


def parse_arguments() -> argparse.Namespace:
    """What to measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image", type=str)
    parser.add_argument("--labels", required=True)
    parser.add_argument("--bbox", type=lambda text: tuple(map(float, text.split(","))))
    parser.add_argument("--architecture", default=TrainOptions.architecture)
    parser.add_argument("--width", type=int)
    parser.add_argument("--optimiser", default=TrainOptions.optimiser)
    parser.add_argument("--augment", default=TrainOptions.augment)
    parser.add_argument("--loss", default=LossOptions.loss)
    parser.add_argument("--precision", default=TrainOptions.precision)
    parser.add_argument("--workers", type=int, default=TrainOptions.workers)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=4)
    arguments = parser.parse_args()
    if not Path(arguments.image).exists():
        parser.error(f"{arguments.image}: no such file")
    return arguments


if __name__ == "__main__":
    main()
