"""Labels, raster or vector, as class values on a scene's grid."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import numpy as np
import shapely
from geopandas import GeoDataFrame
from numpy.typing import NDArray
from pyproj import CRS

from geounet.classes import NODATA, ClassInfo
from geounet.errors import InputError
from geounet.raster import Bounds, Grid, Scene, Window, mirror_indices, open_warped
from geounet.vector.labels.burning import Burner
from geounet.vector.labels.instances import find_amorphous, number_regions
from geounet.vector.labels.label_options import LabelOptions
from geounet.vector.labels.label_pixels import make_decoder, open_label_raster, refuse_pixels
from geounet.vector.labels.label_values import find_outside, list_classes, to_feature_values
from geounet.vector.labels.reading import project_frame, read_own_polygons
from geounet.vector.labels.separating import InstanceBurner
from geounet.vector.source import (
    format_bounds,
    is_empty,
    is_vectors,
    modified_at,
    open_vectors,
    project_bounds,
    require_way,
    search_box,
)

MAX_WHOLE = 100_000
"""Files with fewer features are read once for all scenes, others by the bounds of each."""

SAME_PLACE_PX = 0.01
"""Pixels that grids are apart at most that are one."""

ROOM = 16
"""Pixels around a window in which features are read too, at least."""

AnyBurner = Burner[np.uint8] | InstanceBurner

T = TypeVar("T", np.uint8, np.int32)

ReadWindow = Callable[[Window], NDArray[T]]


class Labels:
    """Open labels of one scene. One handle: use it in one thread.

    Attributes:
        note: what had to be done to bring them onto the scene's grid; None if nothing.
    """

    def __init__(
        self,
        read: ReadWindow[np.uint8],
        read_instances: ReadWindow[np.int32],
        note: str | None,
        resources: ExitStack,
    ) -> None:
        """Take over the resources. Prefer `open_labels`."""
        self._read = read
        self._read_instances = read_instances
        self.note = note
        self._resources = resources.pop_all()

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Class values (H, W) on the scene's grid; 255 where there is no label.

        The window may reach beyond the scene: there labels are mirrored as the scene is.

        Raises:
            InputError: a value is not one of the declared classes, or the file is damaged.
        """
        return self._read(window)

    def read_instances(self, window: Window) -> NDArray[np.int32]:
        """Which instance each pixel is of, int32 (H, W) from 1, mirrored as labels are; 0: of none.

        With `separate_px`, the features of vector labels, with the same numbers in all windows;
        else 4-connected regions of a class, as far as the window shows that they are connected.
        Neither what has no label, nor the class outside of all polygons has instances.

        Raises:
            InputError: as for `read`.
        """
        return self._read_instances(window)

    def close(self) -> None:
        """Close the file."""
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_labels(
    source: str | Path,
    grid: Grid,
    classes: Sequence[ClassInfo],
    options: LabelOptions = LabelOptions(),  # noqa: B008  frozen
    near: Window | None = None,
    scene: str | Path = "the scene",
) -> Labels:
    """Open the labels of a scene with this grid; all, or to be read in a window of it.

    A raster is read as it is if its grid is the scene's (to 1/100 pixel), or if one of the
    two has no georeference and their sizes agree; otherwise it is warped, nearest neighbour. That
    takes a CRS of both: one that lies elsewhere by a mere geotransform is refused.
    Its pixels are numbers of classes, or colours (three bands, or a palette with the classes'
    colours at other numbers than theirs), or with `threshold` those of a mask. nodata, transparent
    pixels and what is to be ignored become 255, with `sparse` also 0 and black.

    Vectors are reprojected and burnt: a pixel belongs to the polygon that holds its centre. Where
    polygons of several classes overlap, the class with the highest value wins, and no label wins
    over all. Outside of all polygons is the class named background, else the first; with `sparse`
    no label. With `class_field` a polygon's class is the one with that name, else with that value;
    without, it is the other of two. With `separate_px` what is outside also lies in gaps between
    touching features.

    Raises:
        InputError: they cannot be used for this scene; the message says why, and names it as
            `scene`.
    """
    with ExitStack() as stack:
        if is_vectors(source):
            burner = make_burner(source, grid, classes, options, near, scene)
            readers = _make_readers(burner, grid, classes, options)
            return Labels(*readers, _note(source, grid, classes, options), stack)
        raster = stack.enter_context(open_label_raster(source))
        decoder = make_decoder(raster, classes, options)
        placed, note = _place(raster, grid, scene, stack)

        def read(window: Window) -> NDArray[np.uint8]:
            values, is_known = decoder.decode(*placed.read(window))
            if not is_known:
                raise refuse_pixels(source, decoder, classes)
            return values

        return Labels(read, _number_regions(read, classes, options), note, stack)


