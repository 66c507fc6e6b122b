"""Outputs in object storage: a real S3 server of this machine, started by the test."""

import json
import socket
import subprocess
import sys
import time
import urllib.request

import boto3
import numpy as np
import pytest
import rasterio
from networks import make_model
from rasterio.errors import RasterioIOError
from rasters import read_raster, write_raster
from test_cli_errors import check
from test_inference_predict import make_pixels

from geounet.raster import find_s3, read_classes, uploading


@pytest.fixture(scope="module")
def bucket():
    """The address of a bucket, by http."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, **quiet)
    with pytest.MonkeyPatch.context() as patch:
        settings = {
            "AWS_S3_ENDPOINT": f"127.0.0.1:{port}", "AWS_HTTPS": "NO", "NO_PROXY": "127.0.0.1",
            "AWS_VIRTUAL_HOSTING": "FALSE", "AWS_ACCESS_KEY_ID": "someone",
            "AWS_SECRET_ACCESS_KEY": "topsecret", "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1", "no_proxy": "127.0.0.1",
            "GDAL_HTTP_RETRY_DELAY": "0.02",
        }  # fmt: skip
        for name, value in settings.items():
            patch.setenv(name, value)
        address = f"http://127.0.0.1:{port}/bucket"
        _make_bucket(address)
        yield address
    process.kill()
    process.wait()


def _make_bucket(address):
    request = urllib.request.Request(address, method="PUT")
    for _ in range(300):
        try:
            urllib.request.urlopen(request).close()
            return
        except OSError:
            time.sleep(0.1)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model"))[0]


@pytest.fixture
def command(tmp_path, model):
    scene = write_raster(tmp_path / "scene.tif", make_pixels(120, 90))
    common = ("-m", model, "--precision", "float32", "--engine", "torch", "--quiet")
    return ("predict", scene, *common, "--staging", tmp_path / "staging")


def list_keys(bucket):
    server, _, name = bucket.rpartition("/")
    objects = boto3.client("s3", endpoint_url=server).list_objects_v2(Bucket=name)
    return [one["Key"] for one in objects["Contents"]]


def test_a_mask_goes_to_s3(tmp_path, cli, bucket, command):
    assert cli(*command, "-o", "mask.tif")[0] == 0
    code, _, err = cli(*command, "-o", "s3://bucket/a/mask.tif",
                       "--confidence", "s3://bucket/a/confidence.tif")  # fmt: skip
    assert code == 0, err
    client = boto3.client("s3", endpoint_url=bucket.removesuffix("/bucket"))
    client.download_file("bucket", "a/mask.tif", str(tmp_path / "again.tif"))
    assert (read_raster(tmp_path / "again.tif") == read_raster(tmp_path / "mask.tif")).all()
    names = [one.name for one in read_classes("s3://bucket/a/mask.tif")]
    assert names == ["class 0", "class 1", "class 2"]
    assert set(list_keys(bucket)) >= {"a/mask.tif", "a/mask.tif.aux.xml", "a/confidence.tif"}
    assert not (tmp_path / "staging").exists()
    with rasterio.open("s3://bucket/a/confidence.tif") as confidence:
        assert confidence.shape == (120, 90)
    check(cli(*command, "-o", "s3://bucket/a/mask.tif"), 2, "s3://bucket/a/mask.tif exists")
    assert cli(*command, "-o", "s3://bucket/a/mask.tif", "--overwrite")[0] == 0


def test_several_masks_go_to_s3(tmp_path, cli, bucket, command):
    write_raster(tmp_path / "other.tif", make_pixels(60, 50))
    assert cli(*command, tmp_path / "other.tif", "-o", "s3://bucket/maps")[0] == 0
    assert {"maps/scene.tif", "maps/other.tif"} <= set(list_keys(bucket))


def test_what_cannot_be_uploaded_is_kept(tmp_path, cli, bucket, command):
    result = cli(*command, "-o", "s3://nobucket/mask.tif")
    check(result, 5, "s3://nobucket/mask.tif cannot be written", "the same command uploads")
    assert "topsecret" not in result[2]
    kept = tmp_path / "staging" / "mask.tif"
    assert read_raster(kept).shape == (1, 120, 90)
    _make_bucket(bucket.replace("/bucket", "/nobucket"))
    code, _, err = cli(*command, "-o", "s3://nobucket/mask.tif")
    assert code == 0, err
    assert list_keys(bucket.replace("/bucket", "/nobucket"))[0] == "mask.tif"
    assert not kept.exists()


def list_done(result):
    """Of each scene whether nothing was computed for it; the command has to succeed."""
    assert result[0] == 0, result[2]
    return [mask["was_done"] for mask in json.loads(result[1])["masks"]]


@pytest.fixture
def sent(monkeypatch):
    """The addresses that are written to; `sent.broken` is one that fails."""

    class Sent(list):
        broken = None

    copy, sent = uploading._copy, Sent()

    def record(url, file):
        if sent.broken and url.endswith(sent.broken):
            raise RasterioIOError("no answer")
        sent.append(url)
        copy(url, file)

    monkeypatch.setattr(uploading, "_copy", record)
    return sent


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
def test_the_same_command_goes_on_with_the_upload(tmp_path, cli, bucket, command, sent, overwrite):
    """The confidence is there, the mask's bucket is not yet: nothing is computed or sent twice."""
    late = f"late{len(overwrite)}"
    outputs = ("-o", f"s3://{late}/m.tif", "--confidence", f"s3://bucket/{late}.tif", *overwrite)
    check(cli(*command, *outputs), 5, f"s3://{late}/m.tif cannot be written")
    with rasterio.open(f"s3://bucket/{late}.tif") as confidence:
        assert confidence.shape == (120, 90)
    _make_bucket(bucket.replace("/bucket", f"/{late}"))
    sent.clear()
    assert list_done(cli(*command, *outputs, "--json")) == [True]
    assert sent == [f"s3://{late}/m.tif"]
    assert list_keys(bucket.replace("/bucket", f"/{late}")) == ["m.tif", "m.tif.aux.xml"]
    assert not (tmp_path / "staging").exists()


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
def test_many_scenes_go_on_with_the_upload(tmp_path, cli, bucket, command, sent, overwrite):
    folder = f"s3://bucket/many{len(overwrite)}"
    scenes = [write_raster(tmp_path / f"{name}.tif", make_pixels(60, 50)) for name in "bc"]
    outputs = (*scenes, "-o", folder, *overwrite)
    sent.broken = "/b.tif"
    check(cli(*command, *outputs), 5, f"{folder}/b.tif cannot be written")
    assert sent == [f"{folder}/scene.tif"]
    sent.broken = None
    assert list_done(cli(*command, *outputs, "--json")) == [True] * 3
    assert sent == [f"{folder}/{name}.tif" for name in ("scene", "b", "c")]
    assert not list((tmp_path / "staging").glob("**/*.tif"))


