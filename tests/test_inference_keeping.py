"""Pieces of a part become its files, whatever their order of shapes, without holding its width."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import make_model
from rasters import write_raster
from test_inference_predict import make_pixels

from geounet.inference import PredictOptions, predict
from geounet.inference.running import keeping
from geounet.inference.running.keeping import Columns
from geounet.inference.running.streaming import PredictedTile
from geounet.raster import Window, writing


@st.composite
def cut_parts(draw):
    """A part somewhere, cut into pieces column by column, some left out."""
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 70))
    part = Window(
        row_off=draw(st.integers(0, 50)), col_off=draw(st.integers(0, 50)),
        height=height, width=width,
    )  # fmt: skip
    rows = draw(st.integers(1, height))
    columns = part.blocks(height, draw(st.integers(1, width)))
    pieces = [piece for column in columns for piece in column.blocks(rows, column.width)]
    kept = draw(st.lists(st.booleans(), min_size=len(pieces), max_size=len(pieces)))
    return part, [piece for piece, is_kept in zip(pieces, kept, strict=True) if is_kept]


@settings(deadline=None, max_examples=200)
@given(cut_parts(), st.integers(1, 16), st.integers(0, 2**32 - 1))
def test_windows_partition_the_part(cut, block, seed):
    part, pieces = cut
    rng = np.random.default_rng(seed)
    expected = {"mask": np.full(part.shape, 255), "scores": np.full((2, *part.shape), 255)}
    found = {kind: np.zeros_like(array) for kind, array in expected.items()}
    hits = np.zeros(part.shape, int)

    def make_blank(kind, shape):
        return np.full(shape if kind == "mask" else (2, *shape), 255)

    def take(given):
        for window, outputs in given:
            rows, cols = window.slices()
            hits[rows, cols] += 1
            assert window.col_off % block == 0
            assert window.width % block == 0 or window.col_end == part.width
            for kind, array in outputs.items():
                found[kind][..., rows, cols] = array

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keeping, "BLOCK", block)
        patch.setattr(keeping, "COLUMNS", 8 * block)
        columns = Columns(part, expected, make_blank)
        for piece in pieces:
            outputs = {
                "mask": rng.integers(0, 200, piece.shape),
                "scores": rng.integers(0, 200, (2, *piece.shape)),
            }
            rows, cols = piece.relative_to(part).slices()
            for kind, array in outputs.items():
                expected[kind][..., rows, cols] = array
            take(columns.add(PredictedTile(part, piece, outputs, is_skipped=False)))
        take(columns.finish())
    assert (hits == 1).all()
    for kind, array in expected.items():
        np.testing.assert_array_equal(found[kind], array)


def test_large_parts_are_made_on_disk(tmp_path, monkeypatch):
    """Of the same bytes as those made in memory, and checked before they get their name."""
    _, model = make_model(tmp_path)
    scene = write_raster(tmp_path / "scene.tif", make_pixels(100, 1500))
    options = {"tile": 64, "scores_dtype": "float32"}
    predict(scene, model, tmp_path / "a.tif", PredictOptions(**options, scores=tmp_path / "as.tif"))
    checked = []

    def check(path, *args):
        checked.append(path)
        return original(path, *args)

    original = writing.check_blocks
    monkeypatch.setattr(writing, "MEMORY_BYTES", 0)
    monkeypatch.setattr(writing, "check_blocks", check)
    predict(scene, model, tmp_path / "b.tif", PredictOptions(**options, scores=tmp_path / "bs.tif"))
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    assert (tmp_path / "as.tif").read_bytes() == (tmp_path / "bs.tif").read_bytes()
    assert checked
    assert not [p for p in tmp_path.iterdir() if "tmp" in p.name or "parts" in p.name]