def _place(
    labels: Scene, grid: Grid, scene: str | Path, stack: ExitStack
) -> tuple[Scene, str | None]:
    """The labels on the scene's grid, and what was done to bring them there."""
    own, source = labels.grid, labels.path
    if own.matches(grid):
        return labels, None
    has_points = own.sensor is not None and own.sensor.gcps_crs is not None
    if grid.crs is None or (own.crs is None and not has_points):
        if own.shape != grid.shape:
            raise InputError(
                f"{source} has {own.height} x {own.width} pixels, {scene} {grid.height} x "
                f"{grid.width}, and not both have a georeference; georeference both, or give "
                "both the same size"
            )
        return labels, f"taken pixel by pixel: {_find_bare(labels, grid, scene)}"
    if own.crs is not None:
        _require_overlap(source, own.bounds(), own.crs, grid, scene)
    warped = stack.enter_context(open_warped(source, grid, "nearest", allow_palette=True))
    if own.shape == grid.shape and own.crs == grid.crs:
        return warped, f"shifted by {grid.offset_px(own):.2g} pixels: warped (nearest)"
    name = "ground control points" if own.crs is None else own.crs.name
    return warped, f"warped (nearest) from {name}, {own.height} x {own.width} pixels"


def _find_bare(labels: Scene, grid: Grid, scene: str | Path) -> str:
    """Which of two rasters of one size has no georeference, or no CRS where their places agree.

    Raises:
        InputError: by their geotransforms or world files they lie at different places.
    """
    own = labels.grid
    if own.transform.is_identity:
        return "the labels have no georeference"
    if grid.transform.is_identity:
        return "the scene has no georeference"
    bare = "neither has a CRS" if own.crs == grid.crs else "only one of the two has a CRS"
    if (offset := grid.offset_px(own)) > SAME_PLACE_PX:
        raise InputError(
            f"{labels.path} and {scene} lie {offset:.2f} pixels apart, and {bare}; give both their "
            "CRS (gdal_edit.py -a_srs), or take the place off the labels to have them read pixel "
            "by pixel: remove the world file, or gdal_edit.py -unsetgt"
        )
    return bare


def make_burner(
    source: str | Path,
    grid: Grid,
    classes: Sequence[ClassInfo],
    options: LabelOptions,
    near: Window | None = None,
    scene: str | Path = "the scene",
) -> AnyBurner:
    """The polygons of vector labels on a grid, with class values, in the order of burning.

    Of a file with many, only those near a window, if one is given.

    Raises:
        InputError: they cannot be used for this scene; the message says why.
    """
    frame = _read_on(source, grid, options, near)
    if options.class_field is not None:
        values = to_feature_values(frame[options.class_field], source, classes, options)
    elif len(classes) == 2:
        (inside,) = (item for item in classes if item != find_outside(classes))
        values = np.full(len(frame), inside.value, np.uint8)
    else:
        raise InputError(
            f"{source} is to show the classes {list_classes(classes)}; "
            "say which column holds the class with --class-field"
        )
    if not len(frame):
        layer = open_vectors(source, may_be_empty=True)
        if layer.features and layer.bounds is not None:
            _require_overlap(source, layer.bounds, layer.crs, grid, scene)
    polygons = np.array(frame.geometry.array)
    if options.separate_px is not None:
        features = frame.index.to_numpy(np.int64)
        return InstanceBurner(polygons, values, features, grid, options.separate_px)
    order = np.argsort(values, kind="stable")  # of equal ones, the file's order
    return Burner(polygons[order], values[order], grid)


def is_read_by_bounds(source: str | Path) -> bool:
    """Whether a vector file has so many features that only those of a place are read."""
    return open_vectors(source, may_be_empty=True).features > MAX_WHOLE


