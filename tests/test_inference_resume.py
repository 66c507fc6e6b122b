"""Nothing is lost: whatever stops a run, the same call goes on and ends in the same bytes."""

import errno
import itertools
import os
import shutil
import threading

import numpy as np
import pytest
import rasterio.shutil
from affine import Affine
from networks import make_model
from rasters import UTM, read_raster, write_raster, write_vrt
from test_inference_predict import make_pixels

from geounet.errors import InputError, Interrupted, ResourceError, UsageError
from geounet.inference import PredictOptions, TorchEngine, foresee, predict
from geounet.inference.planning import parts, plan
from geounet.inference.planning.tiling import fit_tile
from geounet.inference.running import keeping
from geounet.raster import Window, writing

EXTENT = Window(row_off=0, col_off=0, height=200, width=90)
"""Of the scene."""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model"))[1]


@pytest.fixture
def scene(tmp_path, monkeypatch):
    """A scene of 200 x 90 pixels that is computed in seven parts."""
    monkeypatch.setattr(parts, "PART_PIXELS", 3000)
    return write_raster(tmp_path / "scene.tif", make_pixels(200, 90))


def fail_after(monkeypatch, calls, error):
    """Let the network run `calls` times, then raise."""
    original, count = TorchEngine.__call__, itertools.count(1)

    def call(self, *args, **kwargs):
        if next(count) > calls:
            raise error
        return original(self, *args, **kwargs)

    monkeypatch.setattr(TorchEngine, "__call__", call)


def expect_bytes(tmp_path, scene, model):
    predict(scene, model, tmp_path / "whole.tif", PredictOptions(tile=32))
    return (tmp_path / "whole.tif").read_bytes()


