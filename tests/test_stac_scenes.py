"""Assets of a STAC Item as a scene, and the mask as an Item of its own."""

import json

import pystac
import pytest
from networks import make_model
from rasters import read_raster, write_raster
from test_cli_errors import check
from test_inference_predict import make_pixels
from test_inference_remote import server  # noqa: F401  a fixture

from geounet.raster import StacItem

KEYS = ("nir", "red", "green")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model"))[0]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A folder with an Item, its three bands below, and the same bands in one file."""
    folder = tmp_path_factory.mktemp("store")
    (folder / "bands").mkdir()
    pixels = make_pixels(96, 80)
    write_raster(folder / "whole.tif", pixels)
    for name, band in zip(KEYS, pixels, strict=True):
        write_raster(folder / "bands" / f"{name}.tif", band)
    write_item(folder / "item.json", {name: {"href": f"./bands/{name}.tif"} for name in KEYS})
    return folder


def write_item(path, assets, **changes):
    item = {
        "type": "Feature", "stac_version": "1.0.0", "id": "S2A", "geometry": None, "links": [],
        "properties": {"datetime": "2025-05-06T10:11:12Z"}, "assets": assets, **changes,
    }  # fmt: skip
    path.write_text(json.dumps(item))
    return path


def run(cli, item, model, *more, keys="nir,red,green", output="mask.tif"):
    command = ("predict", item, "-m", model, "-o", output, "--assets", keys, *more)
    return cli(*command, "--precision", "float32", "--engine", "torch")


@pytest.fixture(scope="module")
def expected(store, model):
    from geounet.inference import PredictOptions, predict

    options = PredictOptions(precision="float32", engine="torch")
    predict(store / "whole.tif", model, store / "expected.tif", options)
    return read_raster(store / "expected.tif")


def test_assets_are_the_bands(tmp_path, cli, store, model, expected):
    code, _, err = run(cli, store / "item.json", model, "--stac", "mask.json")
    assert code == 0, err
    assert (read_raster(tmp_path / "mask.tif") == expected).all()
    item = pystac.Item.from_file(str(tmp_path / "mask.json"))
    assert item.properties["datetime"] == "2025-05-06T10:11:12Z"
    (link,) = item.get_links("derived_from")
    assert (tmp_path / link.href).samefile(store / "item.json")
    assert item.assets["mask"].href == "./mask.tif"
    assert run(cli, store / "item.json", model, "--stac", "mask.json")[0] == 0  # once more


def test_a_composite_keeps_its_span(tmp_path, cli, store, model):
    span = {"start_datetime": "2025-05-01T00:00:00Z", "end_datetime": "2025-05-31T00:00:00Z"}
    assets = {key: {"href": str(store / "bands" / f"{key}.tif"), "bands": None} for key in KEYS}
    item = write_item(tmp_path / "item.json", assets, properties={"datetime": None, **span})
    code, _, err = run(cli, item, model, "--stac", "mask.json")
    assert code == 0, err
    made = pystac.Item.from_file(str(tmp_path / "mask.json"))
    assert made.datetime is None
    assert {key: made.properties[key] for key in span} == span


def test_the_order_is_that_of_the_names(tmp_path, cli, store, model, expected):
    assert run(cli, store / "item.json", model, keys="green,red,nir")[0] == 0
    assert (read_raster(tmp_path / "mask.tif") != expected).any()


def name_like(way, key):
    """An asset of a band that is called so in one of the ways that there are."""
    names = {
        "name": {"bands": [{"name": key}]},
        "common": {"bands": [{"name": f"B{key}", "eo:common_name": key}]},
        "old": {"eo:bands": [{"name": f"B{key}", "common_name": key}]},
        "lifted": {"eo:common_name": key},
    }
    return names.get(way, {})


@pytest.mark.parametrize("way", ["name", "common", "old", "lifted", "key"])
def test_another_order_is_refused(tmp_path, cli, store, expected, way):
    model = make_model(tmp_path, names=KEYS)[0]
    called = {key: key if way == "key" else f"asset{n}" for n, key in enumerate(KEYS)}
    assets = {
        called[key]: {"href": str(store / "bands" / f"{key}.tif"), **name_like(way, key)}
        for key in KEYS
    }
    item = write_item(tmp_path / "item.json", assets)
    wrong, right = (",".join(called[k] for k in keys) for keys in (("green", "red", "nir"), KEYS))
    refused = run(cli, item, model, "--quiet", keys=wrong)
    hint = f"needs nir, red, green; put them in order with --assets {right}"
    check(refused, 4, "item.json gives the bands green, red, nir", hint)
    assert not (tmp_path / "mask.tif").exists()
    assert run(cli, item, model, keys=right)[0] == 0
    assert (read_raster(tmp_path / "mask.tif") == expected).all()
    more = ("--overwrite", "--bands", "3,2,1")
    assert run(cli, item, model, *more, keys=wrong)[0] == 0  # said so by the user
    assert (read_raster(tmp_path / "mask.tif") == expected).all()


def test_the_order_within_an_asset(tmp_path, cli, store, expected):
    model = make_model(tmp_path, names=("green", "nir", "red"))[0]
    bands = [{"name": key} for key in KEYS]
    item = write_item(tmp_path / "item.json", {"all": {"href": str(store / "whole.tif"),
                                                       "bands": bands}})  # fmt: skip
    check(run(cli, item, model, "--quiet", keys="all"), 4, "put them in order with --bands 3,1,2")


def test_names_that_tell_nothing(tmp_path, cli, store, expected):
    model = make_model(tmp_path, names=("B8", "B4", "B3"))[0]
    assert run(cli, store / "item.json", model)[0] == 0
    assert (read_raster(tmp_path / "mask.tif") == expected).all()


