"""Which way a metric is better: found from maps that are perfect and spoilt."""

import numpy as np
from rasters import UTM, write_raster
from scipy import ndimage

from geounet.evaluation import EvaluateOptions, evaluate
from geounet.evaluation.naming import SMALLER_IS_BETTER, split_name


def test_every_metric_says_whether_it_is_better_the_smaller(tmp_path):
    """Against what it gives for the labels themselves and for a map of noise."""
    rng = np.random.default_rng(0)
    labels = (ndimage.gaussian_filter(rng.normal(size=(96, 96)), 4) > 0.02).astype(np.uint8)
    noise = np.where(rng.random(labels.shape) < 0.2, 1 - labels, labels).astype(np.uint8)
    values = {}
    for name, mask in (("perfect", labels), ("spoilt", noise)):
        scores = np.where(mask, 0.97, 0.03).astype(np.float32)
        files = tmp_path / f"{name}.tif", tmp_path / f"{name}_scores.tif"
        write_raster(files[0], mask, crs="EPSG:32633", transform=UTM)
        write_raster(files[1], np.stack([1 - scores, scores]), crs="EPSG:32633", transform=UTM)
        options = EvaluateOptions(
            metrics=("all",), classes="a,b", scores=(files[1],), intervals=False
        )
        result = evaluate(files[0], tmp_path / "perfect.tif", options)
        values[name] = {key: item.value for key, item in result.values.items()}
    grown = {
        split_name(name)[0]
        for name, spoilt in values["spoilt"].items()
        if None not in (spoilt, values["perfect"][name]) and spoilt > values["perfect"][name]
    }
    fallen = {
        split_name(name)[0]
        for name, spoilt in values["spoilt"].items()
        if None not in (spoilt, values["perfect"][name]) and spoilt < values["perfect"][name]
    }
    neither = {"best_threshold"}
    assert grown - neither == SMALLER_IS_BETTER
    assert not fallen & SMALLER_IS_BETTER
    assert len(fallen) > 20
