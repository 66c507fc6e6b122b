"""Models and masks as Items of STAC.

Checked by pystac's own copies of the schemas of STAC 1.1, by stac-model, the reference of the
Machine Learning Model extension, and by schemas of ours of what the other extensions document.
"""

import hashlib
import json
from pathlib import Path

import jsonschema
import numpy as np
import pystac
import pytest
import rasterio
from affine import Affine
from networks import make_model
from pyproj import CRS, Transformer
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.validation import JsonSchemaSTACValidator
from rasters import UTM, write_raster
from shapely.geometry import Point, shape
from stac_model.schema import MLModelProperties
from test_cli_errors import check, files  # noqa: F401  files is a fixture

from geounet.classes import ClassInfo
from geounet.evaluation import export
from geounet.models import ExportOptions
from geounet.raster import Grid, assemble, describe_raster_item, write_part
from geounet.stac import describe_classes

CLASSES = (ClassInfo(0, "background", "#d9d9d9"), ClassInfo(7, "water: deep & cold", "#3182bd"))

FILE = {
    "required": ["href", "file:size", "file:checksum"],
    "properties": {
        "file:size": {"type": "integer", "minimum": 0},
        "file:checksum": {"type": "string", "pattern": "^1220[a-f0-9]{64}$"},
    },
}
CLASS = {
    "required": ["value", "name"],
    "properties": {
        "value": {"type": "integer"},
        "name": {"type": "string", "pattern": "^[0-9A-Za-z-_]+$"},
        "description": {"type": "string", "minLength": 1},
        "color_hint": {"type": "string", "pattern": "^[0-9A-F]{6}$"},
    },
}
ASSET = {
    **FILE,
    "properties": {
        **FILE["properties"],
        "classification:classes": {"type": "array", "minItems": 1, "items": CLASS},
        "raster:spatial_resolution": {"type": "number", "exclusiveMinimum": 0},
        "data_type": {"enum": ["uint8", "uint16", "int16", "float32", "float64"]},
        "nodata": {"anyOf": [{"type": "number"}, {"enum": ["nan", "inf", "-inf"]}]},
    },
}
PROJECTION = {
    "required": ["proj:code", "proj:shape", "proj:transform"],
    "properties": {
        "proj:code": {"type": ["string", "null"], "pattern": "^[A-Z]+:[0-9A-Za-z]+$"},
        "proj:shape": {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "integer"}},
        "proj:transform": {"type": "array", "minItems": 9, "maxItems": 9},
        "proj:bbox": {"type": "array", "minItems": 4, "maxItems": 4},
    },
}
MASK = {"properties": {"properties": PROJECTION, "assets": {"additionalProperties": ASSET}}}


def validate(item):
    """The core by the schemas of STAC, the rest by those of this file."""
    validator = JsonSchemaSTACValidator()
    validator.validate_core(item, pystac.STACObjectType.ITEM, item["stac_version"])
    is_model = "mlm:name" in item["properties"]
    schema = {"properties": {"assets": {"additionalProperties": FILE}}} if is_model else MASK
    jsonschema.validate(item, schema)


def make_mask(path, grid=None, values=(0, 7, 255)):
    grid = grid or Grid(40, 60, UTM, None)
    pixels = np.random.default_rng(0).choice(np.array(values, np.uint8), grid.shape)
    part = path.with_name("part-000000000.tif")
    write_part(part, grid, pixels, 255)
    tags = {"GEOUNET_VERSION": "1.0", "GEOUNET_MODEL": "m", "GEOUNET_SCENE": "s"}
    assemble([(part, grid.extent)], grid, path, nodata=255, classes=CLASSES, tags=tags)
    return path


def utm_grid():
    return Grid(40, 60, UTM, CRS.from_epsg(32633))


def test_a_model_as_an_item(tmp_path, cli):
    path, model = make_model(tmp_path, names=("red", None, "red"))
    code, _, err = cli("info", path, "--stac", "item.json")
    assert code == 0, err
    item = json.loads((tmp_path / "item.json").read_text())
    validate(item)
    properties = MLModelProperties.model_validate(item["properties"])
    (inputs,) = properties.input
    assert inputs.bands == ["red", "band 2", "red 3"]
    assert inputs.input.shape == [-1, 3, -1, -1]
    scaling = [(one.type, one.mean, one.stddev) for one in inputs.value_scaling]
    assert scaling == [("z-score", band.offset, band.scale) for band in model.spec.bands]
    assert [one["name"] for one in item["properties"]["bands"]] == inputs.bands
    (output,) = item["properties"]["mlm:output"]
    assert [one["value"] for one in output["classification:classes"]] == [0, 1, 2]
    weights = sum(p.numel() for p in model.network.parameters())
    assert properties.total_parameters == weights
    assert item["properties"]["mlm:hyperparameters"]["width"] == 6
    opened = pystac.Item.from_file(str(tmp_path / "item.json"))
    asset = opened.assets["model"]
    assert {"mlm:model", "mlm:weights"} == set(asset.roles)
    assert Path(asset.get_absolute_href()).samefile(path)
    content = path.read_bytes()
    assert asset.extra_fields["file:size"] == len(content)
    assert asset.extra_fields["file:checksum"] == "1220" + hashlib.sha256(content).hexdigest()
    assert asset.extra_fields["mlm:artifact_type"] == "safetensors"


