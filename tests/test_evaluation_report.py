"""The report: one page with all numbers, and pictures whose pixels are those of the files."""

import base64
import io
import re
from html import unescape

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as any_array
from PIL import Image
from rasters import write_raster

from geounet.classes import make_classes
from geounet.errors import InputError, UsageError
from geounet.evaluation import EvaluateOptions, evaluate
from geounet.evaluation.measures.outcomes import ERRORS, make_table
from geounet.evaluation.report.pictures import overlay
from geounet.evaluation.report.survey import ONLY_MASK, Survey, find_worst

NASTY = "<script>alert(1)</script>"
NAMES = ("background", NASTY, "tree & bush")
SIZE = (300, 420)


def blobs(seed, side):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 3, [-(-size // side) for size in SIZE])
    return np.kron(coarse, np.ones((side, side), np.uint8))[: SIZE[0], : SIZE[1]].astype(np.uint8)


def write_scenes(folder, count=2):
    """Masks, labels, other masks, scores and images, and their arrays."""
    files = {name: [] for name in ("mask", "labels", "other", "scores", "image")}
    kept = []
    for seed in range(count):
        labels = blobs(seed, 23)
        mask, other = (np.roll(labels, shift, (0, 1)) for shift in ((2, 3), (6, 1)))
        labels[:40, :60] = 255
        scores = np.stack([np.where(mask == k, 200, 27) for k in range(3)]).astype(np.uint8)
        image = np.random.default_rng(seed).integers(0, 4000, (4, *SIZE)).astype(np.uint16)
        arrays = {"mask": mask, "labels": labels, "other": other, "scores": scores, "image": image}
        for name, array in arrays.items():
            nodata = None if name == "image" else 255
            path = folder / f"{name} <i>{seed}.tif"
            bands = NAMES if name == "scores" else None
            files[name].append(write_raster(path, array, nodata=nodata, descriptions=bands))
        kept.append(arrays)
    return files, kept


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    files, kept = write_scenes(folder)
    options = EvaluateOptions(
        classes=",".join(NAMES), scores=tuple(files["scores"]), compare=tuple(files["other"]),
        images=tuple(files["image"]), report=folder / "r.html", report_figures=True, block=64,
        metrics=("boundary", "object"), bootstrap=100, fail_under=(("miou", 0.99),),
    )  # fmt: skip
    evaluation = evaluate(files["mask"], files["labels"], options)
    return folder, evaluation, kept, (folder / "r.html").read_text()


def list_pictures(text):
    """Alternative texts and pixels of all pictures."""
    found = re.findall(r'<img class="[^"]*" alt="([^"]*)"[^>]*src="data:[^,]*,([^"]*)">', text)
    pictures = (Image.open(io.BytesIO(base64.b64decode(data))) for _, data in found)
    texts = [unescape(name) for name, _ in found]
    return list(zip(texts, [np.asarray(p.convert("RGB")) for p in pictures], strict=True))


def test_the_page_asks_nobody_and_runs_nothing(made):
    text = made[3]
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)|https?://|@import|url\((?!#)""", text)
    assert "default-src 'none'" in text
    for nasty in ("<script", "<i>", "tree & bush"):
        assert nasty not in text
    assert "&lt;script&gt;alert(1)" in text
    assert len(text) < 5_000_000


def test_it_says_what_was_found(made):
    _, evaluation, _, text = made
    shown = unescape(re.sub(r"<[^>]*>", " ", text))
    for name in ("miou", "oa", f"iou.{NASTY}", "ece", "boundary_f1", "object_f1.tree & bush"):
        estimate = evaluation.values[name]
        assert f" {estimate.value:.3f} " in shown, name
        assert f"{estimate.low:.3f}\N{EN DASH}{estimate.high:.3f}" in shown, name
    difference = evaluation.comparison.differences["miou"]
    assert f"{difference.value:+.3f}" in shown
    assert f"{difference.low:+.3f} to {difference.high:+.3f}" in shown
    assert "Not as it should be: mean IoU" in shown
    for count in evaluation.confusion.counts.ravel():
        assert f" {count:,} " in shown
    for title in ("Boundaries", "Objects", "Probabilities", "Comparison", "Scenes"):
        assert f"<h2>{title}</h2>" in text
    assert "Topology" not in re.findall("<h2>([^<]*)", text)


def test_its_windows_are_what_the_files_hold(made):
    _, evaluation, kept, text = made
    windows = [item for item in list_pictures(text) if re.search(r"rows \d", item[0])]
    assert windows
    assert len(windows) % 5 == 0
    colours = np.array([item.rgb for item in evaluation.classes], np.uint8)
    taken = []
    for name, picture in windows:
        kind, number, *edges = re.match(
            r"([\w ]+): \d+\. mask <i>(\d)\.tif, rows (\d+) to (\d+), columns (\d+) to (\d+)", name
        ).groups()
        top, bottom, left, right = map(int, edges)
        where = (slice(top, bottom), slice(left, right))
        arrays = {key: array[..., *where] for key, array in kept[int(number)].items()}
        wrong = (arrays["mask"] != arrays["labels"]) & (arrays["labels"] != 255)
        assert f": {wrong.sum():,} pixels are wrong" in name
        if kind == "prediction":
            taken.append((int(number), *map(int, edges), int(wrong.sum())))
        source = {"prediction": "mask", "labels": "labels", "compared with": "other"}.get(kind)
        if source:
            known = arrays[source] != 255
            np.testing.assert_array_equal(picture[known], colours[arrays[source][known]])
        if kind == "errors":
            grey = np.ptp(picture.astype(int), axis=2) <= 24  # JPEG
            assert (~grey == wrong).mean() > 0.9
    counts = [item[-1] for item in taken]
    assert counts == sorted(counts, reverse=True)
    for i, (scene, top, bottom, left, right, _) in enumerate(taken):
        for other, first, last, west, east, _ in taken[:i]:
            assert scene != other or last <= top or bottom <= first or east <= left or right <= west


def test_figures_are_also_beside_it(made):
    folder, _, _, text = made
    names = {path.name for path in folder.glob("r-*.png")}
    assert {"r-confusion.png", "r-reliability.png", "r-precision-recall.png"} <= names
    assert len(names) == 3 + len(re.findall("<figcaption", text)) - 1  # that of the confusion
    for name in names:
        with Image.open(folder / name) as image:
            assert np.asarray(image.convert("L")).std() > 5


@settings(deadline=None, max_examples=60)
@given(
    any_array(
        np.int64, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 5)
    ),
    st.integers(1, 5),
    st.integers(1, 6),
)
def test_the_worst_windows_are_the_worst(counts, side, most):
    """Against trying out every place."""
    left, expected = counts.shape, []
    height, width = (min(side, size) for size in left)
    places = [(r, c) for r in range(left[0] - height + 1) for c in range(left[1] - width + 1)]
    while len(expected) < most:
        free = [
            (-counts[r : r + height, c : c + width].sum(), r, c)
            for r, c in places
            if all(abs(r - i) >= side or abs(c - j) >= side for i, j, _ in expected)
        ]
        if not free or min(free)[0] == 0:
            break
        number, row, col = min(free)
        expected.append((row, col, -number))
    assert find_worst(counts, side, most) == expected


