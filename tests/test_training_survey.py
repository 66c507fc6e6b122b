"""What is found in the inputs is kept; what is held out is shown, and like the rest."""

import os
import shutil

import geopandas
import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import CRS
from rasterio.features import geometry_mask
from rasters import UTM, read_raster, write_raster

from geounet.classes import make_classes
from geounet.models import Geometry
from geounet.raster import Grid, limit_cache, pixel_grid
from geounet.raster.dataset import get_gdal_config
from geounet.training.data import survey as module
from geounet.training.holdout.footprints import Area
from geounet.training.holdout.split import SplitPlan, split_areas
from geounet.training.options import TrainOptions
from geounet.training.reporting.split_layer import Region, list_regions, write_layer
from geounet.training.reporting.split_map import draw_split
from geounet.training.task import find_inputs, plan_chips, prepare_task

GEOMETRY = Geometry(stride=4, margin=20, read_margin=20, spare=0)


def prepare(images, labels, folder=None, **options):
    chosen = TrainOptions(chip=32, **options)
    inputs = find_inputs(images, labels, chosen)
    return prepare_task(inputs, GEOMETRY, chosen, lambda _: None, folder)


@pytest.fixture
def pair(tmp_path):
    rng = np.random.default_rng(0)
    image = write_raster(tmp_path / "image.tif", rng.integers(0, 255, (300, 400), np.uint8))
    labels = rng.choice(3, (300, 400), p=[0.7, 0.2, 0.1]).astype(np.uint8)
    return image, write_raster(tmp_path / "labels.tif", labels)


@pytest.fixture
def surveys(monkeypatch):
    """How often the inputs are looked at."""
    calls = []
    measure = module.measure_rooms
    monkeypatch.setattr(
        module, "measure_rooms", lambda *args, **more: calls.append(1) or measure(*args, **more)
    )
    return calls


@pytest.mark.parametrize("balance", ["none", "class", "instance"])
def test_the_same_inputs_are_looked_at_once(pair, tmp_path, surveys, balance):
    first = prepare([pair[0]], [pair[1]], tmp_path / "run", balance=balance)
    again = prepare([pair[0]], [pair[1]], tmp_path / "run", balance=balance, epochs=3, workers=0)
    assert len(surveys) == 1
    assert again.split == first.split
    assert again.statistics == first.statistics
    assert again.notes == first.notes
    for name in ("scene", "cell", "value", "first", "pixels", "group"):
        found, expected = (getattr(t.survey.content, name) for t in (again, first))
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(again.survey.training_counts, first.survey.training_counts)
    np.testing.assert_array_equal(again.survey.validation_counts, first.survey.validation_counts)
    options = TrainOptions(chip=32, balance=balance)
    chances = [plan_chips(task, options).anchors.chances for task in (first, again)]
    np.testing.assert_array_equal(*chances)


@pytest.mark.parametrize(
    "change",
    ["labels", "seed", "fraction", "balance", "bbox", "damage", "beside"],
)
def test_other_inputs_or_options_are_looked_at_anew(pair, tmp_path, surveys, change):
    prepare([pair[0]], [pair[1]], tmp_path / "run")
    options = {}
    if change == "labels":
        os.utime(pair[1], (1, 1))
    elif change == "damage":
        (tmp_path / "run" / "content.npz").write_bytes(b"PK\x03\x04 no archive")
    elif change == "beside":
        (tmp_path / "labels.tif.aux.xml").write_text("<PAMDataset/>")
    elif change == "bbox":
        options = {"bbox": (500_000.0, 4_999_860.0, 500_200.0, 5_000_000.0)}
    else:
        options = {"seed": {"seed": 1}, "fraction": {"val_fraction": 0.3}}.get(
            change, {"balance": "class"}
        )
    prepare([pair[0]], [pair[1]], tmp_path / "run", **options)
    assert len(surveys) == 2


