"""Masks against labels, from file to numbers."""

from __future__ import annotations

import json

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from pyproj import CRS
from rasters import UTM, write_raster

from geounet.classes import ClassInfo, make_classes
from geounet.errors import InputError
from geounet.evaluation import EvaluateOptions, evaluate
from geounet.raster import Grid, Window, dump_classes
from geounet.vector import LabelOptions

CRS_UTM = CRS.from_epsg(32633)
GRID = Grid(height=90, width=70, transform=UTM, crs=CRS_UTM)
NAMES = make_classes(["field", "road", "lake"])


def write_mask(path, pixels, classes=NAMES, grid=GRID):
    write_raster(path, pixels, grid=grid, nodata=255)
    with rasterio.open(path, "r+") as target:
        target.update_tags(GEOUNET_CLASSES=dump_classes(classes))
    return path


def random_classes(seed, values=(0, 1, 2, 255), shape=GRID.shape):
    return np.random.default_rng(seed).choice(values, shape).astype("uint8")


def count(labels, mask, size=3):
    """The confusion matrix by definition."""
    return [[int(((labels == i) & (mask == j)).sum()) for j in range(size)] for i in range(size)]


def write_boxes(path, windows, **columns):
    boxes = [shapely.box(*GRID.bounds(window)) for window in windows]
    gpd.GeoDataFrame(columns, geometry=boxes, crs=CRS_UTM).to_file(path)
    return path


def test_mask_against_raster_labels(tmp_path, monkeypatch):
    labels, pixels = random_classes(1), random_classes(2)
    mask = write_mask(tmp_path / "m.tif", pixels)
    truth = write_raster(tmp_path / "l.tif", labels, nodata=255)
    whole = evaluate(mask, truth, EvaluateOptions(intervals=False))
    assert whole.classes == NAMES
    assert whole.confusion.counts.tolist() == count(labels, pixels)
    unpredicted = [int(((labels == k) & (pixels == 255)).sum()) for k in range(3)]
    assert whole.confusion.unpredicted.tolist() == unpredicted
    assert whole.notes == (
        f"{truth}: labels hold 0, 1, 2 without names; taken for field, road, lake",
        f"{mask}: no data in {sum(unpredicted)} labelled pixels, which do not count",
    )
    for block in (7, 16, 64, 89):
        monkeypatch.setattr("geounet.evaluation.reading.BLOCK", block)
        assert evaluate(mask, truth).confusion.counts.tolist() == count(labels, pixels)
    named = evaluate(mask, truth, EvaluateOptions(classes="field,road,lake"))
    assert not any("without names" in note for note in named.notes)


def test_area_and_bbox(tmp_path, monkeypatch):
    labels, pixels = random_classes(3), random_classes(4)
    mask = write_mask(tmp_path / "m.tif", pixels)
    truth = write_raster(tmp_path / "l.tif", labels)
    windows = [
        Window(row_off=10, col_off=5, height=30, width=20),
        Window(row_off=50, col_off=40, height=39, width=29),
    ]
    aoi = write_boxes(tmp_path / "aoi.gpkg", windows)
    inside = np.zeros(GRID.shape, bool)
    for window in windows:
        inside[window.slices()] = True
    box = Window(row_off=20, col_off=0, height=50, width=60)
    in_box = np.zeros(GRID.shape, bool)
    in_box[box.slices()] = True
    bounds = GRID.bounds(box)
    ignoring = LabelOptions(ignore=255)
    monkeypatch.setattr("geounet.evaluation.reading.BLOCK", 13)
    for where, limits in [
        (inside, {"aoi": aoi}),
        (in_box, {"bbox": bounds}),
        (inside & in_box, {"aoi": aoi, "bbox": bounds}),
    ]:
        result = evaluate(mask, truth, EvaluateOptions(label_options=ignoring, **limits))
        expected = count(np.where(where, labels, 255), pixels)
        assert result.confusion.counts.tolist() == expected


def test_bbox_on_a_rotated_grid_leaves_what_is_inside(tmp_path):
    """As predict maps it: not all of the window around it, but pixels whose centres are inside."""
    grid = Grid(90, 70, UTM @ Affine.rotation(30), CRS_UTM)
    labels, pixels = random_classes(3), random_classes(4)
    mask = write_mask(tmp_path / "m.tif", pixels, grid=grid)
    truth = write_raster(tmp_path / "l.tif", labels, grid=grid, nodata=255)
    x, y = grid.transform @ (35, 45)
    bbox = (x - 8, y - 5, x + 6, y + 9)
    rows, cols = np.mgrid[:90, :70] + 0.5
    xs, ys = grid.transform @ (cols.ravel(), rows.ravel())
    inside = shapely.contains_xy(shapely.box(*bbox), xs, ys).reshape(90, 70)
    result = evaluate(mask, truth, EvaluateOptions(bbox=bbox))
    assert result.confusion.counts.tolist() == count(np.where(inside, labels, 255), pixels)