def test_a_mask_as_an_item(tmp_path, cli):
    mask = make_mask(tmp_path / "mask.tif", utm_grid())
    (tmp_path / "catalog").mkdir()
    code, _, err = cli("info", mask, "--stac", "catalog/mask.json")
    assert code == 0, err
    item = pystac.Item.from_file(str(tmp_path / "catalog" / "mask.json"))
    validate(item.to_dict(include_self_link=False, transform_hrefs=False))
    asset = item.assets["mask"]
    assert asset.href == "../mask.tif"
    assert Path(asset.get_absolute_href()).samefile(mask)
    classes = ClassificationExtension.ext(asset).classes
    assert [(c.value, c.name, c.color_hint) for c in classes] == [
        (0, "background", "D9D9D9"),
        (7, "water-deep-cold", "3182BD"),
    ]
    assert classes[1].description == "water: deep & cold"
    assert (asset.extra_fields["data_type"], asset.extra_fields["nodata"]) == ("uint8", 255)
    projection = ProjectionExtension.ext(item)
    assert projection.code == "EPSG:32633"
    assert projection.shape == [40, 60]
    assert Affine(*projection.transform[:6]) == UTM
    assert item.datetime is not None


def test_the_place_of_a_raster(tmp_path):
    """Each pixel's centre lies in the outline, in longitude and latitude; one outside does not."""
    mask = make_mask(tmp_path / "mask.tif", utm_grid())
    item = describe_raster_item(mask, tmp_path)
    outline = shape(item["geometry"]).buffer(1e-9)
    to_lonlat = Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True)
    for col, row, inside in ((0.5, 0.5, True), (59.5, 39.5, True), (30, 20, True), (-1, 3, False)):
        assert outline.contains(Point(to_lonlat.transform(*(UTM @ (col, row))))) is inside
    assert item["bbox"] == pytest.approx(list(shape(item["geometry"]).bounds))
    assert shape(item["geometry"]).exterior.is_ccw


def test_across_the_antimeridian(tmp_path):
    for west in (179.5, -180.5):
        grid = Grid(10, 10, Affine(0.1, 0, west, 0, -0.1, -16), CRS.from_epsg(4326))
        item = describe_raster_item(make_mask(tmp_path / "mask.tif", grid), tmp_path)
        assert item["bbox"] == pytest.approx([179.5, -17, -179.5, -16])
        parts = sorted(part.bounds for part in shape(item["geometry"]).geoms)
        assert parts[0] == pytest.approx((-180, -17, -179.5, -16))
        assert parts[1] == pytest.approx((179.5, -17, 180, -16))
        validate(item)


def test_round_the_pole(tmp_path):
    grid = Grid(10, 10, Affine(1e5, 0, -5e5, 0, -1e5, 5e5), CRS.from_epsg(3413))
    item = describe_raster_item(make_mask(tmp_path / "mask.tif", grid), tmp_path)
    assert item["bbox"][::2] == [-180, 180]
    assert item["bbox"][3] == 90
    assert 80 < item["bbox"][1] < 86


@pytest.mark.parametrize(
    ("west", "north", "degrees", "bounds"),
    [
        (-100, 60, (40, 200), [-100, 20, 100, 60]),  # more than half round, round no pole
        (-10, 60, (100, 185), [-10, -40, 175, 60]),
        (0, 30, (60, 359), [0, -30, -1, 30]),
        (0, 90, (180, 360), [-180, -90, 180, 90]),
        (-180.5, 90.5, (181, 361), [-180, -90, 180, 90]),  # centres on the edges of the world
    ],
)
def test_wide_rasters(tmp_path, west, north, degrees, bounds):
    grid = Grid(*degrees, Affine(1, 0, west, 0, -1, north), CRS.from_epsg(4326))
    item = describe_raster_item(make_mask(tmp_path / "mask.tif", grid), tmp_path)
    validate(item)
    assert item["bbox"] == pytest.approx(bounds)
    width = (bounds[2] - bounds[0]) % 360 or 360
    assert shape(item["geometry"]).area == pytest.approx(width * (bounds[3] - bounds[1]))


