"""What identifies a run: the fingerprint of its job, the tags of its outputs."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from geounet import __version__
from geounet.errors import InputError
from geounet.inference.engines.blended_engine import BlendedEngine
from geounet.inference.engines.engine import Engine
from geounet.inference.options import PredictOptions
from geounet.inference.planning.plan import Plan
from geounet.inference.running.job import JOB_TAG, digest_job
from geounet.models import Model
from geounet.raster import (
    Grid,
    Resampled,
    SceneLike,
    find_last_block,
    find_local,
    find_stored,
    name_of,
)

SIDECARS = (".aux.xml", ".ovr")
"""Files that GIS programs leave beside a scene; what counts of them is in the fingerprint."""


ZARR_ARRAYS = (".zarray", "zarr.json")
"""Files that GDAL names for an array of Zarr, whose chunks lie beside and below them."""


def make_fingerprint(
    scene: SceneLike,
    models: Sequence[Model],
    engine: Engine,
    plan: Plan,
    options: PredictOptions,
) -> dict[str, Any]:
    """All that can change a pixel of the result. Batches and readers cannot, nor exact tiles."""
    extent, aoi = plan.area.extent, plan.area.aoi
    files = [file for file in scene.files if not str(file).endswith(SIDECARS)]
    grids = [plan.area.grid, *(origin.grid for origin in scene.origins)]
    return {
        "scene": [_identify_file(file) for file in files],
        "folder of the scene": [_find_folder(file) for file in files],
        "scene size": list(plan.area.grid.shape),
        "georeference": [_describe_grid(grid) for grid in grids],
        "validity": [asdict(origin.rule) for origin in scene.origins],
        "resampling": _describe_resampling(scene),
        "bands": list(scene.bands),
        "model": [model.digest for model in models],
        "area": [extent.row_off, extent.col_off, extent.height, extent.width],
        "AOI": None if aoi is None else hashlib.sha256(aoi.wkb).hexdigest(),
        "device": engine.runtime.device.type,
        "precision": engine.runtime.precision,
        "engine": engine.name,
        "tiling": describe_tiling(engine),
        "test-time augmentation": options.tta,
        "outputs": [*engine.request.kinds, engine.request.scores],
        "geounet": __version__,
        **_describe_versions(engine),
    }


def _describe_versions(engine: Engine) -> dict[str, str]:
    """Of what runs the networks: another one may compute another last bit."""
    names = engine.name.split(" and ")
    # not those of distributions: onnxruntime comes as onnxruntime-gpu, too
    return {f"version of {name}": str(import_module(name).__version__) for name in names}


def _describe_grid(grid: Grid) -> list[Any]:
    return [grid.crs and grid.crs.to_wkt(), list(grid.transform)[:6], repr(grid.sensor)]


def make_tags(
    fingerprint: Mapping[str, Any],
    models: Sequence[Model],
    engine: Engine,
    options: PredictOptions,
) -> dict[str, str]:
    """GDAL metadata of an output. No date: the same run gives the same bytes."""
    tags = {
        "GEOUNET_VERSION": __version__,
        JOB_TAG: digest_job(fingerprint),
        "GEOUNET_MODEL": ", ".join(model.name for model in models),
        "GEOUNET_MODEL_SHA256": ", ".join(model.digest for model in models),
        "GEOUNET_SCENE": ", ".join(file["name"] for file in fingerprint["scene"]),
        "GEOUNET_BANDS": ",".join(map(str, fingerprint["bands"])),
        "GEOUNET_TILING": fingerprint["tiling"],
        "GEOUNET_ENGINE": engine.name,
        "GEOUNET_TTA": options.tta,
        "GEOUNET_DEVICE": engine.runtime.device.type,
        "GEOUNET_PRECISION": engine.runtime.precision,
    }
    if fingerprint["resampling"]:
        tags["GEOUNET_RESAMPLED"] = fingerprint["resampling"]
    if options.bbox:
        tags["GEOUNET_BBOX"] = ",".join(map(repr, options.bbox))
    if options.aoi:
        tags["GEOUNET_AOI"] = name_of(options.aoi)
    return tags


def describe_tiling(engine: Engine) -> str:
    """Whether tiles are exact or blended, and what decides their values."""
    if isinstance(engine, BlendedEngine):
        blend = engine.blend
        return f"blend, tile {blend.tile}, overlap {blend.overlap}, rim {blend.rim}"
    return f"exact, margin {engine.geometry.margin}, stride {engine.geometry.stride}"


def _describe_resampling(scene: SceneLike) -> str | None:
    if not isinstance(scene, Resampled):
        return None
    return f"from {scene.source.grid.pixel_size_m!r} m by {scene.scale!r}, outputs by nearest pixel"


def _identify_file(path: str | Path) -> dict[str, Any]:
    """Name, size and time of change, of the file itself or the archive that it is in.

    Of what is on no local disk its name, and what GDAL knows of its size.
    """
    file = find_stored(path)
    if file is None:
        # tokens are secrets, and a renewed one makes no other scene
        name = re.sub(r"\?.*$|(?<=//)[^/@]*@", "", str(path))
        with suppress(InputError):  # a file beside the scene is no raster
            return {"name": name, "last_block": find_last_block(path)}
        return {"name": name}
    states = [one.stat() for one in _list_stored(file)]
    return {
        "name": file.name if find_local(path) else str(path),
        "bytes": sum(state.st_size for state in states),
        "changed_ns": max((state.st_mtime_ns for state in states), default=0),
    }


def _find_folder(path: str | Path) -> str | None:
    """The folder of what is on disk: elsewhere a file may have the same name, size and date.

    Links stay as they are: machines that see a file at the same path may link it otherwise.
    """
    file = find_stored(path)
    return None if file is None else os.path.abspath(file.parent)  # noqa: PTH100


def _list_stored(file: Path) -> list[Path]:
    """The file itself; of a folder, or an array of Zarr, all files that hold its pixels."""
    folder = file.parent if file.name in ZARR_ARRAYS else file
    if not folder.is_dir():
        return [file]
    inside = (one for one in folder.rglob("*") if not one.name.endswith(SIDECARS))
    return [one for one in inside if one.is_file()]
