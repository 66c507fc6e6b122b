"""STAC Items as scenes of `geounet predict`, and masks as Items."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from geounet.errors import ModelError, UsageError

if TYPE_CHECKING:
    from geounet.cli.jobs import Job
    from geounet.inference import PredictSummary
    from geounet.raster import StacItem


def parse_assets(text: str) -> tuple[str, ...]:
    """`red,green` -> ("red", "green").

    Raises:
        UsageError: a name is missing or named twice.
    """
    keys = tuple(key.strip() for key in text.split(","))
    if not all(keys) or len(set(keys)) < len(keys):
        raise UsageError(f"--assets {text}: write names of assets, each once, like red,green,nir")
    return keys


def read_items(images: Sequence[str]) -> list[StacItem]:
    """The Items that `--assets` is about.

    Raises:
        InputError: one is no Item.
    """
    from geounet.raster import read_stac_item

    return [read_stac_item(image) for image in images]


def pair_items(items: Sequence[StacItem], keys: Sequence[str], output: Path) -> list[Job]:
    """The stack of assets of each Item with its mask: OUT of one, OUT/<id>.tif of several.

    Raises:
        UsageError: an Item has no such asset, or two have the same id.
    """
    stacks = [item.locate(keys) for item in items]
    if len(items) == 1 and not output.is_dir():
        return [(stacks[0], output)]
    names = [item.identifier.replace("/", "_") for item in items]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"several Items are named {', '.join(twice)}; map them in separate runs")
    return [(stack, output / f"{name}.tif") for stack, name in zip(stacks, names, strict=True)]


def check_order(items: Sequence[StacItem], keys: Sequence[str], models: Sequence[Path]) -> None:
    """Refuse assets that are the models' bands in another order, as the Items name them.

    Raises:
        ModelError: an Item's are.
    """
    from geounet.inference import find_order
    from geounet.models import read_spec

    for model in models:
        spec = read_spec(model)
        for item in items:
            found = [(order, way) for way in item.name_bands(keys)
                     if (order := find_order(spec, way)) is not None]  # fmt: skip
            if not found or any(order == sorted(order) for order, _ in found):
                continue
            order, names = found[0]
            hint = f"--bands {','.join(str(i + 1) for i in order)}"
            if len(keys) == len(order):
                hint = f"--assets {','.join(keys[i] for i in order)}"
            raise ModelError(
                f"{item.path} gives the bands {', '.join(names)}, the model needs "
                f"{', '.join(names[i] for i in order)}; put them in order with {hint}"
            )


def explain_item(images: Sequence[str]) -> None:
    """Say so where an image is an Item, which is a scene only with the names of assets.

    Raises:
        UsageError: one is.
    """
    from geounet.errors import InputError
    from geounet.raster import is_stac_name, read_stac_item

    for image in filter(is_stac_name, images):
        try:
            item = read_stac_item(image)
        except InputError:  # GDAL may know it
            continue
        raise UsageError(
            f"{image} is a STAC Item; name the assets that are the model's bands, in its order, "
            f"with --assets: it has {', '.join(item.assets) or 'none'}"
        )


def check_stac_target(path: Path | None, jobs: Sequence[Job], *, overwrite: bool) -> None:
    """Refuse an Item that could not be written, before the hours that come first.

    `path` None: none is wanted.

    Raises:
        UsageError: several images, or something else is there.
    """
    from geounet.stac import check_item_target

    if path is None:
        return
    if len(jobs) > 1:
        raise UsageError(
            f"--stac takes one image, not {len(jobs)}; describe each mask with geounet info --stac"
        )
    check_item_target(path, jobs[0][1].stem, overwrite=overwrite)


def write_mask_item(
    path: Path | None,
    summaries: Sequence[PredictSummary],
    sources: Sequence[StacItem],
    *,
    overwrite: bool,
) -> None:
    """Describe the mask of the one scene, if an Item of it is wanted, and what goes with it."""
    if path is None:
        return
    from geounet.raster import describe_raster_item
    from geounet.stac import write_item

    for summary in summaries:
        others = {name: getattr(summary, name) for name in ("confidence", "scores", "polygons")}
        item = describe_raster_item(
            summary.output,
            path.parent,
            moment=sources[0].moment if sources else None,
            others={name: file for name, file in others.items() if file is not None},
            derived_from=_name_source(sources[0], path) if sources else None,
        )
        write_item(path, item, overwrite=overwrite)


def _name_source(source: StacItem, path: Path) -> str:
    """Address of the Item that the scene is, without what may be a secret."""
    from geounet.stac import relate

    if "://" in source.path:
        return source.path.partition("?")[0]
    return relate(Path(source.path), path.parent)