def _read_on(
    source: str | Path, grid: Grid, options: LabelOptions, near: Window | None
) -> GeoDataFrame:
    """The polygons that may touch a grid, or a window of it: of a file with many, only they."""
    bounds = grid.bounds() if is_read_by_bounds(source) else None
    if bounds is not None and near is not None:
        gap = options.separate_px or 0
        room = gap + ROOM + max(near.shape) // 100  # the sides bend in other CRSs
        own = read_own_polygons(source, grid.crs, options, grid.bounds(near.pad(room)))
        return project_frame(own, grid.crs, grid.bounds())  # cut alike, whatever the window
    # the index is kept with the frame: one file may serve thousands of scenes
    own = _read_cached(os.fspath(source), modified_at(source), grid.crs, options, bounds)
    frame = project_frame(own, grid.crs, grid.bounds())
    return frame.iloc[np.sort(frame.sindex.query(shapely.box(*grid.bounds())))]


@lru_cache(maxsize=64)
def _read_cached(
    path: str, modified_at: float, crs: CRS | None, options: LabelOptions, bounds: Bounds | None
) -> GeoDataFrame:
    """Read once for all scenes and threads that it serves; not to be changed."""
    return read_own_polygons(path, crs, options, bounds)


def _make_readers(
    burner: AnyBurner, grid: Grid, classes: Sequence[ClassInfo], options: LabelOptions
) -> tuple[ReadWindow[np.uint8], ReadWindow[np.int32]]:
    """Readers of class values and of instances."""
    fill = NODATA if options.sparse else find_outside(classes).value
    read = _mirrored(lambda window: burner.burn(window, fill), grid)
    if not isinstance(burner, InstanceBurner):
        return read, _number_regions(read, classes, options)
    amorphous = find_amorphous(classes, options)
    return read, _mirrored(lambda window: burner.burn_instances(window, fill, amorphous), grid)


def _number_regions(
    read: ReadWindow[np.uint8], classes: Sequence[ClassInfo], options: LabelOptions
) -> ReadWindow[np.int32]:
    amorphous = find_amorphous(classes, options)
    return lambda window: number_regions(read(window), amorphous)


def _mirrored(read: ReadWindow[T], grid: Grid) -> ReadWindow[T]:
    """What reads windows in the grid, for windows that may reach beyond it."""

    def read_mirrored(window: Window) -> NDArray[T]:
        if not window.area or grid.extent.contains(window):
            return read(window)
        rows = mirror_indices(window.row_off, window.row_end, grid.height)
        cols = mirror_indices(window.col_off, window.col_end, grid.width)
        row_off, col_off = int(rows.min()), int(cols.min())
        inside = Window(
            row_off=row_off,
            col_off=col_off,
            height=int(rows.max()) + 1 - row_off,
            width=int(cols.max()) + 1 - col_off,
        )
        return read(inside)[np.ix_(rows - row_off, cols - col_off)]

    return read_mirrored


def _note(
    source: str | Path, grid: Grid, classes: Sequence[ClassInfo], options: LabelOptions
) -> str | None:
    """What should be known of vector labels; None if nothing."""
    if is_empty(source):
        meant = "nothing has a label" if options.sparse else f"all is {find_outside(classes).name}"
        return f"the file has no features: {meant}"
    crs = open_vectors(source).crs
    return None if crs == grid.crs or crs is None else f"reprojected from {crs.name}"


def _require_overlap(
    source: str | Path, bounds: Bounds, crs: CRS | None, grid: Grid, scene: str | Path
) -> None:
    """Nothing, unless it is certain that bounds in a CRS do not touch the grid.

    Told in their own CRS, if it can: bounds of the world have none in most others.
    """
    require_way(source, crs, grid.crs)
    place = search_box(crs, grid.crs, grid.bounds())
    if place is None:
        crs, bounds, place = grid.crs, project_bounds(bounds, crs, grid.crs), grid.bounds()
    west, south, east, north = bounds
    left, bottom, right, top = place
    if west >= right or east <= left or south >= top or north <= bottom:
        raise InputError(
            f"{source} does not overlap {scene}: {format_bounds(bounds)} against "
            f"{format_bounds(place)} in {crs.name if crs else 'coordinates without a CRS'}; "
            "give files of one place, or check the CRS"
        )
