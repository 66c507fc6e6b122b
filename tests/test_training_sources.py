"""Which images train, validate and test with which labels, and small trainings from end to end."""

import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from PIL import Image
from rasters import UTM, write_raster

from geounet.cli.app import app
from geounet.cli.boundary import run
from geounet.errors import InputError, UsageError
from geounet.models import load_model
from geounet.raster import Window
from geounet.training import TrainOptions, train
from geounet.training.data.chips import ChipPlan
from geounet.training.data.room import find_room
from geounet.training.data.sources import OPEN_PAIRS, Reading, SourceReader, find_sources
from geounet.training.task import find_inputs
from geounet.vector import LabelOptions, resolve_legend
from geounet.vector.labels.datasets import Pair, find_dataset

TILES = Path(__file__).parents[2] / "shared" / "data" / "banepa" / "tiles"


def make_files(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def relative(pairs, folder):
    return [tuple(str(Path(p).relative_to(folder)) for p in (x.image, x.labels)) for x in pairs]


# --- which images have which labels ----------------------------------------------------------


@pytest.mark.parametrize(("val", "labels"), [("val", "masks"), ("validation", "labels")])
def test_a_folder_laid_out_in_splits(tmp_path, val, labels):
    for split in ("train", val, "test"):
        make_files(tmp_path / split / "images", "a.tif", "b.tif", "b.tif.aux.xml", "notes.txt")
        make_files(tmp_path / split / labels, "a.png", "b.png", "c.png", "a.png.aux.xml")
    dataset = find_dataset([tmp_path], [])
    for pairs, split in zip(
        (dataset.training, dataset.validation, dataset.test), ("train", val, "test"), strict=True
    ):
        assert relative(pairs, tmp_path / split) == [
            ("images/a.tif", f"{labels}/a.png"), ("images/b.tif", f"{labels}/b.png"),
        ]  # fmt: skip


def test_a_layout_without_validation_takes_what_is_given(tmp_path):
    make_files(tmp_path / "d/train/images", "a.tif")
    make_files(tmp_path / "d/train/masks", "a.tif")
    assert find_dataset([tmp_path / "d"], []).validation == ()
    given = find_dataset([tmp_path / "d"], [], ["v.tif"], ["v.gpkg"]).validation
    assert given == (Pair("v.tif", "v.gpkg"),)
    make_files(tmp_path / "d/valid/images", "a.tif")
    make_files(tmp_path / "d/valid/masks", "a.tif")
    with pytest.raises(UsageError, match=r"d has validation images of its own; leave out"):
        find_dataset([tmp_path / "d"], [], ["v.tif"], ["v.gpkg"])


def test_layouts_that_cannot_be_used(tmp_path):
    def refuses(match, error=InputError):
        with pytest.raises(error, match=match):
            find_dataset([tmp_path / "d"], [])

    make_files(tmp_path / "d", "x.tif")
    refuses(r"d has no train/images with train/masks; found: x.tif; lay it out as train/images")
    make_files(tmp_path / "d/train/images", "a.tif")
    refuses(r"train has neither masks nor labels beside images")
    make_files(tmp_path / "d/train/masks", "b.tif")
    refuses(r"masks has no labels of the name of image a; labels are matched by name")
    make_files(tmp_path / "d/train/masks", "a.tif", "a.png")
    refuses(r"several labels of a: a\.png, a\.tif")
    make_files(tmp_path / "d/training/images", "a.tif")
    refuses(r"d has both train and training; leave one")
    with pytest.raises(UsageError, match=r"there are no labels; give them with --labels, or"):
        find_dataset(["a.tif"], [])
    with pytest.raises(UsageError, match="there are no labels"):
        find_dataset([tmp_path / "d", tmp_path / "e"], [])


def test_images_and_labels_are_matched_by_stem(tmp_path):
    images = make_files(tmp_path / "i", "x.tiff_25.tiff", "x.tiff_3.tiff")
    labels = make_files(tmp_path / "l", "x.tiff_3.png", "x.tiff_25.png", "x.tiff_25.png.aux.xml")
    expected = [("x.tiff_25.tiff", "x.tiff_25.png"), ("x.tiff_3.tiff", "x.tiff_3.png")]
    pairs = find_dataset([images], [labels]).training
    assert [(Path(p.image).name, Path(p.labels).name) for p in pairs] == expected
    both = make_files(tmp_path / "both", *(name for pair in expected for name in pair))
    tiffs = sorted(both.glob("*.tiff"))
    assert relative(find_dataset(tiffs, [both]).training, both) == expected
    with pytest.raises(InputError, match=r"both is given as images and as labels; name the images"):
        find_dataset([both], [both])
    with pytest.raises(InputError, match="is given as images and as labels; give the file of its"):
        find_dataset(tiffs[:1], tiffs[:1])


def test_a_csv_says_everything(tmp_path):
    (tmp_path / "sub").mkdir()
    path = tmp_path / "sub" / "scenes.csv"
    path.write_text(
        "\ufeffImage, labels ,split,weight,remark\n"
        'a.tif,"../l,1.gpkg",,,first\n'
        "/x/b.tif,b.png,train,2.5,\n"
        ",,,,\n"
        "https://x.org/c.tif,/vsizip/l.zip/c.tif,Validation,,\n"
        "d.tif,d.tif,test,\n",
        encoding="utf-8",
    )
    dataset = find_dataset([path], [])
    here = str(tmp_path / "sub")
    assert dataset.training == (
        Pair(f"{here}/a.tif", f"{here}/../l,1.gpkg"),
        Pair("/x/b.tif", f"{here}/b.png", 2.5),
    )
    assert dataset.validation == (Pair("https://x.org/c.tif", "/vsizip/l.zip/c.tif"),)
    assert dataset.test == (Pair(f"{here}/d.tif", f"{here}/d.tif"),)
    path.write_text("image;labels\na,1.tif;b.tif\n")
    assert find_dataset([path], []).training == (Pair(f"{here}/a,1.tif", f"{here}/b.tif"),)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("image,mask\na,b\n", r"no column labels; found: image, mask; write image,labels,split"),
        ("", r"no column image; found: nothing"),
        ("image,labels\na.tif,\n", r"scenes\.csv, line 2: the labels column is empty; fill it in"),
        ("image,labels,split\na,b,dev\n", r"line 2: split is 'dev'; write train, val or test"),
        ("image,labels,weight\na,b,1\na,b,0\n", r"line 3: weight is '0'; write a positive number"),
        ("image,labels,weight\na,b,many\n", r"weight is 'many'"),
        ("image,labels,split\na,b,val\n", r"has no row with split train; add some"),
        (b"image,labels\n\xff\xfe,b\n", r"is no CSV in UTF-8"),
    ],
)
def test_csvs_that_cannot_be_used(tmp_path, text, match):
    path = tmp_path / "scenes.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=match):
        find_dataset([path], [])


