"""Rand and warping errors against scikit-learn, scipy's components and the definitions."""

from __future__ import annotations

import numpy as np
import pytest
from evaluations import count, measure, pairs, same_sums, sides, total
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from sklearn.metrics import pair_confusion_matrix

from geounet.classes import make_classes
from geounet.evaluation.measures.mismatches import KINDS
from geounet.evaluation.measures.topology import TopologyFamily
from geounet.evaluation.measures.warping import tabulate_simple, warp

CLASSES = make_classes(["background", "cell", "soma"])
FOUR, EIGHT = ndimage.generate_binary_structure(2, 1), np.ones((3, 3))

moderate = settings(deadline=None, max_examples=30)
blocks = st.sampled_from([1, 3, 5, 1 << 20])
shapes = st.tuples(st.integers(1, 12), st.integers(1, 12))
bools = arrays(np.bool_, shapes)


def make_family(rounds=1, eight=False):
    return TopologyFamily(CLASSES, frozenset({0}), eight, rounds)


def describe(family, labels, mask, **options):
    return family.describe(total(family, count(family, labels, mask, **options)))


def label_both(objects, eight):
    """Components of objects and of what is outside, with a pixel around: numbers and counts."""
    padded = np.pad(objects, 1)
    near, far = (EIGHT, FOUR) if eight else (FOUR, EIGHT)
    return ndimage.label(padded, near), ndimage.label(~padded, far)


def count_both(objects, eight):
    return tuple(number for _, number in label_both(objects, eight))


@moderate
@given(pairs(), sides, blocks, st.integers(0, 2), st.booleans())
def test_windows_never_show(arrays, sides, block_px, rounds, eight):
    labels, mask = arrays
    family = make_family(rounds, eight)
    sums = count(family, labels, mask, sides, block_px, origin=(7, 2))
    assert same_sums(sums, count(family, labels, mask, block_px=block_px, origin=(7, 2)))


@moderate
@given(pairs(), st.booleans())
def test_rand_error_is_that_of_pairs_of_pixels(arrays, eight):
    labels, mask = arrays
    found = measure(make_family(eight=eight), labels, mask, sides=(5, 4))
    void = (labels == 255) | (mask == 255)
    wrong = (labels != mask)[~void]
    assert found["pixel_error"] == pytest.approx(_share(wrong.sum(), wrong.size))
    truth, guess = (
        sum(
            np.where(values, values + 1000 * k, 0)
            for k in (1, 2)
            for values in [ndimage.label((a == k) & ~void, EIGHT if eight else FOUR)[0]]
        )
        for a in (labels, mask)
    )
    truth, guess = truth[truth > 0], guess[truth > 0]
    merged, split, both = count_pairs(truth, guess)
    assert found["rand_precision"] == pytest.approx(_share(both, both + merged))
    assert found["rand_recall"] == pytest.approx(_share(both, both + split))
    error = _share(merged + split, 2 * both + merged + split)
    assert found["rand_error"] == pytest.approx(error, abs=1e-12)
    # each background pixel of the mask by itself, and each pixel also with itself
    alone = np.where(guess == 0, -1 - np.arange(guess.size), guess)
    merged, split, both = count_pairs(truth, alone)
    error = _share(merged + split, 2 * (both + truth.size) + merged + split)
    assert found["rand_error_single"] == pytest.approx(error, abs=1e-12)


def count_pairs(truth, guess):
    """Ordered pairs of pixels that are together in the guess only, the truth only, and in both."""
    if not truth.size:
        return 0, 0, 0
    (_, merged), (split, both) = pair_confusion_matrix(truth, guess)
    return merged, split, both


def _share(part, whole):
    return part / whole if whole else None


@pytest.mark.parametrize("eight", [False, True])
def test_a_pixel_is_simple_if_flipping_it_changes_no_number_of_components(eight):
    simple = tabulate_simple(eight=eight)
    rng = np.random.default_rng(0)
    for _ in range(3000):
        objects = rng.random((5, 5)) < 0.55
        flipped = objects.copy()
        flipped[2, 2] ^= True
        around = np.delete(objects[1:4, 1:4].ravel(), 4)
        is_same = count_both(objects, eight) == count_both(flipped, eight)
        assert simple[np.packbits(around, bitorder="little")[0]] == is_same


@moderate
@given(st.data(), st.integers(0, 4), st.booleans())
def test_warping_leaves_the_topology_and_moves_boundaries_by_a_pixel_per_round(data, rounds, eight):
    labels = data.draw(bools)
    mask = data.draw(arrays(np.bool_, labels.shape))
    padded = [np.pad(values, 1) for values in (labels, mask)]
    simple = tabulate_simple(eight=eight)
    warped = warp(*padded, rounds, simple, (0, 0))
    assert count_both(warped, eight) == count_both(padded[0], eight)
    changed = warped != padded[0]
    assert not (changed & (warped != padded[1])).any()
    for value in (False, True):
        near = padded[0] == value
        if rounds:
            near = ndimage.binary_dilation(near, EIGHT, iterations=rounds)
        assert not (changed & (warped == value) & ~near).any()
    whole = warp(*padded, 1000, simple, (0, 0))
    assert (warp(whole, padded[1], 1, simple, (0, 0)) == whole).all()
    assert (whole != padded[1]).sum() <= (warped != padded[1]).sum()


