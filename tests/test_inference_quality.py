"""Scores, test-time augmentation and ensembles: exact on the lattice."""

import numpy as np
import pytest
import rasterio
import torch
from networks import make_model
from rasters import read_raster, write_raster
from test_inference_predict import make_pixels

from geounet.classes import NODATA
from geounet.errors import ModelError
from geounet.inference import PredictOptions, Request, make_ensemble, predict, resolve_runtime
from geounet.inference.engines.predictor import TURNS, turn_back, turn_square

RUNTIME = resolve_runtime("cpu", "float32")


def scores_of(models, pixels, **request):
    """Float scores (K, H, W) of a whole scene, computed as one tile."""
    engine = make_ensemble(
        [(m.network, m.spec) for m in models], RUNTIME, Request(scores="float32", **request)
    )
    reach = engine.geometry.read_margin
    image = np.pad(pixels, ((0, 0), (reach, reach), (reach, reach)), mode="reflect")
    return engine(image[None], np.ones((1, *image.shape[1:]), bool))["scores"][0]


def test_scores_are_probabilities_and_agree_with_the_mask(tmp_path):
    _, model = make_model(tmp_path)
    pixels = make_pixels(70, 90)
    pixels[:, :9, :9] = 0
    scene = write_raster(tmp_path / "scene.tif", pixels, nodata=0)
    found = {}
    for dtype in ("uint8", "float16", "float32"):
        predict(
            scene, model, tmp_path / "mask.tif",
            PredictOptions(
                tile=32, scores=tmp_path / "scores.tif", scores_dtype=dtype, overwrite=True,
                confidence=tmp_path / "confidence.tif", precision="float32",
            ),
        )  # fmt: skip
        mask, scores = read_raster(tmp_path / "mask.tif")[0], read_raster(tmp_path / "scores.tif")
        valid = mask != NODATA
        found[dtype] = scores
        assert scores.dtype == ("uint8" if dtype == "uint8" else "float32")  # as GDAL shows halves
        assert scores.shape == (3, 70, 90)
        assert (scores == 255 if dtype == "uint8" else np.isnan(scores))[:, ~valid].all()
        whole, tolerance = {"uint8": (254, 1.5), "float16": (1, 1e-3), "float32": (1, 1e-5)}[dtype]
        np.testing.assert_allclose(scores[:, valid].sum(0, dtype=float), whole, atol=tolerance)
        highest = scores[:, valid].max(0)
        assert (np.take_along_axis(scores[:, valid], mask[valid][None], 0)[0] == highest).all()
        steps = np.rint(highest * (254 / whole))
        difference = np.abs(read_raster(tmp_path / "confidence.tif")[0][valid] - steps)
        assert difference.max() <= (dtype == "float16")
    np.testing.assert_array_equal(found["float16"], found["float32"].astype(np.float16))


@pytest.mark.parametrize("turn", range(8))
def test_turns_are_undone(turn):
    x = torch.arange(2 * 3 * 5 * 7).reshape(2, 3, 5, 7)
    assert torch.equal(turn_back(turn_square(x, turn), turn), x)


def test_turns_are_all_different():
    x = torch.arange(9).reshape(3, 3)
    for tta, count in (("none", 1), ("flip", 4), ("d4", 8)):
        assert len({tuple(turn_square(x, t).flatten().tolist()) for t in TURNS[tta]}) == count


def test_tta_is_the_mean_over_turned_scenes(tmp_path):
    _, model = make_model(tmp_path)
    pixels = make_pixels(64, 96)
    for tta, turns in TURNS.items():
        passes = []
        for turn in turns:
            turned = turn_square(torch.from_numpy(pixels), turn).numpy()
            scores = scores_of([model], np.ascontiguousarray(turned))
            passes.append(turn_back(torch.from_numpy(scores), turn).numpy())
        mean = np.mean(passes, axis=0)
        np.testing.assert_allclose(scores_of([model], pixels, tta=tta), mean, atol=1e-5)


