"""What a run has reached, kept on disk after every epoch.

The order in which files appear makes any moment a good one to be killed at: first comes the state,
which holds the weights of the epoch that has just ended; then its model, if that is to be kept. Who
goes on from such a state writes the model again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

from torch import nn

from geounet.errors import ModelError
from geounet.evaluation import Metrics
from geounet.models import ModelSpec, read_spec, save_model
from geounet.training.keeping.history import Epoch, find_kept
from geounet.training.keeping.run_folder import RunFolder
from geounet.training.keeping.state import save_state
from geounet.training.reporting.examples import draw_validation
from geounet.training.reporting.figures import draw_curves
from geounet.training.reporting.report import write_report
from geounet.training.reporting.review import review_model
from geounet.training.reporting.split_layer import list_regions, write_layer
from geounet.training.reporting.split_map import draw_split
from geounet.training.run import Run


class Record:
    """The files of a run. What an earlier run left there stays until this one saves something."""

    def __init__(self, folder: RunFolder, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self.settings = settings
        self._is_begun = False

    def go_on(self, run: Run) -> None:
        """Bring the folder to where a run is that goes on.

        Raises:
            ModelError: the kept model is gone, and is not in the state any more.
        """
        self._is_begun = True
        self.folder.write_settings(self.settings)
        self.folder.clear()
        if run.epochs:
            self._recover_model(run)

    def add(self, run: Run) -> None:
        """Keep the run after an epoch, and its network if that is to be kept so far."""
        self.save(run)
        if run.kept is run.epochs[-1]:
            self._save_model(run)
        self.draw(run)

    def save(self, run: Run) -> None:
        """Keep the state of the run as it is."""
        self._begin(run)
        save_state(self.folder.state, run, self.settings)

    def draw(self, run: Run) -> None:
        """What tells of the epochs so far."""
        if run.epochs:
            rows = [epoch.to_row() for epoch in run.epochs]
            self.folder.write_history(rows)
            self.folder.write_figure("curves.png", draw_curves(rows, run.spec.classes))

    def conclude(self, run: Run, tested: Metrics | None) -> None:
        """Pictures of what the kept model makes of the held-out pixels, and the report.

        Args:
            run: that is over.
            tested: metrics of its kept model on the test scenes; None without any.
        """
        model, runtime = self.folder.model, run.learner.runtime
        self.folder.write_figure("examples.png", draw_validation(model, run.task, runtime))
        review = review_model(model, run.task, runtime)
        self.folder.write_text("report.html", write_report(run, self.settings, review, tested))

    def describe_interruption(self, epochs: list[Epoch], *, is_saved: bool) -> str:
        """What exists after an interruption and how to go on, in one line."""
        model = self.folder.model
        if epochs:
            kept = find_kept(epochs)
            return (
                f"stopped after epoch {len(epochs)}; {model} is of epoch {kept.number} (mean IoU "
                f"{kept.score:.3f}) and can be used; the same command with --resume goes on"
            )
        left = f"{self.folder.path} holds no model yet"
        if model.exists():
            left = f"{model} is still the earlier one"
        again = "with --resume goes on" if is_saved else "starts again"
        return f"stopped in the first epoch; {left}; the same command {again}"

    def _recover_model(self, run: Run) -> None:
        """See that the kept model is there, which a kill may have come before."""
        if run.kept is run.epochs[-1] and not run.current.losses:
            self._save_model(run)
        elif _read_epoch(self.folder.model) != run.kept.number:
            raise ModelError(
                f"{self.folder.model} is not the model of epoch {run.kept.number}, the best so "
                "far; put it back, or start anew with --overwrite"
            )

    def _save_model(self, run: Run) -> None:
        """Keep the network of the epoch that has just ended."""
        save_model(self.folder.model, _choose_network(run), describe_kept(run))

    def _begin(self, run: Run) -> None:
        if not self._is_begun:
            self._is_begun = True
            self.folder.clear(reports=True)
            self.folder.write_settings(self.settings)
            regions, inputs = list_regions(run.task), run.task.inputs
            self.folder.write_layer(write_layer(regions, inputs.classes))
            picture = draw_split(regions, inputs.classes, inputs.reading.bands)
            self.folder.write_figure("split.png", picture)


def describe_kept(run: Run) -> ModelSpec:
    """The spec with what the kept epoch has reached."""
    kept = run.kept
    reached = {
        "epoch": kept.number,
        "steps": sum(epoch.result.steps for epoch in run.epochs[: kept.number]),
        **asdict(run.chosen),
        "averaged": kept.is_average,
        "metrics": asdict(kept.metrics),
    }
    return replace(run.spec, training={**run.spec.training, **reached})


def _read_epoch(path: Path) -> int | None:
    """Of which epoch a model is; None if it cannot be read."""
    try:
        return cast("int | None", read_spec(path).training.get("epoch"))
    except ModelError:
        return None


def _choose_network(run: Run) -> nn.Module:
    """That of the last epoch, which is kept: as it is, or averaged."""
    average = run.learner.average
    if average is not None and run.kept.is_average:
        return average.network
    return run.learner.network