@pytest.mark.parametrize("change", ["target", "link", "beside the target", "beside the link"])
def test_links_are_followed(pair, tmp_path, surveys, change):
    links = tmp_path / "links"
    links.mkdir()
    images, labels = links / "a.tif", links / "b.tif"
    images.symlink_to(pair[0])
    labels.symlink_to(pair[1])
    for _ in range(2):
        prepare([images], [labels], tmp_path / "run")
    assert len(surveys) == 1
    if change == "target":
        os.utime(pair[1], (1, 1))
    elif change == "link":
        other = shutil.copy2(pair[1], tmp_path / "other.tif")  # of the same size and time
        labels.unlink()
        labels.symlink_to(other)
    else:
        folder, name = (tmp_path, "labels") if "target" in change else (links, "b")
        (folder / f"{name}.tif.aux.xml").write_text("<PAMDataset/>")
    prepare([images], [labels], tmp_path / "run")
    assert len(surveys) == 2


def test_what_tells_of_no_change_is_not_kept(pair, tmp_path, surveys):
    vrt = tmp_path / "image.vrt"
    vrt.write_text(
        '<VRTDataset rasterXSize="400" rasterYSize="300"><VRTRasterBand dataType="Byte" band="1">'
        f"<SimpleSource><SourceFilename>{pair[0]}</SourceFilename><SourceBand>1</SourceBand>"
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    for _ in range(2):
        prepare([vrt], [pair[1]], tmp_path / "run")
    assert len(surveys) == 2
    assert not (tmp_path / "run").exists()


def test_counts_are_those_of_the_labels(pair):
    task = prepare([pair[0]], [pair[1]], balance="class")
    (room,) = task.split.training
    labels = read_raster(pair[1])[0]
    trained = sum(np.bincount(labels[p.slices()].ravel(), minlength=3) for p in room.pieces)
    np.testing.assert_array_equal(task.survey.training_counts, [trained])
    for block, counts in zip(task.split.validation, task.survey.validation_counts, strict=True):
        found = np.bincount(labels[block.window.slices()].ravel(), minlength=3)
        np.testing.assert_array_equal(counts, found)


def read_layer(task, folder):
    path = folder / "split.gpkg"
    path.write_bytes(write_layer(list_regions(task), task.inputs.classes))
    return geopandas.read_file(path, layer="split")


def burn(frame, role, transform):
    own = frame[frame.role == role].geometry
    return ~geometry_mask(own, (300, 400), transform)


def test_the_layer_says_what_each_pixel_is_for(pair, tmp_path):
    task = prepare([pair[0]], [pair[1]])
    frame = read_layer(task, tmp_path)
    assert frame.crs == CRS.from_epsg(32633)
    assert list(frame.columns) == [
        *("role", "scene", "pixels", "share_class 0", "share_class 1", "share_class 2", "geometry")
    ]
    assert (frame.scene == str(pair[0])).all()
    parts = {role: burn(frame, role, UTM) for role in ("training", "guard", "validation")}
    assert (sum(part.astype(int) for part in parts.values()) == 1).all()
    held_out = np.zeros((300, 400), bool)
    guarded = held_out.copy()
    for block in task.split.validation:
        held_out[block.window.slices()] = True
        around = block.window.pad(task.split.guard).intersect(pixel_grid(300, 400).extent)
        guarded[around.slices()] = True
    assert (parts["validation"] == held_out).all()
    assert (parts["training"] == ~guarded).all()
    for role, part in parts.items():
        assert frame[frame.role == role].pixels.sum() == part.sum()
    shares = frame[["share_class 0", "share_class 1", "share_class 2"]]
    assert shares[frame.role == "guard"].isna().all(axis=None)
    np.testing.assert_allclose(shares[frame.role != "guard"].sum(axis=1), 1)
    np.testing.assert_allclose(shares[frame.role == "training"].iloc[0], [0.7, 0.2, 0.1], atol=0.02)


def test_several_crs_become_longitudes_and_none_pixels(tmp_path):
    rng = np.random.default_rng(0)

    def scene(name, **place):
        image = write_raster(
            tmp_path / f"{name}.tif", rng.integers(0, 9, (200, 200), np.uint8), **place
        )
        labels = rng.choice(2, (200, 200)).astype(np.uint8)
        return image, write_raster(tmp_path / f"{name}-l.tif", labels, **place)

    north, other = scene("a"), scene("b", crs="EPSG:32634")
    nowhere = scene("c", transform=None)
    frame = read_layer(prepare(*zip(north, other, nowhere, strict=True)), tmp_path)
    assert frame.crs == CRS.from_epsg(4326)
    assert frame[frame.scene == str(nowhere[0])].geometry.isna().all()
    for (image, _), west in ((north, 15), (other, 21)):
        left, bottom, right, top = frame[frame.scene == str(image)].total_bounds
        assert west - 0.001 <= left < right < west + 0.002
        assert 45.1 < bottom < top < 45.2
    alone = read_layer(prepare([nowhere[0]], [nowhere[1]]), tmp_path)
    assert alone.crs is None
    assert alone.total_bounds.tolist() == [0, 0, 200, 200]


def test_the_picture_shows_training_guard_and_validation(pair):
    task = prepare([pair[0]], [pair[1]])
    figure = draw_split(list_regions(task), task.inputs.classes)
    (axes,) = figure.axes
    assert axes.get_xlim() == (0, 400)
    assert axes.get_ylim() == (300, 0)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [text.split()[0] for text in texts] == ["training", "guard", "validation"]
    assert sum(float(text.split()[1].rstrip("%")) for text in texts) == pytest.approx(100, abs=0.2)
    block = task.split.validation[0].window
    middle = block.col_off + block.width / 2, block.row_off + block.height / 2
    hits = [p for p in axes.patches if p.get_path().contains_point(middle)]
    assert any(
        np.allclose(p.get_edgecolor()[:3], [0xE7 / 255, 0x29 / 255, 0x8A / 255]) for p in hits
    )


def test_titles_of_many_classes_fit_into_the_picture(pair):
    task = prepare([pair[0]], [pair[1]])
    classes = make_classes(["a rather long name", "another long name", "and a third one"])
    figure = draw_split(list_regions(task), classes)
    figure.draw_without_rendering()
    title = figure.findobj(lambda text: getattr(text, "get_text", str)().startswith("share"))[0]
    box = title.get_window_extent()
    assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1


def test_classes_have_their_shares_in_what_is_held_out():
    labels = np.zeros((3072, 3072), np.uint8)
    labels[:, 1200:] = 1
    labels[2000:, :900] = 2
    labels[300:700, 300:700] = 3
    grid = pixel_grid(3072, 3072)
    area = Area("a", grid, grid.extent)
    shares = np.bincount(labels.ravel(), minlength=4) / labels.size
    for seed in range(4):
        split = split_areas(
            [area],
            SplitPlan(256, 60, 0.2, seed),
            lambda block: labels[block.window.slices()],
        )
        held = sum(
            np.bincount(labels[b.window.slices()].ravel(), minlength=4) for b in split.validation
        )
        ratios = held / held.sum() / shares
        assert (np.abs(ratios[:3] - 1) < 0.45).all(), ratios


def test_blocks_may_take_as_much_memory_as_is_given():
    before = get_gdal_config("GDAL_CACHEMAX")
    with limit_cache(64 * 2**30, may_grow=True):
        assert get_gdal_config("GDAL_CACHEMAX") == 64 * 2**30
    with limit_cache(2**20):
        assert get_gdal_config("GDAL_CACHEMAX") == 2**20
    assert get_gdal_config("GDAL_CACHEMAX") == before


def test_a_scene_of_a_building_site_beside_one_on_earth_is_in_no_place(tmp_path):
    site = CRS('LOCAL_CS["site",UNIT["metre",1]]')
    regions = [
        Region("training", "a", Grid(4, 5, Affine.identity(), crs), shapely.box(0, 0, 5, 4))
        for crs in (site, CRS("EPSG:32633"))
    ]
    (tmp_path / "split.gpkg").write_bytes(write_layer(regions, []))
    placed = geopandas.read_file(tmp_path / "split.gpkg")
    assert placed.geometry.isna().tolist() == [True, False]
