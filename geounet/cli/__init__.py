"""The command line: one file per command, one error boundary."""

from geounet.cli.app import main

__all__ = ["main"]