def test_a_copy_without_its_sidecar_is_uploaded_again(cli, bucket, command, sent):
    """As a kill leaves it: the marker of a whole upload is not there."""
    sent.broken = "/side.tif"
    outputs = ("-o", "s3://bucket/side.tif")
    check(cli(*command, *outputs), 5, "no answer")
    boto3.client("s3", endpoint_url=bucket.removesuffix("/bucket")).upload_file(
        "staging/side.tif", "bucket", "side.tif"
    )
    sent.broken = None
    assert list_done(cli(*command, *outputs, "--json")) == [True]
    assert "side.tif.aux.xml" in list_keys(bucket)


def test_a_stranger_s_object_stays(tmp_path, cli, bucket, command, sent):
    """Also where the place of an upload that failed was taken meanwhile."""
    sent.broken = "/taken.tif"
    check(cli(*command, "-o", "s3://bucket/taken.tif"), 5, "no answer")
    other = write_raster(tmp_path / "other.tif", np.zeros((120, 90), "uint8"))
    client = boto3.client("s3", endpoint_url=bucket.removesuffix("/bucket"))
    client.upload_file(str(other), "bucket", "taken.tif")
    sent.broken = None
    result = cli(*command, "-o", "s3://bucket/taken.tif")
    check(result, 2, "s3://bucket/taken.tif exists; replace it with --overwrite")
    assert sent == []
    result = cli(*command, "-o", "s3://bucket/taken.tif", "--overwrite", "--json")
    assert list_done(result) == [True]
    with rasterio.open("s3://bucket/taken.tif") as mask:
        assert "GEOUNET_JOB" in mask.tags()


def test_other_work_in_staging_is_not_taken(tmp_path, cli, bucket, command, sent):
    """Neither uploaded as this command's mask, nor a reason to replace the one that is there."""
    sent.broken = "/work.tif"
    outputs = ("-o", "s3://bucket/work.tif", "--confidence", "s3://bucket/sure.tif")
    check(cli(*command, *outputs), 5, "no answer")
    sent.broken = None
    check(cli(*command, *outputs, "--tta", "flip"), 2, "sure.tif exists; replace it with --over")
    assert sent == ["s3://bucket/sure.tif"]
    result = cli(*command, *outputs, "--tta", "flip", "--overwrite", "--json")
    assert list_done(result) == [False]
    with rasterio.open("s3://bucket/work.tif") as mask:
        assert mask.tags()["GEOUNET_TTA"] == "flip"


def test_other_outputs_stay_on_disk(cli, command):
    for option, name in (("polygons", "a.gpkg"), ("stac", "a.json")):
        result = cli(*command, "-o", "s3://bucket/b.tif", f"--{option}", f"s3://bucket/{name}")
        check(result, 2, f"--{option} s3://bucket/{name}: rasters only go to s3://")


def test_many_workers_need_a_folder(cli, bucket, command):
    result = cli(*command[:-2], "-o", "s3://bucket/c.tif", "--shard", "0/2")
    check(result, 2, "one folder that all of them see; name it with --staging")


def test_addresses():
    assert find_s3("s3://bucket/a/b.tif") == find_s3("s3:/bucket/a/b.tif") == "s3://bucket/a/b.tif"
    assert find_s3("/vsis3/bucket/maps/") == "s3://bucket/maps"
    assert find_s3("s3/mask.tif") is None
