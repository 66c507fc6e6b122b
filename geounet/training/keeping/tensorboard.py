"""The history of a run for TensorBoard, in event files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from geounet.errors import UsageError
from geounet.training.keeping.history import Epoch

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

FOLDER = "tensorboard"
"""In the run folder."""


def check_tensorboard() -> None:
    """See that the package is there, before any work is done.

    Raises:
        UsageError: it is not.
    """
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "--tensorboard needs a package that is not installed; "
            "pip install 'geounet[tensorboard]'"
        ) from error


class EventFile:
    """Writes one point per epoch; those of epochs that are done once more are replaced.

    The file is made with the first of them: a run that is killed before has left nothing.
    """

    def __init__(self, run_folder: Path) -> None:
        self._folder = run_folder / FOLDER
        self._writer: SummaryWriter | None = None

    def add(self, epoch: Epoch) -> None:
        """All numbers of the epoch's row, by their names there."""
        from torch.utils.tensorboard.writer import SummaryWriter

        if self._writer is None:
            self._writer = SummaryWriter(str(self._folder), purge_step=epoch.number)
        for name, value in epoch.to_row().items():
            if value is not None and name != "epoch":
                self._writer.add_scalar(name, value, epoch.number)
        self._writer.flush()

    def close(self) -> None:
        """End the file."""
        if self._writer is not None:
            self._writer.close()
