"""Metrics of probabilities against scikit-learn and brute force; scores from file to numbers."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS
from rasters import UTM, write_raster
from sklearn import metrics as reference

from geounet.classes import make_classes
from geounet.errors import InputError, UsageError
from geounet.evaluation import EvaluateOptions, Piece, Scope, evaluate
from geounet.evaluation.measures.probability import FLOAT_STEPS, ProbabilityFamily
from geounet.raster import Grid, Window, pixel_grid

CLIP = 1 / 508


@st.composite
def labels_and_scores(draw):
    """Labels (N,), and scores (K, N) of 8 bits; classes may be absent, scores repeat and tie."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, size = draw(st.integers(2, 4)), draw(st.integers(1, 60))
    present = draw(st.lists(st.integers(0, count - 1), min_size=1, unique=True))
    levels = rng.integers(0, draw(st.sampled_from([3, 255])), (count, size))
    levels = levels * (254 // levels.max() if levels.max() else 1)
    return rng.choice(present, size).astype("uint8"), levels.astype("uint8")


def measure(labels, scores, steps=254, cuts=()):
    """The metrics of pixels in one row, which come in windows that end at the cuts."""
    family = ProbabilityFamily(make_classes([f"c{k}" for k in range(len(scores))]), steps)
    grid = pixel_grid(1, labels.size)
    counter = family.start(Scope(grid, grid.extent, 16))
    for start, end in zip((0, *cuts), (*cuts, labels.size), strict=True):
        window = Window(row_off=0, col_off=start, height=1, width=end - start)
        part = labels[None, start:end]
        scored = np.ones(part.shape, bool)
        counter.add(Piece(window, part, part, scores[:, None, start:end], scored))
    sums = np.sum(list(counter.finish().values()), axis=0)
    return family.measure(sums), family.describe(sums), sums


def expected_calibration_error(confidence, correct, bins=15):
    """By definition (Guo et al. 2017, equation 3)."""
    error = 0.0
    for m in range(1, bins + 1):
        inside = (confidence > (m - 1) / bins) & (confidence <= m / bins)
        inside |= (confidence == 0) & (m == 1)
        if inside.any():
            error += inside.sum() * abs(correct[inside].mean() - confidence[inside].mean())
    return error / confidence.size


@settings(deadline=None, max_examples=60)
@given(case=labels_and_scores())
def test_scores_of_8_bits_give_what_scikit_learn_gives(case):
    labels, scores = case
    found, detail, _ = measure(labels, scores)
    p = scores / 254
    truth = np.arange(len(p))[:, None] == labels
    assert found["brier"] == pytest.approx(((p - truth) ** 2).sum(axis=0).mean(), abs=1e-12)
    true = np.maximum(np.take_along_axis(p, labels[None].astype(int), axis=0)[0], CLIP)
    assert found["log_loss"] == pytest.approx(-np.log(true).mean(), abs=1e-12)
    winner = p.argmax(axis=0)
    error = expected_calibration_error(p.max(axis=0), winner == labels)
    assert found["ece"] == pytest.approx(error, abs=1e-12)
    assert sum(item["pixels"] for item in detail["reliability"]) == labels.size
    areas = []
    for k in range(len(p)):
        values = [found[f"{name}.c{k}"] for name in ("average_precision", "best_f1")]
        if not truth[k].any():
            assert np.isnan([*values, found[f"best_threshold.c{k}"]]).all()
            continue
        areas.append(reference.average_precision_score(truth[k], p[k]))
        assert values[0] == pytest.approx(areas[-1], abs=1e-12)
        by_threshold = {
            t: reference.f1_score(truth[k], p[k] >= t, zero_division=0) for t in np.unique(p[k])
        }
        best = max(by_threshold.values())
        assert values[1] == pytest.approx(best, abs=1e-12)
        highest = max(t for t, score in by_threshold.items() if score > best - 1e-12)
        assert found[f"best_threshold.c{k}"] == pytest.approx(highest, abs=1e-12)
    assert found["mean_average_precision"] == pytest.approx(np.mean(areas), abs=1e-12)


def test_two_classes_give_the_losses_of_scikit_learn():
    rng = np.random.default_rng(1)
    second = rng.integers(1, 254, 500).astype("uint8")
    labels = (rng.random(500) < second / 254).astype("uint8")
    found, detail, _ = measure(labels, np.stack([254 - second, second]))
    p = np.clip(second / 254, CLIP, 1 - CLIP)
    assert found["log_loss"] == pytest.approx(reference.log_loss(labels, p), abs=1e-12)
    brier = reference.brier_score_loss(labels, second / 254)
    assert found["brier"] == pytest.approx(2 * brier, abs=1e-12)  # both classes count
    curve = detail["precision_recall"]["c1"]
    at = curve["threshold"].index(pytest.approx(100 / 254))
    guess = second >= 100
    assert curve["precision"][at] == pytest.approx(reference.precision_score(labels, guess))
    assert curve["recall"][at] == pytest.approx(reference.recall_score(labels, guess))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_floats_are_as_exact_as_said(dtype):
    rng = np.random.default_rng(2)
    scores = rng.dirichlet([0.5, 1, 2], 3000).T.astype(dtype)
    labels = rng.integers(0, 3, 3000).astype("uint8")
    found, _, sums = measure(labels, scores, FLOAT_STEPS)
    p = scores.astype("float64")
    truth = np.arange(3)[:, None] == labels
    assert found["brier"] == pytest.approx(((p - truth) ** 2).sum(axis=0).mean(), abs=1e-9)
    true = np.take_along_axis(p, labels[None].astype(int), axis=0)[0]
    assert found["log_loss"] == pytest.approx(-np.log(np.maximum(true, CLIP)).mean(), abs=1e-9)
    for k in range(3):
        area = reference.average_precision_score(truth[k], p[k])
        assert found[f"average_precision.c{k}"] == pytest.approx(area, abs=2e-3)
    in_pieces = measure(labels, scores, FLOAT_STEPS, cuts=(1, 7, 500, 1777))[2]
    assert (in_pieces == sums).all()  # to the last bit
    exact = measure(labels, np.rint(p * 254).astype("uint8"), FLOAT_STEPS)[0]
    eight = measure(labels, np.rint(p * 254).astype("uint8"))[0]
    assert all(exact[name] == pytest.approx(eight[name], abs=1e-12) for name in eight)


CRS_UTM = CRS.from_epsg(32633)
GRID = Grid(height=60, width=50, transform=UTM, crs=CRS_UTM)


def write_scene(folder, dtype="uint8", grid=GRID, nodata=255, names=("a", "b")):
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, GRID.shape).astype("uint8")
    labels[:5] = 255
    second = np.clip(rng.normal(0.3 + 0.4 * (labels == 1), 0.2), 0, 1)
    scores = np.stack([1 - second, second])
    scores = np.rint(scores * 254).astype("uint8") if dtype == "uint8" else scores.astype(dtype)
    scores[:, :, :4] = nodata
    write_raster(folder / "labels.tif", labels, nodata=255)
    write_raster(folder / "mask.tif", np.where(second > 0.5, 1, 0).astype("uint8"))
    path = folder / f"{dtype}.tif"
    write_raster(path, scores, grid=grid, nodata=nodata, descriptions=names)
    return folder / "mask.tif", folder / "labels.tif", path, labels, scores


