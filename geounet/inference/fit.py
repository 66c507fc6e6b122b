"""Whether a model fits a scene."""

from __future__ import annotations

import numpy as np

from geounet.errors import ModelError
from geounet.inference.options import PredictOptions
from geounet.models import ModelSpec
from geounet.raster import SceneLike

PIXEL_SIZE_TOLERANCE = 1.25
"""Largest ratio of pixel sizes that counts as the same: what scale augmentation covers."""


def check_fit(spec: ModelSpec, scene: SceneLike, options: PredictOptions) -> None:
    """Refuse a scene that the model was not made for.

    Raises:
        ModelError: says what differs, and which option overrides it.
    """
    _check_bands(spec, scene, are_named=options.bands is None)
    if not options.allow_dtype:
        _check_dtype(spec, scene)
    if not options.allow_pixel_size:
        _check_pixel_size(spec, scene)


def _check_bands(spec: ModelSpec, scene: SceneLike, *, are_named: bool) -> None:
    wanted = [band.name for band in spec.bands]
    if scene.count != len(wanted):
        raise ModelError(
            f"{scene.path} gives {_count(scene.count, 'band')}, the model needs "
            f"{len(wanted)} ({_names(wanted)}); choose them with --bands"
        )
    found = list(scene.band_names)
    if not are_named or None in wanted or None in found or found == wanted:
        return
    numbers = ",".join(map(str, scene.bands))
    hint = f"if they are the same under other names, say so with --bands {numbers}"
    if set(found) == set(wanted) and len(set(found)) == len(found):
        order = ",".join(str(scene.bands[found.index(name)]) for name in wanted)
        hint = f"put them in order with --bands {order}"
    raise ModelError(
        f"{scene.path} has the bands {_names(found)}, the model needs {_names(wanted)}; {hint}"
    )


def _check_dtype(spec: ModelSpec, scene: SceneLike) -> None:
    trained = np.result_type(*(np.dtype(band.dtype) for band in spec.bands))
    if _range_class(trained) != _range_class(scene.dtype):
        raise ModelError(
            f"{scene.path} is {scene.dtype}, the model was trained on {trained}: its values "
            "mean something else; scale the scene alike, or use --allow-dtype"
        )


def _check_pixel_size(spec: ModelSpec, scene: SceneLike) -> None:
    wanted, found = spec.pixel_size_m, scene.grid.pixel_size_m
    if wanted is None or found is None:
        return
    if max(wanted / found, found / wanted) > PIXEL_SIZE_TOLERANCE:
        raise ModelError(
            f"{scene.path} has pixels of {found:.3g} m, the model was trained on {wanted:.3g} m; "
            "resample the scene, or use --allow-pixel-size"
        )


def _range_class(dtype: np.dtype[np.generic]) -> str:
    """Dtypes whose values are habitually of one range: int16 and uint16 are, uint8 is not."""
    return "float" if dtype.kind == "f" else f"{8 * dtype.itemsize} bit"


def _names(names: list[str | None]) -> str:
    return ", ".join(name or "unnamed" for name in names)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