# --- sources ---------------------------------------------------------------------------------


def test_weights_scale_how_often_scenes_are_shown():
    area = Window(row_off=0, col_off=0, height=100, width=100)
    rooms = tuple(find_room(i, area, [], 32) for i in range(3))
    plan = ChipPlan(rooms, 32, 0, seed=0, weights=(1.0, 3.0, 0.5))
    scenes = [next(plan.windows(1, index))[0].scene for index in range(4000)]
    shares = np.bincount(scenes) / len(scenes)
    assert shares == pytest.approx(np.array([1, 3, 0.5]) / 4.5, abs=0.03)


def test_few_files_are_open_at_a_time(tmp_path):
    count = 2 * OPEN_PAIRS
    for i in range(count):
        write_raster(tmp_path / f"{i}.tif", np.full((1, 16, 16), i, "uint8"))
        write_raster(tmp_path / f"l{i}.tif", np.full((16, 16), i % 2, "uint8"))
    pairs = [Pair(tmp_path / f"{i}.tif", tmp_path / f"l{i}.tif") for i in range(count)]
    sources, _ = find_sources(pairs, None, None)
    legend = resolve_legend("a,b", [p.labels for p in pairs], [])
    before = count_handles(tmp_path)
    with SourceReader(sources, Reading(None, legend.classes, legend.options)) as reader:
        for i in [*range(count), *range(count)]:
            sample = reader.read(i, Window(row_off=0, col_off=0, height=4, width=4))
            assert (sample.image == i).all()
            assert (sample.labels == i % 2).all()
            assert count_handles(tmp_path) <= before + 2 * OPEN_PAIRS
    assert count_handles(tmp_path) == before