@pytest.mark.parametrize("block", [64, 100, 1024])
def test_overviews_count_every_pixel_in_windows_of_any_size(tmp_path, monkeypatch, block):
    monkeypatch.setattr("geounet.evaluation.reading.BLOCK", block)
    monkeypatch.setattr("geounet.evaluation.report.survey.OVERVIEW_PX", 100)  # 5 x 5 pixels a cell
    files, (arrays) = write_scenes(tmp_path, 1)
    arrays = arrays[0]
    surveys = []
    start = Survey.start
    monkeypatch.setattr(Survey, "start", lambda s, job: (surveys.append(s), start(s, job)))
    options = EvaluateOptions(
        classes=",".join(NAMES), compare=tuple(files["other"]), report=tmp_path / "r.html",
        intervals=False,
    )  # fmt: skip
    evaluate(files["mask"], files["labels"], options)
    (overview,) = surveys[0].overviews
    counted = arrays["labels"] != 255
    cells = counted.reshape(60, 5, 84, 5).sum((1, 3))
    outcomes = make_table(make_classes(NAMES))[arrays["labels"], arrays["mask"]]
    right, other_right = (arrays[name] == arrays["labels"] for name in ("mask", "other"))
    layers = [(outcomes == item.value) & counted for item in ERRORS]
    layers += [right & ~other_right & counted, other_right & ~right & counted]
    for shares, layer in zip(overview.shares, layers, strict=True):
        number = layer.reshape(60, 5, 84, 5).sum((1, 3))
        expected = np.ceil(255 * number / np.maximum(cells, 1))
        np.testing.assert_array_equal(shares, expected)
    np.testing.assert_array_equal(overview.counted, cells > 0)
    assert overview.wrong == (~right & counted).sum()
    assert overview.pixels == counted.sum()
    assert len(overview.shares) == ONLY_MASK + 2


