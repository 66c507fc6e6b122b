"""What a call of `geounet predict` is to map, and where to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from geounet.cli.stac import explain_item, pair_items, parse_assets, read_items
from geounet.errors import UsageError
from geounet.inference.options import PredictOptions

if TYPE_CHECKING:
    from geounet.raster import StacItem

Job = tuple[str | tuple[str, ...], Path]
"""An image, or the files of a stack, with its mask."""


@dataclass(frozen=True)
class Work:
    """Scenes to map, and how.

    Attributes:
        jobs: the scenes with their masks, at least one.
        models: model files; several are an ensemble.
        options: of each scene.
        output: the mask, or the folder of the masks.
    """

    jobs: Sequence[Job]
    models: Sequence[Path]
    options: PredictOptions
    output: Path

    @property
    def is_in_folder(self) -> bool:
        """Whether the masks are to lie in a folder of their own."""
        return self.jobs[0][1] != self.output

    def make_folder(self) -> None:
        """Make that folder, if the masks are to lie in one.

        Raises:
            UsageError: it cannot be made.
        """
        if not self.is_in_folder:
            return
        try:
            self.output.mkdir(exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"{self.output} cannot be made: {error.strerror}; name another folder"
            ) from error

    def check_number(self) -> None:
        """Refuse outputs of one scene for several.

        Raises:
            UsageError: there are.
        """
        options = self.options
        if len(self.jobs) > 1 and (options.polygons or options.confidence or options.scores):
            raise UsageError(
                f"--polygons, --confidence and --scores take one image, not {len(self.jobs)}; "
                "run geounet for each image"
            )


def find_jobs(
    images: list[str], output: Path, assets: str | None, *, stack: bool, quiet: bool
) -> tuple[list[Job], list[StacItem]]:
    """What to map, and the Items that it is of, if --assets says so."""
    if assets is None:
        explain_item(images)
        return (_stack_files(images, output) if stack else _pair_outputs(images, output)), []
    if stack:
        raise UsageError("--assets makes a stack of each Item by itself; leave --stack out")
    keys, items = parse_assets(assets), read_items(images)
    jobs = pair_items(items, keys, output)
    for note in (note for item in items for note in item.find_notes(keys)):
        if not quiet:
            typer.echo(f"note: {note}", err=True)
    return jobs, items


def _stack_files(images: list[str], output: Path) -> list[Job]:
    """The one scene that the files are."""
    from geounet.raster import list_scenes

    for image in images:
        if list_scenes(image) != [image]:
            raise UsageError(
                f"{image}: --stack needs the files in the model's band order, not a folder"
            )
    return [(tuple(images), output)]


def _pair_outputs(images: list[str], output: Path) -> list[Job]:
    """Each scene with its mask: OUT itself for one image, OUT/<stem>.tif for several."""
    from geounet.raster import SCENE_SUFFIXES, find_local, list_scenes, name_of

    found = find_local(output)
    is_folder = found is not None and found.is_dir()
    scenes = [scene for image in images for scene in list_scenes(image)]
    if scenes == images[:1] and not is_folder:
        return [(scenes[0], output)]
    names = [name_of(scene) for scene in scenes]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"several images are named {', '.join(twice)}; map them in separate runs")
    if output.suffix.lower() in SCENE_SUFFIXES and not is_folder:
        raise UsageError(
            f"{output}: several images need a folder as output, not a file, or --stack if they "
            "are the bands of one scene"
        )
    return [(scene, output / f"{name}.tif") for scene, name in zip(scenes, names, strict=True)]


def note_skipped(images: list[str]) -> None:
    """Say which files of folders are left out."""
    from geounet.raster import list_skipped

    for image in images:
        if names := list_skipped(image):
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            typer.echo(
                f"note: {', '.join(names[:3])}{more} in {image}: no raster by its name, left out; "
                "a file that is named by itself may be called anything",
                err=True,
            )
