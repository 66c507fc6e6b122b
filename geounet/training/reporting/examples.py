"""Examples of what a model makes of the held-out pixels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from geounet.inference import Runtime, make_engine, predict_window
from geounet.models import load_model
from geounet.raster import Window
from geounet.training.data.sources import SourceReader
from geounet.training.holdout.block import Block
from geounet.training.reporting.figures import Example, draw_examples
from geounet.training.task import Task

MOST = 4
SIDE = 384


def draw_validation(model_path: Path, task: Task, runtime: Runtime) -> Figure:
    """Image, labels and prediction of a few held-out windows, by the saved model."""
    model = load_model(model_path)
    engine = make_engine(model.network, model.spec, runtime)
    examples = []
    with SourceReader(task.inputs.validation_sources, task.inputs.validation_reading) as reader:
        for block in choose_windows(task.split.validation):
            sample = reader.read(block.scene, block.window)
            mask = predict_window(engine, reader.open(block.scene)[0], block.window)
            examples.append(Example(sample.image, sample.valid, sample.labels, mask))
    return draw_examples(examples, model.spec.classes)


def choose_windows(blocks: Sequence[Block]) -> list[Block]:
    """The middles of a few blocks, spread evenly over all."""
    count = min(len(blocks), MOST)
    chosen = [blocks[i * len(blocks) // count] for i in range(count)]
    return [Block(block.scene, crop_middle(block.window)) for block in chosen]


def crop_middle(window: Window) -> Window:
    """The middle of a window, at most `SIDE` pixels a side."""
    height, width = (min(side, SIDE) for side in window.shape)
    return Window(
        row_off=window.row_off + (window.height - height) // 2,
        col_off=window.col_off + (window.width - width) // 2,
        height=height,
        width=width,
    )