@moderate
@given(st.data(), st.integers(0, 2), st.booleans())
def test_errors_are_of_the_kind_that_follows_from_what_they_touch(data, rounds, eight):
    labels = data.draw(bools)
    mask = data.draw(arrays(np.bool_, labels.shape))
    padded = [np.pad(values, 1) for values in (labels, mask)]
    warped = warp(*padded, rounds, tabulate_simple(eight=eight), (1, 1))  # of pixel (-1, -1)
    told = describe(make_family(rounds, eight), labels.astype(np.uint8), mask.astype(np.uint8))
    assert told["errors"]["cell"] == count_kinds(warped[1:-1, 1:-1], mask, eight)
    assert sum(told["errors"]["soma"].values()) == 0
    found = measure(make_family(rounds, eight), labels.astype(np.uint8), mask.astype(np.uint8))
    assert found["warping_error.cell"] == (warped != padded[1]).sum() / labels.size


def count_kinds(warped, mask, eight):
    """The kinds as they are defined, with masks of all components."""
    (objects, _), (outside, _) = label_both(warped, eight)
    (objects_there, _), (outside_there, _) = label_both(mask, eight)
    near, far = (EIGHT, FOUR) if eight else (FOUR, EIGHT)
    kinds = dict.fromkeys(KINDS, 0)

    def touch(error, numbers, structure):
        around = ndimage.binary_dilation(error, structure) & ~error
        return len(set(numbers[around].tolist()) - {0})

    for extra, structure in ((mask & ~warped, near), (warped & ~mask, far)):
        regions, number = ndimage.label(np.pad(extra, 1), structure)
        for index in range(number):
            error = regions == index + 1
            if structure is near:
                one, other = touch(error, objects, near), touch(error, outside_there, far)
                names = ("object_added", "merge", "hole_lost", "hole")
            else:
                one, other = touch(error, objects_there, near), touch(error, outside, far)
                names = ("object_lost", "split", "hole", "hole_lost")
            cases = zip((one == 0, one > 1, other == 0, other > 1), names, strict=True)
            kinds[next((name for is_so, name in cases if is_so), "shift")] += 1
    return kinds


DRAWN = {
    "merge": ("##...##\n##...##\n##...##", "##...##\n#######\n##...##"),
    "split": ("#######\n#######\n#######", "##...##\n##...##\n##...##"),
    "hole": ("#######\n#######\n#######\n#######", "#######\n##..###\n###..##\n#######"),
    "hole_lost": ("#######\n##..###\n#######", "#######\n#######\n#######"),
    "object_lost": ("......\n..##..\n..##..", "......\n......\n......"),
    "object_added": ("......\n......\n......", "......\n..##..\n..##.."),
    "shift": ("#........\n#........", "######...\n######..."),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_errors(kind):
    labels, mask = (
        np.array([[c == "#" for c in row] for row in drawn.split()], np.uint8)
        for drawn in DRAWN[kind]
    )
    counts = describe(make_family(1), labels, mask, sides=(2, 3))["errors"]["cell"]
    assert counts == dict.fromkeys(KINDS, 0) | {kind: 1}


def test_what_is_but_shifted_is_no_error():
    labels, mask = np.zeros((40, 60), np.uint8), np.zeros((40, 60), np.uint8)
    labels[5:30, 5:40] = mask[8:33, 2:37] = 1
    assert measure(make_family(3), labels, mask, sides=(16, 16))["warping_error.cell"] == 0
    assert measure(make_family(2), labels, mask, sides=(16, 16))["warping_error.cell"] > 0
    assert measure(make_family(3), labels, mask)["pixel_error"] > 0


@pytest.mark.parametrize("value", [0, 255])
def test_what_is_not_there_is_undefined(value):
    nothing = np.full((4, 5), value, np.uint8)
    found = measure(make_family(), nothing, nothing, sides=(2, 3))
    defined = {} if value else {"pixel_error", "warping_error"}
    defined |= {f"warping_error.{item.name}" for item in CLASSES[1:]} if defined else set()
    assert {name for name, number in found.items() if number is not None} == set(defined)
    assert all(found[name] == 0 for name in defined)


def test_one_pixel():
    one = np.ones((1, 1), np.uint8)
    found = measure(make_family(), one, one)
    assert found["pixel_error"] == found["warping_error"] == found["rand_error_single"] == 0
    assert found["rand_error"] is None  # there is no pair of pixels
