"""What Dask runs in a new worker process of this machine."""

from __future__ import annotations

import signal


def dask_setup(worker: object) -> None:
    """Leave Ctrl-C to the driver: the terminal sends it to all processes at once."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
