"""The frame: every family gives the same whatever the windows; comparison; models; limits."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import make_model
from rasters import UTM, read_raster, write_raster

from geounet.cli.app import app
from geounet.cli.boundary import run
from geounet.errors import InputError, UsageError
from geounet.evaluation import EvaluateOptions, evaluate
from geounet.evaluation.measures import families as registry
from geounet.evaluation.measures.family import BlockSums, cut_blocks
from geounet.inference import PredictOptions, predict

NAMES = "a,b,c"


class Contacts:
    """A family with a halo: pixels of the mask with a neighbour, `reach` rows below, of its label.

    Counted with what is around the windows: a frame that gives wrong halos is found out.
    """

    name = "contacts"
    size = 2

    def __init__(self, reach):
        self.reach = reach

    def start(self, scope):
        return ContactAccumulator(self.reach, scope)

    def measure(self, sums):
        with np.errstate(invalid="ignore", divide="ignore"):
            return {"contacts": np.asarray(sums[..., 0] / sums[..., 1])}

    def describe(self, sums):
        return {"pixels": int(sums[1])}


class ContactAccumulator:
    def __init__(self, reach, scope):
        self.halo, self.scope, self.sums, self.seen = reach, scope, {}, []

    def add(self, piece):
        assert ((piece.labels == 255) == (piece.mask == 255)).all()
        height, width = piece.window.shape
        assert piece.labels.shape == (height + 2 * self.halo, width + 2 * self.halo)
        inner = (slice(self.halo, self.halo + height), slice(self.halo, self.halo + width))
        below = piece.labels[2 * self.halo :, self.halo : self.halo + width]
        mask = piece.mask[inner]
        for block, where in cut_blocks(piece.window, self.scope.block_px):
            counted = mask[where] != 255
            if counted.any():
                hits = counted & (mask[where] == below[where])
                sums = np.array([hits.sum(), counted.sum()])
                self.sums[block] = self.sums.get(block, 0) + sums
        self.seen.append(piece.window)

    def finish(self) -> BlockSums:
        hits = np.zeros(self.scope.grid.shape, int)
        for window in self.seen:
            hits[window.slices()] += 1
        area = np.zeros(self.scope.grid.shape, int)
        area[self.scope.area.slices()] = 1
        assert (hits == area).all()  # they partition the area
        starts = [(window.row_off, window.col_off) for window in self.seen]
        assert starts == sorted(starts)
        return self.sums


def random_classes(seed, shape=(61, 47), values=(0, 1, 2, 255)):
    coarse = np.random.default_rng(seed).choice(values, tuple(-(-n // 5) for n in shape))
    fine = np.kron(coarse, np.ones((5, 5), int))[: shape[0], : shape[1]]
    noise = np.random.default_rng(seed + 99)
    wrong = noise.random(shape) < 0.1
    return np.where(wrong, noise.choice(values, shape), fine).astype("uint8")


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frame")
    labels, mask, other = random_classes(1), random_classes(2), random_classes(3)
    paths = [folder / name for name in ("labels.tif", "mask.tif", "other.tif")]
    for path, pixels in zip(paths, (labels, mask, other), strict=True):
        write_raster(path, pixels, nodata=255)
    return paths, (labels, mask, other)


@settings(deadline=None, max_examples=8)
@given(side=st.integers(5, 70), reach=st.integers(0, 9))
def test_windows_never_show(scene, side, reach):
    (truth, mask, other), (labels, pixels, _) = scene
    bbox = (500_001.0, 4_999_973.0, 500_021.0, 4_999_999.0)  # columns 2-42, rows 2-54
    options = EvaluateOptions(
        metrics=("all",), compare=(other,), classes=NAMES, bbox=bbox, block=8, bootstrap=100
    )
    with pytest.MonkeyPatch.context() as patch:
        contacts = {"contacts": lambda *_: Contacts(reach)}
        patch.setattr(registry, "FAMILIES", {**registry.FAMILIES, **contacts})
        whole = evaluate(mask, truth, options)
        patch.setattr("geounet.evaluation.reading.BLOCK", side)
        assert evaluate(mask, truth, options).to_dict() == whole.to_dict()
    counted = (labels != 255) & (pixels != 255) & (scene[1][2] != 255)
    area = np.zeros(labels.shape, bool)
    area[2:54, 2:42] = True
    counted &= area
    below = np.full(labels.shape, 255)
    below[: len(labels) - reach] = np.where(counted, labels, 255)[reach:]
    expected = (below == pixels)[counted].mean()
    assert whole.values["contacts"].value == pytest.approx(expected)
    assert whole.details["contacts"]["pixels"] == counted.sum()


def test_block_by_block(scene):
    (truth, mask, _), (labels, pixels, _) = scene
    result = evaluate(mask, truth, EvaluateOptions(classes=NAMES, block=16))
    blocks = result.scenes[0].blocks
    assert result.resampling.blocks == len(blocks.windows) == 12
    for window, counts in zip(blocks.windows, blocks.counts, strict=True):
        own, guess = labels[window.slices()], pixels[window.slices()]
        expected = [[((own == i) & (guess == j)).sum() for j in range(3)] for i in range(3)]
        assert counts.tolist() == expected
    assert not any("intervals" in note for note in result.notes if result.resampling.blocks >= 20)
    few = evaluate(mask, truth, EvaluateOptions(classes=NAMES))
    assert few.notes[-1] == "no intervals from 1 block of 256 px; smaller ones: --block"


def test_scenes_alone_and_together(scene, tmp_path):
    (truth, mask, other), _ = scene
    options = EvaluateOptions(classes=NAMES, block=8)
    both = evaluate([mask, other], [truth, truth], options)
    alone = [evaluate(path, truth, options) for path in (mask, other)]
    for one, found in zip(alone, both.scenes, strict=True):
        assert found.results.values == one.values
    assert both.resampling.blocks == sum(one.resampling.blocks for one in alone)
    pooled = both.values["miou"]
    assert min(one.values["miou"].value for one in alone) <= pooled.value
    widths = [one.values["miou"].high - one.values["miou"].low for one in (*alone, both)]
    assert widths[2] < max(widths[:2])  # twice the blocks


def test_two_masks_on_the_pixels_that_both_have(scene):
    (truth, mask, other), (labels, pixels, theirs) = scene
    options = EvaluateOptions(classes=NAMES, compare=(other,), block=8)
    result = evaluate(mask, truth, options)
    counted = (labels != 255) & (pixels != 255) & (theirs != 255)
    right = [(guess == labels)[counted] for guess in (pixels, theirs)]
    comparison = result.comparison
    expected = [
        (mine & other).sum() for mine in (right[0], ~right[0]) for other in (right[1], ~right[1])
    ]
    assert comparison.agreement == tuple(expected)
    assert comparison.results.values["oa"].value == pytest.approx(right[1].mean())
    difference = comparison.differences["oa"]
    assert difference.value == pytest.approx(right[0].mean() - right[1].mean())
    assert difference.low < difference.value < difference.high
    left_out = ((labels != 255) & (pixels != 255) & (theirs == 255)).sum()
    assert any(f"no data in {left_out} pixels that {mask} has" in note for note in result.notes)
    blocks = result.scenes[0].blocks
    for window, agreement in zip(blocks.windows, blocks.agreement, strict=True):
        inside = np.zeros(labels.shape, bool)
        inside[window.slices()] = True
        assert agreement[0] == (right[0] & right[1])[inside[counted]].sum()
    told = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert told["comparison"]["agreement"]["only_mask_right"] == expected[1]
    assert told["comparison"]["scenes"][0]["other"] == str(other)
    with pytest.raises(UsageError, match="--compare has 2 files for 1 mask;"):
        evaluate(mask, truth, EvaluateOptions(classes=NAMES, compare=(other, other)))
    with pytest.raises(UsageError, match="no file of the name of mask mask"):
        evaluate(mask, truth, EvaluateOptions(classes=NAMES, compare=(write_alone(truth),)))


def write_alone(path):
    """A folder with one raster of another name."""
    folder = path.parent / "alone"
    folder.mkdir(exist_ok=True)
    write_raster(folder / "x.tif", np.zeros((61, 47), "uint8"))
    return folder


@pytest.fixture
def images(tmp_path):
    """A dataset in the classic layout, a model that fits, and what it maps."""
    rng = np.random.default_rng(5)
    for part in ("images", "masks"):
        (tmp_path / "data" / "test" / part).mkdir(parents=True)
    _, loaded = make_model(tmp_path, width=4, depth=2)
    for name in ("one", "two"):
        folder = tmp_path / "data" / "test"
        write_raster(folder / "images" / f"{name}.tif", rng.integers(0, 255, (3, 50, 64), "uint8"))
        labels = rng.integers(0, 3, (50, 64)).astype("uint8")
        write_raster(folder / "masks" / f"{name}.tif", labels)
        predict(folder / "images" / f"{name}.tif", loaded, tmp_path / f"{name}.tif")
    return tmp_path


def test_a_model_is_evaluated_as_what_it_maps(images):
    model, test = images / "model-0.safetensors", images / "data" / "test"
    masks = [images / "one.tif", images / "two.tif"]
    expected = evaluate(masks, test / "masks", EvaluateOptions(block=16))
    for found, labels in [
        ([test / "images" / "one.tif", test / "images" / "two.tif"], test / "masks"),
        (images / "data", ()),
        (test, ()),
    ]:
        result = evaluate(found, labels, EvaluateOptions(model=(model,), block=16))
        assert result.values == expected.values
        assert [scene.name for scene in result.scenes] == [
            str(test / "images" / "one.tif"),
            str(test / "images" / "two.tif"),
        ]
        assert result.to_dict()["scenes"][0]["mask"] is None
        assert not any(images.glob("**/geounet-*"))
    kept = images / "kept"
    options = EvaluateOptions(model=(model,), masks=kept, metrics=("probability",), block=16)
    result = evaluate(images / "data", (), options)
    assert (read_raster(kept / "one.tif") == read_raster(masks[0])).all()
    assert result.details["probability"]["pixels"] == 2 * 50 * 64
    written = (kept / "one.tif").stat().st_mtime_ns
    assert evaluate(images / "data", (), options).to_dict() == result.to_dict()
    assert (kept / "one.tif").stat().st_mtime_ns == written


def test_a_model_maps_only_what_counts(images):
    test, model = images / "data" / "test", (images / "model-0.safetensors",)
    (west, north), (east, south) = UTM @ (10, 8), UTM @ (40, 30)
    bbox = (west, south, east, north)
    expected = evaluate(images / "one.tif", test / "masks", EvaluateOptions(bbox=bbox))
    kept = images / "kept"
    options = EvaluateOptions(model=model, masks=kept, bbox=bbox)
    result = evaluate(test / "images" / "one.tif", test / "masks" / "one.tif", options)
    assert result.values["miou"].value == expected.values["miou"].value
    assert read_raster(kept / "one.tif").shape == (1, 22, 30)
    far = write_raster(
        images / "far.tif", np.zeros((3, 9, 9), "uint8"), transform=UTM @ Affine.translation(999, 0)
    )
    pair = [test / "masks" / "one.tif"] * 2
    result = evaluate(
        [test / "images" / "one.tif", far], pair, EvaluateOptions(model=model, bbox=bbox)
    )
    assert len(result.scenes) == 1
    assert result.notes[0].startswith("left out: the area")


@pytest.mark.parametrize("bare", ["labels", "image"])
def test_a_model_maps_all_where_labels_are_taken_pixel_by_pixel(images, bare):
    test = images / "data" / "test"
    paths = {"image": test / "images" / "one.tif", "labels": test / "masks" / "one.tif"}
    bbox = (10, 8, 40, 30) if bare == "image" else (*(UTM @ (10, 30)), *(UTM @ (40, 8)))
    if bare == "image":
        pixels = read_raster(paths["image"])
        paths["image"] = write_raster(images / "bare.tif", pixels, transform=None)
    else:
        pixels = read_raster(paths["labels"])
        paths["labels"] = write_raster(images / "bare.tif", pixels, transform=None)
    truth, mask = read_raster(test / "masks" / "one.tif")[0], read_raster(images / "one.tif")[0]
    window = np.s_[8:30, 10:40]
    expected = np.bincount(truth[window].ravel() * 3 + mask[window].ravel(), minlength=9)
    options = EvaluateOptions(
        model=(images / "model-0.safetensors",),
        bbox=bbox,
        predict_options=PredictOptions(allow_pixel_size=True),
    )
    result = evaluate(paths["image"], paths["labels"], options)
    assert result.confusion.counts.ravel().tolist() == expected.tolist()


def test_labels_that_do_not_fit_are_found_before_anything_is_mapped(images, monkeypatch):
    def fail(*_):
        raise AssertionError("mapped")

    monkeypatch.setattr("geounet.evaluation.mapping.predict", fail)
    model, test = (images / "model-0.safetensors",), images / "data" / "test"
    image = test / "images" / "one.tif"
    with pytest.raises(UsageError, match="there is no such metric"):
        evaluate(image, test / "masks", EvaluateOptions(model=model, fail_under=(("nothing", 1),)))
    with pytest.raises(UsageError, match="there are no labels; give them with --labels"):
        evaluate(image, (), EvaluateOptions(model=model))
    with pytest.raises(InputError, match="has no test images with labels"):
        evaluate(images, (), EvaluateOptions(model=model))
    with pytest.raises(UsageError, match="no such family of metrics; choose of pixel"):
        evaluate(image, test / "masks", EvaluateOptions(model=model, metrics=("pixels",)))


def test_options_that_cannot_be_meant():
    for wrong in (
        {"bootstrap": 9},
        {"bootstrap": 10**9},
        {"block": 0},
        {"seed": -1},
        {"masks": "x"},
        {"model": ("m",), "scores": ("s",)},
    ):
        with pytest.raises(UsageError):
            EvaluateOptions(**wrong)


@pytest.fixture
def cli(capsys, monkeypatch):
    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["geounet", "evaluate", *map(str, arguments)])
        code = run(app)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_limits_on_the_command_line(scene, cli):
    (truth, mask, _), _ = scene
    given = (mask, "--labels", truth, "--classes", NAMES, "--ignore", 255)
    value = evaluate(mask, truth, EvaluateOptions(classes=NAMES)).values["iou.b"].value
    assert cli(*given, "--fail-under", f"iou.b={value - 1e-6}")[0] == 0
    code, out, err = cli(*given, "--fail-under", f"iou.b={value + 1e-4}", "--json")
    assert code == 6
    assert err.splitlines()[-1] == (
        f"error: iou.b is {value:.4f}; it should be at least {value + 1e-4:g}"
    )
    assert json.loads(out)["failed"][0]["metric"] == "iou.b"
    code, _, err = cli(*given, "--fail-under", "dice.d=0.5")
    assert (code, "there is no such metric; there are oa, miou" in err) == (2, True)
    assert cli(*given, "--fail-over", "mean_iou=0.5")[2].startswith(
        "error: --fail-over miou: it is better the larger; write --fail-under miou=0.5"
    )
    for text in ("miou", "miou=", "=1", "miou=nan", "miou=inf"):
        assert cli(*given, "--fail-under", text)[0] == 2


@pytest.mark.parametrize(
    ("option", "value"),
    [("--tta", "d4"), ("--bands", "1"), ("--device", "cpu"), ("--max-memory", "1GB")],
)
def test_how_to_map_is_said_in_vain_without_a_model(tmp_path, cli, option, value):
    for name in ("m", "l"):
        write_raster(tmp_path / f"{name}.tif", np.eye(20, dtype="uint8"))
    given = (tmp_path / "m.tif", "-l", tmp_path / "l.tif")
    code, _, err = cli(*given, option, value)
    assert (code, f"{option} is for images that --model maps" in err) == (2, True)
    shown = ("--images", tmp_path / "m.tif", "--report", tmp_path / "r.html")
    if option == "--bands":  # of what the report shows
        assert cli(*given, option, value, *shown)[0] == 0


def test_masks_are_kept_in_a_folder(tmp_path, cli):
    write_raster(tmp_path / "i.tif", np.ones((3, 20, 20), "uint8"))
    write_raster(tmp_path / "l.tif", np.eye(20, dtype="uint8"))
    model = make_model(tmp_path)[0]
    given = (tmp_path / "i.tif", "-l", tmp_path / "l.tif", "-m", model)
    code, _, err = cli(*given, "--masks", tmp_path / "l.tif")
    assert (code, "l.tif is a file; name a folder" in err) == (2, True)


def test_words_for_masks(tmp_path, cli):
    """What is wrong with a mask is no matter of labels."""
    write_raster(tmp_path / "m.tif", np.eye(20, dtype="uint8"))
    write_raster(tmp_path / "odd.tif", 7 * np.eye(20, dtype="uint8"))
    far = UTM @ Affine.translation(1000, 0)
    write_raster(tmp_path / "far.tif", np.eye(20, dtype="uint8"), transform=far)
    given = (tmp_path / "m.tif", "-l", tmp_path / "m.tif", "--classes", "a,b")
    code, _, err = cli(*given, "--compare", tmp_path / "far.tif")
    assert (code, "far.tif does not overlap" in err, "labels" in err) == (3, True, False)
    code, _, err = cli(tmp_path / "odd.tif", *given[1:])
    assert (code, "odd.tif has the value 7 in 20 pixels" in err) == (3, True)
    assert "NAME, or, of labels, leave it out with --ignore 7" in err


def test_a_mask_counts_once(tmp_path):
    for name in ("m", "l"):
        write_raster(tmp_path / f"{name}.tif", np.eye(20, dtype="uint8"))
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "m.tif").symlink_to(tmp_path / "m.tif")
    for twice in ([tmp_path / "m.tif"] * 2, [tmp_path / "m.tif", tmp_path / "masks"]):
        with pytest.raises(UsageError, match=r"m\.tif is given twice"):
            evaluate(twice, tmp_path / "l.tif")


def test_undefined_is_below(tmp_path, cli):
    write_raster(tmp_path / "m.tif", np.zeros((20, 20), "uint8"))
    write_raster(tmp_path / "l.tif", np.zeros((20, 20), "uint8"))
    given = (tmp_path / "m.tif", "-l", tmp_path / "l.tif", "--classes", "a,b")
    code, out, err = cli(*given, "--fail-under", "iou.b=-1", "--json")
    assert code == 6
    assert "iou.b is undefined" in err
    told = json.loads(out)
    assert told["values"]["iou.b"] == {"value": None, "low": None, "high": None}
    assert "NaN" not in out


def test_table_of_numbers(scene, cli, tmp_path):
    (truth, mask, other), _ = scene
    path = tmp_path / "numbers.csv"
    given = (mask, "-l", truth, "--classes", NAMES, "--block", 8, "--csv", path)
    assert cli(*given, "--compare", other)[0] == 0
    result = evaluate(mask, truth, EvaluateOptions(classes=NAMES, block=8, compare=(other,)))
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert {row["mask"] for row in rows} == {"all", str(mask)}
    for row in rows[: len(result.values)]:
        name = row["metric"] + ("." + row["class"] if row["class"] else "")
        found = result.values[name]
        assert [float(row[c]) for c in ("value", "low", "high")] == [
            found.value,
            found.low,
            found.high,
        ]
        assert float(row["difference"]) == result.comparison.differences[name].value
    code, _, err = cli(*given)
    assert (code, "exists; replace it with --overwrite" in err) == (2, True)
    assert cli(*given, "--overwrite")[0] == 0
    assert "difference" not in path.read_text().splitlines()[0]
    code, _, err = cli(mask, "-l", truth, "--csv", truth, "--overwrite")
    assert (code, "is also an input" in err) == (2, True)
    assert cli(mask, "-l", truth, "--csv", tmp_path / "no" / "x.csv")[0] == 2


def test_no_output_falls_on_another_or_on_an_input(scene, cli, tmp_path):
    (truth, mask, other), _ = scene
    area = tmp_path / "area.gpkg"
    area.write_bytes(b"precious")
    given, page = (mask, "-l", truth, "--classes", NAMES), tmp_path / "a.html"
    code, _, err = cli(*given, "--report", page, "--csv", tmp_path / "." / "a.html")
    assert (code, "is to hold two outputs" in err, page.exists()) == (2, True, False)
    for option, file, output in (
        ("--aoi", area, "--errors"), ("--compare", other, "--csv"), ("--images", other, "--csv"),
        ("--scores", other, "--csv"), ("--model", other, "--csv"),
    ):  # fmt: skip
        report = ("--report", page) if option == "--images" else ()
        code, _, err = cli(*given, option, file, output, file, "--overwrite", *report)
        assert (code, "is also an input" in err) == (2, True), (option, err)
    assert area.read_bytes() == b"precious"


def test_images_of_isbi_style(tmp_path, cli):
    rng = np.random.default_rng(6)
    membranes = (rng.random((64, 64)) > 0.3).astype("uint8")
    found = np.where(rng.random((64, 64)) < 0.1, 1 - membranes, membranes).astype("uint8")
    for name, pixels in (("labels.png", membranes * 255), ("mask.png", found * 255)):
        write_raster(tmp_path / name, pixels, transform=None, driver="PNG")
    code, out, _ = cli(
        tmp_path / "mask.png", "-l", tmp_path / "labels.png", "--json", "--block", 16
    )
    assert code == 0
    told = json.loads(out)
    assert told["values"]["oa"]["value"] == pytest.approx((membranes == found).mean())
    assert [item["name"] for item in told["classes"]] == ["background", "foreground"]
    numbers = write_raster(tmp_path / "n.tif", found, transform=None)
    other = (tmp_path / "mask.png", "-l", tmp_path / "labels.png", "--compare", numbers, "--json")
    code, out, _ = cli(*other, "--classes", "cell,membrane")
    assert code == 0
    assert json.loads(out)["comparison"]["agreement"]["only_mask_right"] == 0
    code, _, err = cli(*other, "--classes", "a,b,c")
    assert (code, "is a mask of 0 and 255, but there are 3 classes" in err) == (3, True)


def test_a_distance_beyond_the_cap_is_printed_as_more(tmp_path, cli):
    labels, mask = np.zeros((40, 40), "uint8"), np.zeros((40, 40), "uint8")
    labels[:5, :5] = mask[-5:, -5:] = 1
    truth, path = (tmp_path / name for name in ("labels.tif", "mask.tif"))
    write_raster(truth, labels)
    write_raster(path, mask)
    given = (path, "-l", truth, "--classes", "a,b", "--metrics", "boundary")
    code, _, err = cli(*given, "--hausdorff-cap", 7)
    rows = [line.split() for line in err.splitlines() if line.startswith("hausdorff95_px")]
    assert (code, rows[-1][1:]) == (0, [">", "7", ">", "7"])
