"""What a run has reached, kept on disk after every epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from torch import nn

from geounet.models import ModelSpec, save_model
from geounet.training.figures import draw_curves
from geounet.training.history import Epoch
from geounet.training.run_folder import RunFolder


class Record:
    """The epochs of a run; the best network so far is in the run folder.

    What an earlier run left there stays until this one has a model.
    """

    def __init__(self, folder: RunFolder, spec: ModelSpec, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self.spec = spec
        self.settings = settings
        self.epochs: list[Epoch] = []

    @property
    def best(self) -> Epoch:
        """The epoch with the highest score; of several the first."""
        return max(self.epochs, key=lambda epoch: epoch.score)

    def add(self, epoch: Epoch, network: nn.Module) -> None:
        """Keep the epoch, and the network if it is the best so far."""
        if not self.epochs or epoch.score > self.best.score:
            save_model(self.folder.model, network, self._describe(epoch))
        if not self.epochs:
            self.folder.remove_reports()
            self.folder.write_settings(self.settings)
        self.epochs.append(epoch)
        rows = [epoch.to_row() for epoch in self.epochs]
        self.folder.write_history(rows)
        names = [item.name for item in self.spec.classes]
        self.folder.write_figure("curves.png", draw_curves(rows, names))

    def describe_interruption(self) -> str:
        """What exists after an interruption, in one line."""
        if not self.epochs:
            model = self.folder.model
            left = (
                f"{model} is still the earlier one"
                if model.exists()
                else f"{self.folder.path} holds no model yet"
            )
            return f"stopped in the first epoch; {left}; the same command starts again"
        return (
            f"stopped after epoch {len(self.epochs)}; {self.folder.model} is the best so far "
            f"(epoch {self.best.number}, mean IoU {self.best.score:.3f}) and can be used; "
            "--overwrite starts anew"
        )

    def _describe(self, epoch: Epoch) -> ModelSpec:
        """The spec with what has been reached."""
        reached = {
            "epoch": epoch.number,
            "steps": sum(past.result.steps for past in (*self.epochs, epoch)),
            "metrics": asdict(epoch.metrics),
        }
        return replace(self.spec, training={**self.spec.training, **reached})
