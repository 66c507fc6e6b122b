"""Polygons made while the network works: the file of `polygonize` afterwards, whatever happens."""

import itertools
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

import geopandas
import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import make_model
from numba.core import caching
from pyproj import CRS
from rasters import UTM, write_raster
from shapely import Point
from test_inference_predict import make_pixels

from geounet.classes import make_classes
from geounet.errors import Interrupted, ResourceError, UsageError
from geounet.inference import PredictOptions, TorchEngine, predict
from geounet.inference.planning import parts
from geounet.models import save_model
from geounet.raster import Grid, Mosaic, Window, assemble, locked_folder, store_grid, write_part
from geounet.vector import Follower, Order, PolygonizeOptions, following, polygonize
from geounet.vector.compiling import compiled

CLASSES = make_classes(["land", "water", "trees", "houses"])
PLACES = {
    "EPSG:32633": UTM,
    "EPSG:4326": Affine(1e-5, 0, 13, 0, -1e-5, 45),
    "ESRI:102003": Affine(30, 0, 100_000.1, 0, -30, 50_000),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model"), depth=2, width=4)[1]


@pytest.fixture
def scene(tmp_path, monkeypatch):
    """300 x 200 pixels in five parts, some of them without data."""
    monkeypatch.setattr(parts, "PART_PIXELS", 12_000)
    pixels = np.maximum(make_pixels(300, 200), 1)
    pixels[:, 90:160, 30:60] = 0
    return write_raster(tmp_path / "scene.tif", pixels, nodata=0)


@pytest.fixture
def options(tmp_path):
    """All outputs, within an AOI that leaves out the first part."""
    ring = Point(100, 180).buffer(110) - Point(80, 150).buffer(30)
    place = [UTM.a, UTM.b, UTM.d, UTM.e, UTM.c, UTM.f]
    geopandas.GeoSeries([ring], crs="EPSG:32633").affine_transform(place).to_file(
        tmp_path / "aoi.gpkg"
    )
    return PredictOptions(
        tile=64, aoi=tmp_path / "aoi.gpkg", polygons=tmp_path / "map.gpkg", precision="float32",
        confidence=tmp_path / "confidence.tif", scores=tmp_path / "scores.tif",
    )  # fmt: skip


def check_same(folder, options, mask="mask.tif"):
    """The bytes of `polygonize`, and nothing left behind."""
    again = folder / f"again{options.polygons.suffix}"
    made = PolygonizeOptions(confidence=options.confidence, scores=options.scores, overwrite=True)
    count = polygonize(folder / mask, again, made).polygons
    assert again.read_bytes() == options.polygons.read_bytes()
    assert count > 20
    again.unlink()
    check_clean(folder)


def check_clean(folder):
    assert not [path.name for path in folder.iterdir() if path.is_dir()]


def cut_parts(draw, height):
    """Rows that begin a part or a gap, and whether they are a part."""
    cuts = sorted(draw(st.sets(st.integers(1, height - 1), max_size=5))) if height > 1 else []
    bands = list(itertools.pairwise([0, *cuts, height]))
    kept = [draw(st.sampled_from([True, True, False])) for _ in bands]
    kept[draw(st.integers(0, len(bands) - 1))] = True
    return [band for band, is_kept in zip(bands, kept, strict=True) if is_kept]


def write_outputs(folder, arrays, bands, grid):
    """The parts of outputs as predict keeps them, and the outputs assembled of them."""
    rasters = {}
    for kind, array in arrays.items():
        names = [item.name for item in CLASSES] if kind == "scores" else [kind]
        found = []
        for first, end in bands:
            window = Window(row_off=first, col_off=0, height=end - first, width=grid.width)
            path = folder / f"{kind}-{first}.tif"
            write_part(path, grid.crop(window), array[..., first:end, :], 255, names)
            found.append((path, window))
        classes = CLASSES if kind == "mask" else None
        output = folder / f"{kind}.tif"
        assemble(found, grid, output, nodata=255, classes=classes)
        rasters[kind] = Mosaic(
            output, store_grid(grid), np.dtype(np.uint8), tuple(names), 255, found
        )
    return rasters


@settings(deadline=None, max_examples=12)
@given(st.data())
def test_parts_of_any_height_in_any_order(data):
    height, width = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 40))
    generator = np.random.default_rng(data.draw(st.integers(0, 1000)))
    mask = generator.choice(4, (height, width), p=(0.4, 0.4, 0.1, 0.1)).astype(np.uint8)
    mask[generator.random(mask.shape) < data.draw(st.sampled_from([0, 0.2]))] = 255
    scores = generator.integers(0, 255, (4, height, width), np.uint8)
    scores[:, mask == 255] = 255
    arrays = {"mask": mask, "scores": scores, "confidence": scores.max(axis=0)}
    kinds = data.draw(st.sampled_from([("mask",), ("mask", "scores"), tuple(arrays)]))
    suffix = data.draw(st.sampled_from([".gpkg", ".fgb", ".parquet", ".geojson"]))
    crs = data.draw(st.sampled_from([*PLACES]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bands = cut_parts(data.draw, height)
        grid = Grid(height, width, PLACES[crs], CRS.from_user_input(crs))
        rasters = write_outputs(folder, {kind: arrays[kind] for kind in kinds}, bands, grid)
        inbox = SimpleQueue()
        order = Order(folder / f"map{suffix}", False, CLASSES, rasters)
        for message in (order, *data.draw(st.permutations(order.parts)), None):
            inbox.put(message)
        count = following._follow(inbox, lambda _: None)
        files = {kind: folder / f"{kind}.tif" for kind in kinds if kind != "mask"}
        made = polygonize(
            folder / "mask.tif", folder / f"again{suffix}", PolygonizeOptions(**files)
        )
        assert made.polygons == count
        again = (folder / f"again{suffix}").read_bytes()
        assert again == (folder / f"map{suffix}").read_bytes()


def test_the_file_of_polygonize_afterwards(tmp_path, scene, model, options):
    summary = predict(scene, model, tmp_path / "mask.tif", options)
    assert summary.polygons == options.polygons
    check_same(tmp_path, options)
    rows = geopandas.read_file(options.polygons, layer="polygons")
    assert rows["confidence"].between(rows["confidence_min"], 1).all()
    assert {"score_class 0", "score_class 1", "score_class 2"} < {*rows.columns}
    before = read_files(tmp_path)
    predict(scene, model, tmp_path / "mask.tif", options)  # finds that nothing is left to do
    assert read_files(tmp_path) == before


def read_files(folder):
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


def test_a_process_that_is_killed(tmp_path, scene, model, options, monkeypatch):
    """One error once it is noticed; the same call goes on with what was computed."""
    add = Follower.add

    def kill_and_add(self, part):
        self._process.kill()
        self._process.wait()
        self._listener.join()
        add(self, part)

    with monkeypatch.context() as patch:
        patch.setattr(Follower, "add", kill_and_add)
        with pytest.raises(ResourceError, match=r"map\.gpkg cannot be made: .*code -9.*goes on"):
            predict(scene, model, tmp_path / "mask.tif", options)
    assert not options.polygons.exists()
    assert not (tmp_path / "mask.tif").exists()
    summary = predict(scene, model, tmp_path / "mask.tif", options)
    assert summary.parts_resumed == 1
    check_same(tmp_path, options)


def test_polygons_that_are_there(tmp_path, scene, model, options):
    options.polygons.write_text("precious")
    with pytest.raises(UsageError, match=r"map\.gpkg exists; .*--overwrite"):
        predict(scene, model, tmp_path / "mask.tif", options)
    with pytest.raises(UsageError, match="is the AOI itself"):
        predict(scene, model, tmp_path / "mask.tif", replace(options, polygons=options.aoi))
    assert options.polygons.read_text() == "precious"
    assert not (tmp_path / "mask.tif").exists()
    check_clean(tmp_path)


@pytest.mark.slow
def test_other_polygons_beside_a_finished_mask(tmp_path, scene, model, options):
    predict(scene, model, tmp_path / "mask.tif", replace(options, polygons=None))
    options.polygons.write_text("precious")
    with pytest.raises(UsageError, match=r"map\.gpkg exists; .*--overwrite"):
        predict(scene, model, tmp_path / "mask.tif", options)
    assert options.polygons.read_text() == "precious"
    options.polygons.unlink()
    predict(scene, model, tmp_path / "mask.tif", options)
    check_same(tmp_path, options)
    options.polygons.write_text("precious")
    predict(scene, model, tmp_path / "mask.tif", replace(options, overwrite=True))
    check_same(tmp_path, options)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [KeyboardInterrupt, Interrupted])
def test_goes_on_after_an_interruption(tmp_path, scene, model, options, monkeypatch, stop):
    """At once, or gently after a part; also in another format."""
    event, original, count = threading.Event(), TorchEngine.__call__, itertools.count(1)

    def call(self, *arguments):
        if next(count) == 9:
            event.set()
            if stop is KeyboardInterrupt:
                raise stop
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(TorchEngine, "__call__", call)
        with pytest.raises(stop):
            predict(scene, model, tmp_path / "mask.tif", options, stop=event)
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"mask.tif.parts"}
    options = replace(options, polygons=tmp_path / "map.parquet")
    assert predict(scene, model, tmp_path / "mask.tif", options).parts_resumed > 0
    check_same(tmp_path, options)


