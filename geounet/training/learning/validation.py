"""Validation: held-out blocks mapped as predict maps them, and compared with their labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from geounet.classes import ClassInfo
from geounet.evaluation import ConfusionMatrix, Metrics
from geounet.inference import Engine, predict_window
from geounet.progress import Progress, ProgressCallback, ignore_progress
from geounet.training.data.sources import SourceReader
from geounet.training.holdout.block import Block
from geounet.training.team.team import SOLO, Team

TILE = 1024
"""The larger the tile, the less is spent on margins."""


def validate(
    engine: Engine,
    reader: SourceReader,
    blocks: Sequence[Block],
    classes: tuple[ClassInfo, ...],
    progress: ProgressCallback = ignore_progress,
    team: Team = SOLO,
) -> Metrics:
    """Metrics over all labelled pixels of the blocks.

    Args:
        engine: exact inference of the network.
        reader: of the sources that the blocks count.
        blocks: what was held out.
        classes: in the order of the network's channels.
        progress: called after each block.
        team: the processes that do this together; each maps its share of the blocks.
    """
    matrix = ConfusionMatrix(classes)
    own = blocks[team.share.every]
    for done, block in enumerate(own):
        progress(Progress("validate", done, len(own), "blocks"))
        sample = reader.read(block.scene, block.window)
        mask = predict_window(engine, reader.open(block.scene)[0], block.window, TILE)
        matrix.add(sample.labels, mask)
    progress(Progress("validate", len(own), len(own), "blocks"))
    return add_matrices(team.from_all(matrix)).metrics()


def add_matrices(parts: Sequence[ConfusionMatrix]) -> ConfusionMatrix:
    """One of all that the parts counted."""
    whole = ConfusionMatrix(parts[0].classes)
    for part in parts:
        whole.merge(part)
    return whole


def cut_blocks(blocks: Sequence[Block]) -> Iterator[Block]:
    """The same pixels in blocks no larger than a tile, so that memory is bounded."""
    for block in blocks:
        for window in block.window.blocks(TILE, TILE):
            yield Block(block.scene, window)