def test_area_elsewhere_is_refused_unless_another_mask_has_it(tmp_path):
    grids = [GRID, Grid(90, 70, UTM @ Affine.translation(70, 0), CRS_UTM)]
    masks = [
        write_mask(tmp_path / f"{i}.tif", random_classes(i), grid=grid)
        for i, grid in enumerate(grids)
    ]
    truth = write_boxes(
        tmp_path / "t.gpkg", [GRID.extent, Window(row_off=0, col_off=70, height=9, width=9)]
    )
    options = EvaluateOptions(bbox=grids[1].bounds(), classes="field,road,lake")
    with pytest.raises(InputError, match="which column holds the class"):
        evaluate(masks, truth, options)
    options = EvaluateOptions(bbox=grids[1].bounds(), classes="field,road")
    masks = [
        write_mask(path, np.full((90, 70), 1, "uint8"), grid=grid)
        for path, grid in zip(masks, grids, strict=True)
    ]
    result = evaluate(masks, truth, options)
    assert [scene.mask for scene in result.scenes] == [str(masks[1])]
    assert result.notes[0].startswith("left out: the area (500035")
    assert result.confusion.counts.tolist() == [[0, 90 * 70 - 81], [0, 81]]
    with pytest.raises(InputError, match="lies outside the raster"):
        evaluate(masks, truth, EvaluateOptions(bbox=(0, 0, 1, 1), classes="field,road"))


def test_vector_labels_in_another_crs_with_a_class_column(tmp_path):
    windows = [
        Window(row_off=0, col_off=0, height=20, width=20),
        Window(row_off=40, col_off=30, height=10, width=10),
    ]
    boxes = [shapely.box(*GRID.bounds(window)) for window in windows]
    frame = gpd.GeoDataFrame({"kind": ["lake", "road"]}, geometry=boxes, crs=CRS_UTM)
    frame.to_crs(4326).to_file(tmp_path / "t.geojson")
    pixels = np.zeros(GRID.shape, "uint8")
    pixels[:20, :20], pixels[40:50, 30:40] = 2, 1
    mask = write_mask(tmp_path / "m.tif", pixels)
    options = EvaluateOptions(label_options=LabelOptions(class_field="kind"), intervals=False)
    result = evaluate(mask, tmp_path / "t.geojson", options)
    assert result.metrics.overall_accuracy == pytest.approx(
        1.0, abs=0.01
    )  # edges after reprojection
    assert result.notes == (f"{tmp_path / 't.geojson'}: reprojected from WGS 84",)
    assert [item.support for item in result.metrics.classes][2] == pytest.approx(400, abs=40)


def test_labels_on_another_grid_are_warped_and_said_so(tmp_path):
    own = Grid(45, 35, UTM @ Affine.scale(2.0), CRS_UTM)
    labels = random_classes(5, values=(0, 1, 2), shape=own.shape)
    pixels = random_classes(6, values=(0, 1, 2))
    mask = write_mask(tmp_path / "m.tif", pixels)
    truth = write_raster(tmp_path / "l.tif", labels, grid=own)
    result = evaluate(mask, truth)
    assert result.confusion.counts.tolist() == count(
        np.kron(labels, np.ones((2, 2), "uint8")), pixels
    )
    assert "warped (nearest) from WGS 84 / UTM zone 33N" in result.notes[0]


def test_several_masks_pooled_and_one_by_one(tmp_path):
    (tmp_path / "labels").mkdir()
    masks, expected = [], []
    for i in range(3):
        labels, pixels = random_classes(10 + i, values=(0, 1, 2)), random_classes(20 + i)
        masks.append(write_mask(tmp_path / f"{i}.tif", pixels))
        write_raster(tmp_path / "labels" / f"{i}.tif", labels)
        expected.append(count(labels, pixels))
    seen = []
    result = evaluate(masks, tmp_path / "labels", progress=seen.append)
    assert [scene.confusion.counts.tolist() for scene in result.scenes] == expected
    assert result.confusion.counts.tolist() == np.sum(expected, axis=0).tolist()
    assert (seen[-1].done, seen[-1].total) == (3 * 90 * 70, 3 * 90 * 70)
    told = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert told["scenes"][1]["confusion"] == expected[1]
    assert told["metrics"]["mean_iou"] == result.metrics.mean_iou
    assert [item["name"] for item in told["classes"]] == ["field", "road", "lake"]


