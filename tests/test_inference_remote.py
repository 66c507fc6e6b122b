"""Scenes, masks, labels and areas on a server, in object storage and in archives."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from networks import make_model
from rasters import read_raster, write_raster
from test_cli_errors import check, pixel_box
from test_inference_predict import make_pixels

from geounet.errors import InputError
from geounet.inference import PredictOptions, predict
from geounet.inference.planning import parts
from geounet.raster import find_last_block, find_stored, name_of, open_scene, remote

OPTIONS = PredictOptions(precision="float32", tile=48)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """What the server has: a folder."""
    folder = tmp_path_factory.mktemp("store")
    write_raster(folder / "scene.tif", make_pixels(200, 90), tiled=True, blockxsize=64,
                 blockysize=64, compress="deflate")  # fmt: skip
    labels = np.zeros((200, 90), np.uint8)
    labels[20:90, 20:60] = 1
    write_raster(folder / "labels.tif", labels, nodata=255)
    frame = geopandas.GeoDataFrame(
        {"kind": ["house"]}, geometry=[pixel_box(10, 20, 70, 150)], crs="EPSG:32633"
    )
    frame.to_file(folder / "aoi.gpkg")
    frame.to_file(folder / "aoi.geojson")
    with zipfile.ZipFile(folder / "scenes.zip", "w") as archive:
        archive.write(folder / "scene.tif", "inside/scene.tif")
    return folder


@pytest.fixture(scope="module")
def server(store):
    """Its address."""
    code = Path(__file__).with_name("server.py")
    process = subprocess.Popen([sys.executable, code, store], stdout=subprocess.PIPE, text=True)
    with pytest.MonkeyPatch.context() as patch:
        port = int(process.stdout.readline())
        settings = {
            "AWS_S3_ENDPOINT": f"127.0.0.1:{port}", "AWS_HTTPS": "NO",
            "AWS_VIRTUAL_HOSTING": "FALSE", "AWS_NO_SIGN_REQUEST": "YES",
            "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "GDAL_HTTP_TIMEOUT": "20",
            "GDAL_HTTP_RETRY_DELAY": "0.02", "GDAL_HTTP_LOW_SPEED_TIME": "1",
        }  # fmt: skip
        for name, value in settings.items():
            patch.setenv(name, value)
        yield f"http://127.0.0.1:{port}"
    process.kill()
    process.wait()
    process.stdout.close()


PATHS = {
    "http": "{server}/scene.tif",
    "query": "{server}/scene.tif?signature=" + 300 * "q",
    "vsicurl": "/vsicurl/{server}/scene.tif",
    "s3": "s3://bucket/scene.tif",
    "vsis3": "/vsis3/bucket/scene.tif",
    "zip": "zip://{store}/scenes.zip!inside/scene.tif",
    "vsizip": "/vsizip/{store}/scenes.zip/inside/scene.tif",
    "remote zip": "/vsizip/vsicurl/{server}/scenes.zip/inside/scene.tif",
}


@pytest.mark.parametrize("kind", PATHS)
def test_predict_from_anywhere(tmp_path, cli, model, store, server, kind):
    path = PATHS[kind].format(server=server, store=store)
    predict(store / "scene.tif", model[1], tmp_path / "local.tif", OPTIONS)
    command = ("predict", path, "-m", model[0], "-o", "mask.tif", "--precision", "float32")
    assert cli(*command, "--quiet", "--tile", "64", "--readers", "2")[0] == 0
    assert (read_raster(tmp_path / "mask.tif") == read_raster(tmp_path / "local.tif")).all()
    with rasterio.open(tmp_path / "mask.tif") as mask:
        assert "scene" in mask.tags()["GEOUNET_SCENE"]
        assert "qqq" not in json.dumps(mask.tags())  # signatures are secrets
    before = (tmp_path / "mask.tif").stat().st_mtime_ns
    assert cli(*command, "--quiet")[0] == 0  # the same run: nothing is left to do
    assert (tmp_path / "mask.tif").stat().st_mtime_ns == before


def test_several_and_a_folder_as_output(tmp_path, cli, model, store, server):
    images = (f"{server}/scene.tif?token=a.b/c", store / "labels.tif")
    code, _, err = cli("predict", *images, "-m", model[0], "-o", "maps.v2", "--quiet")
    assert code == 4  # the labels have one band
    assert "labels.tif gives 1 band" in err
    assert [file.name for file in (tmp_path / "maps.v2").glob("*.tif")] == ["scene.tif"]


@pytest.mark.parametrize(
    "path", ["{server}/aoi.gpkg", "{server}/aoi.geojson", "s3://bucket/aoi.gpkg"]
)
def test_area_from_anywhere(tmp_path, cli, model, store, server, path):
    aoi = path.format(server=server)
    scene = store / "scene.tif"
    for name, area in {"a": aoi, "b": store / "aoi.gpkg"}.items():
        assert cli("predict", scene, "-m", model[0], "-o", f"{name}.tif", "--aoi", area)[0] == 0
    assert (read_raster(tmp_path / "a.tif") == read_raster(tmp_path / "b.tif")).all()
    assert read_raster(tmp_path / "a.tif").shape == (1, 130, 60)
    with rasterio.open(tmp_path / "a.tif") as mask:
        assert mask.tags()["GEOUNET_AOI"] == "aoi"


def test_polygons_are_replaced_in_an_area_from_elsewhere(tmp_path, cli, model, store, server):
    outputs = ("-o", "a.tif", "--polygons", "a.gpkg", "--quiet")
    command = ("predict", store / "scene.tif", "-m", model[0], *outputs)
    assert cli(*command)[0] == 0
    before = (tmp_path / "a.gpkg").read_bytes()
    code, _, err = cli(*command, "--aoi", f"{server}/aoi.gpkg", "--overwrite")
    assert code == 0, err
    assert (tmp_path / "a.gpkg").read_bytes() != before
    result = cli(*command, "--aoi", "a.gpkg", "--overwrite")
    check(result, 2, "a.gpkg is the AOI itself")


def test_polygonize_info_and_evaluate_from_a_server(tmp_path, cli, store, server):
    assert cli("polygonize", f"{server}/labels.tif", "map.gpkg", "--quiet")[0] == 0
    (found,) = geopandas.read_file("map.gpkg", layer="polygons").geometry
    assert found.equals(pixel_box(20, 20, 60, 90))
    code, out, _ = cli("info", f"{server}/scene.tif", "--json")
    assert code == 0
    assert json.loads(out)["width_px"] == 90
    labels = ("--labels", f"{server}/aoi.gpkg", "--aoi", f"{server}/aoi.geojson", "--quiet")
    code, out, err = cli("evaluate", f"{server}/labels.tif", *labels, "--json")
    assert code == 0, err
    assert np.sum(json.loads(out)["confusion"]) == 130 * 60


def test_training_from_a_server(tmp_path, cli, store, server):
    code, _, err = cli(
        "train", f"{server}/scene.tif", "-l", f"{server}/labels.tif", "-o", "run", "--quiet",
        "--epochs", "1", "--chip", "32", "--architecture", "unet", "--width", "4", "--depth", "2",
        "--aoi", f"{server}/aoi.gpkg", "--max-time", "0.05",
    )  # fmt: skip
    assert code == 0, err
    assert (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.parametrize(
    "command",
    [
        ("predict", "{server}/none.tif", "-m", "{model}", "-o", "mask.tif"),
        ("predict", "s3://bucket/none.tif", "-m", "{model}", "-o", "mask.tif"),
        ("predict", "zip://{store}/scenes.zip!none.tif", "-m", "{model}", "-o", "mask.tif"),
        ("predict", "{store}/scene.tif", "-m", "{model}", "-o", "m.tif", "--aoi", "{server}/none"),
        ("polygonize", "{server}/none.tif", "map.gpkg"),
        ("info", "{server}/none.tif"),
        ("evaluate", "{store}/labels.tif", "--labels", "{server}/none.gpkg"),
        ("evaluate", "{store}/labels.tif", "--labels", "{server}/none.tif"),
    ],
)  # fmt: skip
def test_what_is_not_there(tmp_path, cli, model, store, server, command):
    words = [word.format(server=server, store=store, model=model[0]) for word in command]
    quiet = () if command[0] == "info" else ("--quiet",)
    check(cli(*words, *quiet), 3, "none", "does not exist")
    assert not list(tmp_path.iterdir())


def test_goes_on_after_the_server_recovers(tmp_path, model, store, server, monkeypatch):
    monkeypatch.setattr(parts, "PART_PIXELS", 3000)
    noise = np.random.default_rng(5).integers(0, 255, (3, 700, 400), np.uint8)
    scene = write_raster(store / "large.tif", noise, tiled=True, blockxsize=64, blockysize=64)
    predict(scene, model[1], tmp_path / "local.tif", OPTIONS)
    (store / "broken").write_text(str(scene.stat().st_size // 2))
    with pytest.raises(InputError, match=r"large.tif cannot be read at rows \d+-\d+.*try again"):
        predict(f"{server}/large.tif", model[1], tmp_path / "mask.tif", OPTIONS)
    assert not (tmp_path / "mask.tif").exists()
    (store / "broken").unlink()
    summary = predict(f"{server}/large.tif", model[1], tmp_path / "mask.tif", OPTIONS)
    assert summary.parts_resumed > 0
    assert (read_raster(tmp_path / "mask.tif") == read_raster(tmp_path / "local.tif")).all()


@pytest.fixture
def fault(store):
    """Spoils the next answers; tells how many it has not spoiled."""
    file = store / "fault"
    yield lambda text=None: file.write_text(text) if text else int(file.read_text().split()[1])
    file.unlink(missing_ok=True)


@pytest.mark.parametrize("text", ["error 2", "cut 1", "cut 2", "slow 1"])
@pytest.mark.parametrize("when", ["opened", "read"])
def test_what_fails_for_a_while_is_asked_for_again(store, server, fault, text, when):
    name = f"{text.replace(' ', '')}-{when}.tif"  # of its own: GDAL keeps what it knows of a file
    pixels = np.random.default_rng(1).integers(0, 255, (3, 600, 600), np.uint8)
    write_raster(store / name, pixels, tiled=True, blockxsize=64, blockysize=64)
    if when == "opened":
        fault(text)
    with open_scene(f"{server}/{name}") as scene:
        if when == "read":
            fault(text)
        image, valid = scene.read(scene.grid.extent)
    assert fault() == 0
    assert (image == pixels).all()
    assert valid.all()


@pytest.mark.parametrize("text", ["error 99", "cut 99"])
def test_what_fails_for_good_is_an_error(tmp_path, cli, model, store, server, fault, text):
    name = f"{text.replace(' ', '')}.tif"
    write_raster(store / name, make_pixels(600, 600), tiled=True, blockxsize=64, blockysize=64)
    fault(text)
    path = f"{server}/{name}?token=secret"
    result = cli("predict", path, "-m", model[0], "-o", "mask.tif", "--quiet")
    check(result, 3, name)
    assert "secret" not in result[2]
    assert not (tmp_path / "mask.tif").exists()
    assert fault() < 99


def test_settings_of_the_user_come_first(monkeypatch):
    for name in remote.SETTINGS:
        monkeypatch.setenv(name, "mine")
        monkeypatch.delenv(name)
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "7")
    remote.configure_remote()
    found = {name: os.environ[name] for name in remote.SETTINGS}
    assert found == {**remote.SETTINGS, "GDAL_HTTP_MAX_RETRY": "7"}


def test_other_pixels_on_the_server_make_another_run(tmp_path, store, server):
    """Their compressed sizes tell; what cannot be told is not claimed."""
    profile = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
    places = []
    for seed in range(2):
        write_raster(store / f"new{seed}.tif", make_pixels(200, 90, seed=seed), **profile)
        places.append(find_last_block(f"{server}/new{seed}.tif"))
    assert places[0] != places[1]
    assert places[0] == find_last_block(store / "new0.tif")
    assert sum(places[0]) <= os.path.getsize(store / "new0.tif")  # noqa: PTH202
    write_raster(tmp_path / "a.png", np.zeros((3, 9, 9), np.uint8), driver="PNG", transform=None)
    assert find_last_block(tmp_path / "a.png") is None


def test_names_and_files(tmp_path, store):
    assert name_of("https://host/a/b.c.tif?sig=x/y.z") == "b.c"
    assert name_of("zip://x/a.zip!inside/b.tif") == name_of("/vsizip/x/a.zip/b.tif") == "b"
    assert name_of(Path("x/what?.tif")) == "what?"
    archive = store / "scenes.zip"
    for path in (f"zip://{archive}!inside/scene.tif", f"/vsizip/{archive}/inside/scene.tif",
                 f"/vsizip/{{{archive}}}/inside/scene.tif"):  # fmt: skip
        assert find_stored(path) == archive
    assert find_stored("https://host/" + 300 * "a") is None
    assert find_stored(tmp_path / "none.tif") is None
