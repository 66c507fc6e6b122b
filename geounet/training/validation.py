"""Validation: held-out blocks mapped as predict maps them, and compared with their labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from geounet.classes import ClassInfo
from geounet.evaluation import ConfusionMatrix, Metrics
from geounet.inference import Engine, predict_window
from geounet.progress import Progress, ProgressCallback, ignore_progress
from geounet.training.sources import SourceReader
from geounet.training.split import Block

TILE = 1024
"""The larger the tile, the less is spent on margins."""


def validate(
    engine: Engine,
    reader: SourceReader,
    blocks: Sequence[Block],
    classes: tuple[ClassInfo, ...],
    progress: ProgressCallback = ignore_progress,
) -> Metrics:
    """Metrics over all labelled pixels of the blocks.

    Args:
        engine: exact inference of the network.
        reader: of the sources that the blocks count.
        blocks: what was held out.
        classes: in the order of the network's channels.
        progress: called after each block.
    """
    matrix = ConfusionMatrix(classes)
    for done, block in enumerate(blocks):
        progress(Progress("validate", done, len(blocks), "blocks"))
        sample = reader.read(block.scene, block.window)
        mask = predict_window(engine, reader.open(block.scene)[0], block.window, TILE)
        matrix.add(sample.labels, mask)
    progress(Progress("validate", len(blocks), len(blocks), "blocks"))
    return matrix.metrics()


def cut_blocks(blocks: Sequence[Block]) -> Iterator[Block]:
    """The same pixels in blocks no larger than a tile, so that memory is bounded."""
    for block in blocks:
        for window in block.window.blocks(TILE, TILE):
            yield Block(block.scene, window)
