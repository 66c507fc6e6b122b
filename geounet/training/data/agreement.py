"""What scenes that train together have in common: bands and pixel size."""

from __future__ import annotations

import os
import statistics as stats
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geounet.errors import InputError
from geounet.inference import PIXEL_SIZE_TOLERANCE
from geounet.training.data.sources import Bands, Source
from geounet.wording import counted


@dataclass(frozen=True)
class Common:
    """What a model is to expect of a scene.

    Attributes:
        names: of the bands, as far as all images agree.
        dtype: of all images.
        pixel_size_m: side of a pixel on the ground, the median; None if no image has a CRS.
        notes: where images differ.
    """

    names: tuple[str | None, ...]
    dtype: np.dtype[np.generic]
    pixel_size_m: float | None
    notes: tuple[str, ...]


def find_common(
    training: Sequence[Source], others: Sequence[Source], *, are_chosen: bool
) -> Common:
    """What the images have in common.

    Args:
        training: images to train on.
        others: images to validate and test on.
        are_chosen: by --bands, so that names do not matter.

    Raises:
        InputError: other bands, in another order, or of another dtype.
    """
    found = [(source, source.bands) for source in (*training, *others) if source.bands is not None]
    names, dtype = found[0][1]
    for one in found[1:]:
        _require_like(found[0], one, are_chosen=are_chosen)
    columns = zip(*(other for _, (other, _) in found), strict=True)
    agreed = tuple(set(column).pop() if len(set(column)) == 1 else None for column in columns)
    notes = []
    unlike = [k for k, name in enumerate(agreed, 1) if name is None and names[k - 1] is not None]
    if unlike:
        notes.append(
            f"the images name {counted(len(unlike), 'band')} differently "
            f"({', '.join(map(str, unlike))}); bands are taken by their position"
        )
    size, doubts = _find_pixel_size(training)
    return Common(agreed, dtype, size, (*notes, *doubts))


def require_apart(training: Sequence[Source], test: Sequence[Source]) -> None:
    """Nothing, if no image is both trained and tested on.

    Raises:
        InputError: one is.
    """
    trained = {os.path.realpath(source.image) for source in training}
    for source in test:
        if os.path.realpath(source.image) in trained:
            raise InputError(
                f"{source.image} is among the images to train on and among those to test on: "
                "such a test tells nothing; take it out of one of them"
            )


def _require_like(
    one: tuple[Source, Bands], another: tuple[Source, Bands], *, are_chosen: bool
) -> None:
    (first, (names, dtype)), (source, (other_names, other_dtype)) = one, another
    if len(other_names) != len(names):
        raise InputError(
            f"{source.image} has {counted(len(other_names), 'band')}, {first.image} has "
            f"{len(names)}; choose the same ones with --bands"
        )
    if other_dtype != dtype:
        raise InputError(
            f"{source.image} is {other_dtype}, {first.image} is {dtype}: their values "
            "mean different things; scale and convert them alike"
        )
    is_known = None not in names and len(set(names)) == len(names)
    if is_known and not are_chosen and other_names != names and set(other_names) == set(names):
        raise InputError(
            f"{source.image} has the bands {', '.join(map(str, other_names))}, {first.image} "
            f"{', '.join(map(str, names))}; put them in one order, or if only the names are wrong, "
            f"say so with --bands {','.join(str(k + 1) for k in range(len(names)))}"
        )


def _find_pixel_size(sources: Sequence[Source]) -> tuple[float | None, list[str]]:
    """The median, which is one of them, and what to say where they are far from each other."""
    sizes = [size for s in sources if (size := s.area.grid.pixel_size_m) is not None]
    if not sizes:
        return None, []
    median, least, most = stats.median_low(sizes), min(sizes), max(sizes)
    if most <= least * PIXEL_SIZE_TOLERANCE:
        return median, []
    return median, [
        f"the images have pixels of {least:.3g} to {most:.3g} m; the model counts as one for "
        f"{median:.3g} m, and needs --allow-pixel-size for others"
    ]