def count_handles(folder):
    """How many files of a folder this process has open."""
    found = 0
    for link in Path("/proc/self/fd").iterdir():
        try:
            found += str(link.readlink()).startswith(str(folder))
        except OSError:
            continue
    return found


# --- small trainings from end to end ---------------------------------------------------------

SMALL = {
    "architecture": "unet", "width": 4, "depth": 2, "chip": 64, "batch": 2, "workers": 1,
    "epochs": 1, "device": "cpu", "precision": "float32",
}  # fmt: skip


@pytest.fixture(autouse=True)
def short_epochs(monkeypatch):
    """6 chips are an epoch here, and no pictures are drawn."""
    monkeypatch.setattr("geounet.training.options.EPOCH_CHIPS", (6, 6))
    monkeypatch.setattr(
        "geounet.training.keeping.run_folder.RunFolder.write_figure", lambda *_: None
    )


def learn(images, labels, output, **options):
    """Three steps; the summary, and the model's spec."""
    images, labels = ([x] if isinstance(x, str | Path) else x for x in (images, labels))
    summary = train(images, labels, output, TrainOptions(**{**SMALL, **options}))
    spec = load_model(summary.model).spec
    assert summary.chips == 6
    assert all(np.isfinite([band.offset, band.scale]).all() for band in spec.bands)
    return summary, spec