@pytest.mark.parametrize("href", ["{store}/bands/{key}.tif", "{server}/bands/{key}.tif",
                                  "file://{store}/bands/{key}.tif"])  # fmt: skip
def test_absolute_addresses(tmp_path, cli, store, server, model, expected, href):  # noqa: F811
    assets = {key: {"href": href.format(store=store, server=server, key=key)} for key in KEYS}
    item = write_item(tmp_path / "item.json", assets)
    assert run(cli, item, model)[0] == 0
    assert (read_raster(tmp_path / "mask.tif") == expected).all()


def test_an_address_with_a_drive():
    """RFC 8089: Windows' C:/a is file:///C:/a."""
    assets = {"red": {"href": "file:///C:/my%20scenes/red.tif"}}
    item = StacItem("C:/items/item.json", "a", None, assets)
    assert item.locate(["red"]) == ("C:/my scenes/red.tif",)


def test_an_address_of_a_place_with_blanks(tmp_path, cli, store, model, expected):
    (tmp_path / "my scene").mkdir()
    (tmp_path / "100%25").mkdir()
    for n, key in enumerate(KEYS):
        folder = ("my scene", "my scene", "100%25")[n]
        (tmp_path / folder / f"{key}.tif").symlink_to(store / "bands" / f"{key}.tif")
    hrefs = ("./my%20scene/nir.tif", f"{tmp_path}/my%20scene/red.tif", "100%25/green.tif")
    assets = {key: {"href": href} for key, href in zip(KEYS, hrefs, strict=True)}
    assert run(cli, write_item(tmp_path / "item.json", assets), model)[0] == 0
    assert (read_raster(tmp_path / "mask.tif") == expected).all()


def test_an_item_on_a_server(tmp_path, cli, store, server, model, expected):  # noqa: F811
    code, _, err = run(cli, f"{server}/item.json", model, "--stac", "mask.json")
    assert code == 0, err
    assert (read_raster(tmp_path / "mask.tif") == expected).all()
    links = json.loads((tmp_path / "mask.json").read_text())["links"]
    assert links[0]["href"] == f"{server}/item.json"


def test_several_items(tmp_path, cli, store, model, expected):
    for name in "ab":
        assets = {key: {"href": str(store / "bands" / f"{key}.tif")} for key in KEYS}
        write_item(tmp_path / f"{name}.json", assets, id=name)
    command = ("predict", "a.json", "b.json", "-m", model, "--assets", "nir,red,green")
    code, _, err = cli(*command, "-o", "maps", "--precision", "float32", "--engine", "torch")
    assert code == 0, err
    for name in "ab":
        assert (read_raster(tmp_path / "maps" / f"{name}.tif") == expected).all()
    check(cli(*command, "-o", "maps", "--stac", "x.json"), 2, "--stac takes one image, not 2")


def test_scale_and_offset_are_not_applied(tmp_path, cli, store, model, expected):
    href = str(store / "bands")
    assets = {key: {"href": f"{href}/{key}.tif"} for key in KEYS}
    assets["red"]["raster:bands"] = [{"scale": 0.0001, "offset": -0.1}]
    assets["green"] |= {"raster:scale": 1, "raster:offset": 0}
    code, _, err = run(cli, write_item(tmp_path / "item.json", assets), model)
    assert code == 0
    assert "scale or offset for red; pixels are used as they are stored" in err
    assert (read_raster(tmp_path / "mask.tif") == expected).all()


@pytest.mark.parametrize(
    ("content", "keys", "code", "words"),
    [
        ({}, "nir,blue", 2, ("has no asset blue", "it has nir, red, green")),
        ({}, "nir,,red", 2, ("--assets nir,,red",)),
        ({}, "nir,nir", 2, ("each once",)),
        ({"type": "Collection"}, "nir", 3, ("a STAC Collection, not an Item",)),
        ({"assets": {"nir": {}}}, "nir", 3, ("no href",)),
        ({"assets": {"nir": {"href": "none.tif"}}}, "nir", 3, ("none.tif does not exist",)),
    ],
)
def test_what_cannot_be_meant(tmp_path, cli, store, model, content, keys, code, words):
    assets = {key: {"href": f"bands/{key}.tif"} for key in KEYS}
    item = write_item(tmp_path / "item.json", content.pop("assets", assets), **content)
    check(run(cli, item, model, "--quiet", keys=keys), code, *words)
    assert not (tmp_path / "mask.tif").exists()


def test_files_that_are_no_items(tmp_path, cli, store, server, model):  # noqa: F811
    (tmp_path / "a.json").write_text("{")
    check(run(cli, "a.json", model, "--quiet"), 3, "a.json is no STAC Item")
    (tmp_path / "a.json").write_bytes(b"\x89PNG\xff")
    told = run(cli, "a.json", model, "--quiet")
    check(told, 3, "a.json is no STAC Item, nor any text; give the Item's JSON")
    (tmp_path / "b.json").write_text("[1]")
    check(run(cli, "b.json", model, "--quiet"), 3, "b.json is JSON, but no STAC Item")
    check(run(cli, "none.json", model, "--quiet"), 3, "none.json does not exist")
    check(run(cli, f"{server}/none.json", model, "--quiet"), 3, "none.json does not exist")
    check(run(cli, store / "whole.tif", model, "--quiet"), 3, "whole.tif")


def test_an_item_without_names_of_assets(cli, store, model):
    command = ("predict", store / "item.json", "-m", model, "-o", "mask.tif", "--quiet")
    check(cli(*command), 2, "is a STAC Item", "--assets: it has nir, red, green")