def test_masks_that_name_no_classes(tmp_path):
    labels, pixels = random_classes(7, values=(0, 1)), random_classes(8, values=(1, 3, 255))
    mask = write_raster(tmp_path / "m.png", pixels, transform=None, driver="PNG")
    truth = write_raster(tmp_path / "l.png", labels, transform=None, driver="PNG")
    result = evaluate(str(mask), [truth])
    assert [(item.value, item.name) for item in result.classes] == [
        (0, "class 0"),
        (1, "class 1"),
        (3, "class 3"),
    ]
    assert result.metrics.pixels == (pixels != 255).sum()
    vectors = write_boxes(tmp_path / "v.gpkg", [GRID.extent], kind=["a"])
    mask = write_raster(tmp_path / "m.tif", random_classes(9, values=(0, 1)))
    assert [item.name for item in evaluate(mask, vectors).classes] == ["background", "v"]
    options = EvaluateOptions(label_options=LabelOptions(class_field="kind"))
    with pytest.raises(InputError, match="does not name its classes"):
        evaluate(mask, vectors, options)


def test_a_mask_to_compare_with_must_mean_the_same(tmp_path):
    """Swapped names: values would be compared that mean other classes."""
    labels = random_classes(1)
    mask = write_mask(tmp_path / "a.tif", labels)
    swapped = make_classes(["field", "lake", "road"])
    other = write_mask(tmp_path / "b.tif", np.array([0, 2, 1], "uint8")[labels % 3], swapped)
    truth = write_raster(tmp_path / "l.tif", labels, nodata=255)
    with pytest.raises(InputError, match=r"b\.tif and .*a\.tif name different classes"):
        evaluate(mask, truth, EvaluateOptions(compare=(other,)))
    declared = EvaluateOptions(compare=(other,), classes="field,road,lake")
    assert evaluate(mask, truth, declared).values["oa"].value == 1


def test_nothing_labelled_gives_no_number(tmp_path):
    mask = write_mask(tmp_path / "m.tif", random_classes(1))
    truth = write_raster(tmp_path / "l.tif", np.full(GRID.shape, 9, "uint8"), nodata=9)
    with pytest.raises(InputError, match=r"m\.tif: not one pixel counts; .*l\.tif labels none"):
        evaluate(mask, truth, EvaluateOptions(report=tmp_path / "r.html", csv=tmp_path / "n.csv"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["l.tif", "m.tif"]
    (other := tmp_path / "other").mkdir()
    labelled = write_raster(other / "m.tif", random_classes(2), nodata=255)
    result = evaluate(
        [mask, write_mask(other / "mask.tif", random_classes(3))],
        [truth, labelled],
        EvaluateOptions(label_options=LabelOptions(ignore=9)),
    )
    assert result.scenes[0].metrics.overall_accuracy is None
    assert all(item.iou is None for item in result.scenes[0].metrics.classes)
    assert f"{mask}: no pixel has both a label and a class" in result.notes


def test_no_data_where_labels_are(tmp_path):
    """Without one pixel that counts there is no number, and nothing to be glad of."""
    empty = write_mask(tmp_path / "m.tif", np.full(GRID.shape, 255, "uint8"))
    whole = write_mask(tmp_path / "w.tif", random_classes(1))
    labels = random_classes(1)
    truth = write_raster(tmp_path / "l.tif", labels, nodata=255)
    pixels = int((labels != 255).sum())
    with pytest.raises(InputError, match=f"m.tif: not one pixel .* all {pixels} labelled ones"):
        evaluate(empty, truth)
    with pytest.raises(InputError, match=f"w.tif: not one .*m.tif has no data in {pixels} with a"):
        evaluate(whole, truth, EvaluateOptions(compare=(empty,)))


def test_what_does_not_fit_is_refused_or_said(tmp_path):
    mask = write_mask(tmp_path / "m.tif", random_classes(1))
    truth = write_raster(tmp_path / "l.tif", random_classes(2, values=(0, 1, 2, 8)))
    with pytest.raises(InputError, match=r"l\.tif has the value 8 in \d+ pixels"):
        evaluate(mask, truth)
    foreign = write_mask(tmp_path / "f.tif", random_classes(3), make_classes("abc"))
    with pytest.raises(InputError, match="name different classes"):
        evaluate([mask, foreign], [truth, truth])
    named = write_mask(
        tmp_path / "n.tif", random_classes(4), (*NAMES[:2], ClassInfo(2, "sea", "#000000"))
    )
    assert f"{named}: compared by value, not name: 2 is 'sea' there and 'lake' in the mask" in (
        evaluate(mask, named).notes
    )
    image = write_raster(tmp_path / "i.tif", np.zeros((3, 90, 70), "uint8"))
    with pytest.raises(InputError, match=r"i\.tif has 3 bands; a mask has one"):
        evaluate(image, truth)
