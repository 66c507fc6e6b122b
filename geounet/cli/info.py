"""`geounet info`: what a raster or a model is, and whether the two fit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from geounet.cli.parameters import files, inputs, outputs
from geounet.cli.summary import print_json
from geounet.errors import InputError, ModelError

if TYPE_CHECKING:
    from geounet.models import ModelSpec
    from geounet.raster import Scene


MODEL_SUFFIXES = (".safetensors", ".onnx", ".pt2")
"""Files that are models; everything else is a raster."""

WORDS = {
    "pixel_size_m": "pixel size (m)",
    "margin_px": "margin (px)",
    "stride_px": "stride (px)",
    "width_px": "width (px)",
    "height_px": "height (px)",
    "nodata": "no data",
    "crs": "CRS",
    "epsg": "EPSG",
    "block_shape": "blocks (rows, columns)",
    "fits_model": "fits the model",
    "stac": "STAC Item",
}
"""What keys of the JSON are called on the screen, if not by the same words."""


def info(
    file: files.RasterOrModel,
    model: files.FittingModel = None,
    bands: inputs.Bands = None,
    stac: files.InfoItem = None,
    overwrite: outputs.Overwrite = False,
    json: outputs.Json = False,
) -> None:
    """Say what a raster or a model is, and whether the two fit."""
    if _is_model(file):
        if model is not None:
            raise InputError(f"{file} is a model itself; give a raster before --model")
        from geounet.models import read_spec

        facts = describe_model(Path(file), read_spec(Path(file)))
    else:
        facts = _describe_raster(file, bands, model)
    if stac is not None:
        _write_stac(file, stac, overwrite=overwrite)
        facts["stac"] = str(stac)
    if json:
        print_json(facts)
    else:
        for key, value in facts.items():
            _print_fact(WORDS.get(key, key.replace("_", " ")), value)
    if facts.get("fits_model") is False:
        raise typer.Exit(ModelError.exit_code)


def _write_stac(file: str, target: Path, *, overwrite: bool) -> None:
    from geounet.stac import check_item_target, write_item

    source = Path(file)
    if _is_model(file):
        from geounet.models import describe_model_item, name_model, read_spec

        check_item_target(target, name_model(source), overwrite=overwrite)  # before hashing
        item = describe_model_item(source, read_spec(source), target.parent)
    else:
        from geounet.raster import describe_raster_item

        check_item_target(target, source.stem, overwrite=overwrite)  # before hashing gigabytes
        item = describe_raster_item(source, target.parent)
    write_item(target, item, overwrite=overwrite)


def _is_model(file: str) -> bool:
    """By its name; an .xml is OpenVINO's if its weights lie beside it, else GDAL may read it."""
    is_openvino = file.lower().endswith(".xml") and Path(file).with_suffix(".bin").is_file()
    return is_openvino or file.lower().endswith(MODEL_SUFFIXES)


def describe_model(path: Path, spec: ModelSpec) -> dict[str, Any]:
    """The facts of a model file."""
    return {
        "model": str(path),
        "architecture": spec.architecture,
        **dict(spec.arguments),
        "bands": [
            {"name": b.name, "dtype": b.dtype, "mean": b.offset, "std": b.scale} for b in spec.bands
        ],
        "classes": [{"value": c.value, "name": c.name, "colour": c.colour} for c in spec.classes],
        "pixel_size_m": spec.pixel_size_m,
        "margin_px": spec.margin,
        "stride_px": spec.stride,
        "training": dict(spec.training),
        **_describe_network(path, spec),
    }


def _describe_network(path: Path, spec: ModelSpec) -> dict[str, Any]:
    """What the network costs and consists of; a foreign file's layers are its own affair."""
    from geounet.models import describe_network, is_foreign_file

    if is_foreign_file(path):
        return {}
    anatomy = describe_network(spec)
    return {
        "parameters": anatomy.parameters,
        "multiplications_per_pixel": anatomy.macs_per_pixel,
        "layers": [
            {
                "layer": x.name,
                "kind": x.kind,
                "weights": " x ".join(map(str, x.shape)),
                "parameters": x.parameters,
            }
            for x in anatomy.layers
        ],
    }


def _describe_raster(
    file: str, bands: tuple[int, ...] | None, model: Path | None
) -> dict[str, Any]:
    from geounet.raster import open_scene

    with open_scene(file, bands, allow_palette=model is None) as scene:
        facts = _describe_scene(scene)
        if model is not None:
            reason = _find_misfit(scene, model, bands)
            facts |= {"fits_model": reason is None, "reason": reason}
    return facts


def _describe_scene(scene: Scene) -> dict[str, Any]:
    from geounet.raster import read_classes

    grid = scene.grid
    classes = read_classes(scene.path) if scene.count == 1 else None
    return {
        "raster": str(scene.path),
        "width_px": grid.width,
        "height_px": grid.height,
        "bands": [
            {"number": number, "name": name}
            for number, name in zip(scene.bands, scene.band_names, strict=True)
        ],
        "alpha_bands": list(scene.alphas),
        "dtype": str(scene.dtype),
        "nodata": scene.nodata,
        "crs": grid.crs.name if grid.crs else None,
        "epsg": grid.crs.to_epsg() if grid.crs else None,
        "bounds": list(grid.bounds()) if grid.crs else None,
        "pixel_size_m": grid.pixel_size_m,
        "block_shape": list(scene.block_shape),
        "notes": list(scene.notes),
        "classes": [{"value": c.value, "name": c.name, "colour": c.colour} for c in classes or ()],
    }


def _find_misfit(scene: Scene, model: Path, bands: tuple[int, ...] | None) -> str | None:
    """Why the model does not fit and what to do; None if it does."""
    from geounet.inference import PredictOptions, check_fit
    from geounet.models import read_spec

    spec = read_spec(model)
    try:
        check_fit(spec, scene, PredictOptions(bands=bands))
    except ModelError as error:
        return str(error)
    return None


def _print_fact(key: str, value: object, depth: int = 0) -> None:
    """A line, or a head with a table or lines of its own, further in; deep numbers rounded."""
    indent, rounded = "  " * depth, _round if depth > 1 else _keep
    if isinstance(value, dict) and value:
        typer.echo(f"{indent}{key}:")
        for name, item in value.items():
            is_class = key == "class shares"  # its keys are names of classes
            _print_fact(name if is_class else name.replace("_", " "), item, depth + 1)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        typer.echo(f"{indent}{key}:")
        _print_table([{k: rounded(v) for k, v in row.items()} for row in value], indent)
    else:
        typer.echo(f"{indent}{key}: {_format(rounded(value))}")


def _keep(value: object) -> object:
    return value


def _round(value: object) -> object:
    return round(value, 4) if isinstance(value, float) else value


def _print_table(rows: list[dict[str, Any]], indent: str) -> None:
    """The keys as a head, then the rows, in aligned columns."""
    lines = [list(rows[0]), *([_format(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        typer.echo((f"{indent}  " + "  ".join(cells)).rstrip())


def _format(value: object) -> str:
    if value is None or value in ([], {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_format(item) for item in value)
    return str(value)