@pytest.mark.slow
def test_outputs_on_another_grid_than_the_parts(tmp_path, scene, options):
    _, model = make_model(tmp_path, depth=2, width=4, pixel_size_m=0.8)
    predict(scene, model, tmp_path / "mask.tif", replace(options, resample=True))
    check_same(tmp_path, options)


@pytest.mark.slow
def test_another_run_of_the_same_polygons(tmp_path, scene, model, options):
    with (
        locked_folder(tmp_path / ".map.gpkg.tmp", options.polygons),
        pytest.raises(ResourceError, match=r"map\.gpkg is being written by another run"),
    ):
        predict(scene, model, tmp_path / "mask.tif", options)
    predict(scene, model, tmp_path / "mask.tif", options)
    check_same(tmp_path, options)


@pytest.mark.slow
@pytest.mark.parametrize("size_kb", [16, 120])
def test_a_full_disk_of_the_polygons(tmp_path, scene, model, options, size_kb):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_kb}k", "tmpfs", str(disk)]
    if os.name == "nt" or os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a file system needs root")
    try:
        full = replace(options, polygons=disk / "map.gpkg")
        with pytest.raises(ResourceError, match=r"map\.gpkg cannot be written.*free space"):
            predict(scene, model, tmp_path / "mask.tif", full)
        assert not list(disk.iterdir())
    finally:
        subprocess.run(["umount", disk], check=True)
        disk.rmdir()
    predict(scene, model, tmp_path / "mask.tif", options)
    check_same(tmp_path, options)


