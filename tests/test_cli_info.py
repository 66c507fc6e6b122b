"""What `geounet info` prints of models."""

import numpy as np
import pytest
from affine import Affine
from rasters import write_raster

from geounet.classes import make_classes
from geounet.cli.app import app
from geounet.cli.boundary import run
from geounet.models import Band, ModelSpec, UNet, save_model

TRAINING = {
    "class_shares": {"bare_soil": 0.75, "roof": 0.25}, "lr": 0.000123456, "notes": {},
    "metrics": {"classes": [{"name": "roof", "iou": 0.123456}], "mean_iou": 0.654321},
    "exported_from": {"arguments": {"blocks": [1, 2]}},
}  # fmt: skip


@pytest.fixture
def model(tmp_path):
    spec = ModelSpec(
        architecture="unet",
        arguments={"width": 4, "depth": 2, "padding": "same", "norm": "batch"},
        bands=(Band("red", "uint8", 100.123456, 20.25),),
        classes=make_classes(["ground", "roof"]),
        pixel_size_m=0.5,
        margin=20,
        stride=4,
        training=TRAINING,
    )
    (tmp_path / "roofs").mkdir()
    path = tmp_path / "roofs/model.safetensors"
    save_model(path, UNet(1, 2, width=4, depth=2, padding="same", norm="batch"), spec)
    return path


def call(capsys, monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["geounet", *map(str, arguments)])
    code = run(app)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_what_belongs_together_is_indented_together(model, capsys, monkeypatch):
    code, out, _ = call(capsys, monkeypatch, "info", model)
    lines = out.splitlines()
    start = lines.index("training:")
    end = next(i for i, line in enumerate(lines) if line.startswith("parameters:"))
    assert (code, lines[start + 1 : end]) == (0, [
        "  class shares:", "    bare_soil: 0.75", "    roof: 0.25", "  lr: 0.000123456",
        "  notes: -", "  metrics:", "    classes:", "      name  iou", "      roof  0.1235",
        "    mean iou: 0.6543", "  exported from:", "    arguments:", "      blocks: 1, 2",
    ])  # fmt: skip
    assert "  red   uint8  100.123456  20.25" in lines


def test_an_item_of_a_model_is_replaced_by_its_next(model, capsys, monkeypatch):
    item = model.with_name("item.json")
    for _ in range(2):
        assert call(capsys, monkeypatch, "info", model, "--stac", item)[0] == 0
    other = model.rename(model.with_name("other.safetensors"))
    code, _, err = call(capsys, monkeypatch, "info", other, "--stac", item)
    assert (code, "no STAC Item of other" in err) == (2, True)


def test_bands_that_are_chosen_need_not_have_the_names_of_the_models(
    model, tmp_path, capsys, monkeypatch
):
    scene = write_raster(
        tmp_path / "scene.tif", np.ones((2, 8, 8), np.uint8), transform=Affine.scale(0.5, -0.5),
        descriptions=("green", "blue"),
    )  # fmt: skip
    found = [
        call(capsys, monkeypatch, "info", scene, "--bands", bands, "--model", model)[:2]
        for bands in ("2", "1,2")
    ]
    assert [code for code, _ in found] == [0, 4]
    assert "fits the model: yes" in found[0][1]
