"""A raster read on another grid: labels beside a scene, the bands of a stack."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal
from xml.etree.ElementTree import Element

import numpy as np
from rasterio._path import _parse_path, _vsi_path
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import CRSError, RasterioError
from rasterio.io import DatasetReader, MemoryFile
from rasterio.vrt import WarpedVRT

from geounet.errors import InputError
from geounet.raster.dataset import grid_of, one_line, open_dataset
from geounet.raster.grid import Grid
from geounet.raster.scene import Scene, choose_bands, open_scene
from geounet.raster.validity import make_rule
from geounet.raster.vrt import add_band, add_source, add_text, make_dataset, to_bytes

ResamplingName = Literal["nearest", "bilinear", "cubic", "average", "mode"]
"""How pixels are computed on another grid; labels need nearest or mode."""


def open_warped(
    path: str | Path,
    grid: Grid,
    resampling: ResamplingName = "nearest",
    bands: Sequence[int] | None = None,
    *,
    allow_palette: bool = False,
) -> Scene:
    """Open a raster so that it reads as if it had been stored on `grid`.

    Pixels that the raster does not cover are not valid. A raster that lies on the grid already is
    read as it is; so is one without georeference, if the grid has none either and sizes agree.

    Raises:
        InputError: it cannot be read, or one has a georeference and the other has not.
    """
    with ExitStack() as stack:
        dataset = stack.enter_context(open_dataset(path))
        chosen = choose_bands(dataset, path, bands, allow_palette=allow_palette)
        own = grid_of(dataset, path)
        if _fits(own, grid, path):
            return open_scene(path, chosen, allow_palette=allow_palette)
        xml = _select_bands(dataset, own, chosen, str(path))
        source = stack.enter_context(Scene(dataset, path, chosen, stack))
        memory = stack.enter_context(MemoryFile(xml, ext=".vrt"))
        selected = stack.enter_context(open_dataset(memory.name))
        try:
            vrt = stack.enter_context(_warp(selected, grid, resampling))
        except (CRSError, RasterioError) as error:
            raise InputError(
                f"{path} cannot be brought onto the scene's grid ({one_line(error)}); "
                "warp it with gdalwarp first"
            ) from error
        return Scene(vrt, path, range(1, len(chosen) + 1), stack, source)


def _fits(own: Grid, grid: Grid, path: str | Path) -> bool:
    """Whether the raster's pixels are the grid's as they are; otherwise it can be warped."""
    if own.is_georeferenced and grid.is_georeferenced:
        return own.matches(grid)
    if own.is_georeferenced:
        raise InputError(
            f"{path} has a CRS, the scene's grid has none; georeference the scene, or give a "
            "raster of its size without CRS"
        )
    if grid.is_georeferenced:
        found = "only ground control points or RPCs" if own.sensor else "no CRS"
        raise InputError(
            f"{path} has {found}, the scene's grid has a CRS ({grid.crs and grid.crs.name}); "
            "georeference it with gdal_translate or gdalwarp"
        )
    if own.shape != grid.shape:
        raise InputError(
            f"{path} has {own.height} x {own.width} pixels, the scene's grid {grid.height} x "
            f"{grid.width}, and neither has a CRS; give both the same size"
        )
    return True


def _warp(source: DatasetReader, grid: Grid, resampling: ResamplingName) -> WarpedVRT:
    has_alpha = ColorInterp.alpha in source.colorinterp
    return WarpedVRT(
        source,
        crs=grid.crs and grid.crs.to_wkt(),
        transform=grid.transform,
        height=grid.height,
        width=grid.width,
        resampling=Resampling[resampling],
        add_alpha=not has_alpha,
        # the error in pixels of GDAL's piecewise linear reprojection: its default of 1/8 moves
        # nearest pixels, 1/1000 takes no measurable time
        tolerance=1e-3,
    )


def _select_bands(
    source: DatasetReader,
    own: Grid,
    bands: tuple[int, ...],
    path: str,
) -> bytes:
    """A virtual raster of these bands, and an alpha band that says where all of them are data."""
    root = make_dataset(own)
    name, extent = _vsi_path(_parse_path(path)), own.extent
    for band in bands:
        target = add_band(root, source.dtypes[band - 1], source.descriptions[band - 1])
        add_source(target, name, band, extent, extent)
    sources = _alpha_sources(source, bands)
    if sources:
        alpha = add_band(root, "uint8")
        add_text(alpha, "ColorInterp", "Alpha")
        if len(sources) > 1:
            alpha.set("subClass", "VRTDerivedRasterBand")
            add_text(alpha, "PixelFunctionType", "min")
        for band_or_mask, nodata in sources:
            _turn_into_flag(add_source(alpha, name, band_or_mask, extent, extent), nodata)
    return to_bytes(root)


def _alpha_sources(
    source: DatasetReader, bands: tuple[int, ...]
) -> list[tuple[int | str, float | None]]:
    """Where `ValidityRule` looks: a band, or the mask of one, and its value for no data."""
    rule = make_rule(source, bands)
    masks = [(f"mask,{band}", 0.0) for band in rule.masks]
    alphas = [(band, 0.0) for band in rule.alphas]
    values = [
        (band, source.nodatavals[band - 1])
        for band, nodata in zip(bands, rule.nodata, strict=True)
        if nodata is not None or np.dtype(source.dtypes[band - 1]).kind == "f"
    ]
    return [*masks, *alphas, *values]


def _turn_into_flag(source: Element, nodata: float | None) -> None:
    """Make a source 0 where it is nodata or NaN, 255 elsewhere: value * 0 + 255."""
    source.tag = "ComplexSource"
    add_text(source, "ScaleOffset", "255")
    add_text(source, "ScaleRatio", "0")
    if nodata is not None:
        add_text(source, "NODATA", repr(nodata))