@pytest.mark.parametrize("calls", [0, 1, 5, 9, 20])
def test_goes_on_after_an_interruption(tmp_path, scene, model, monkeypatch, calls):
    expected = expect_bytes(tmp_path, scene, model)
    with monkeypatch.context() as patch:
        fail_after(patch, calls, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            predict(scene, model, tmp_path / "mask.tif", PredictOptions(tile=32))
    assert not (tmp_path / "mask.tif").exists()
    kept = len(list((tmp_path / "mask.tif.parts").glob("mask-*.tif")))
    assert kept <= calls
    summary = predict(scene, model, tmp_path / "mask.tif", PredictOptions(tile=32))
    assert summary.parts_resumed == kept
    assert (tmp_path / "mask.tif").read_bytes() == expected
    assert sum(summary.class_pixels.values()) == 200 * 90
    assert not [p for p in tmp_path.iterdir() if "parts" in p.name or "tmp" in p.name]


def test_goes_on_with_other_tiles(tmp_path, scene, model, monkeypatch):
    """Tile, batch and readers are no part of the job."""
    expected = expect_bytes(tmp_path, scene, model)
    with monkeypatch.context() as patch:
        fail_after(patch, 7, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            predict(scene, model, tmp_path / "mask.tif", PredictOptions(tile=32))
    options = PredictOptions(tile=64, batch=2, readers=2)
    assert predict(scene, model, tmp_path / "mask.tif", options).parts_resumed > 0
    assert (tmp_path / "mask.tif").read_bytes() == expected


def read_all(folder):
    return {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.glob("*.tif")}


def test_a_finished_run_is_left_alone(tmp_path, scene, model):
    """Killed between the last rename and the removal of the parts, it must end well too."""
    options = PredictOptions(tile=32, confidence=tmp_path / "confidence.tif")
    first = predict(scene, model, tmp_path / "mask.tif", options)
    before = {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in tmp_path.glob("*.tif")}
    (tmp_path / "mask.tif.parts").mkdir()
    again = predict(scene, model, tmp_path / "mask.tif", options)
    assert {
        p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in tmp_path.glob("*.tif")
    } == before
    assert not (tmp_path / "mask.tif.parts").exists()
    assert again.tiles == 0
    assert again.class_pixels == first.class_pixels
    (tmp_path / "mask.tif").unlink()  # killed between two outputs
    predict(scene, model, tmp_path / "mask.tif", options)
    assert (tmp_path / "mask.tif").read_bytes() == before["mask.tif"][1]


def test_stops_gently_after_a_part(tmp_path, scene, model):
    expected = expect_bytes(tmp_path, scene, model)
    stop = threading.Event()

    def ask_to_stop(progress):
        if progress.done > 4000:
            stop.set()

    with pytest.raises(Interrupted, match=r"5760 of 18000 pixels.*same command"):
        predict(scene, model, tmp_path / "mask.tif", PredictOptions(tile=32), ask_to_stop, stop)
    assert predict(scene, model, tmp_path / "mask.tif", PredictOptions(tile=32)).parts_resumed == 2
    assert (tmp_path / "mask.tif").read_bytes() == expected


@pytest.mark.parametrize("batch", [1, 2, 3, 7])
def test_one_shape_of_tiles_in_all_parts(tmp_path, scene, model, monkeypatch, batch):
    """The last part is lower, its tiles are not: an engine keeps memory for each shape."""
    expected, shapes = expect_bytes(tmp_path, scene, model), set()
    original = TorchEngine.__call__

    def call(self, image, valid):
        shapes.add(image.shape[1:])
        return original(self, image, valid)

    monkeypatch.setattr(TorchEngine, "__call__", call)
    predict(scene, model, tmp_path / "mask.tif", PredictOptions(tile=32, batch=batch))
    assert (tmp_path / "mask.tif").read_bytes() == expected
    assert len(shapes) == 1


@pytest.mark.parametrize(
    ("sides", "options", "tile"),
    [
        ((64,), PredictOptions(), 32),
        ((64,), PredictOptions(tile=48), 48),
        ((16,), PredictOptions(), 16),  # larger ones do not fit now
    ],
)
def test_goes_on_with_the_tiles_it_began_with(
    tmp_path, scene, model, monkeypatch, sides, options, tile
):
    """Another amount of memory may be free by then; what is asked for counts."""
    expected = expect_bytes(tmp_path, scene, model)
    with monkeypatch.context() as patch:
        patch.setattr(plan, "TILE_SIDES", (32,))
        fail_after(patch, 7, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            predict(scene, model, tmp_path / "mask.tif")
    monkeypatch.setattr(plan, "TILE_SIDES", sides)
    summary = predict(scene, model, tmp_path / "mask.tif", options)
    assert summary.parts_resumed
    assert summary.tile_shape[1] == fit_tile(EXTENT, tile, 4)[1]
    assert (tmp_path / "mask.tif").read_bytes() == expected


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: text.replace('"part_rows"', '"rows"'),
        lambda text: text.replace('"batch": 1', '"batch": "one"'),
        lambda text: text.replace('"fingerprint": {', '"fingerprint": 1, "x": {'),
    ],
)
def test_a_damaged_job_is_refused(tmp_path, scene, model, monkeypatch, damage):
    with monkeypatch.context() as patch:
        fail_after(patch, 7, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            predict(scene, model, tmp_path / "mask.tif", PredictOptions(tile=32))
    job = tmp_path / "mask.tif.parts" / "job.json"
    assert damage(job.read_text()) != job.read_text()
    job.write_text(damage(job.read_text()))
    with pytest.raises(InputError, match=r"without a readable job\.json.*--overwrite"):
        predict(scene, model, tmp_path / "mask.tif", PredictOptions(tile=32))


def test_another_version_of_the_engine_is_another_run(tmp_path, scene, model, monkeypatch):
    """It may compute another last bit, hence another label."""
    with monkeypatch.context() as patch:
        fail_after(patch, 7, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            predict(scene, model, tmp_path / "mask.tif", PredictOptions(tile=32, engine="torch"))
    monkeypatch.setattr("torch.__version__", "0.0")
    with pytest.raises(InputError, match="another version of torch"):
        predict(scene, model, tmp_path / "mask.tif", PredictOptions(tile=32, engine="torch"))


@pytest.mark.parametrize("name", ["inner.vrt", "outer.vrt"])
def test_a_vrt_follows_its_source(tmp_path, scene, model, name):
    """Another source file makes another run, whatever the .vrt itself says, or one in it."""
    write_vrt(tmp_path / "outer.vrt", write_vrt(tmp_path / "inner.vrt", scene))
    predict(tmp_path / name, model, tmp_path / "mask.tif")
    write_raster(scene, make_pixels(200, 90, seed=9))
    with pytest.raises(UsageError, match="exists"):
        predict(tmp_path / name, model, tmp_path / "mask.tif")


def test_parts_of_another_run_are_refused_and_kept(tmp_path, scene, model, monkeypatch):
    _, other = make_model(tmp_path, seed=5)
    with monkeypatch.context() as patch:
        fail_after(patch, 7, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            predict(scene, model, tmp_path / "mask.tif", PredictOptions(tile=32))
    before = sorted(p.name for p in (tmp_path / "mask.tif.parts").iterdir())
    with pytest.raises(InputError, match=r"another model.*--overwrite"):
        predict(scene, other, tmp_path / "mask.tif", PredictOptions(tile=32))
    assert sorted(p.name for p in (tmp_path / "mask.tif.parts").iterdir()) == before
    predict(scene, other, tmp_path / "mask.tif", PredictOptions(tile=32, overwrite=True))
    assert (tmp_path / "mask.tif").exists()


def test_a_changed_scene_is_another_run(tmp_path, scene, model, monkeypatch):
    with monkeypatch.context() as patch:
        fail_after(patch, 7, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            predict(scene, model, tmp_path / "mask.tif", PredictOptions(tile=32))
    write_raster(scene, make_pixels(200, 90, seed=9))
    with pytest.raises(InputError, match=r"scene\.tif has changed since"):
        predict(scene, model, tmp_path / "mask.tif", PredictOptions(tile=32))


def test_full_disk_loses_nothing(tmp_path, scene, model, monkeypatch):
    expected = expect_bytes(tmp_path, scene, model)
    original, count = writing.write_whole, itertools.count(1)

    def write_until_full(path, data):
        if next(count) > 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(writing, "write_whole", write_until_full)
        with pytest.raises(ResourceError, match="No space left"):
            predict(scene, model, tmp_path / "mask.tif", PredictOptions(tile=32))
    assert len(list((tmp_path / "mask.tif.parts").glob("mask-*.tif"))) == 3
    assert predict(scene, model, tmp_path / "mask.tif", PredictOptions(tile=32)).parts_resumed == 3
    assert (tmp_path / "mask.tif").read_bytes() == expected


def test_a_block_that_cannot_be_read_names_the_window(tmp_path, model):
    scene = write_raster(
        tmp_path / "scene.tif", np.random.default_rng(0).integers(0, 255, (3, 256, 256), np.uint8),
        tiled=True, blockxsize=64, blockysize=64, compress="deflate",
    )  # fmt: skip
    content = bytearray(scene.read_bytes())
    content[-20_000:-10_000] = bytes(10_000)
    scene.write_bytes(content)
    with pytest.raises(InputError, match=r"rows \d+-\d+, columns \d+-\d+"):
        predict(scene, model, tmp_path / "mask.tif", PredictOptions(tile=64))
    assert not (tmp_path / "mask.tif").exists()


def test_overwrite_replaces_only_at_the_end(tmp_path, scene, model, monkeypatch):
    shutil.copy(scene, tmp_path / "mask.tif")
    before = (tmp_path / "mask.tif").read_bytes()
    with monkeypatch.context() as patch:
        fail_after(patch, 7, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            predict(scene, model, tmp_path / "mask.tif", PredictOptions(tile=32, overwrite=True))
    assert (tmp_path / "mask.tif").read_bytes() == before
    predict(scene, model, tmp_path / "mask.tif", PredictOptions(tile=32, overwrite=True))
    assert read_raster(tmp_path / "mask.tif").shape == (1, 200, 90)


def test_a_sidecar_is_no_other_scene(tmp_path, scene, model, monkeypatch):
    """GIS programs leave statistics and overviews beside a scene; a nodata value there counts."""
    expected = expect_bytes(tmp_path, scene, model)
    with monkeypatch.context() as patch:
        fail_after(patch, 7, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            predict(scene, model, tmp_path / "mask.tif", PredictOptions(tile=32))
    sidecar = scene.with_name("scene.tif.aux.xml")
    statistics = '<MDI key="STATISTICS_MEAN">1</MDI>'
    band = '<PAMRasterBand band="{}">{}</PAMRasterBand>'
    sidecar.write_text(
        f"<PAMDataset>{band.format(1, f'<Metadata>{statistics}</Metadata>')}</PAMDataset>"
    )
    assert predict(scene, model, tmp_path / "mask.tif", PredictOptions(tile=32)).parts_resumed
    assert (tmp_path / "mask.tif").read_bytes() == expected
    nodata = "".join(band.format(n, "<NoDataValue>7</NoDataValue>") for n in (1, 2, 3))
    sidecar.write_text(f"<PAMDataset>{nodata}</PAMDataset>")
    with pytest.raises(UsageError, match="--overwrite"):
        predict(scene, model, tmp_path / "mask.tif", PredictOptions(tile=32))


def write_sidecar(path, band, content):
    sidecar, end = path.with_name(f"{path.name}.aux.xml"), "</PAMDataset>"
    text = sidecar.read_text() if sidecar.exists() else f"<PAMDataset>{end}"
    band = f'<PAMRasterBand band="{band}">{content}</PAMRasterBand>'
    sidecar.write_text(text.replace(end, band + end))


def set_nodata(path):
    write_sidecar(path, 1, "<NoDataValue>7</NoDataValue>")


def declare_alpha(path):
    write_sidecar(path, 4, "<ColorInterp>Alpha</ColorInterp>")


def add_mask(path):
    write_raster(f"{path}.msk", np.eye(60, 50, dtype=np.uint8), transform=None)


def move(path):
    sidecar = path.with_name(f"{path.name}.aux.xml")
    text = sidecar.read_text()
    sidecar.write_text(text.replace("5.0000025", "5.0000125"))
    assert sidecar.read_text() != text


@pytest.mark.parametrize("change", [set_nodata, declare_alpha])
def test_a_sidecar_of_one_band_is_another_run(tmp_path, model, change):
    pixels, profile = make_pixels(60, 50, 4), {"photometric": "minisblack", "alpha": "no"}
    scene = write_raster(tmp_path / "scene.tif", pixels, **profile)
    predict(scene, model, tmp_path / "mask.tif", PredictOptions(tile=32, bands=(1, 2, 3)))
    change(scene)
    with pytest.raises(UsageError, match="exists"):
        predict(scene, model, tmp_path / "mask.tif", PredictOptions(tile=32, bands=(1, 2, 3)))


@pytest.mark.parametrize("change", [set_nodata, add_mask, move])
def test_a_sidecar_of_a_warped_band_is_another_run(tmp_path, model, change):
    pixels, transform = make_pixels(60, 50), UTM @ Affine.translation(0.5, 0.25)
    files = [
        write_raster(tmp_path / "a.tif", pixels[:2]),
        write_raster(tmp_path / "b.png", pixels[2], driver="PNG", transform=transform),
    ]
    predict(files, model, tmp_path / "mask.tif", PredictOptions(tile=32))
    change(files[1])
    with pytest.raises(UsageError, match="exists"):
        predict(files, model, tmp_path / "mask.tif", PredictOptions(tile=32))


def test_a_scene_of_another_folder_is_another_run(tmp_path, model, monkeypatch):
    """Archives and exports give the files of many folders one name, size and date."""
    places = [tmp_path / name / "scene.tif" for name in ("east", "west")]
    for seed, place in enumerate(places):
        place.parent.mkdir()
        write_raster(place, make_pixels(60, 50, seed=seed))
        os.utime(place, (1e9, 1e9))
    predict(places[0], model, tmp_path / "mask.tif")
    with pytest.raises(UsageError, match="exists"):
        predict(places[1], model, tmp_path / "mask.tif")
    monkeypatch.chdir(places[0].parent)
    assert predict("../east/scene.tif", model, tmp_path / "mask.tif").was_done


@pytest.mark.parametrize("first", [96, 32])
def test_goes_on_with_lower_tiles_column_by_column(tmp_path, scene, model, monkeypatch, first):
    """A part that was planned for high tiles is never held whole by low ones."""
    expected = expect_bytes(tmp_path, scene, model)
    with monkeypatch.context() as patch:
        fail_after(patch, 2, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            predict(scene, model, tmp_path / "mask.tif", PredictOptions(tile=first))
    widest = []

    def take(self, width):
        widest.append(self._width)
        return original(self, width)

    original = keeping.Columns._take
    monkeypatch.setattr(keeping, "BLOCK", 8)
    monkeypatch.setattr(keeping.Columns, "_take", take)
    predict(scene, model, tmp_path / "mask.tif", PredictOptions(tile=16))
    assert (tmp_path / "mask.tif").read_bytes() == expected
    assert max(widest) < 90


def test_what_is_not_ours_in_the_parts_folder_is_kept(tmp_path, scene, model):
    folder = tmp_path / "mask.tif.parts"
    (folder / "own").mkdir(parents=True)
    (folder / "notes.tif").write_text("own")
    with pytest.raises(InputError, match=r"mask\.tif\.parts holds.*--overwrite"):
        predict(scene, model, tmp_path / "mask.tif", PredictOptions(tile=32))
    predict(scene, model, tmp_path / "mask.tif", PredictOptions(tile=32, overwrite=True))
    assert {path.name for path in folder.iterdir()} - {"lock"} == {"own", "notes.tif"}


def test_a_dry_run_sees_what_is_done(tmp_path, scene, model, monkeypatch):
    options = PredictOptions(tile=32)
    before = foresee(scene, model, tmp_path / "mask.tif", options)
    assert (before.parts_kept, before.tiles_missing) == (0, before.tiles)
    with monkeypatch.context() as patch:
        fail_after(patch, 7, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            predict(scene, model, tmp_path / "mask.tif", options)
    kept = len(list((tmp_path / "mask.tif.parts").glob("mask-*.tif")))
    outlook = foresee(scene, model, tmp_path / "mask.tif", options)
    assert outlook.parts_kept == kept > 0
    summary = predict(scene, model, tmp_path / "mask.tif", options)
    assert outlook.tiles_missing == summary.tiles < before.tiles
    done = foresee(scene, model, tmp_path / "mask.tif", options)
    assert (done.parts_kept, done.tiles_missing, done.expected_s) == (done.parts, 0, 0)


def test_a_part_with_a_damaged_block_is_computed_again(tmp_path, model, monkeypatch):
    """In the middle of its file: header and end are sound."""
    monkeypatch.setattr(parts, "PART_PIXELS", 3000)
    scene = write_raster(tmp_path / "scene.tif", make_pixels(60, 1700))
    expected = expect_bytes(tmp_path, scene, model)
    with monkeypatch.context() as patch:
        fail_after(patch, 80, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            predict(scene, model, tmp_path / "mask.tif", PredictOptions(tile=32))
    (part,) = (tmp_path / "mask.tif.parts").glob("mask-*.tif")
    content = bytearray(part.read_bytes())
    content[len(content) // 3 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 3)
    part.write_bytes(content)
    summary = predict(scene, model, tmp_path / "mask.tif", PredictOptions(tile=32))
    assert summary.parts_resumed == 0
    assert (tmp_path / "mask.tif").read_bytes() == expected


def test_parts_that_have_changed_places_are_computed_again(tmp_path, scene, model, monkeypatch):
    expected = expect_bytes(tmp_path, scene, model)
    with monkeypatch.context() as patch:
        fail_after(patch, 7, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            predict(scene, model, tmp_path / "mask.tif", PredictOptions(tile=32))
    kept = sorted((tmp_path / "mask.tif.parts").glob("mask-*.tif"))
    other = tmp_path / "other.tif"
    for file, target in ((kept[0], other), (kept[1], kept[0]), (other, kept[1])):
        file.rename(target)
    summary = predict(scene, model, tmp_path / "mask.tif", PredictOptions(tile=32))
    assert summary.parts_resumed == len(kept) - 2
    assert (tmp_path / "mask.tif").read_bytes() == expected


@pytest.mark.parametrize("form", ["{}", 'ZARR:"{}"'])
def test_a_zarr_with_another_chunk_is_another_run(tmp_path, scene, model, monkeypatch, form):
    store = tmp_path / "scene.zarr"
    rasterio.shutil.copy(scene, store, driver="Zarr", blocksize="3,32,32")
    path = form.format(store)
    with monkeypatch.context() as patch:
        fail_after(patch, 7, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            predict(path, model, tmp_path / "mask.tif", PredictOptions(tile=32))
    chunk = max(store.rglob("*.*.*"))
    chunk.write_bytes(bytes(chunk.stat().st_size))
    with pytest.raises(InputError, match="has changed since"):
        predict(path, model, tmp_path / "mask.tif", PredictOptions(tile=32))


def test_a_sidecar_is_there_at_any_moment(tmp_path, scene, model, monkeypatch):
    """Killed between the two renames, a mask that is replaced has kept its class names."""
    predict(scene, model, tmp_path / "mask.tif", PredictOptions(tile=32))
    mask, sidecar = tmp_path / "mask.tif", tmp_path / "mask.tif.aux.xml"
    before, original = mask.read_bytes(), type(mask).replace
    seen = []

    def replace(self, target):
        seen.append(sidecar.exists())
        if target == mask:
            raise KeyboardInterrupt
        return original(self, target)

    _, other = make_model(tmp_path, seed=5)
    monkeypatch.setattr(type(mask), "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        predict(scene, other, mask, PredictOptions(tile=32, overwrite=True))
    assert all(seen)
    assert mask.read_bytes() == before
    assert sidecar.exists()
