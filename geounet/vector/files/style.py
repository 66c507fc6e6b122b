"""The QGIS style that colours polygons by their class."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from geounet.classes import ClassInfo


def make_style(field: str, classes: Sequence[ClassInfo]) -> str:
    """A QGIS style (QML) with one category for each class."""
    root = Element("qgis", version="3.22.0", styleCategories="Symbology")
    renderer = SubElement(
        root,
        "renderer-v2",
        {"type": "categorizedSymbol", "attr": field, "symbollevels": "0", "enableorderby": "0"},
    )
    SubElement(renderer, "categories"), SubElement(renderer, "symbols")
    for item in classes:
        _add_category(renderer, item)
    SubElement(root, "layerGeometryType").text = "2"
    return ElementTree.tostring(root, encoding="unicode")


def extend_style(style: str, field: str, classes: Sequence[ClassInfo]) -> str:
    """A style with categories for the classes that it lacks, else as it is.

    A style that does not colour by this field is the user's own, and stays.
    """
    try:
        root = ElementTree.fromstring(style)
    except ElementTree.ParseError:
        return style
    renderer = root.find("renderer-v2")
    if renderer is None or renderer.get("attr") != field:
        return style
    known = {category.get("value") for category in renderer.iterfind("categories/category")}
    missing = [item for item in classes if str(item.value) not in known]
    if not missing or renderer.find("categories") is None or renderer.find("symbols") is None:
        return style
    for item in missing:
        _add_category(renderer, item)
    return ElementTree.tostring(root, encoding="unicode")


def _add_category(renderer: Element, item: ClassInfo) -> None:
    categories, symbols = renderer.find("categories"), renderer.find("symbols")
    if categories is None or symbols is None:
        raise ValueError("a renderer by categories has categories and symbols")
    taken = {symbol.get("name") for symbol in symbols}
    name = next(str(number) for number in range(len(taken) + 1) if str(number) not in taken)
    SubElement(
        categories,
        "category",
        {"symbol": name, "value": str(item.value), "type": "long", "label": item.name},
        render="true",
    )
    _add_symbol(symbols, name, item.rgb)


def _add_symbol(symbols: Element, name: str, rgb: tuple[int, int, int]) -> None:
    symbol = SubElement(symbols, "symbol", {"type": "fill", "name": name, "alpha": "1"})
    layer = SubElement(symbol, "layer", {"class": "SimpleFill", "enabled": "1", "pass": "0"})
    properties = {
        "color": "{},{},{},255".format(*rgb),
        "style": "solid",
        "outline_color": "35,35,35,255",
        "outline_style": "solid",
        "outline_width": "0.1",
        "outline_width_unit": "MM",
    }
    options = SubElement(layer, "Option", type="Map")
    for key, value in properties.items():
        SubElement(options, "Option", name=key, value=value, type="QString")
