"""The app and its commands. Importing this loads neither torch nor rasterio."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from geounet import __version__
from geounet.cli.boundary import run
from geounet.cli.demo import demo
from geounet.cli.doctor import doctor
from geounet.cli.evaluate import evaluate
from geounet.cli.export import export
from geounet.cli.info import info
from geounet.cli.polygonize import polygonize
from geounet.cli.predict import predict
from geounet.cli.rasterize import rasterize
from geounet.cli.train import train
from geounet.heap import share_heap


def unwrap(text: str) -> str:
    """Each paragraph in one line, so that a terminal of any width wraps it as it should."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


app = typer.Typer(
    name="geounet",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (train, predict, polygonize, rasterize, evaluate, export, info, doctor, demo):
    app.command(help=unwrap(command.__doc__ or ""))(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"geounet {__version__}")
        raise typer.Exit


def settings(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of all errors.")] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Turn satellite and aerial rasters into maps.

    geounet train makes a model from labelled scenes; geounet predict maps scenes of any size with
    it; geounet polygonize makes polygons of the map; geounet evaluate compares it with labels.
    Try geounet demo first.
    """
    if debug:
        os.environ["GEOUNET_DEBUG"] = "1"


app.callback(help=unwrap(settings.__doc__ or ""))(settings)


def main() -> None:
    """Run the command line and exit."""
    share_heap()  # before there are threads
    sys.exit(run(app))
