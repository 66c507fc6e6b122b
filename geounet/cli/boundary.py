"""The one place where errors become lines and exit codes."""

from __future__ import annotations

import functools
import os
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType
from typing import NoReturn, ParamSpec, TypeVar

import typer

from geounet.errors import GeounetError, Interrupted

P = ParamSpec("P")
T = TypeVar("T")

BUG = "this is a bug in geounet; please report it with the lines above and the command"


def boundary(command: Callable[P, T]) -> Callable[P, T]:
    """End a command that raises with one line on stderr and the error's exit code."""

    @functools.wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        signal.signal(signal.SIGTERM, _raise_interrupt)
        try:
            return command(*args, **kwargs)
        except GeounetError as error:
            end(error)
        except KeyboardInterrupt:
            end(Interrupted("stopped; the same command starts again"))
        except MemoryError as error:
            typer.echo(f"error: out of memory ({error}); give smaller --tile or --batch", err=True)
            raise typer.Exit(5) from error
        except typer.Exit:
            raise
        except Exception as error:
            if type(error).__module__.startswith(("typer", "click")):
                raise
            traceback.print_exc()
            typer.echo(f"error: {BUG}", err=True)
            raise typer.Exit(1) from error

    return guarded


def end(error: GeounetError) -> NoReturn:
    """Say the error in one line and exit with its code."""
    if os.environ.get("GEOUNET_DEBUG"):
        traceback.print_exception(error)
    line = " ".join(str(error).split())
    typer.echo(f"error: {line}", err=True)
    raise typer.Exit(error.exit_code)


def exit_quietly_on_broken_pipe() -> None:
    """`geounet ... --json | head -1` must not end in a traceback."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _raise_interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
