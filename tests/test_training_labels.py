"""Labels in all the forms that people have them in, against the classes they were made from."""

import json

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from PIL import Image
from pyproj import CRS
from rasters import UTM, read_raster, write_raster

from geounet.classes import make_classes
from geounet.errors import InputError, UsageError
from geounet.evaluation import EvaluateOptions, evaluate
from geounet.raster import Grid, dump_classes, pixel_grid
from geounet.vector import (
    LabelOptions,
    RasterizeOptions,
    open_labels,
    rasterize,
    resolve_legend,
)

GRID = Grid(height=48, width=64, transform=UTM, crs=CRS.from_epsg(32633))
TRUTH = np.random.default_rng(0).integers(0, 3, GRID.shape).astype("uint8")
COLOURS = np.array([[0, 0, 0], [255, 0, 0], [10, 200, 30]], "uint8")
COLOURED = "ground=#000000,roof=#ff0000,tree=#0ac81e"


def paint(values, colours=COLOURS):
    """(3, H, W)."""
    return colours[values].transpose(2, 0, 1)


def write_palette(path, indices, colours):
    """A PNG with just these colours in its palette."""
    image = Image.fromarray(indices.astype("uint8"), mode=None).convert("P")
    image.putdata(indices.ravel().tolist())
    image.putpalette(np.asarray(colours, "uint8").ravel().tolist())
    image.save(path)
    return path


def read(path, classes=None, grid=GRID, **options):
    """Class values as training sees them, and the legend."""
    legend = resolve_legend(classes, [path], [grid], LabelOptions(**options))
    with open_labels(path, grid, legend.classes, legend.options, scene="image.tif") as labels:
        return labels.read(grid.extent), legend


def refuses(match, path, classes=None, error=InputError, **options):
    with pytest.raises(error, match=match) as caught:
        read(path, classes, **options)
    assert "\n" not in str(caught.value)


# --- colours ---------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [COLOURED, "#000000=ground,#ff0000=roof,#0AC81E=tree", "json"])
def test_colours_tell_the_classes(tmp_path, classes):
    if classes == "json":
        classes = str(tmp_path / "classes.json")
        items = [
            {"value": v, "name": n, "colour": "#" + bytes(c).hex()}
            for v, n, c in zip([0, 1, 2], ["ground", "roof", "tree"], COLOURS.tolist(), strict=True)
        ]
        (tmp_path / "classes.json").write_text(json.dumps(items))
    values, legend = read(write_raster(tmp_path / "l.tif", paint(TRUTH)), classes)
    assert (values == TRUTH).all()
    assert [(c.value, c.name, c.rgb) for c in legend.classes] == [
        (0, "ground", (0, 0, 0)), (1, "roof", (255, 0, 0)), (2, "tree", (10, 200, 30)),
    ]  # fmt: skip


def test_transparent_and_ignored_colours_have_no_label(tmp_path):
    alpha = np.where(TRUTH == 0, 0, 255).astype("uint8")
    rgba = np.concatenate([paint(TRUTH), alpha[None]])
    path = write_raster(tmp_path / "l.png", rgba, driver="PNG", transform=None)
    values, _ = read(path, COLOURED)
    assert (values == np.where(TRUTH == 0, 255, TRUTH)).all()
    path = write_raster(tmp_path / "l.tif", paint(TRUTH))
    values, _ = read(path, "ground=#000000,roof=#ff0000", ignore="#0ac81e")
    assert (values == np.where(TRUTH == 2, 255, TRUTH)).all()


def test_unknown_colours_are_refused_with_counts_and_places(tmp_path):
    painted = paint(np.minimum(TRUTH, 1))
    painted[:, 5, 7] = 1, 2, 3
    painted[:, 9:11, 20] = np.array([[4], [5], [6]])
    path = write_raster(tmp_path / "l.tif", painted)
    refuses(
        r"l\.tif has the colour #040506 in 2 pixels \(one at row 9, column 20\), the colour "
        r"#010203 in 1 pixel \(one at row 5, column 7\), none of the classes 0 ground, .*; "
        r"declare it with --classes NAME=#040506,\.\.\., or leave it out: --ignore #040506",
        path, COLOURED,
    )  # fmt: skip
    refuses(r"are colours \(#ff0000 67\.8%, #000000 .*--classes NAME=#ff0000,NAME=#000000", path)
    refuses(r"two classes have the colour #ff0000", path, "a=#ff0000,b=#ff0000", UsageError)
    photo = np.random.default_rng(1).integers(0, 256, (3, 48, 64), "uint8")
    refuses("more than 1000 different colours", write_raster(tmp_path / "p.tif", photo))