def test_what_is_wholly_wrong_has_the_full_colour():
    ground = np.full((1, 3, 3), 100, np.uint8)
    shares = np.array([[[0, 255, 0]], [[0, 0, 64]]], np.uint8)
    over = overlay(ground, shares, [(10, 20, 30), (200, 100, 0)])[0]
    assert over[0].tolist() == [100, 100, 100]
    assert over[1].tolist() == [10, 20, 30]
    strength = np.sqrt(64 / 255)
    np.testing.assert_allclose(over[2], 100 + strength * (np.array([200, 100, 0]) - 100), atol=0.5)


def test_grey_images_without_georeference_and_without_pictures(tmp_path):
    mask, labels = (255 * (blobs(seed, 23) > 0).astype(np.uint8) for seed in (0, 1))
    paths = [
        write_raster(tmp_path / f"{name}.png", array, transform=None, driver="PNG")
        for name, array in (("mask", mask), ("labels", labels))
    ]
    evaluate(*paths, EvaluateOptions(report=tmp_path / "r.html", intervals=False))
    text = (tmp_path / "r.html").read_text()
    assert "Give the images with --images" in text
    assert not list(tmp_path.glob("r-*.png"))
    assert {re.sub(":.*", "", name) for name, _ in list_pictures(text)} == {
        "labels", "prediction", "errors",
    }  # fmt: skip


def test_a_map_that_is_all_right_has_no_worst_windows(tmp_path):
    path = write_raster(tmp_path / "m.tif", blobs(0, 23))
    evaluate(path, path, EvaluateOptions(report=tmp_path / "r.html", classes=",".join(NAMES)))
    assert "No pixel is wrong." in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"report": "r.txt"}, "HTML"),
        ({"report": "no/r.html"}, "no folder"),
        ({"report_figures": True}, "--report"),
        ({"report": "r.html", "images": ("a.tif",), "model": ("m",)}, "--model"),
        ({"report": "r.html", "images": ("a.tif", "b.tif")}, "2 files for 1 mask;"),
        ({"report": "mask.html"}, "exists"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    path = write_raster(tmp_path / "m.tif", blobs(0, 23))
    (tmp_path / "mask.html").touch()
    for name in ("a.tif", "b.tif"):
        write_raster(tmp_path / name, blobs(0, 23))
    with pytest.raises(UsageError, match=words):
        evaluate(path, path, EvaluateOptions(**options))


def test_an_image_that_cannot_be_shown_is_found_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr("geounet.evaluation.evaluating.count_scene", None)
    path = write_raster(tmp_path / "m.tif", blobs(0, 23))
    image = write_raster(tmp_path / "i.tif", blobs(0, 23), transform=None)
    options = EvaluateOptions(report=tmp_path / "r.html", images=(image,), classes=",".join(NAMES))
    with pytest.raises(InputError, match=r"i\.tif"):
        evaluate(path, path, options)
    assert not (tmp_path / "r.html").exists()