def test_sizes_of_pixels_are_in_metres(tmp_path):
    for code, transform, metres in (
        (4326, Affine(1e-4, 0, 10, 0, -1e-4, 60), 7.88),  # sqrt(5.5705 x 11.1412)
        (2263, Affine(3, 0, 1e6, 0, -3, 2e5), 0.9144),  # feet
    ):
        grid = Grid(40, 60, transform, CRS.from_epsg(code))
        item = describe_raster_item(make_mask(tmp_path / "mask.tif", grid), tmp_path)
        size = item["assets"]["mask"]["raster:spatial_resolution"]
        assert size == pytest.approx(metres, rel=1e-3)
        assert item["properties"]["gsd"] == size


def test_a_crs_that_is_only_like_one_with_a_code(tmp_path):
    crs = CRS.from_proj4("+proj=utm +zone=33 +ellps=GRS80")  # on whatever datum
    item = describe_raster_item(make_mask(tmp_path / "m.tif", Grid(40, 60, UTM, crs)), tmp_path)
    validate(item)
    assert item["properties"]["proj:code"] is None
    found = CRS.from_wkt(item["properties"]["proj:wkt2"])
    assert found.datum == CRS.from_wkt(crs.to_wkt()).datum


def test_scale_and_offset_of_bands(tmp_path):
    path = write_raster(tmp_path / "scores.tif", np.zeros((2, 5, 6), np.uint8), nodata=255)
    with rasterio.open(path, "r+") as target:
        target.scales, target.offsets = (1 / 254, 1 / 254), (0.0, 0.5)
    item = describe_raster_item(path, tmp_path)
    validate(item)
    first, second = item["assets"]["data"]["bands"]
    assert first["raster:scale"] == second["raster:scale"] == 1 / 254
    assert second["raster:offset"] == 0.5
    assert "raster:offset" not in first


@pytest.mark.parametrize("normalisation", ["inside", "outside"])
@pytest.mark.parametrize("tile", [None, 32])
def test_an_exported_model_as_an_item(tmp_path, cli, normalisation, tile):
    """Whoever runs it by its Item scales pixels once, and gives it the sides that it takes."""
    path, _ = make_model(tmp_path, depth=1, width=4)
    options = ExportOptions(normalisation=normalisation, tile=tile)
    export(path, tmp_path / "net.pt2", options)
    code, _, err = cli("info", "net.pt2", "--stac", "item.json")
    assert code == 0, err
    item = json.loads((tmp_path / "item.json").read_text())
    validate(item)
    properties = MLModelProperties.model_validate(item["properties"])
    (inputs,), (output,) = properties.input, properties.output
    scaling = inputs.value_scaling
    assert scaling is None if normalisation == "inside" else len(scaling) == 3
    side = tile or -1
    assert inputs.input.shape == output.result.shape == [-1, 3, side, side]
    assert output.name == "probabilities"


def test_what_has_no_place(tmp_path):
    path = write_raster(tmp_path / "plain.tif", np.zeros((3, 5, 6), np.float32), transform=None,
                        crs=None, nodata=np.nan)  # fmt: skip
    item = describe_raster_item(path, tmp_path)
    validate(item)
    assert item["geometry"] is None
    assert "bbox" not in item
    assert item["assets"]["data"]["nodata"] == "nan"
    json.dumps(item, allow_nan=False)


def test_a_date_in_the_file_is_the_date(tmp_path):
    path = write_raster(tmp_path / "a.tif", np.zeros((5, 6), np.uint8))
    with rasterio.open(path, "r+") as target:
        target.update_tags(TIFFTAG_DATETIME="2024:07:01 10:20:30")
    item = describe_raster_item(path, tmp_path)
    assert item["properties"]["datetime"] == "2024-07-01T10:20:30Z"


def test_names_of_classes_are_unique():
    alike = (ClassInfo(0, "a b", "#000000"), ClassInfo(1, "a/b", "#000000"),
             ClassInfo(2, "水", "#000000"))  # fmt: skip
    assert [one["name"] for one in describe_classes(alike)] == ["a-b", "a-b-1", "class-2"]


def test_nothing_else_is_overwritten(tmp_path, cli):
    path, _ = make_model(tmp_path)
    (tmp_path / "mine.json").write_text('{"id": "mine"}')
    check(cli("info", path, "--stac", "mine.json"), 2, "mine.json exists")
    assert (tmp_path / "mine.json").read_text() == '{"id": "mine"}'
    check(cli("info", path, "--stac", "none/item.json"), 2, "none is no folder")
    check(cli("info", path, "--stac", "item.txt"), 2, "item.txt")
    for _ in range(2):  # the Item of the same model may be renewed
        assert cli("info", path, "--stac", "item.json")[0] == 0
    assert cli("info", path, "--stac", "mine.json", "--overwrite")[0] == 0
