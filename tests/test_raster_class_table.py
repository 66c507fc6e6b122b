"""The classes that files tell: our tag, category names, attribute table, colour table."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from rasters import write_raster

from geounet.classes import PALETTE, ClassInfo, make_classes
from geounet.errors import InputError
from geounet.raster import dump_classes, read_class_table, read_classes

PALETTE_COLOURS = {0: (1, 2, 3, 255), 2: (255, 0, 16, 255)}
CATEGORIES = "<CategoryNames>{}</CategoryNames>"
ATTRIBUTES = """<GDALRasterAttributeTable tableType="thematic">
<FieldDefn index="0"><Name>Count</Name><Type>0</Type><Usage>1</Usage></FieldDefn>
<FieldDefn index="1"><Name>Value</Name><Type>1</Type><Usage>5</Usage></FieldDefn>
<FieldDefn index="2"><Name>Kind</Name><Type>2</Type><Usage>2</Usage></FieldDefn>
<FieldDefn index="3"><Name>R</Name><Type>0</Type><Usage>6</Usage></FieldDefn>
<FieldDefn index="4"><Name>G</Name><Type>0</Type><Usage>7</Usage></FieldDefn>
<FieldDefn index="5"><Name>B</Name><Type>0</Type><Usage>8</Usage></FieldDefn>
<Row index="0"><F>9</F><F>3.0</F><F>lake</F><F>0</F><F>0</F><F>255</F></Row>
<Row index="1"><F>4</F><F>7.0</F><F>moor</F><F>16</F><F>32</F><F>48</F></Row>
</GDALRasterAttributeTable>"""


def write_labels(path, *, inside="", colours=None, tag=None):
    write_raster(path, np.zeros((4, 5), "uint8"))
    with rasterio.open(path, "r+") as target:
        if colours:
            target.write_colormap(1, colours)
        if tag:
            target.update_tags(GEOUNET_CLASSES=tag)
    if inside:
        path.with_name(f"{path.name}.aux.xml").write_text(
            f'<PAMDataset><PAMRasterBand band="1">{inside}</PAMRasterBand></PAMDataset>'
        )
    return path


def categories(*names):
    return CATEGORIES.format("".join(f"<Category>{name}</Category>" for name in names))


def test_own_tag_comes_back_first(tmp_path):
    classes = (ClassInfo(0, "Grün & Gras", "#00ff00"), ClassInfo(4, "b, c", "#123456"))
    path = write_labels(tmp_path / "m.tif", inside=categories("x", "y"), tag=dump_classes(classes))
    assert read_classes(path) == classes
    assert read_class_table(path).names == {0: "Grün & Gras", 4: "b, c"}


def test_category_names_with_colour_table(tmp_path):
    path = write_labels(
        tmp_path / "m.tif", inside=categories("bare", "", "a &amp; b"), colours=PALETTE_COLOURS
    )
    expected = (ClassInfo(0, "bare", "#010203"), ClassInfo(2, "a & b", "#ff0010"))
    assert read_classes(path) == expected


def test_attribute_table(tmp_path):
    path = write_labels(tmp_path / "m.tif", inside=ATTRIBUTES)
    assert read_classes(path) == (ClassInfo(3, "lake", "#0000ff"), ClassInfo(7, "moor", "#102030"))


@pytest.mark.parametrize("cell", ["", "nan", "inf", "?"])
def test_a_row_without_a_value_is_no_class(tmp_path, cell):
    table = ATTRIBUTES.replace("<F>3.0</F>", f"<F>{cell}</F>")
    table = table.replace("<Type>1</Type>", "<Type>2</Type>")  # a text, kept as it is written
    path = write_labels(tmp_path / "m.tif", inside=table)
    assert read_classes(path) == (ClassInfo(7, "moor", "#102030"),)


def test_names_that_occur_twice_get_their_value(tmp_path):
    path = write_labels(tmp_path / "m.tif", inside=categories("none", "road", "road"))
    assert [item.name for item in read_classes(path)] == ["none", "road 1", "road 2"]


def test_colours_without_names_are_no_classes(tmp_path):
    path = write_labels(tmp_path / "m.tif", colours=PALETTE_COLOURS)
    assert read_classes(path) is None
    table = read_class_table(path)
    assert table.class_of(2) == ClassInfo(2, "class 2", "#ff0010")
    assert table.class_of(1) == ClassInfo(1, "class 1", PALETTE[1])


def test_image_without_georeference(tmp_path):
    path = write_raster(tmp_path / "m.png", np.zeros((4, 5), "uint8"), transform=None, driver="PNG")
    assert read_classes(path) is None


@pytest.mark.parametrize(
    "tag", ["{", "[1]", '[{"value": 0}]', dump_classes(make_classes(["a"])) * 2]
)
def test_broken_tag_is_said(tmp_path, tag):
    path = write_labels(tmp_path / "m.tif", tag=tag)
    with pytest.raises(InputError, match=r"m\.tif has a tag GEOUNET_CLASSES that cannot be read"):
        read_classes(path)
