"""The one place where errors become lines and exit codes."""

from __future__ import annotations

import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType
from typing import NoReturn

import typer

from geounet.cli.voice import give_way, is_one_of_several, speaks
from geounet.errors import GeounetError, Interrupted, ResourceError

BUG = "this is a bug in geounet; please report it with the lines above and the command"

# what the options' parser raises; Typer names only BadParameter, the second after it is their base
CommandProblem: type[BaseException] = typer.BadParameter.__mro__[2]


def run(app: Callable[..., object]) -> int:
    """Run the app; one line on stderr for what went wrong, and the exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = app(standalone_mode=False)
        _finish_output()
    except GeounetError as error:
        return _report(error)
    except CommandProblem as problem:
        return _report_usage(problem)
    except (KeyboardInterrupt, typer.Abort):
        code = Interrupted.exit_code
    except MemoryError as error:
        reason = f" ({error})" if str(error) else ""
        advice = "give less at once: --max-memory, --tile, --batch or --chip"
        return _report(ResourceError(f"memory is full{reason}; {advice}"))
    except BrokenPipeError:  # geounet ... --json | head -1
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception:  # noqa: BLE001 - the boundary
        traceback.print_exc()
        typer.echo(f"error: {BUG}", err=True)
        return 1
    if code == Interrupted.exit_code:  # what Typer makes of a KeyboardInterrupt
        return _report(Interrupted("stopped; the same command goes on, or starts again"))
    return code if isinstance(code, int) else 0


def _report(error: GeounetError) -> int:
    if error.is_told:
        return error.exit_code
    if os.environ.get("GEOUNET_DEBUG"):
        traceback.print_exception(error)
    typer.echo(f"error: {hide_secrets(' '.join(str(error).split()))}", err=True)
    return error.exit_code


def hide_secrets(text: str) -> str:
    """A message without the signatures and passwords of the addresses in it."""
    text = re.sub(r"\?[^\s;,)=?]+=[^\s;,)]+", "?...", text)
    return re.sub(r"(\w+://)[^/\s@]*@", r"\1", text)


def _report_usage(problem: BaseException) -> int:
    """What the options' parser found; without arguments the help is what one wants."""
    if not speaks():
        give_way()
        return 2
    context = getattr(problem, "ctx", None)
    message = problem.format_message()  # type: ignore[attr-defined]
    if type(problem).__name__ == "NoArgsIsHelpError":  # asking for the help has printed it
        typer.echo(message, err=True)
        return 2
    hint = f"; see {context.command_path} --help" if context else ""
    typer.echo(f"error: {_word_usage(problem, ' '.join(message.split()))}{hint}", err=True)
    return 2


def _word_usage(problem: BaseException, message: str) -> str:
    """What was found, in our words where the parser's are for programmers."""
    if type(problem).__name__ == "MissingParameter":
        return re.sub(r"^Missing \w+ (\S.*)\.$", r"\1 is missing; give it", message).replace(
            "'", ""
        )
    number = re.match(r"Invalid value for '(.+?)': Input should be a valid (\w+)", message)
    if number:
        found = _find_input(problem.__cause__ or problem.__context__)
        wanted = "a whole number" if number[2] == "integer" else "a number"
        return f"{number[1]} is {found or 'no number'}; give {wanted}"
    return message.replace(": Value error, ", ": ").removesuffix(".")


def _find_input(cause: BaseException | None) -> str | None:
    """What Typer's validation was given, if it tells."""
    tell = getattr(cause, "errors", None)
    return repr(tell()[0]["input"]) if tell else None


@contextmanager
def stop_gently(what: str) -> Iterator[Event]:
    """An event that the first SIGINT or SIGTERM sets, after which `what` ends in its own time.

    The second ends it at once. Under torchrun, which passes signals on to all processes, and ends
    them itself where they take too long, any number is one.
    """
    stop = Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if is_one_of_several():
            stop.set()
            return
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        typer.echo(f"\nstopping after {what}; once more to stop at once", err=True)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _finish_output() -> None:
    sys.stdout.flush()


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
