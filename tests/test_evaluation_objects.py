"""Objects, matches, splits and merges against scipy's components and the definitions."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
import shapely
from evaluations import count, measure, pairs, same_sums, sides, total
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS
from rasters import UTM, write_raster
from scipy import ndimage

from geounet.classes import make_classes
from geounet.errors import InputError
from geounet.evaluation import EvaluateOptions, evaluate
from geounet.evaluation.measures.objects import ObjectFamily

CLASSES = make_classes(["background", "house", "shed"])
EIGHT = np.ones((3, 3))
THRESHOLDS = [0.5 + 0.05 * step for step in range(10)]

moderate = settings(deadline=None, max_examples=40)
blocks = st.sampled_from([1, 3, 5, 1 << 20])


def make_family(eight=False, bounds=((3, "px"), (9, "px"))):
    return ObjectFamily(CLASSES, frozenset({0}), eight, bounds)


def list_objects(values, eight):
    """Of each class but the first, the objects as sets of pixels."""
    found = {}
    for k in (1, 2):
        regions, number = ndimage.label(values == k, EIGHT if eight else None)
        found[k] = [set(np.flatnonzero(regions == i + 1).tolist()) for i in range(number)]
    return found


def define(labels, mask, eight):
    """The metrics of each class as the definitions say them, with sets of pixels."""
    void = (labels == 255) | (mask == 255)
    truth, found = (list_objects(np.where(void, 255, a), eight) for a in (labels, mask))
    return {k: define_class(truth[k], found[k]) for k in (1, 2)}


def define_class(truth, found):
    ious = {
        (g, p): len(one & other) / len(one | other)
        for g, one in enumerate(truth)
        for p, other in enumerate(found)
    }
    matched = [[pair for pair, iou in ious.items() if iou > t + 1e-9] for t in THRESHOLDS]
    tp, n, m = len(matched[0]), len(truth), len(found)
    sizes = [0 if len(one) < 3 else 1 if len(one) < 9 else 2 for one in truth]
    hit = {g for g, _ in matched[0]}
    of_size = [[g for g, size in enumerate(sizes) if size == k] for k in range(3)]
    quality = sum(ious[pair] for pair in matched[0])

    def mean(shares, whole):
        return sum(shares) / len(THRESHOLDS) / whole if whole else None

    return {
        "object_precision": tp / m if m else None,
        "object_recall": tp / n if n else None,
        "object_f1": tp / (n / 2 + m / 2) if n + m else None,
        "object_mean_precision": mean(map(len, matched), m),
        "object_mean_recall": mean(map(len, matched), n),
        "object_mean_f1": mean(map(len, matched), (n + m) / 2),
        "panoptic_quality": quality / (tp + (n - tp) / 2 + (m - tp) / 2) if n + m else None,
        "segmentation_quality": quality / tp if tp else None,
        "recognition_quality": tp / (n / 2 + m / 2) if n + m else None,
        "object_recall_small": _share(of_size[0], hit),
        "object_recall_medium": _share(of_size[1], hit),
        "object_recall_large": _share(of_size[2], hit),
        "splits": sum(is_split(one, found) for one in truth),
        "merges": sum(is_split(one, truth) for one in found),
    }


def _share(objects, hit):
    return sum(g in hit for g in objects) / len(objects) if objects else None


def is_split(whole, parts):
    inside = [part for part in parts if 2 * len(part & whole) > len(part)]
    return len(inside) >= 2 and 2 * sum(len(part & whole) for part in inside) > len(whole)


@moderate
@given(pairs(), sides, blocks, st.booleans())
def test_objects_are_as_defined_whatever_the_windows(arrays, sides, block_px, eight):
    labels, mask = arrays
    family = make_family(eight)
    sums = count(family, labels, mask, sides, block_px, origin=(7, 2))
    assert same_sums(sums, count(family, labels, mask, block_px=block_px, origin=(7, 2)))
    found, told = family.measure(total(family, sums)), family.describe(total(family, sums))
    for k, expected in define(labels, mask, eight).items():
        name = CLASSES[k].name
        counts = {what: told["objects"][name][what] for what in ("splits", "merges")}
        values = {metric: found.get(f"{metric}.{name}") for metric in expected} | counts
        for metric, value in expected.items():
            if value is None:
                assert np.isnan(values[metric]), metric
            else:
                assert values[metric] == pytest.approx(value, abs=1e-9), metric


def test_an_iou_of_exactly_one_half_is_no_match():
    labels, mask = np.array([[1, 1, 1, 1, 0, 0]]), np.array([[1, 1, 0, 0, 0, 0]])
    assert measure(make_family(), labels, mask)["object_f1.house"] == 0
    mask[0, 2] = 1
    found = measure(make_family(), labels, mask)
    assert found["object_f1.house"] == 1
    assert found["object_mean_f1.house"] == pytest.approx(0.5)  # > 0.5 to 0.7: 0.75 is not > 0.75
    assert found["panoptic_quality.house"] == pytest.approx(0.75)


def test_an_object_that_is_one_only_far_away_is_one():
    """A comb: 30 teeth that windows of a few rows see apart, joined by the last row."""
    labels = np.zeros((60, 61), np.uint8)
    labels[:, ::2] = 1
    labels[-1] = 1
    family = make_family()
    for size in ((7, 5), (1, 61), (60, 1), (4, 64)):
        counts = family.describe(total(family, count(family, labels, labels, size)))
        assert counts["objects"]["house"]["labels"] == counts["objects"]["house"]["matched"] == 1


def test_splits_and_merges_are_told_apart():
    whole = np.ones((1, 9), np.uint8)
    parts = np.array([[1, 1, 1, 1, 0, 1, 1, 1, 1]])
    for labels, mask, splits, merges in ((whole, parts, 1, 0), (parts, whole, 0, 1)):
        family = make_family()
        told = family.describe(total(family, count(family, labels, mask)))["objects"]["house"]
        assert (told["splits"], told["merges"], told["matched"]) == (splits, merges, 0)


@pytest.mark.parametrize("value", [0, 255])
def test_what_is_not_there_is_undefined(value):
    nothing = np.full((4, 5), value, np.uint8)
    assert set(measure(make_family(), nothing, nothing, sides=(2, 3)).values()) == {None}


def test_absent_in_one_of_both():
    labels, mask = np.array([[1, 1, 0, 0]]), np.array([[0, 0, 0, 2]])
    found = measure(make_family(), labels, mask)
    assert (found["object_precision.house"], found["object_recall.house"]) == (None, 0)
    assert (found["object_precision.shed"], found["object_recall.shed"]) == (0, None)
    assert found["object_f1.house"] == found["object_f1.shed"] == found["panoptic_quality"] == 0
    assert found["segmentation_quality"] is None
    assert found["object_recall_small.house"] == 0
    assert found["object_recall_large.house"] is None


def test_one_pixel():
    one = np.ones((1, 1), np.uint8)
    found = measure(make_family(), one, one)
    assert found["object_f1.house"] == found["object_mean_f1"] == found["panoptic_quality"] == 1


def test_pixels_that_do_not_count_cut_objects_in_both_alike():
    labels = np.array([[1, 1, 255, 1, 1]])
    mask = np.array([[1, 1, 1, 1, 1]])
    family = make_family()
    told = family.describe(total(family, count(family, labels, mask)))["objects"]["house"]
    assert (told["labels"], told["mask"], told["matched"], told["merges"]) == (2, 2, 2, 0)


def test_sizes_on_the_ground():
    """Pixels of 0.5 m: 4 are 1 m2."""
    labels = np.zeros((5, 9), np.uint8)
    labels[0, :3] = labels[2, :4] = labels[4, :8] = 1
    family = make_family(bounds=((1, "m2"), (2, "m2")))
    utm = {"transform": UTM, "crs": CRS.from_epsg(32633)}
    told = family.describe(total(family, count(family, labels, labels, **utm)))
    by_size = told["objects"]["house"]["by_size"]
    assert [by_size[name]["labels"] for name in ("small", "medium", "large")] == [1, 1, 1]
    with pytest.raises(InputError, match="no CRS"):
        count(family, labels, labels)


@moderate
@given(pairs(), sides, blocks, st.integers(0, 2**32 - 1))
def test_given_instances_are_objects_whatever_they_touch(arrays, sides, block_px, seed):
    labels, mask = arrays
    instances = np.random.default_rng(seed).integers(1, 6, labels.shape).astype(np.int32)
    instances += 5 * (labels == 2)
    instances[(labels == 0) | (labels == 255)] = 0
    family = make_family()
    sums = count(family, labels, mask, sides, block_px, instances=instances)
    assert same_sums(sums, count(family, labels, mask, block_px=block_px, instances=instances))
    told = family.describe(total(family, sums))["objects"]
    void = (labels == 255) | (mask == 255)
    for k in (1, 2):
        ids = np.where((labels == k) & ~void, instances, 0)
        truth = [set(np.flatnonzero(ids == i).tolist()) for i in np.unique(ids[ids > 0])]
        expected = define_class(truth, list_objects(np.where(void, 255, mask), False)[k])
        counts = told[CLASSES[k].name]
        assert counts["labels"] == len(truth)
        assert counts["splits"] == expected["splits"]
        assert counts["merges"] == expected["merges"]
        found = family.measure(total(family, sums))[f"object_f1.{CLASSES[k].name}"]
        f1 = expected["object_f1"]
        assert found == pytest.approx(np.nan if f1 is None else f1, nan_ok=True)


def test_features_of_vector_labels_are_objects(tmp_path):
    """Two houses wall to wall, and a mask that has them as one: a merge, unless told otherwise."""
    values = np.zeros((20, 30), np.uint8)
    values[5:12, 4:24] = 1
    mask = write_raster(tmp_path / "mask.tif", values, transform=UTM, crs="EPSG:32633")
    boxes = []
    for left, right in ((4, 14), (14, 24)):
        corners = [UTM @ (left, 5), UTM @ (right, 12)]
        boxes.append(shapely.box(*np.sort(np.array(corners), axis=0).ravel()))
    gpd.GeoDataFrame(geometry=boxes, crs="EPSG:32633").to_file(tmp_path / "houses.gpkg")
    for features, expected in ((True, (2, 0, 1)), (False, (1, 1, 0))):
        options = EvaluateOptions(
            classes="background,house", metrics=("object", "topology"), features=features
        )
        evaluation = evaluate(mask, tmp_path / "houses.gpkg", options)
        counts = evaluation.results.details["object"]["objects"]["house"]
        assert (counts["labels"], counts["matched"], counts["merges"]) == expected
        assert (evaluation.values["rand_error"].value == 0) != features
        assert evaluation.values["miou"].value == 1
