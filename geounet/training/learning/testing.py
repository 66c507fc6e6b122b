"""Test: the finished model on scenes that had no part in making or choosing it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from geounet.evaluation import Metrics
from geounet.inference import Runtime, make_engine
from geounet.models import load_model
from geounet.progress import ProgressCallback
from geounet.training.data.sources import SourceReader
from geounet.training.holdout.block import Block
from geounet.training.learning.validation import cut_blocks, validate
from geounet.training.task import Task


def measure_test(
    model_path: Path, task: Task, runtime: Runtime, progress: ProgressCallback
) -> Metrics | None:
    """Metrics of the saved model over all labelled pixels of the test scenes; None without any."""
    sources = task.inputs.test_sources
    if not sources:
        return None
    model = load_model(model_path)
    engine = make_engine(model.network, model.spec, runtime)
    blocks = list(cut_blocks([Block(i, source.area.window) for i, source in enumerate(sources)]))
    with SourceReader(sources, task.inputs.validation_reading) as reader:
        return validate(
            engine,
            reader,
            blocks,
            model.spec.classes,
            lambda step: progress(replace(step, stage="test")),
        )
