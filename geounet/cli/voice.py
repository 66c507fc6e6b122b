"""Which of the processes that torchrun starts speaks. Imports nothing heavy."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from geounet.errors import GeounetError

PATIENCE_S = 10.0
"""How long the others wait for being ended by torchrun, once the first has told what is wrong."""


def is_one_of_several() -> bool:
    """Whether torchrun has started other processes beside this one."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def speaks() -> bool:
    """Whether this process is the first, or alone."""
    return not is_one_of_several() or os.environ.get("RANK") == "0"


def give_way() -> None:
    """Let the first process tell what all find alike; torchrun then ends this one."""
    if not speaks():
        with suppress(KeyboardInterrupt):
            time.sleep(PATIENCE_S)


@contextmanager
def one_voice() -> Iterator[None]:
    """Of an error in what all processes do alike, the first tells."""
    try:
        yield
    except GeounetError as error:
        error.is_told = not speaks()
        give_way()
        raise