def test_nodata_of_single_bands_hides_no_colours(tmp_path):
    path = write_raster(tmp_path / "l.tif", paint(TRUTH), nodata=0)  # also a band of #ff0000
    refuses(r"l\.tif says that 0 is nodata, but it is the class 'ground'; remove", path, COLOURED)
    some = "roof=#ff0000,tree=#0ac81e"
    refuses(r"hides the colour #ff0000; remove .*#000000 means 'no label', say --ignore #0", path,
            some)  # fmt: skip
    refuses(r"hides the colour #ff0000", path, "a=#010101,b=#0ac81e")  # not declared, but there
    values, _ = read(path, "tree=#0ac81e,roof=#0000ff", ignore="#ff0000")
    assert (values == np.where(TRUTH == 2, 0, 255)).all()
    rgb = paint(TRUTH, np.array([[0, 0, 0], [255, 1, 1], [10, 200, 30]], "uint8"))
    path = write_raster(tmp_path / "m.tif", rgb, nodata=0)
    values, _ = read(path, "tree=#0ac81e,roof=#ff0101")
    assert (values == np.array([255, 1, 0])[TRUTH]).all()


def test_palettes_are_read_by_colour_where_colours_are_declared(tmp_path):
    turned = np.array([2, 0, 1], "uint8")  # index of each class
    path = write_palette(tmp_path / "l.png", turned[TRUTH], COLOURS[[1, 2, 0]])
    values, _ = read(path, COLOURED)
    assert (values == TRUTH).all()
    values, _ = read(path, "a,b,c")  # colours of nobody: numbers
    assert (values == turned[TRUTH]).all()
    values, _ = read(path, "2=ground,0=roof,1=tree")
    assert (values == turned[TRUTH]).all()
    values, legend = read(path)
    assert (values == turned[TRUTH]).all()
    assert legend.classes[0].rgb == (255, 0, 0)
    one = write_palette(tmp_path / "one.png", np.zeros(GRID.shape), [[10, 200, 30]])
    values, _ = read(one, COLOURED)
    assert (values == 2).all()


@pytest.mark.parametrize("names", ["land,roof,lawn", "land,water,lawn", "sea,roof,water"])
def test_palettes_are_read_by_number_where_names_alone_are_declared(tmp_path, names):
    water = make_classes(["water"])[0].rgb  # the colour that geounet picks, too
    path = write_palette(tmp_path / "l.png", TRUTH, [(1, 2, 3), water, (4, 5, 6)])
    values, legend = read(path, names)
    assert (values == TRUTH).all()
    values, _ = read(path, legend.classes)  # of a map, whose colours were picked
    assert (values == TRUTH).all()


def test_palettes_that_contradict_the_classes_are_refused(tmp_path):
    path = write_palette(tmp_path / "l.png", TRUTH, [[0, 0, 0], [255, 0, 0], [1, 2, 3]])
    refuses(r"palette in which 2 is #010203, but the class 'tree' is #0ac81e", path, COLOURED)
    path = write_palette(tmp_path / "m.png", TRUTH, [[255, 0, 0], [0, 0, 0], [1, 2, 3]])
    refuses(r"m\.png has the colour #010203 in \d+ pixels \(one at row", path, COLOURED)


# --- masks -----------------------------------------------------------------------------------


def grey_edges(seed=0):
    """A mask of 0 and 255 with edges between, and where it is nearer to 255."""
    rng = np.random.default_rng(seed)
    mask = np.kron(rng.integers(0, 2, (3, 4)), np.ones((16, 16))).astype("uint8") * 255
    rows, cols = rng.integers(0, 48, 80), rng.integers(0, 64, 80)
    mask[rows, cols] = rng.integers(20, 240, 80)
    mask[0, :2] = 127, 128
    return mask


