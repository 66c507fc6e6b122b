"""Whether a model fits a scene, and how a scene is made to fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from geounet.errors import ModelError, UsageError
from geounet.inference.options import PredictOptions
from geounet.models import ModelSpec
from geounet.raster import Resampled, SceneLike
from geounet.wording import counted

PIXEL_SIZE_TOLERANCE = 1.25
"""Largest ratio of pixel sizes that counts as the same: what scale augmentation covers."""

RESAMPLING_TOLERANCE = 1.01
"""Largest ratio of pixel sizes at which --resample leaves the scene as it is."""

RESAMPLING_LIMIT = 100
"""Largest ratio of pixel sizes that --resample bridges; beyond, a unit must be wrong."""


def fit_scene(specs: Sequence[ModelSpec], scene: SceneLike, options: PredictOptions) -> SceneLike:
    """The scene as the models need it: with --resample at the pixel size of the first.

    Raises:
        UsageError: it is to be resampled, but a pixel size is not known.
        ModelError: says what differs, and which option overrides it.
    """
    if options.resample:
        scale = _find_scale(specs[0], scene)
        if max(scale, 1 / scale) > RESAMPLING_TOLERANCE:
            scene = Resampled(scene, scale)
    for spec in specs:
        check_fit(spec, scene, options)
    return scene


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


def find_order(spec: ModelSpec, names: Sequence[str | None]) -> list[int] | None:
    """Where the model's bands are among these, from 0; None unless they are the same by name."""
    wanted = [band.name for band in spec.bands]
    is_known = None not in wanted and len(set(names)) == len(names) == len(wanted)
    if not is_known or set(names) != set(wanted):
        return None
    return [names.index(name) for name in wanted]


def find_notes(
    specs: Sequence[ModelSpec], scene: SceneLike, options: PredictOptions
) -> tuple[str, ...]:
    """What of the scene is as it should not be, or cannot be checked, and does not stop a run."""
    wanted = next((spec.pixel_size_m for spec in specs if spec.pixel_size_m is not None), None)
    if wanted is None or scene.grid.pixel_size_m is not None or options.allow_pixel_size:
        return scene.notes
    return (
        *scene.notes,
        f"{scene.path} has no CRS, so that its pixel size could not be checked; the model was "
        f"trained on {wanted:.3g} m",
    )


def _find_scale(spec: ModelSpec, scene: SceneLike) -> float:
    """The model's pixel size by the scene's."""
    wanted, found = spec.pixel_size_m, scene.grid.pixel_size_m
    if found is None:
        raise UsageError(
            f"{scene.path} has no CRS, so that its pixel size is not known; georeference it, or "
            "leave out --resample"
        )
    if wanted is None:
        raise UsageError(
            "the model was trained on images without CRS, so that its pixel size is not known; "
            "leave out --resample"
        )
    if max(wanted / found, found / wanted) > RESAMPLING_LIMIT:
        raise ModelError(
            f"{scene.path} has pixels of {found:.3g} m, the model was trained on {wanted:.3g} m: "
            f"--resample bridges a factor of {RESAMPLING_LIMIT}; check the scene's georeference"
        )
    return wanted / found


def _check_bands(spec: ModelSpec, scene: SceneLike, *, are_named: bool) -> None:
    wanted = [band.name for band in spec.bands]
    if scene.count != len(wanted):
        help_ = "choose them with --bands"
        if scene.count < len(wanted) and are_named:
            help_ = "give a scene that has all of them, or their files with --stack"
            help_ = "; ".join([*scene.notes, help_])
        raise ModelError(
            f"{scene.path} gives {counted(scene.count, 'band')}, the model needs "
            f"{len(wanted)}{f' ({_names(wanted)})' if any(wanted) else ''}; {help_}"
        )
    found = list(scene.band_names)
    if not are_named or None in wanted or None in found or found == wanted:
        return
    numbers = ",".join(map(str, scene.bands))
    hint = f"if they are the same under other names, say so with --bands {numbers}"
    if (order := find_order(spec, found)) is not None:
        hint = f"put them in order with --bands {','.join(str(scene.bands[i]) for i in order)}"
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
    if max(wanted / found, found / wanted) <= PIXEL_SIZE_TOLERANCE:
        return
    if isinstance(scene, Resampled):
        raise ModelError(
            f"{scene.path} is resampled to {found:.3g} m as the first model needs, another was "
            f"trained on {wanted:.3g} m; use models of one pixel size, or --allow-pixel-size"
        )
    raise ModelError(
        f"{scene.path} has pixels of {found:.3g} m, the model was trained on {wanted:.3g} m; "
        "use --resample, or --allow-pixel-size to map it as it is"
    )


def _range_class(dtype: np.dtype[np.generic]) -> str:
    """Dtypes whose values are habitually of one range: int16 and uint16 are, uint8 is not."""
    return "float" if dtype.kind == "f" else f"{8 * dtype.itemsize} bit"


def _names(names: list[str | None]) -> str:
    return ", ".join(name or "unnamed" for name in names)
