"""Training end to end, on scenes of some hundred pixels a side."""

import csv
import json
from threading import Event

import geopandas
import numpy as np
import pytest
import torch
from PIL import Image
from rasters import UTM, read_raster, write_raster
from shapely import box

from geounet import training
from geounet.classes import make_classes
from geounet.errors import InputError, Interrupted, ResourceError, UsageError
from geounet.inference import make_engine, predict_window, resolve_runtime
from geounet.models import load_model
from geounet.raster import Grid, Window, open_scene
from geounet.training import TrainOptions, train
from geounet.training.keeping.history import TOLERANCE
from geounet.vector import LabelOptions

SMALL = {
    "architecture": "unet",
    "width": 4,
    "depth": 2,
    "chip": 32,
    "batch": 4,
    "workers": 1,
    "device": "cpu",
    "precision": "float32",
}


@pytest.fixture(autouse=True)
def short_epochs(monkeypatch):
    """48 chips are an epoch here."""
    monkeypatch.setattr("geounet.training.options.EPOCH_CHIPS", (48, 48))


def make_arrays(shape=(96, 128), seed=0):
    """An image of three bands and labels 0 and 1: bright blobs are 1."""
    rng = np.random.default_rng(seed)
    labels = np.kron(rng.random((shape[0] // 8, shape[1] // 8)) < 0.4, np.ones((8, 8)))
    noise = rng.integers(0, 50, (3, *shape))
    image = noise + labels * np.array([120, 0, 60])[:, None, None]
    return image.astype(np.uint8), labels.astype(np.uint8)


@pytest.fixture
def pair(tmp_path):
    image, labels = make_arrays()
    image_path = write_raster(tmp_path / "image.tif", image, descriptions=["red", "green", "blue"])
    return image_path, write_raster(tmp_path / "labels.tif", labels)


def learn(image, labels, output, stop=None, **options):
    images = image if isinstance(image, list) else [image]
    paths = labels if isinstance(labels, list) else [labels]
    return train(
        images, paths, output, TrainOptions(**{**SMALL, "epochs": 2, **options}), stop=stop
    )


def weights(summary):
    return {k: v.numpy() for k, v in load_model(summary.model).network.state_dict().items()}


def map_whole(image, model_path):
    """The mask of a whole scene, in one tile."""
    model = load_model(model_path)
    engine = make_engine(model.network, model.spec, resolve_runtime("cpu", "float32"))
    with open_scene(image) as scene:
        return predict_window(engine, scene, scene.grid.extent, tile=128)


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)


def test_it_learns_and_inference_agrees_with_its_metrics(pair, tmp_path):
    summary = learn(*pair, tmp_path / "run", epochs=6, lr=1e-2)
    assert summary.metrics.mean_iou > 0.95
    mask, labels = map_whole(pair[0], summary.model), read_raster(pair[1])[0]
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    agreed = pixels = 0
    for block in settings["split"]["validation_blocks"]:
        cut = Window(**block["window"]).slices()
        agreed += (mask[cut] == labels[cut]).sum()
        pixels += labels[cut].size
    assert pixels == summary.validation_pixels == summary.metrics.pixels
    assert agreed / pixels == pytest.approx(summary.metrics.overall_accuracy, abs=0)
    other, truth = make_arrays(seed=9)
    other_path = write_raster(tmp_path / "other.tif", other)
    assert (map_whole(other_path, summary.model) == truth).mean() > 0.95


def test_the_run_folder_says_everything(pair, tmp_path):
    seen = []
    options = TrainOptions(**SMALL, epochs=3)
    summary = train([pair[0]], [pair[1]], tmp_path / "run", options, seen.append)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    expected = {"model.safetensors", "settings.json", "history.csv", "curves.png", "examples.png"}
    split = {"split.png", "split.gpkg"}
    assert names == {*expected, "state.safetensors", "content.npz", "report.html", *split}
    spec = load_model(summary.model).spec
    image = read_raster(pair[0])
    assert [band.name for band in spec.bands] == ["red", "green", "blue"]
    assert [band.dtype for band in spec.bands] == ["uint8"] * 3
    assert [c.value for c in spec.classes] == [0, 1]
    assert spec.pixel_size_m == 0.5
    assert (spec.margin, spec.stride) == (20, 4)
    assert spec.bands[0].offset == pytest.approx(image[0].mean(), rel=0.1)
    assert spec.training["seed"] == 0
    assert spec.training["scenes"] == [str(pair[0])]
    assert spec.training["metrics"]["mean_iou"] == summary.metrics.mean_iou
    assert sum(spec.training["class_shares"].values()) == pytest.approx(1)
    with (tmp_path / "run" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    ious = [float(row["mean_iou"]) for row in rows]
    assert ious[summary.kept_epoch - 1] == summary.metrics.mean_iou > max(ious) - TOLERANCE
    assert summary.chips == 3 * 48
    with Image.open(tmp_path / "run" / "examples.png") as picture:
        assert min(picture.size) > 200
    steps = [p.done for p in seen if p.stage == "train"]
    assert steps == sorted(steps)
    assert steps[-1] == 36
    assert all(p.total == 36 for p in seen if p.stage == "train")


def test_the_same_seed_gives_the_same_weights_whatever_the_workers(pair, tmp_path):
    first = learn(*pair, tmp_path / "a", workers=0, dropout=0.2)
    second = learn(*pair, tmp_path / "b", workers=3, dropout=0.2)
    assert_same(weights(first), weights(second))
    other = weights(learn(*pair, tmp_path / "c", dropout=0.2, seed=1))
    assert (other["head.weight"] != weights(first)["head.weight"]).all()


def test_what_lies_under_nodata_changes_nothing(tmp_path):
    image, labels = make_arrays()
    values = image.astype(np.float32)
    found = []
    for name, garbage in (("a", 0), ("b", 1e30)):
        dirty, wrong = values.copy(), labels.copy()
        dirty[:, :30, :40] = garbage  # masked below
        dirty[1, 50:60, 50:60] = np.nan
        dirty[0, 50:60, 50:60] = garbage
        wrong[:30, :40] = name == "a"
        wrong[50:60, 50:60] = name == "a"
        mask = np.ones(labels.shape, bool)
        mask[:30, :40] = False
        path = write_raster(tmp_path / f"{name}.tif", dirty, mask=mask)
        label_path = write_raster(tmp_path / f"{name} labels.tif", wrong)
        found.append(learn(path, label_path, tmp_path / name))
    assert_same(weights(found[0]), weights(found[1]))
    assert found[0].metrics == found[1].metrics


def test_unlabelled_pixels_are_ignored(tmp_path):
    image, labels = make_arrays()
    found = []
    for name, ignore in (("a", 9), ("b", 200)):
        sparse = labels.copy()
        sparse[20:60] = ignore
        path = write_raster(tmp_path / f"{name}.tif", image)
        label_path = write_raster(tmp_path / f"{name} labels.tif", sparse)
        options = LabelOptions(ignore=ignore)
        found.append(learn(path, label_path, tmp_path / name, label_options=options))
    assert_same(weights(found[0]), weights(found[1]))


def test_only_pixels_in_the_bbox_are_used(tmp_path):
    image, labels = make_arrays((160, 128))
    grid = Grid(height=160, width=128, transform=UTM)
    bbox = grid.bounds(Window(row_off=0, col_off=0, height=100, width=128))
    found = []
    for name in "ab":
        changed, wrong = image.copy(), labels.copy()
        if name == "b":
            changed[:, 100:], wrong[100:] = 255, 1
        path = write_raster(tmp_path / f"{name}.tif", changed)
        label_path = write_raster(tmp_path / f"{name} labels.tif", wrong)
        found.append(learn(path, label_path, tmp_path / name, bbox=bbox, augment="none"))
    assert_same(weights(found[0]), weights(found[1]))
    assert found[0].training_pixels + found[0].validation_pixels <= 100 * 128


def test_pixels_outside_the_aoi_are_not_learned_from(pair, tmp_path):
    west, north = UTM @ (0, 0)
    east, south = UTM @ (100, 60)
    geopandas.GeoDataFrame(geometry=[box(west, south, east, north)], crs="EPSG:32633").to_crs(
        "EPSG:4326"
    ).to_file(tmp_path / "aoi.geojson")
    wrong = read_raster(pair[1])[0]
    wrong[62:], wrong[:, 102:] = 1, 1
    other = write_raster(tmp_path / "wrong.tif", wrong)
    options = {"aoi": tmp_path / "aoi.geojson", "epochs": 1}
    first = learn(pair[0], pair[1], tmp_path / "a", **options)
    second = learn(pair[0], other, tmp_path / "b", **options)
    assert first.metrics == second.metrics
    assert first.class_shares == second.class_shares
    assert_same(weights(first), weights(second))


def test_images_outside_the_aoi_are_said_to_be_left_out(pair, tmp_path):
    image, labels = make_arrays(seed=3)
    away = UTM.translation(1e5, 0) @ UTM
    images = [write_raster(tmp_path / "far.tif", image, transform=away), pair[0]]
    label_paths = [write_raster(tmp_path / "far labels.tif", labels, transform=away), pair[1]]
    area = geopandas.GeoSeries([box(*(UTM @ (0, 96)), *(UTM @ (128, 0)))], crs="EPSG:32633")
    area.to_file(tmp_path / "aoi.geojson")
    summary = learn(images, label_paths, tmp_path / "run", aoi=tmp_path / "aoi.geojson", epochs=1)
    (note,) = summary.notes
    assert note.startswith(f"left out: {images[0]}: the area in {tmp_path / 'aoi.geojson'}")
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert settings["notes"] == [note]
    assert [scene["image"] for scene in settings["scenes"]] == [str(pair[0])]
    (tmp_path / "aoi.geojson").write_text("no polygons")
    with pytest.raises(InputError, match=r"aoi.geojson"):
        learn(images, label_paths, tmp_path / "other", aoi=tmp_path / "aoi.geojson")


def test_vector_labels_in_another_crs(pair, tmp_path):
    labels = read_raster(pair[1])[0]
    cells = [
        box(*(UTM @ (8 * col, 8 * row + 8)), *(UTM @ (8 * col + 8, 8 * row)))
        for row, col in np.argwhere(labels[::8, ::8])
    ]
    geopandas.GeoDataFrame(geometry=cells, crs="EPSG:32633").to_crs("EPSG:4326").to_file(
        tmp_path / "blobs.geojson"
    )
    summary = learn(pair[0], tmp_path / "blobs.geojson", tmp_path / "run", epochs=6, lr=1e-2)
    assert list(summary.class_shares) == ["background", "blobs"]
    assert summary.metrics.mean_iou > 0.9


def test_a_background_that_is_nowhere_is_said_and_can_be_left_out(pair, tmp_path):
    halves = [box(*UTM @ (left, 96), *UTM @ (left + 64, 0)) for left in (0, 64)]
    cover = geopandas.GeoDataFrame({"kind": ["b", "a"]}, geometry=halves, crs="EPSG:32633")
    cover.to_file(tmp_path / "cover.gpkg")
    for is_sparse, names in ((False, ["background", "a", "b"]), (True, ["a", "b"])):
        labels = LabelOptions(class_field="kind", sparse=is_sparse)
        options = TrainOptions(**SMALL, epochs=1, label_options=labels)
        summary = train([pair[0]], [tmp_path / "cover.gpkg"], tmp_path / str(is_sparse), options)
        assert list(summary.class_shares) == names
        assert any("leave it out with --sparse" in note for note in summary.notes) != is_sparse


def test_validation_images_are_used_whole_and_not_trained_on(pair, tmp_path):
    image, labels = make_arrays(seed=3)
    held_out = write_raster(tmp_path / "v.tif", image, transform=UTM.translation(1e5, 0) @ UTM)
    held_out_labels = write_raster(
        tmp_path / "v labels.tif", labels, transform=UTM.translation(1e5, 0) @ UTM
    )
    summary = learn(
        *pair, tmp_path / "run", val_images=(held_out,), val_labels=(held_out_labels,), epochs=1
    )
    assert summary.training_pixels == 96 * 128
    assert summary.validation_pixels == summary.metrics.pixels == 96 * 128
    with pytest.raises(InputError, match="nothing to train on"):
        learn(*pair, tmp_path / "same", val_images=(pair[0],), val_labels=(pair[1],))


def test_many_scenes_with_one_label_file(pair, tmp_path):
    image = read_raster(pair[0])
    paths = []
    for row in range(3):
        for col in range(4):
            cut = image[:, 32 * row : 32 * row + 32, 32 * col : 32 * col + 32]
            origin = UTM @ UTM.translation(32 * col, 32 * row)
            paths.append(write_raster(tmp_path / f"{row}{col}.tif", cut, transform=origin))
    summary = learn(paths, pair[1], tmp_path / "run", epochs=6, lr=1e-2)
    assert summary.metrics.mean_iou > 0.9
    assert len(load_model(summary.model).spec.training["scenes"]) == 12


@pytest.mark.parametrize("shape", [(8, 128), (24, 16)])
def test_scenes_smaller_than_a_chip(tmp_path, shape):
    image, labels = make_arrays((32, 128))
    cut = (slice(8, 8 + shape[0]), slice(0, shape[1]))
    path = write_raster(tmp_path / "a.tif", image[:, *cut])
    label_path = write_raster(tmp_path / "l.tif", labels[cut])
    options = {"classes": make_classes(["a", "b"]), "epochs": 1, "chip": 64}
    summary = learn(path, label_path, tmp_path / "run", **options)
    assert summary.training_pixels + summary.validation_pixels <= shape[0] * shape[1]


def test_the_papers_unpadded_network_trains(pair, tmp_path):
    summary = learn(*pair, tmp_path / "run", padding="valid", norm="none", epochs=6, lr=1e-2)
    assert summary.metrics.mean_iou > 0.9


def test_time_is_kept(pair, tmp_path):
    options = {"epochs": 10_000, "max_time_min": 10 / 60, "schedule": "one-cycle"}
    summary = learn(*pair, tmp_path / "run", **options)
    assert summary.elapsed_s < 20  # the report too, on a busy machine
    assert summary.epochs < 10_000
    rates = np.genfromtxt(tmp_path / "run" / "history.csv", delimiter=",", names=True)["lr"]
    # it came down in time, were it in one epoch; a busy machine may take long for the last one
    assert rates.flat[-1] < 0.5 * summary.lr


def test_a_model_is_made_however_little_time_there_is(pair, tmp_path):
    summary = learn(*pair, tmp_path / "run", epochs=3, max_time_min=1e-6)
    assert (summary.epochs, summary.chips) == (1, summary.batch)
    assert load_model(summary.model).spec.training["steps"] == 1


def test_an_interrupted_run_keeps_its_model(pair, tmp_path, monkeypatch):
    def stop_in_second(progress):
        if progress.stage == "train" and progress.done > 14:
            raise KeyboardInterrupt

    options = TrainOptions(**SMALL, epochs=3)
    expected = r"after epoch 1; .*model.safetensors is of epoch 1 .*with --resume goes on"
    with pytest.raises(Interrupted, match=expected):
        train([pair[0]], [pair[1]], tmp_path / "run", options, stop_in_second)
    assert load_model(tmp_path / "run" / "model.safetensors").spec.training["epoch"] == 1

    def stop_at_once(progress):
        if progress.stage == "train":
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="holds no model yet; the same command starts again"):
        train([pair[0]], [pair[1]], tmp_path / "other", options, stop_at_once)
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["content.npz"]

    def stop_drawing(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("geounet.training.keeping.record.draw_validation", stop_drawing)
    with pytest.raises(Interrupted, match=r"after epoch 2; .* can be used"):
        learn(*pair, tmp_path / "other")


def read_folder(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_earlier_model_stays_until_there_is_a_new_one(pair, tmp_path):
    run = tmp_path / "run"
    learn(*pair, run, epochs=1)
    before = read_folder(run)

    def stop(progress):
        if progress.stage == "train" and progress.done > 4:
            raise KeyboardInterrupt

    options = TrainOptions(**SMALL, epochs=1, overwrite=True)
    with pytest.raises(Interrupted, match="is still the earlier one"):
        train([pair[0]], [pair[1]], run, options, stop)
    with pytest.raises(UsageError, match=r"one class, land; .*--classes"):
        learn(*pair, run, overwrite=True, classes=make_classes(["land"]))
    with pytest.raises(UsageError, match=r"--chip 4 with --batch 1 .*--batch 2 or --chip 8"):
        learn(*pair, run, overwrite=True, chip=4, batch=1)
    assert read_folder(run) == before
    learn(*pair, run, overwrite=True, epochs=1, seed=1)
    after = read_folder(run)
    assert after.keys() == before.keys()
    assert all(after[name] != content for name, content in before.items())


@pytest.mark.parametrize("options", [{"norm": "none"}, {"padding": "valid"}, {"batch": 2}])
def test_the_smallest_chips_that_can_be_learned_from(pair, tmp_path, options):
    summary = learn(*pair, tmp_path / "run", **{"chip": 4, "batch": 1, "epochs": 1, **options})
    assert summary.chips == 48


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        MemoryError(),
    ],
    ids=["cuda", "cpu", "numpy"],
)
def test_want_of_memory_says_what_to_lower(pair, tmp_path, monkeypatch, error):
    def fail(*arguments):
        raise error

    monkeypatch.setattr("geounet.training.loss.losses.Loss.__call__", fail)
    with pytest.raises(ResourceError, match=r"memory of cpu; lower --batch, --chip"):
        learn(*pair, tmp_path / "run")


def test_a_loss_that_is_no_number_stops_the_run(pair, tmp_path):
    with pytest.raises(InputError, match=r"the loss became (nan|inf) at step .*bad-batch.*--lr"):
        learn(*pair, tmp_path / "run", lr=1e30, norm="none")
    with np.load(tmp_path / "run" / "bad-batch.npz") as batch:
        assert batch["image"].shape[:2] == (4, 3)
        assert batch["image"].dtype == np.uint8
        assert set(np.unique(batch["labels"])) <= {0, 1, 255}
    assert learn(*pair, tmp_path / "run", overwrite=True, epochs=1).epochs == 1
    assert not (tmp_path / "run" / "bad-batch.npz").exists()


@pytest.mark.parametrize("poisoned", [2, 3])
def test_a_step_that_leaves_no_numbers_is_neither_saved_nor_validated(
    pair, tmp_path, monkeypatch, poisoned
):
    """Its own loss was one; the last step of an epoch, or the last before a stop."""
    take_step, stop, taken = training.learning.loop.take_step, Event(), []

    def poison(learner, *others):
        loss = take_step(learner, *others)
        taken.append(loss)
        if len(taken) == poisoned:
            next(learner.network.parameters()).data[0] = torch.inf
            if poisoned == 2:
                stop.set()
        return loss

    monkeypatch.setattr("geounet.training.options.EPOCH_CHIPS", (12, 12))
    monkeypatch.setattr("geounet.training.learning.loop.take_step", poison)
    expected = f"weights became infinite or NaN at step {poisoned}; .*bad-batch"
    with pytest.raises(InputError, match=expected):
        learn(*pair, tmp_path / "run", stop=stop)
    assert not (tmp_path / "run" / "state.safetensors").exists()


def test_a_rate_is_not_looked_for_where_the_loss_is_no_number(pair, tmp_path, monkeypatch):
    nothing = torch.tensor(torch.nan)
    monkeypatch.setattr("geounet.training.learning.choosing.take_step", lambda *_: nothing)
    with pytest.raises(InputError, match="--lr auto: the loss of the first chips is nan"):
        learn(*pair, tmp_path / "run", lr=None)


def test_existing_output_is_left_alone(pair, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"is not empty.*--overwrite"):
        learn(*pair, folder)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    with pytest.raises(InputError):
        learn(tmp_path / "missing.tif", pair[1], folder, overwrite=True)
    learn(*pair, folder, overwrite=True, epochs=1)
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "model.safetensors").exists()
    with pytest.raises(UsageError, match="is a file"):
        learn(*pair, folder / "notes.txt")


def test_one_run_at_a_time_works_in_a_folder(pair, tmp_path, monkeypatch):
    second = []

    def begin_another(progress):
        if progress.stage == "train" and not second:
            with pytest.raises(ResourceError, match="run is being written by another run") as error:
                learn(*pair, tmp_path / "run", resume=True)
            second.append(error)

    paths = [[path] for path in pair]
    train(*paths, tmp_path / "run", TrainOptions(**SMALL, epochs=1), begin_another)
    assert second
    assert not (tmp_path / "run" / ".lock").exists()
    (tmp_path / "killed" / ".lock").mkdir(parents=True)
    learn(*pair, tmp_path / "killed", epochs=1)
    monkeypatch.setattr("geounet.training.session.prepare_task", None)
    with pytest.raises(TypeError):
        learn(*pair, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_images_that_do_not_go_together_are_refused(pair, tmp_path):
    image, _ = make_arrays(seed=1)
    grey = write_raster(tmp_path / "grey.tif", image[:1])
    wide = write_raster(tmp_path / "wide.tif", image.astype(np.uint16))
    with pytest.raises(InputError, match=r"grey.tif has 1 band, .*image.tif has 3"):
        learn([pair[0], grey], [pair[1], pair[1]], tmp_path / "run")
    with pytest.raises(InputError, match=r"wide.tif is uint16, .*image.tif is uint8"):
        learn([pair[0], wide], [pair[1], pair[1]], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_bad_options_are_refused(pair, tmp_path):
    for wrong in (
        {"val_fraction": 0},
        {"lr": 0},
        {"epochs": 0},
        {"max_time_min": -1},
        {"dropout": 1},
        {"seed": -1},
        {"seed": 2**64},
        {"val_images": ("a",)},
    ):
        with pytest.raises(UsageError, match="--"):
            TrainOptions(**{**SMALL, **wrong})
    for wrong, message in (
        ({"architecture": "nothing"}, "choose from: resunet, unet"),
        ({"blocks": (1, 1, 1, 1)}, "--blocks does not go with --architecture unet"),
        ({"chip": 30}, "multiple of 4"),
    ):
        with pytest.raises(UsageError, match=message):
            learn(*pair, tmp_path / "run", **wrong)
    assert not (tmp_path / "run").exists()


def test_arguments_of_each_architecture():
    """What is not given is the architecture's own default; None is never handed on."""
    assert TrainOptions(architecture="unet", depth=3).network[1] == {
        "width": 32, "depth": 3, "padding": "same", "norm": "batch", "dropout": 0.0,
    }  # fmt: skip
    assert TrainOptions(architecture="resunet", width=16).network[1] == {
        "width": 16, "blocks": (1, 1, 1, 1), "dropout": 0.0,
    }  # fmt: skip


def test_epochs_scale_with_the_training_pixels(monkeypatch):
    monkeypatch.undo()
    count = training.count_epoch_chips
    assert count(100, 256) == count(1000 * 1000, 256)  # small scenes train as long
    assert count(40 * 256**2, 256) <= 2 * 100
    assert count(500 * 256**2, 256) == 1000
    assert count(10**11, 256) == 2048