@pytest.mark.parametrize(("dtype", "nodata"), [("uint8", 255), ("float32", np.nan)])
def test_scores_from_files(tmp_path, monkeypatch, dtype, nodata):
    mask, truth, path, labels, scores = write_scene(tmp_path, dtype, nodata=nodata)
    options = EvaluateOptions(scores=(path,), classes="a,b", block=16)
    result = evaluate(mask, truth, options)
    counted = labels != 255
    counted[:, :4] = False
    p = scores[1][counted] / (254 if dtype == "uint8" else 1)
    area = reference.average_precision_score(labels[counted], p)
    found = result.values["average_precision.b"]
    assert found.value == pytest.approx(area, abs=1e-12 if dtype == "uint8" else 2e-3)
    assert found.low < area < found.high
    assert result.details["probability"]["pixels"] == counted.sum()
    assert result.metrics.pixels == (labels != 255).sum()  # of those without scores, too
    assert result.scenes[0].scores == str(path)
    monkeypatch.setattr("geounet.evaluation.reading.BLOCK", 17)
    assert evaluate(mask, truth, options).to_dict() == result.to_dict()


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_scores_of_another_mask_are_noted(tmp_path, monkeypatch, dtype):
    nodata = 255 if dtype == "uint8" else np.nan
    mask, truth, path, labels, scores = write_scene(tmp_path, dtype, nodata=nodata)
    monkeypatch.setattr("geounet.evaluation.reading.BLOCK", 17)
    values = scores[:, :, 4:].argmax(axis=0)
    values = np.pad(values, ((0, 0), (4, 0)), mode="edge").astype("uint8")
    counted = labels != 255
    counted[:, :4] = False

    def find_note(wrong):
        swapped = values.copy()
        rows, cols = np.nonzero(counted & (scores[0] != scores[1]))
        swapped[rows[:wrong], cols[:wrong]] ^= 1
        write_raster(mask, swapped, nodata=255)
        result = evaluate(mask, truth, EvaluateOptions(scores=(path,), classes="a,b"))
        return next((note for note in result.notes if "likeliest" in note), None)

    pixels = int(counted.sum())
    assert find_note(wrong=0) is None
    assert find_note(wrong=pixels // 1000) is None  # sieved, for example
    few = pixels // 1000 + 1
    assert f"{path}: another class than that of {mask} is the likeliest" in find_note(wrong=few)
    assert f"in {200 / pixels:.1%} of the pixels" in find_note(wrong=200)


def test_the_fourth_of_four_bands_is_no_alpha(tmp_path):
    mask, truth, _, _, _ = write_scene(tmp_path)
    quarters = np.full((4, *GRID.shape), 60, "uint8")
    quarters[3] = 0
    path = write_raster(tmp_path / "four.tif", quarters, grid=GRID, photometric="rgb", alpha="yes")
    result = evaluate(mask, truth, EvaluateOptions(scores=(path,), classes="a,b,c,d"))
    assert result.details["probability"]["pixels"] == result.metrics.pixels
    assert result.values["brier"].value == pytest.approx(
        (194 / 254) ** 2 + 2 * (60 / 254) ** 2, abs=1e-12
    )


def test_what_is_no_probability_is_refused(tmp_path):
    mask, truth, path, _, scores = write_scene(tmp_path)

    def refuse(file, match):
        with pytest.raises(InputError, match=match):
            evaluate(mask, truth, EvaluateOptions(scores=(file,), classes="a,b"))

    def write(name, pixels, **options):
        return write_raster(tmp_path / name, pixels, **{"grid": GRID} | options)

    refuse(write("full.tif", scores), r"full\.tif holds 255, which is no probability")
    refuse(write("logits.tif", scores.astype("float32") - 9), "holds -9, which is no probability")
    refuse(write("words.tif", scores.astype("uint16")), "holds uint16; scores are uint8")
    refuse(write("five.tif", np.zeros((5, 60, 50), "uint8")), "has 5 bands; scores have one")
    refuse(write("one.tif", np.zeros((1, 60, 50), "uint8")), "has bands 1 to 1, not 2")
    refuse(write_scene(tmp_path, names=("b", "a"))[2], "bands in the order b, a; the classes are")
    elsewhere = Grid(height=60, width=50, transform=UTM @ Affine.translation(1, 0), crs=CRS_UTM)
    refuse(write("moved.tif", scores, grid=elsewhere), "does not have the pixels of")
    with pytest.raises(UsageError, match="give them with --scores"):
        evaluate(mask, truth, EvaluateOptions(metrics=("probability",)))
    with pytest.raises(UsageError, match="--scores has 2 files for 1 mask;"):
        evaluate(mask, truth, EvaluateOptions(scores=(path, path)))