@pytest.mark.parametrize("classes", [None, "land,water"])
@pytest.mark.parametrize("bands", [1, 3])
def test_grey_masks_are_cut_at_128(tmp_path, classes, bands):
    mask = grey_edges()
    path = write_raster(tmp_path / "m.tif", np.stack([mask] * bands))
    values, legend = read(path, classes)
    assert (values == (mask >= 128)).all()
    (note,) = legend.notes
    name = "water" if classes else "foreground"
    assert "m.tif" in note
    assert f"masks of 0 to 255: from 128 on they show '{name}'" in note


def test_pure_masks_and_jpeg_masks(tmp_path):
    pure = np.where(grey_edges() >= 128, 255, 0).astype("uint8")
    values, _ = read(write_raster(tmp_path / "p.tif", pure))
    assert (values == pure // 255).all()
    Image.fromarray(np.kron(pure, np.ones((4, 4), np.uint8))).save(tmp_path / "m.jpg", quality=50)
    assert len(np.unique(read_raster(tmp_path / "m.jpg"))) > 10
    values, _ = read(tmp_path / "m.jpg", grid=pixel_grid(192, 256))
    assert (values == (read_raster(tmp_path / "m.jpg")[0] >= 128)).all()
    white = "water=#ffffff,land=#000000"  # colours tell which half is which
    values, _ = read(tmp_path / "p.tif", white)
    assert (values == 1 - pure // 255).all()


@pytest.mark.parametrize("bright", ["road", "street", "shadow"])
@pytest.mark.parametrize("threshold", [None, 128])
def test_colours_picked_for_names_do_not_turn_masks(tmp_path, bright, threshold):
    """They may be grey, and darker than that of the background."""
    pure = np.where(grey_edges() >= 128, 255, 0).astype("uint8")
    path = write_raster(tmp_path / "p.tif", pure)
    values, _ = read(path, f"background,{bright}", threshold=threshold)
    assert (values == pure // 255).all()


def test_masks_are_told_by_all_files_together(tmp_path):
    """One that is all 0, or all 255, is read as the others are."""
    paths = [write_raster(tmp_path / f"{v}.tif", np.full(GRID.shape, v, "uint8")) for v in (0, 255)]
    legend = resolve_legend("land,water", paths, [GRID] * 2, LabelOptions())
    for path, expected in zip(paths, (0, 1), strict=True):
        with open_labels(path, GRID, legend.classes, legend.options) as labels:
            assert (labels.read(GRID.extent) == expected).all()


def test_class_numbers_with_255_are_no_masks(tmp_path):
    numbers = np.minimum(TRUTH, 1)
    numbers[:2] = 255
    path = write_raster(tmp_path / "l.tif", numbers)
    refuses("say --ignore 255.*--threshold 128", path)
    refuses("declare it.* --ignore 255; .*--threshold 128", path, "a,b")
    values, _ = read(path, ignore=255)
    assert (values == numbers).all()
    values, _ = read(path, "a,b", threshold=128)
    assert (values == (numbers >= 128)).all()
    refuses("--threshold needs two classes, not 3", path, "a,b,c", UsageError, threshold=128)
    burnt = write_raster(tmp_path / "b.tif", np.where(TRUTH, 255, 0).astype("uint8"), nodata=0)
    refuses(r"0 is nodata, but it is the class 'background'; remove the mark", burnt)


@pytest.mark.parametrize(
    ("share", "flags"),
    [(0.3, (250, 253, 255)), (0.002, (250, 253, 255)), (0.3, (254, 253, 255))],
)
def test_class_numbers_with_flags_are_no_masks(tmp_path, flags, share):
    """As the water masks of MODIS have them."""
    rng = np.random.default_rng(0)
    flagged = rng.choice(np.array(flags, "uint8"), GRID.shape)
    numbers = np.where(rng.random(GRID.shape) < 0.6, 0, flagged)
    numbers[rng.random(GRID.shape) < share] = 1
    path = write_raster(tmp_path / "l.tif", numbers)
    refuses("none of the classes 0 land, 1 water; .*--ignore", path, "land,water")
    values, _ = read(path, "land,water", ignore=flags)
    assert (values == np.where(numbers > 1, 255, numbers)).all()


@pytest.mark.parametrize("quality", [60, 90, 98, 100])
def test_masks_of_weak_and_strong_compression_are_masks(tmp_path, quality):
    rows, cols = np.mgrid[:128, :128]
    mask = ((rows - 60) ** 2 + (cols - 50) ** 2 < 900).astype("uint8") * 255
    Image.fromarray(mask).save(tmp_path / "m.jpg", quality=quality)
    values, _ = read(tmp_path / "m.jpg", "land,water", grid=pixel_grid(128, 128))
    assert (values == mask // 255).all()


# --- numbers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint32", "int64", "float64"])
def test_numbers_of_any_type_are_mapped(tmp_path, dtype):
    numbers = np.array([5, 7, 100], dtype)[TRUTH]
    path = write_raster(tmp_path / "l.tif", numbers)
    values, legend = read(path, "5=forest,7=other,100=forest")
    assert (values == np.array([5, 7, 5])[TRUTH]).all()
    assert [(c.value, c.name) for c in legend.classes] == [(5, "forest"), (7, "other")]


def test_numbers_that_no_class_can_have_are_mapped_in_order(tmp_path):
    numbers = np.array([111, 311, -9], "int16")[TRUTH]
    path = write_raster(tmp_path / "l.tif", numbers)
    values, legend = read(path, "111=urban,311=wood", ignore=-9)
    assert [(c.value, c.name) for c in legend.classes] == [(0, "urban"), (1, "wood")]
    assert (values == np.array([0, 1, 255])[TRUTH]).all()
    refuses("value -9 in .* but classes are 0 to 254; if it means 'no label'", path, ignore=311)
    file = tmp_path / "c.json"
    file.write_text(
        json.dumps(
            [{"value": 4, "name": "urban", "labels": [111, -9]}, {"value": 311 - 300, "name": "x"}]
        )
    )
    refuses(r"value 311 in \d+ pixels .*, none of the classes 4 urban, 11 x", path, str(file))


def test_several_values_are_ignored(tmp_path):
    path = write_raster(tmp_path / "l.tif", TRUTH + 3)
    values, legend = read(path, ignore=("3", 5, "void"), classes="4=a,9=b")
    assert (values == np.where(TRUTH == 1, 4, 255)).all()
    numbers = np.where(TRUTH == 2, 9, TRUTH).astype("uint8")
    values, legend = read(write_raster(tmp_path / "m.tif", numbers), ignore=("9", "17"))
    assert [c.value for c in legend.classes] == [0, 1]
    assert (values == np.where(TRUTH == 2, 255, TRUTH)).all()


def test_declarations_that_cannot_be_meant(tmp_path):
    path = write_raster(tmp_path / "l.tif", TRUTH)
    for text, match in {
        "a,1=b": "of some classes only",
        "1=a,2=": "empty name",
        "1=a=b=#000000": "too many parts",
        "a,a": "share a name",
    }.items():
        refuses(match, path, text, UsageError)
    assert (
        read(path, "ground=0,roof=1,tree=2")[1].classes == read(path, "ground,roof,tree")[1].classes
    )


def test_labels_of_a_json_file_may_be_floats(tmp_path):
    """As pandas writes numbers of columns with gaps."""
    items = [
        {"value": v, "name": n, "labels": [label]}
        for v, n, label in ((0, "a", 2.0), (1, "b", 1.0), (2, "c", 0.0))
    ]
    (tmp_path / "c.json").write_text(json.dumps(items))
    values, _ = read(write_raster(tmp_path / "l.tif", TRUTH), str(tmp_path / "c.json"))
    assert (values == 2 - TRUTH).all()


def test_texts_that_are_mapped_tell_nothing_of_numbers(tmp_path):
    path = write_raster(tmp_path / "l.tif", TRUTH)
    match = "'road' is mapped to 'way', but some labels hold numbers, .*--classes NUMBER=NAME"
    refuses(match, path, "road=way,water=wet,bg=bg", UsageError)
    items = [{"value": 0, "name": "way", "labels": ["road"]}, {"value": 1, "name": "wet"}]
    (tmp_path / "c.json").write_text(json.dumps(items))
    refuses(match, path, str(tmp_path / "c.json"), UsageError)


@pytest.mark.parametrize(
    "items",
    [
        [{"value": 0, "name": "road", "labels": [2]}, {"value": 1, "name": "b", "labels": ["2"]}],
        [{"value": 0, "name": "road", "labels": [1]}, {"value": 1, "name": "b"}],
    ],
)
def test_a_label_means_one_class(tmp_path, items):
    path = write_raster(tmp_path / "l.tif", TRUTH)
    match = "labels '2' are 'water' and 'road'; name one"
    refuses(match, path, "0=bg,1=road,2=water,2=road", UsageError)
    refuses("'#FF0000' are 'a' and 'b'", path, "#ff0000=a,#FF0000=b", UsageError)
    assert len(read(path, "0=bg,1=road,2=road,2=road")[1].classes) == 2
    (tmp_path / "c.json").write_text(json.dumps(items))
    refuses(r"c\.json: .* are 'road' and 'b'", path, str(tmp_path / "c.json"), UsageError)


def test_values_of_a_json_file_are_whole(tmp_path):
    items = [{"value": 0, "name": "a"}, {"value": 1.9, "name": "b"}]
    (tmp_path / "c.json").write_text(json.dumps(items))
    path = write_raster(tmp_path / "l.tif", TRUTH)
    refuses(r"the value 1\.9 of 'b' is not a whole number", path, str(tmp_path / "c.json"))


def test_what_is_ignored_is_found_in_palettes_and_colours(tmp_path):
    expected = np.where(TRUTH == 2, 255, TRUTH)
    palette = write_palette(tmp_path / "p.png", TRUTH, COLOURS)
    assert (read(palette, "#000000=a,#ff0000=b", ignore=2)[0] == expected).all()
    assert (read(palette, "0=a,1=b", ignore="#0AC81E")[0] == expected).all()
    greys = np.array([[0, 0, 0], [255, 0, 0], [255, 255, 255]], "uint8")
    coloured = write_raster(tmp_path / "c.tif", paint(TRUTH, greys))
    assert (read(coloured, "a=#000000,b=#ff0000", ignore=255)[0] == expected).all()
    numbers = write_raster(tmp_path / "n.tif", TRUTH)
    assert (read(numbers, "a,b", ignore="2.0")[0] == expected).all()
    boxes = write_boxes(tmp_path / "v.gpkg", kind=[1.0, 2.0, 3.0])
    values, _ = read(boxes, "1.0=a,2=b", class_field="kind", ignore="3.0")
    assert (values == burnt([1, 2, 255], 0)).all()


def test_what_cannot_be_ignored_is_refused(tmp_path):
    numbers = write_raster(tmp_path / "n.tif", TRUTH)
    coloured = write_raster(tmp_path / "c.tif", paint(TRUTH))
    for path, ignore, match in (
        (coloured, 0, "--ignore 0 is a number, but .* colours, and #000000 is a class; leave"),
        (numbers, "roof", r"--ignore roof is the name of a class, but .*n\.tif hold numbers"),
        (numbers, "#ff0000", r"--ignore #ff0000 is a colour, but .*n\.tif hold numbers; write"),
    ):
        refuses(match, path, COLOURED, UsageError, ignore=ignore)


def test_files_that_name_numbers_differently_are_refused(tmp_path):
    def discover(*names):
        paths = []
        for i, own in enumerate(names):
            path = write_raster(tmp_path / f"{i}.tif", TRUTH)
            if own:
                write_mask(path, TRUTH, make_classes(["bg", *own]))
            paths.append(path)
        return [c.name for c in resolve_legend(None, paths, [GRID] * len(paths)).classes]

    roads, houses = ("road", "water"), ("house", "water")
    assert discover(roads, (), roads) == discover((), roads) == ["bg", *roads]
    match = r"0\.tif calls 1 'road', but .*1\.tif calls 1 '{}'; renumber one, or,.*--classes"
    for other in (roads[::-1], houses):
        with pytest.raises(InputError, match=match.format(other[0])):
            discover(roads, other)
    paths = [write_mask(tmp_path / "a.tif", np.minimum(TRUTH, 1), make_classes(["bg", "road"]))]
    paths.append(write_mask(tmp_path / "b.tif", TRUTH // 2 * 2, make_classes(["bg", "x", "road"])))
    with pytest.raises(InputError, match=r"a\.tif calls 1 'road', but .*b\.tif calls 2 'road'"):
        resolve_legend(None, paths, [GRID] * 2)


def test_numbers_are_shown_in_full_and_as_they_are_mapped(tmp_path):
    path = write_raster(tmp_path / "l.tif", np.array([0, 1, 2**32 - 1], "uint32")[TRUTH])
    refuses("the value 4294967295 in .*4294967295=NAME, .*--ignore 4294967295;", path, "a,b")
    refuses("the value 4294967295 in .*--ignore 4294967295; .*4294967295=NAME", path)
    path = write_raster(tmp_path / "m.tif", np.array([0, 255, 255], "uint8")[TRUTH])
    refuses("declare it: --classes 255=house,0=NAME,", path, "255=house")


# --- sparse labels ---------------------------------------------------------------------------


def write_boxes(path, **columns):
    boxes = [shapely.box(*(UTM @ (c, 20)), *(UTM @ (c + 10, 10))) for c in (5, 25, 45)]
    gpd.GeoDataFrame(columns, geometry=boxes, crs=GRID.crs).to_crs(4326).to_file(path)
    return path


def burnt(values, fill):
    expected = np.full(GRID.shape, fill, "uint8")
    for col, value in zip((5, 25, 45), values, strict=True):
        expected[10:20, col : col + 10] = value
    return expected


def test_what_is_outside_of_sparse_polygons_has_no_label(tmp_path):
    path = write_boxes(tmp_path / "v.gpkg", kind=["a", "b", "void"])
    values, legend = read(path, class_field="kind", sparse=True, ignore="void")
    assert [(c.value, c.name) for c in legend.classes] == [(1, "a"), (2, "b")]
    assert (values == burnt([1, 2, 255], 255)).all()
    values, _ = read(path, class_field="kind", ignore="void")
    assert (values == burnt([1, 2, 255], 0)).all()
    values, legend = read(path, "b,a", class_field="kind", sparse=True, ignore="void")
    assert (values == burnt([2, 1, 255], 255)).all()
    refuses("--sparse leaves one class of polygons", path, None, UsageError, sparse=True)
    with pytest.raises(UsageError, match="--sparse leaves one class of a mask"):
        LabelOptions(sparse=True, threshold=128)


def test_texts_of_a_column_are_mapped(tmp_path):
    path = write_boxes(tmp_path / "v.gpkg", kind=["oak", "beech", "road"], code=[1.0, 2.0, 300.0])
    values, legend = read(path, "oak=wood,beech=wood,road=way", class_field="kind")
    assert [(c.value, c.name) for c in legend.classes] == [
        (0, "background"),
        (1, "wood"),
        (2, "way"),
    ]
    assert (values == burnt([1, 1, 2], 0)).all()
    values, legend = read(path, "1=wood,2=wood,300=way", class_field="code")
    assert (values == burnt([1, 1, 2], 0)).all()
    refuses("'road' in column 'kind' of 1 polygon,.*--ignore 'road'", path, "oak=a,beech=b",
            class_field="kind")  # fmt: skip


def test_zero_and_black_of_sparse_rasters_have_no_label(tmp_path):
    expected = np.where(TRUTH == 0, 255, TRUTH)
    numbers = write_raster(tmp_path / "l.tif", TRUTH)
    values, legend = read(numbers, sparse=True)
    assert (values == expected).all()
    assert [c.value for c in legend.classes] == [1, 2]
    values, legend = read(numbers, "roof,tree", sparse=True)
    assert (values == expected).all()
    colours = write_raster(tmp_path / "c.tif", paint(TRUTH))
    values, _ = read(colours, "roof=#ff0000,tree=#0ac81e", sparse=True)
    assert (values == expected).all()
    file = tmp_path / "c.json"
    file.write_text(json.dumps([{"value": v, "name": n} for v, n in enumerate(["forest", "x"])]))
    for classes in ("0=forest,1=roof,2=tree", str(file)):
        match = "--sparse takes 0 for 'no label', but it is the class 'forest'; leave"
        refuses(match, numbers, classes, UsageError, sparse=True)


# --- grids -----------------------------------------------------------------------------------


def test_shifts_below_a_hundredth_of_a_pixel_are_none(tmp_path):
    for shift, note in ((0.009, None), (0.6, "shifted by 0.6 pixels: warped (nearest)")):
        path = write_raster(
            tmp_path / f"{shift}.tif", TRUTH, transform=UTM @ Affine.translation(shift, 0)
        )
        legend = resolve_legend("a,b,c", [path], [GRID])
        with open_labels(path, GRID, legend.classes, legend.options) as labels:
            assert labels.note == note
            values = labels.read(GRID.extent)
        assert (values[:, 1:] == (TRUTH[:, 1:] if note is None else TRUTH[:, :-1])).all()


def test_what_does_not_fit_is_refused_by_both_names(tmp_path):
    small = write_raster(tmp_path / "s.png", TRUTH[:40], driver="PNG", transform=None)
    refuses(r"s\.png has 40 x 64 pixels, image\.tif 48 x 64, and not both .*; georeference", small)
    away = write_raster(tmp_path / "far.tif", TRUTH, transform=UTM @ Affine.translation(500, 0))
    refuses(r"far\.tif does not overlap image\.tif: .*; give files of one place", away)
    there = gpd.GeoDataFrame(geometry=[shapely.box(1, 1, 2, 2)], crs=4326)
    there.to_file(tmp_path / "v.gpkg")
    refuses(r"v\.gpkg does not overlap image\.tif", tmp_path / "v.gpkg")
    there["kind"] = "a"
    there.to_file(tmp_path / "w.gpkg")
    refuses(r"w\.gpkg does not overlap the scenes: .*; give", tmp_path / "w.gpkg",
            class_field="kind")  # fmt: skip


# --- the other commands read them alike ------------------------------------------------------


def write_mask(path, values, classes):
    write_raster(path, values, nodata=255)
    with rasterio.open(path, "r+") as target:
        target.update_tags(GEOUNET_CLASSES=dump_classes(classes))
    return path


def test_masks_are_evaluated_against_every_form_of_labels(tmp_path):
    labels = {
        "c.tif": write_raster(tmp_path / "c.tif", paint(TRUTH)),
        "p.png": write_palette(tmp_path / "p.png", 2 - TRUTH, COLOURS[::-1]),
        "n.tif": write_raster(tmp_path / "n.tif", TRUTH),
    }
    _, legend = read(labels["c.tif"], COLOURED)
    wrong = TRUTH.copy()
    wrong[0] = (wrong[0] + 1) % 3
    mask = write_mask(tmp_path / "mask.tif", wrong, legend.classes)
    with rasterio.open(mask, "r+") as target:  # for the eye only
        target.write_colormap(1, {0: (255, 0, 0), 1: (0, 0, 0), 2: (10, 200, 30)})
    for path in labels.values():
        counts = evaluate(mask, path).confusion.counts
        assert counts.sum() == TRUTH.size
        assert np.trace(counts) == TRUTH.size - 64
    sparse = evaluate(
        mask, labels["n.tif"], EvaluateOptions(label_options=LabelOptions(sparse=True))
    )
    assert sparse.confusion.counts.sum() == (TRUTH > 0).sum()


def test_masks_are_evaluated_against_grey_masks(tmp_path):
    grey = grey_edges()
    truth = (grey >= 128).astype("uint8")
    path = write_raster(tmp_path / "g.tif", grey)
    bare = write_raster(tmp_path / "bare.tif", truth, nodata=255)
    named = write_mask(tmp_path / "m.tif", truth, read(path)[1].classes)
    for mask in (bare, named):
        found = evaluate(mask, path)
        assert found.metrics.overall_accuracy == 1
        assert any("from 128 on" in note for note in found.notes)


def test_rasterize_reads_features_as_training_does(tmp_path):
    path = write_boxes(tmp_path / "v.gpkg", kind=["a", "b", "void"])
    like = write_raster(tmp_path / "scene.tif", TRUTH)
    options = LabelOptions(class_field="kind", sparse=True, ignore="void")
    out = tmp_path / "out.tif"
    rasterize(path, like, out, RasterizeOptions(classes="b=x,a=y", label_options=options))
    assert (read_raster(out)[0] == burnt([2, 1, 255], 255)).all()
