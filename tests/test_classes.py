"""Colours of classes: as their names let one expect, and no two alike."""

import pytest

from geounet.classes import KNOWN, PALETTE, make_classes, pick_colours
from geounet.vector.labels.class_declaration import parse_classes


@pytest.mark.parametrize(
    ("name", "colour"),
    [
        ("open water", "#3182bd"),
        ("Trees", "#31a354"),
        ("crop_fields", "#fdd835"),
        ("grass", "#9acd32"),
        ("forest road", "#7f7f7f"),
        ("bare soil", "#a0522d"),
        ("snow/ice", "#f0f4f8"),
        ("no forest", PALETTE[5]),
        ("woodpecker", PALETTE[5]),
    ],
)
def test_names_say_the_colour(name, colour):
    assert make_classes([name], [5])[0].colour == colour


def test_colours_differ_and_those_that_are_given_stay():
    names = [word for words, _ in KNOWN for word in words.split()[:2]]
    for some in (names, ["a", "b", "water", "lake", "class 2"], list("abcdefghijklmnop")):
        colours = [item.colour for item in make_classes(some)]
        assert len(set(colours)) == len(some)
    assert [item.colour for item in make_classes(list("abc"))] == list(PALETTE[:3])
    assert pick_colours({0: "sea", 1: "x"}, {1: "#3182bd"}) == {0: "#17becf", 1: "#3182bd"}
    found = [item.colour for item in parse_classes("field,forest=#010203,water")]
    assert found == ["#fdd835", "#010203", "#3182bd"]