def blobs(shape=(96, 128), seed=0):
    rng = np.random.default_rng(seed)
    return np.kron(rng.integers(0, 2, (shape[0] // 8, shape[1] // 8)), np.ones((8, 8))).astype("u1")


def test_many_bands_of_signed_integers(tmp_path):
    labels = blobs()
    image = np.random.default_rng(0).integers(-2000, 9000, (13, *labels.shape)).astype("int16")
    image += (labels * np.arange(13)[:, None, None] * 50).astype("int16")
    _, spec = learn(
        write_raster(tmp_path / "s2.tif", image, nodata=-9999),
        write_raster(tmp_path / "l.tif", labels.astype("int16"), nodata=-1),
        tmp_path / "run",
    )
    assert [band.dtype for band in spec.bands] == ["int16"] * 13
    assert spec.bands[3].offset == pytest.approx(image[3].mean(), abs=100)


def test_bands_of_very_different_range_with_nan(tmp_path):
    labels = blobs()
    noise = np.random.default_rng(0).normal(size=(5, *labels.shape))
    scales = np.array([1e-6, 1.0, 1e3, 1e9, 0.0])[:, None, None]  # the last is constant
    image = 4e9 * (scales == 1e9) + (noise + labels) * scales
    image[2, 10:20, 30:40] = np.nan
    image[0, 50, :] = np.inf
    summary, spec = learn(
        write_raster(tmp_path / "a.tif", image), write_raster(tmp_path / "l.tif", labels),
        tmp_path / "run",
    )  # fmt: skip
    deviations = [band.scale for band in spec.bands]
    assert deviations == pytest.approx([1.1e-6, 1.1, 1.1e3, 1.1e9, 1], rel=0.1)
    assert np.isfinite(summary.metrics.mean_iou)


def test_a_folder_of_scenes_smaller_than_a_chip(tmp_path):
    (tmp_path / "i").mkdir()
    (tmp_path / "l").mkdir()
    for i in range(40):
        labels = blobs((32, 32), seed=i)
        image = np.random.default_rng(i).integers(0, 99, (224, 32, 32)).astype("uint16")
        write_raster(tmp_path / f"i/{i}.tif", image + labels, transform=None, interleave="band")
        write_raster(tmp_path / f"l/{i}.png", labels, driver="PNG", transform=None)
    summary, spec = learn(tmp_path / "i", tmp_path / "l", tmp_path / "run")
    assert len(spec.bands) == 224
    assert spec.pixel_size_m is None
    assert summary.training_pixels % 32**2 == summary.validation_pixels % 32**2 == 0
    assert summary.notes == ()


def test_photographs_with_grey_masks(tmp_path):
    for name in "ab":
        mask = np.kron(blobs(seed=ord(name)), np.ones((2, 2), "u1")) * 255
        soft = Image.fromarray(mask).resize((128, 96), Image.Resampling.BILINEAR)
        soft.save(tmp_path / f"{name}.png")
        photo = np.random.default_rng(1).integers(0, 256, (96, 128, 3)).astype("uint8")
        Image.fromarray(photo).save(tmp_path / f"{name}.jpg")
    images = [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    summary, spec = learn(images, tmp_path, tmp_path / "run")
    assert [c.name for c in spec.classes] == ["background", "foreground"]
    (note,) = summary.notes
    assert note.startswith(f"{tmp_path / 'a.png'} and 1 more are masks of 0 to 255: from 128 on")


def write_features(path, geometries, **columns):
    gpd.GeoDataFrame(columns, geometry=geometries, crs=32633).to_crs(4326).to_file(path)
    return path


def test_text_classes_of_sparse_polygons(tmp_path):
    scene = write_raster(tmp_path / "s.tif", np.random.default_rng(0).integers(0, 99, (3, 96, 128)))
    boxes = [
        shapely.box(*(UTM @ (c, r + 12)), *(UTM @ (c + 12, r)))
        for r in range(4, 80, 16)
        for c in range(4, 110, 16)
    ]
    kinds = [("road", "wood", "wood")[i % 3] for i in range(len(boxes))]
    path = write_features(tmp_path / "v.gpkg", boxes, kind=kinds)
    options = LabelOptions(class_field="kind", sparse=True)
    summary, spec = learn(scene, path, tmp_path / "run", label_options=options)
    assert [(c.value, c.name) for c in spec.classes] == [(1, "road"), (2, "wood")]
    assert summary.class_shares["wood"] == pytest.approx(2 / 3, abs=0.1)


def test_lines_with_a_width(tmp_path):
    scene = write_raster(tmp_path / "s.tif", np.random.default_rng(0).integers(0, 99, (3, 96, 128)))
    lines = [shapely.LineString([UTM @ (0, r), UTM @ (128, r)]) for r in range(8, 96, 16)]
    path = write_features(tmp_path / "v.gpkg", lines, lanes=[1, 2] * 3)
    options = LabelOptions(class_field="lanes", line_width_m=2)  # 4 pixels
    summary, spec = learn(scene, path, tmp_path / "run", label_options=options)
    assert [(c.value, c.name) for c in spec.classes] == [(0, "background"), (1, "1"), (2, "2")]
    assert summary.class_shares["background"] == pytest.approx(0.75, abs=0.03)


def test_a_layout_is_validated_and_tested_on_its_own_scenes(tmp_path):
    for k, split in enumerate(("train", "val", "test")):
        for part in ("images", "masks"):
            (tmp_path / "d" / split / part).mkdir(parents=True)
        away = UTM.translation(0, 1000 * k) @ UTM
        labels = blobs((64, 64), seed=k)
        colours = np.stack([labels * 200, labels * 0, labels * 10])
        write_raster(tmp_path / f"d/{split}/images/x.tif", colours + 7, transform=away)
        write_raster(tmp_path / f"d/{split}/masks/x.tif", colours, transform=away)
    summary, _ = learn(tmp_path / "d", (), tmp_path / "run", classes="land=#000000,house=#c8000a")
    assert summary.training_pixels == summary.validation_pixels == 64 * 64
    assert summary.test_metrics is not None
    assert summary.test_metrics.pixels == 64 * 64
    tested = (tmp_path / "run" / "report.html").read_text().split("<h2>")[2]
    assert tested.startswith("Test scenes</h2>")
    assert all(f">{item.iou:.3f}<" in tested for item in summary.test_metrics.classes)


def test_what_does_not_fit_is_found_before_training(tmp_path, monkeypatch):
    """Before any pixel is read: else the last of many files would be found out after hours."""
    for i in range(3):
        write_raster(tmp_path / f"{i}.tif", blobs(), transform=UTM.translation(0, 200 * i) @ UTM)
        write_raster(
            tmp_path / f"l{i}.tif", blobs(), transform=UTM.translation(0, 200 * i + (i == 2)) @ UTM
        )
    images, labels = ([tmp_path / f"{x}{i}.tif" for i in range(3)] for x in ("", "l"))
    summary, _ = learn(images, labels, tmp_path / "run")
    assert summary.notes == (f"{labels[2]}: shifted by 2 pixels: warped (nearest)",)
    write_raster(labels[2], blobs((96, 120)), transform=None)
    monkeypatch.setattr(SourceReader, "read", None)
    with pytest.raises(InputError, match=r"l2\.tif has 96 x 120 pixels, .*2\.tif 96 x 128, and"):
        learn(images, labels, tmp_path / "other")


@pytest.mark.skipif(not TILES.is_dir(), reason="needs the Banepa tiles beside the repository")
def test_jpegs_named_tif_with_georeference_beside_them():
    tiles = sorted(TILES.glob("*.tif"))
    inputs = find_inputs([TILES], [TILES.parent / "buildings.geojson"], TrainOptions(**SMALL))
    assert len(inputs.sources) == len(tiles)
    assert inputs.sources[0].area.grid.crs is not None
    assert [c.name for c in inputs.classes] == ["background", "buildings"]
    with SourceReader(inputs.sources, inputs.reading) as reader:
        window = Window(row_off=0, col_off=0, height=256, width=256)
        houses = [(reader.read(i, window).labels == 1).mean() for i in range(8)]
    assert max(houses) > 0.05


# --- what the command line says --------------------------------------------------------------


def test_wrong_input_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    photo = np.random.default_rng(0).integers(0, 256, (3, 96, 128), "uint8")
    write_raster(tmp_path / "scene.tif", photo)
    write_raster(
        tmp_path / "colours.tif",
        np.stack([blobs() * 255] * 3) // np.array([1, 2, 3], "u1")[:, None, None],
    )
    write_raster(tmp_path / "photo.tif", photo)
    write_raster(tmp_path / "small.png", blobs((64, 64)), driver="PNG", transform=None)
    write_raster(tmp_path / "far.tif", blobs(), transform=UTM.translation(9e4, 0) @ UTM)
    write_raster(tmp_path / "high.tif", blobs().astype("u2") * 999)
    write_raster(tmp_path / "half.tif", blobs() / 2)
    (tmp_path / "d").mkdir()
    (tmp_path / "x.csv").write_text("image,labels\nscene.tif,none.tif\n")
    wrong = {
        ("scene.tif", "-l", "colours.tif"): "say which class each is: --classes NAME=#ff7f55",
        ("scene.tif", "-l", "colours.tif", "--classes", "a=#000000,b=#ffffff"): "#ff7f55 in",
        ("scene.tif", "-l", "photo.tif", "--classes", "a=#000000,b=#ffffff"): "1000 different",
        ("scene.tif", "-l", "small.png"): "small.png has 64 x 64 pixels, scene.tif 96 x 128",
        ("scene.tif", "-l", "far.tif"): "far.tif does not overlap scene.tif",
        ("scene.tif", "-l", "high.tif"): "--classes 999=NAME",
        ("scene.tif", "-l", "half.tif"): "value 0.5",
        ("scene.tif", "-l", "half.tif", "--classes", "a,b"): "whole number",
        ("scene.tif", "-l", "d"): "d has no labels of the name of image scene",
        ("d",): "lay it out as train/images",
        ("x.csv",): "none.tif does not exist",
        ("scene.tif", "-l", "far.tif", "-l", "far.tif"): "1 image for 2 label files",
    }
    for arguments, words in wrong.items():
        command = ["geounet", "train", *arguments, "-o", "run", "--quiet", "--chip", "64",
                   "--architecture", "unet", "--width", "4", "--epochs", "1"]  # fmt: skip
        monkeypatch.setattr(sys, "argv", command)
        assert run(app) == 3, arguments
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert line.startswith("error: ")
        assert words in line
    assert not (tmp_path / "run").exists()


def test_bands_that_count_as_transparency_are_noted_once(tmp_path):
    pairs = []
    for number in range(3):
        image = write_raster(
            tmp_path / f"{number}.tif", np.ones((4, 40, 40), np.uint8), alpha="yes",
            descriptions=["r", "g", "b", "nir"],
        )  # fmt: skip
        labels = write_raster(tmp_path / f"l{number}.tif", np.ones((40, 40), np.uint8))
        pairs.append(Pair(image, labels))
    (note,) = find_sources(pairs, None, None)[1]
    assert note.startswith("band 4 (nir) of ") and note.endswith("(and 2 more images)")