def start_command(scene, folder, options, parent=()):
    """The command line, in parts, as a process of a process group of its own."""
    program = (
        "import sys; from geounet.inference.planning import parts; parts.PART_PIXELS = 12_000; "
    )
    program += "from geounet.cli.app import main; sys.argv[0] = 'geounet'; main()"
    arguments = [
        "predict", scene, "-m", folder / "model.safetensors", "-o", folder / "mask.tif",
        "--tile", "64", "--precision", "float32", "--engine", "torch", "--aoi", options.aoi,
        "--confidence", options.confidence, "--scores", options.scores,
        "--polygons", options.polygons,
    ]  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "FOLDER": str(folder)},
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )


def has_follower(folder):
    """Whether a process is left that was started for these polygons."""
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            is_follower = following.COMMAND in (path / "cmdline").read_text()
            if is_follower and f"FOLDER={folder}" in (path / "environ").read_text():
                return True
    return False


def wait_until(condition):
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_kills_and_interruptions_at_random_moments(tmp_path, scene, model, options):
    """kill -9 takes the other process along; Ctrl-C leaves one line and only the parts."""
    save_model(tmp_path / "model.safetensors", model.network, model.spec)
    random, ended = np.random.default_rng(0), {"killed": 0, "interrupted": 0, "too late": 0}
    marks = [".map.gpkg.tmp/spool.gpkg", "mask.tif.parts/mask-*.tif", ".mask.tif.tmp", "map.gpkg"]
    for mark in itertools.cycle(marks):
        if min(ended["killed"], ended["interrupted"]) >= 4:
            break
        is_kill, twice = random.random(2) < 0.5
        with start_command(scene, tmp_path, options) as process:
            wait_until(lambda: process.poll() is not None or any(tmp_path.glob(mark)))  # noqa: B023
            time.sleep(random.uniform(0, 0.3))
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL if is_kill else signal.SIGINT)
                time.sleep(0.01)
                if twice:
                    os.killpg(process.pid, signal.SIGINT)
            code, said = process.wait(), process.stderr.read()
        wait_until(lambda: not has_follower(tmp_path))
        if code == 0:
            ended["too late"] += 1
            check_same(tmp_path, options)
            for path in (options.polygons, tmp_path / "mask.tif"):
                path.unlink()
            continue
        ended["killed" if is_kill else "interrupted"] += 1
        # while Python itself ends, the signal ends it: 130 to a shell as well
        assert code in ({-signal.SIGKILL} if is_kill else {130, -signal.SIGINT}), said
        if not is_kill:
            assert "Traceback" not in said
            left = {path.name for path in tmp_path.iterdir() if path.is_dir()}
            assert left <= {"mask.tif.parts"}, left
    predict(scene, model, tmp_path / "mask.tif", options)
    check_same(tmp_path, options)
    print(ended)  # noqa: T201


def test_no_place_for_compiled_functions(monkeypatch):
    """In a container that is read-only, say."""
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    assert compiled(lambda number: number + 1)(1) == 2
