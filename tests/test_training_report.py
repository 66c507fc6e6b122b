"""The report: one page with all of a run, and windows that are what they are said to be."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from rasters import write_raster

from geounet.raster import Window
from geounet.training import TrainOptions, train
from geounet.training.holdout.block import Block
from geounet.training.reporting.review import View, choose_views


@pytest.fixture
def page(tmp_path, monkeypatch):
    monkeypatch.setattr("geounet.training.options.EPOCH_CHIPS", (96, 96))
    rng = np.random.default_rng(0)
    labels = np.kron(rng.random((24, 30)) < 0.4, np.ones((16, 16))).astype(np.uint8)
    image = (rng.integers(0, 50, (3, *labels.shape)) + 100 * labels).astype(np.uint8)
    options = TrainOptions(
        architecture="unet", width=4, depth=2, chip=32, batch=8, epochs=2, lr=1e-2,
        device="cpu", precision="float32", val_fraction=0.4, classes="<b>ground</b>,roof",
    )  # fmt: skip
    scene = write_raster(tmp_path / "town & land.tif", image)
    summary = train([scene], [write_raster(tmp_path / "l.tif", labels)], tmp_path / "run", options)
    return summary, (tmp_path / "run" / "report.html").read_text()


def test_the_page_needs_nothing_else_and_shows_what_the_summary_says(page):
    summary, text = page
    assert not re.findall(
        r"""(?:src|href)=["'](?!data:|#)|https?://|<script|@import|url\((?!#)""", text
    )
    assert "<b>" not in text
    assert "&lt;b&gt;ground" in text
    assert "town &amp; land.tif" in text
    assert f"<h1>unet: mean IoU {summary.metrics.mean_iou:.3f}</h1>" in text
    for item in summary.metrics.classes:
        assert f">{item.iou:.3f}<" in text
        assert f">{item.support:,}<" in text
    assert text.count("<svg ") == 2  # confusion, curves
    pictures = re.findall(r"data:image/(?:png|jpeg);base64,([\w+/=]+)", text)
    assert len(pictures) >= 7  # image, labels, prediction of each window; split
    assert len(pictures) % 3 == 1
    shown = [Image.open(io.BytesIO(base64.b64decode(picture))) for picture in pictures]
    assert all(np.asarray(image.convert("L")).std() > 5 for image in (*shown[::3], shown[-1]))


def test_the_best_windows_are_the_best_and_none_is_shown_twice():
    def view(score, labelled=1.0, classes=2):
        place = Window(row_off=0, col_off=int(1000 * score), height=1, width=1)
        return View(Block(0, place), score, labelled, classes)

    some = [view(score / 10) for score in (3, 9, 1, 5, 7, 2, 8)]
    best, worst = choose_views([*some, view(1.0, classes=1), view(0.0, labelled=0.1)])
    assert [v.score for v in best] == [0.9, 0.8, 0.7]
    assert [v.score for v in worst] == [0.1, 0.2, 0.3]
    best, worst = choose_views(some[:3])
    assert [v.score for v in (*best, *worst)] == [0.9, 0.1, 0.3]
    best, worst = choose_views([view(0.5, classes=1)])
    assert (len(best), len(worst)) == (0, 1)
