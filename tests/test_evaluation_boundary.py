"""Boundaries against brute force on all pairs of pixels, and against scipy and numpy."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from evaluations import count, measure, pairs, same_sums, sides, total
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS
from rasters import UTM
from scipy import ndimage
from scipy.spatial.distance import cdist

from geounet.classes import make_classes
from geounet.errors import InputError, UsageError
from geounet.evaluation.measures.boundary import BoundaryFamily, tell_oblong
from geounet.raster import Grid

CAP = 5
CLASSES = make_classes(["background", "house", "shed"])

moderate = settings(deadline=None, max_examples=40)
blocks = st.sampled_from([1, 3, 5, 1 << 20])
widths = st.sampled_from([1.0, 1.5, 2.0, 3.0])


def make_family(width=2.0, cap=CAP, unit="px"):
    return BoundaryFamily(CLASSES, (width, unit), cap)


def find_contour(values, k):
    """Places of the class beside another class."""
    padded = np.pad(values, 1, constant_values=255)
    beside = [padded[1:-1, :-2], padded[1:-1, 2:], padded[:-2, 1:-1], padded[2:, 1:-1]]
    ends = np.any([(other != 255) & (other != k) for other in beside], axis=0)
    return np.argwhere((values == k) & ends)


def list_distances(places, others):
    """From each place to the nearest of the others."""
    if not len(places) or not len(others):
        return np.full(len(places), np.inf)
    return cdist(places, others).min(axis=1)


def define_class(labels, mask, k, width):
    """The metrics as the definitions say them; the Hausdorff distance is None without contours."""
    near, contours = [], []
    for values in (labels, mask):
        own, others = np.argwhere(values == k), np.argwhere((values != k) & (values != 255))
        within = own[list_distances(own, others) <= width]
        near.append({tuple(place) for place in within.tolist()})
        contours.append(find_contour(values, k))
    forth = list_distances(*contours)
    back = list_distances(*reversed(contours))
    found = {
        "boundary_iou": _share(len(near[0] & near[1]), len(near[0] | near[1])),
        "boundary_recall": _share((forth <= width).sum(), len(forth)),
        "boundary_precision": _share((back <= width).sum(), len(back)),
    }
    hits = (found["boundary_recall"], found["boundary_precision"])
    both = [0 if share is None else share for share in hits]
    found["boundary_f1"] = (
        None if hits == (None, None) else sum(both) and 2 * both[0] * both[1] / sum(both)
    )
    return found, max((_percentile(each) for each in (forth, back) if len(each)), default=None)


def _share(part, whole):
    return part / whole if whole else None


def _percentile(distances):
    """Infinite if it is, or lies between two of which the larger one is, above the cap."""
    if np.percentile(distances, 95, method="higher") > CAP:
        return np.inf
    return np.percentile(distances, 95)


@moderate
@given(pairs(), sides, blocks, widths)
def test_boundaries_are_as_defined_whatever_the_windows(arrays, sides, block_px, width):
    labels, mask = arrays
    void = (labels == 255) | (mask == 255)
    family = make_family(width)
    sums = count(family, labels, mask, sides, block_px, origin=(7, 2))
    assert same_sums(sums, count(family, labels, mask, block_px=block_px, origin=(7, 2)))
    found, told = family.measure(total(family, sums)), family.describe(total(family, sums))
    hausdorffs = []
    for k, item in enumerate(CLASSES):
        truth, guess = (np.where(void, 255, a) for a in (labels, mask))
        expected, hausdorff = define_class(truth, guess, k, width)
        for metric, value in expected.items():
            nan_or = np.nan if value is None else value
            assert found[f"{metric}.{item.name}"] == pytest.approx(nan_or, nan_ok=True), metric
        is_more = hausdorff == np.inf
        shown = np.nan if hausdorff is None or is_more else hausdorff
        assert found[f"hausdorff95_px.{item.name}"] == pytest.approx(shown, nan_ok=True)
        assert (item.name in told["hausdorff_more_than_cap"]) == is_more
        hausdorffs += [] if hausdorff is None else [shown]
    mean = np.mean(hausdorffs) if hausdorffs else np.nan
    assert found["hausdorff95_px"] == pytest.approx(mean, nan_ok=True)  # NaN if one is more


def test_boundary_iou_is_that_of_the_paper_s_code_away_from_the_edge():
    """Erosion by a disc of radius d, as `mask - erode(mask)`; a class that meets no edge."""
    rng = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(rng.random((2, 90, 80)), (0, 4, 4)) > 0.5
    labels, mask = (np.pad(each, 12).astype(np.uint8) for each in smooth)
    for width in (1, 3, 7):
        rows, cols = np.ogrid[-width : width + 1, -width : width + 1]
        disc = rows**2 + cols**2 <= width**2
        edges = [each & ~ndimage.binary_erosion(each, disc) for each in (labels > 0, mask > 0)]
        expected = (edges[0] & edges[1]).sum() / (edges[0] | edges[1]).sum()
        found = measure(make_family(width, cap=9), labels, mask, sides=(31, 17))
        assert found["boundary_iou.house"] == pytest.approx(expected)


def test_a_shift_is_measured():
    labels, mask = np.zeros((40, 60), np.uint8), np.zeros((40, 60), np.uint8)
    labels[:, 20:] = mask[:, 23:] = 1
    found = measure(make_family(2.0), labels, mask, sides=(16, 16))
    assert found["hausdorff95_px"] == found["hausdorff95_px.house"] == 3
    assert found["boundary_f1"] == 0
    assert measure(make_family(3.0), labels, mask)["boundary_f1"] == 1


def test_neither_the_edge_nor_what_does_not_count_is_a_boundary():
    labels = np.ones((6, 7), np.uint8)
    mask = labels.copy()
    labels[2:4, 3] = 255
    assert set(measure(make_family(), labels, mask).values()) == {None}


@pytest.mark.parametrize("value", [0, 255])
def test_what_is_not_there_is_undefined(value):
    nothing = np.full((4, 5), value, np.uint8)
    assert set(measure(make_family(), nothing, nothing, sides=(2, 3)).values()) == {None}


def test_a_class_that_the_mask_never_has_is_further_than_the_cap():
    labels = np.zeros((5, 5), np.uint8)
    labels[2, 2] = 1
    mask = np.zeros((5, 5), np.uint8)
    family = make_family()
    found = measure(family, labels, mask)
    assert found["boundary_iou.house"] == found["boundary_f1.house"] == 0
    assert found["boundary_precision.house"] is None
    assert found["hausdorff95_px.house"] is None
    told = family.describe(total(family, count(family, labels, mask)))
    assert told["hausdorff_more_than_cap"] == ["background", "house"]


def test_widths_and_distances_on_the_ground():
    """Pixels of 0.5 m."""
    labels, mask = np.zeros((9, 40), np.uint8), np.zeros((9, 40), np.uint8)
    labels[:, 20:] = mask[:, 22:] = 1
    utm = {"transform": UTM, "crs": CRS.from_epsg(32633)}
    found = measure(make_family(1.0, unit="m"), labels, mask, **utm)
    assert (found["boundary_f1"], found["hausdorff95_px"], found["hausdorff95_m"]) == (1, 2, 1)
    assert measure(make_family(0.9, unit="m"), labels, mask, **utm)["boundary_f1"] == 0
    assert measure(make_family(), labels, mask)["hausdorff95_m"] is None
    with pytest.raises(InputError, match="no CRS"):
        measure(make_family(1.0, unit="m"), labels, mask)
    with pytest.raises(UsageError, match=r"0\.8 pixels"):
        measure(make_family(0.4, unit="m"), labels, mask, **utm)


def test_pixels_that_are_no_squares_are_told():
    """Distances count them as squares: at 60 degrees north by up to a factor of 1.4."""
    for code, transform, told in (
        (32633, UTM, None),
        (32633, UTM @ Affine.rotation(30), None),
        (32633, UTM @ Affine.scale(2, 1), "pixels are 1 by 0.5 m"),
        (4326, Affine(1e-4, 0, 14, 0, -1e-4, 60), "pixels are 11.1 by 5.58 m"),
        (4326, Affine(1e-4, 0, 14, 0, -1e-4, 0), None),
    ):
        found = tell_oblong(Grid(10, 10, transform, CRS.from_epsg(code)))
        assert found is told or (found is not None and found.startswith(told))
    assert tell_oblong(Grid(10, 10, Affine.scale(1, 2))) is None