def test_tta_of_a_scene_is_symmetric(tmp_path):
    """With all eight symmetries, turning the scene turns the map."""
    _, model = make_model(tmp_path)
    pixels = make_pixels(64, 64)
    scores = torch.from_numpy(scores_of([model], pixels, tta="d4"))
    for turn in range(8):
        turned = turn_square(torch.from_numpy(pixels), turn).numpy()
        of_turned = scores_of([model], np.ascontiguousarray(turned), tta="d4")
        np.testing.assert_allclose(of_turned, turn_square(scores, turn).numpy(), atol=1e-5)


@pytest.mark.parametrize("tta", ["flip", "d4"])
def test_tta_does_not_show_the_tiling(tmp_path, tta):
    _, model = make_model(tmp_path)
    scene = write_raster(tmp_path / "scene.tif", make_pixels(130, 100))
    masks = []
    for tile in (24, 64, 512):
        predict(
            scene, model, tmp_path / f"{tile}.tif",
            PredictOptions(tile=tile, tta=tta, precision="float32"),
        )  # fmt: skip
        masks.append(read_raster(tmp_path / f"{tile}.tif"))
    assert (masks[0] == masks[1]).all()
    assert (masks[0] == masks[2]).all()


def test_ensemble_is_the_mean_of_probabilities(tmp_path):
    """Also of networks with other margins, strides and normalisations."""
    models = [make_model(tmp_path, seed=i, depth=2 + i)[1] for i in range(2)]
    object.__setattr__(models[1].spec.bands[0], "offset", 90.0)
    pixels = make_pixels(64, 64)
    expected = np.mean([scores_of([m], pixels) for m in models], axis=0)
    np.testing.assert_allclose(scores_of(models, pixels), expected, atol=1e-5)


def test_ensemble_does_not_show_the_tiling(tmp_path):
    models = [make_model(tmp_path, seed=i, depth=2 + i)[1] for i in range(2)]
    scene = write_raster(tmp_path / "scene.tif", make_pixels(90, 77))
    for tile in (16, 512):
        predict(
            scene, models, tmp_path / f"{tile}.tif", PredictOptions(tile=tile, precision="float32")
        )
    assert (tmp_path / "16.tif").read_bytes() == (tmp_path / "512.tif").read_bytes()


def test_ensemble_of_other_classes_is_refused(tmp_path):
    models = [make_model(tmp_path, seed=i, classes=2 + i)[1] for i in range(2)]
    scene = write_raster(tmp_path / "scene.tif", make_pixels(20, 20))
    with pytest.raises(ModelError, match="must agree"):
        predict(scene, models, tmp_path / "mask.tif")


def test_ensemble_that_reads_bands_in_another_order_is_refused(tmp_path):
    """Also where the scene does not name its bands, so that no model can be compared with it."""
    orders = (("red", "green", "nir"), ("nir", "green", "red"))
    models = [make_model(tmp_path, seed=i, names=names)[1] for i, names in enumerate(orders)]
    scene = write_raster(tmp_path / "scene.tif", make_pixels(20, 20))
    message = "model-1 reads the bands nir, green, red, model-0 red, green, nir;"
    with pytest.raises(ModelError, match=message):
        predict(scene, models, tmp_path / "mask.tif")
    unnamed = make_model(tmp_path, seed=2)[1]
    predict(scene, [models[0], unnamed], tmp_path / "mask.tif")


@pytest.mark.parametrize("side", [70, 1100])
def test_halves_are_stored_in_two_bytes(tmp_path, side):
    """In the file and, where there are some, in its overviews."""
    _, model = make_model(tmp_path, width=2, depth=2)
    scene = write_raster(tmp_path / "scene.tif", make_pixels(side, side))
    scores = tmp_path / "scores.tif"
    options = PredictOptions(scores=scores, scores_dtype="float16", precision="float32")
    predict(scene, model, tmp_path / "mask.tif", options)
    with rasterio.open(scores) as dataset:
        assert dataset.tags(1, ns="IMAGE_STRUCTURE")["NBITS"] == "16"
        assert bool(dataset.overviews(1)) == (side > 512)
